"""`models`: what nets there are, their cards, and whom they have seen."""

import json
import shutil
import zipfile

import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.core.fingerprint import digest_of_file
from lungseg.core.record import Record
from lungseg.core.store import Store
from lungseg.io.sources.pseudonyms import KEY_FILE, pseudonym
from lungseg.io.volumes.formats import write_volume
from lungseg.model import nets
from lungseg.model.model_record import FILE, NET, write_model_record
from lungseg.phantom.small_chest import chest
from tests.commands.bright_net import RECORD
from tests.test_flow import write_scan


def models(*arguments, status=0):
    done = CliRunner().invoke(main, ["models", *map(str, arguments)])
    assert done.exit_code == status, f"{done.output}\n{done.exception!r}"
    return done.output


@pytest.fixture
def net(tmp_path):
    """A net's folder; the record alone matters here."""
    return write_net(tmp_path / "net")


def write_net(folder, **changes):
    import dataclasses

    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / NET, "w") as archive:
        archive.writestr("config.json", "{}")
    write_model_record(dataclasses.replace(RECORD, **changes), folder)
    (folder / FILE).unlink()
    return folder / NET


@pytest.fixture
def shipped(net, tmp_path, monkeypatch):
    trained = tmp_path / "trained"
    trained.mkdir()
    shutil.copy(net, trained / "nodules.keras")
    monkeypatch.setattr(nets, "TRAINED", trained)
    return trained / "nodules.keras"


def test_without_any_net_it_says_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setattr(nets, "TRAINED", tmp_path)
    assert "no net comes with the package: train one" in models()
    assert f"nor in {tmp_path}" in models("--work", tmp_path)


def test_the_list_has_the_packages_nets_and_those_of_the_work_folder(shipped, net, tmp_path):
    work = tmp_path / "work"
    record = Record(stage="train", version=1, fingerprint="a" * 64, finished="2026-01-01")
    with Store(work).scratch("train", record.fingerprint) as scratch:
        shutil.copy(net, scratch / NET)
        Store(work).keep(scratch, record)
    lines = models("--work", work).splitlines()
    assert lines[0].startswith("nodules  nodules in ct, 1 patient, ")
    assert lines[1].endswith("the current one")
    nets.choose_net(work, net, "--model mine")
    rows = json.loads(models("--work", work, "--json"))["models"]
    assert [row["origin"] for row in rows] == [
        "comes with the package", "trained here", "the current one (--model mine)",
    ]  # fmt: skip
    assert rows[0]["scores"] == {"dice": 0.5}


def test_a_net_that_cannot_be_read_does_not_hide_the_others(shipped):
    (shipped.parent / "broken.keras").write_text("no net")
    lines = models().splitlines()
    assert lines[0].startswith("broken  not usable: ")
    assert "has no record of a trained net" in lines[0]
    assert lines[1].startswith("nodules  nodules in ct")


def test_a_card_tells_what_made_the_net_and_its_file(shipped):
    told = models("show", "nodules")
    assert f"sha256 {digest_of_file(shipped)}" in told
    for line in (
        "finds      nodules in ct",
        "trained on 1 patient, 1 scan: taught",
        "validated  1 patient, 1 scan: chosen-on",
        "input      96 x 96 pixels, voxels of 4 x 4 x 4 mm (z, y, x), 1 slices at once, "
        "-1000 to 400, lungs alone",
        "scores     dice 0.5",
        "settings   epochs 3",
    ):
        assert line in told.splitlines()
    card = json.loads(models("show", "nodules", "--json"))
    assert card["train_patients"] == ["taught"]
    assert card["bytes"] == shipped.stat().st_size
    assert card["card"] == {}


def test_a_card_names_twenty_patients_and_counts_the_others(tmp_path):
    people = [f"P{k:03d}" for k in range(30)]
    # Slices around nodules are entries of their own, and no scans.
    scans = ["1.2.1#1", "1.2.1#2", "1.2.2", "1.2.2_a1", "case#1", "case#2"]
    net = write_net(tmp_path / "many", train_patients=people, train_scans=scans)
    told = models("show", net)
    assert "trained on 30 patients, 4 scans: P000, P001" in told
    assert "validated  1 patient, 1 scan: " in told
    assert "P019 and 10 more" in told


def test_scans_are_known_by_their_headers(net, tmp_path):
    write_scan(tmp_path / "src", "taught", "1.2.826.50")
    write_volume(chest((6.0, 4.0, 4.0)).ct, tmp_path / "src" / "new.nii.gz")
    told = models("saw", net, tmp_path / "src", status=1)
    assert told.splitlines()[0].split() == ["train", "taught", "1.2.826.50"]
    assert "of 2 asked for, the net was trained on 1 and validated on 0; 1 it has never" in told
    assert "it has never seen" in models("saw", net, tmp_path / "src" / "new.nii.gz")


@pytest.mark.parametrize(
    ("text", "status", "told"),
    [
        ("seriesuid\n1.2.826.41\n1.9\n", 1, "of 2 asked for, the net was trained on 1"),
        ("SeriesUID,coordX\n1.9,3\n1.9,4\n", 0, "of 1 asked for, the net was trained on 0"),
        ("scan;note\n1.2.826.42;a, b\n", 1, "validated on 1"),
        ("patient\ntaught\n", 1, "train      taught"),
        ("a,PatientID\n1,chosen-on\n", 1, "validation chosen-on"),
        ("scan,patient\n9.9,taught\n", 1, "train      taught 9.9"),
        ("patient\nsomebody\n", 0, "1 it has never seen"),
        ("seriesuid\n1.9\n", 0, "1 were looked up by their scan alone"),
    ],
)
def test_a_table_is_held_against_the_nets_own_list(net, tmp_path, text, status, told):
    (tmp_path / "asked.csv").write_text(text)
    assert told in models("saw", net, tmp_path / "asked.csv", status=status)


def test_machines_get_every_row(net, tmp_path):
    (tmp_path / "asked.csv").write_text("scan,patient\n1.9,taught\n1.8,other\n")
    told = json.loads(models("saw", net, tmp_path / "asked.csv", "--json", status=1))
    assert (told["asked"], told["seen"]) == (2, 1)
    assert [row["seen"] for row in told["rows"]] == ["train", "no"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,age\na,3\n", "has the columns name, age; expected one that is called seriesuid"),
        ("", "has the columns (none); expected one"),
        ("patient\n\n", "names nobody: its columns of scans and patients are empty"),
        ("patient\n\xff".encode("latin-1"), "cannot be read as a CSV"),
        ("patient\nA,B\n", "line 2: 2 cells, the header has 1"),
    ],
)
def test_a_table_that_tells_of_nobody_proves_nothing(net, tmp_path, text, message):
    (tmp_path / "asked.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    told = models("saw", net, tmp_path / "asked.csv", status=2)
    assert message in " ".join(told.split())


@pytest.mark.parametrize("command", [["saw"], ["show"]])
def test_a_file_that_is_no_net_of_ours_is_a_wrong_command_line(tmp_path, command):
    (tmp_path / "asked.csv").write_text("patient\ntaught\n")
    asked = [tmp_path / "asked.csv"] if command == ["saw"] else []
    (tmp_path / "some.toml").write_text("a = 1")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    for name, message in (
        ("some.toml", "some.toml: it is no .keras file; name one that `train` wrote"),
        ("other.keras", "has no record of a trained net (it was not trained by this program)"),
    ):
        told = models(*command, tmp_path / name, *asked, status=2)
        assert message in " ".join(told.split())


def test_places_without_scans_prove_nothing(net, tmp_path):
    (tmp_path / "empty").mkdir()
    told = models("saw", net, tmp_path / "empty", status=2)
    assert "so nothing can be said of them" in " ".join(told.split())
    assert "/nowhere: there is no such file or folder" in models("saw", net, "/nowhere", status=2)


def test_a_net_that_does_not_tell_proves_nothing(tmp_path):
    (tmp_path / "asked.csv").write_text("seriesuid\n1.9\n")
    silent = write_net(tmp_path / "silent", train_patients=[], train_scans=[])
    told = models("saw", silent, tmp_path / "asked.csv", status=2)
    assert "does not tell whom it was trained on" in " ".join(told.split())
    older = write_net(tmp_path / "older", train_scans=[], validation_scans=[])
    told = models("saw", older, tmp_path / "asked.csv", status=2)
    assert "tells its patients and not its scans" in " ".join(told.split())


def test_a_net_that_knows_pseudonyms_proves_nothing_without_their_key(tmp_path):
    net = write_net(tmp_path / "net", train_patients=[pseudonym("taught", bytes(32))])
    asked = tmp_path / "asked.csv"
    asked.write_text("scan,patient\n1.9,taught\n1.8,other\n")
    told = models("saw", net, asked, status=2)
    assert "on 0 and validated on 0; 0 it has never seen" in told
    assert "of 2 it cannot be told: it has not seen their scans" in told
    rows = json.loads(models("saw", net, asked, "--json", status=2))["rows"]
    assert [row["seen"] for row in rows] == ["unknown", "unknown"]
    asked.write_text("scan\n1.9\n")
    assert "1 were looked up by their scan alone" in models("saw", net, asked)
    asked.write_text("patient\ntaught\n")
    told = models("saw", net, asked, status=2)
    assert "the net knows its patients by pseudonyms, and the key is not" in " ".join(told.split())
    (tmp_path / KEY_FILE).write_text(bytes(32).hex())
    assert "train      taught" in models("saw", net, asked, status=1)
