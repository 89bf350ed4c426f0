"""Which net a work folder predicts with, and what a name for one means."""

import pytest

from lungseg.core.errors import ConfigError
from lungseg.core.record import Record
from lungseg.core.store import Store
from lungseg.model import nets
from lungseg.model.nets import choose_net, current_net, find_net, named_net


def trained(work, fingerprint, finished):
    record = Record(stage="train", version=1, fingerprint=fingerprint * 64, finished=finished)
    with Store(work).scratch("train", record.fingerprint) as scratch:
        (scratch / "model.keras").write_text(fingerprint)
        Store(work).keep(scratch, record)
    return Store(work).folder("train", record.fingerprint) / "model.keras"


def test_the_net_trained_last_is_the_current_one_until_another_is_chosen(tmp_path):
    work = tmp_path / "work"
    assert current_net(work) is None
    first, second = trained(work, "a", "2026-01-01"), trained(work, "b", "2026-01-02")
    assert current_net(work).file == second
    choose_net(work, first, "trained here")
    assert current_net(work).file == first
    other = tmp_path / "other.keras"
    other.touch()
    choose_net(work, other, "--model other.keras")
    assert (current_net(work).file, current_net(work).origin) == (other, "--model other.keras")


def test_a_work_folder_that_was_moved_keeps_its_net(tmp_path):
    choose_net(tmp_path / "work", trained(tmp_path / "work", "a", "2026-01-01"), "trained here")
    (tmp_path / "work").rename(tmp_path / "moved")
    assert current_net(tmp_path / "moved").file.is_relative_to(tmp_path / "moved")


def test_a_net_that_is_gone_is_named(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "a.keras").touch()
    choose_net(work, tmp_path / "a.keras", "--model a.keras")
    (tmp_path / "a.keras").unlink()
    with pytest.raises(ConfigError, match=r"a\.keras \(--model a\.keras\) is gone; name another"):
        current_net(work)


def test_a_damaged_note_of_the_net_falls_back_on_the_one_trained_last_and_says_so(tmp_path, caplog):
    file = trained(tmp_path, "a", "2026-01-01")
    (tmp_path / nets.FILE).write_text("{")
    assert current_net(tmp_path).file == file
    assert "net.json named is gone; the net that was trained last is used" in caplog.text


def test_a_net_in_the_cache_that_rotted_is_told(tmp_path):
    file = trained(tmp_path / "work", "a", "2026-01-01")
    net = nets.CurrentNet(file, "trained here")
    assert nets.fault_of(net) == ""
    file.write_bytes(file.read_bytes() + b"x")
    assert "model.keras has" in nets.fault_of(net)
    (file.parent / "stage.json").write_text("{")
    assert "is not the record of an output" in nets.fault_of(net)
    (tmp_path / "own.keras").touch()
    assert nets.fault_of(nets.CurrentNet(tmp_path / "own.keras", "--model")) == ""


def test_a_name_means_a_file_a_folder_or_one_of_the_packages_nets(tmp_path, monkeypatch):
    file = trained(tmp_path / "work", "a", "2026-01-01")
    own = nets.TRAINED / "nodules.keras"
    assert find_net(str(own)) == own
    with pytest.raises(ConfigError, match=r"it is no \.keras file; name one that `train`"):
        find_net(str(file))
    assert find_net(str(tmp_path / "work")) == file
    assert find_net(str(file.parent)) == file
    shipped = tmp_path / "trained" / "nodules.keras"
    shipped.parent.mkdir()
    shipped.touch()
    monkeypatch.setattr(nets, "TRAINED", shipped.parent)
    assert find_net("nodules") == shipped
    with pytest.raises(ConfigError, match=r"no net of this name .* \(it has nodules\)"):
        find_net("lungs")
    with pytest.raises(ConfigError, match="there is no trained net in this folder"):
        find_net(str(shipped.parent))
    # A folder of slices, as one may have where the command is typed.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nodules").mkdir()
    assert find_net("nodules") == shipped
    with pytest.raises(ConfigError, match="there is no trained net in this folder"):
        find_net("./nodules")


def test_a_file_of_something_else_is_a_wrong_name_and_no_fault_of_the_scans(tmp_path):
    text = tmp_path / "x.keras"
    text.write_text("hello")
    with pytest.raises(ConfigError, match=r"net .*x\.keras: it is no \.keras file"):
        named_net(str(text), "--model")
