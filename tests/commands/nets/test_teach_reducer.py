"""`models teach`: a net's file gets a reducer, taught on its training patients alone."""

import pytest

from lungseg.commands.nets import teach_reducer as teaching
from lungseg.commands.nets.teach_reducer import teach_reducer
from lungseg.core.errors import ConfigError
from lungseg.model.model_record import read_model_record
from lungseg.model.reducer import teaching as steps
from lungseg.model.reducer.member import read_reducer, read_reducer_record
from lungseg.model.reducer.network import WIDTH, build
from tests.commands.bright_net import write_bright_net
from tests.model.graphs import eagerly
from tests.model.reducer.test_teaching import made


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    """What a file says of its reducer does not depend on how long that was taught."""
    monkeypatch.setattr(steps, "STEPS", 2)
    with eagerly():
        yield


@pytest.fixture
def net(tmp_path):
    return write_bright_net(tmp_path / "net")


def test_the_new_file_has_a_reducer_and_says_what_it_learnt_from(
    net, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(
        teaching, "_of_scans", lambda *_: iter([made(9, True, 1), made(12, False, 2)])
    )
    out = tmp_path / "new" / "with.keras"
    told = teach_reducer(str(net), work=tmp_path, slices=None, out=out, epochs=1, seed=3)
    assert "taught on 9 nodules and 12 other candidates of 2 patients" in told
    assert "epoch 1/1" in capsys.readouterr().err
    record = read_reducer_record(out)
    assert (record.nodules, record.others, record.patients) == (9, 12, 2)
    assert (record.epochs, record.seed) == (1, 3)
    assert read_reducer(out).net.count_params() == 82_165
    # Whom it saw, the net now has seen, too.
    assert {"p1", "p2", "taught"} <= set(read_model_record(out).train_patients)
    assert read_reducer(net) is None


def test_a_net_taught_with_halvings_says_so_from_then_on(net, tmp_path, monkeypatch):
    asked = []

    def of_scans(_work, file, _jobs):
        asked.append(read_model_record(file).halvings)
        return iter([made(9, True, 1), made(12, False, 2)])

    monkeypatch.setattr(teaching, "_of_scans", of_scans)
    monkeypatch.setattr(teaching, "teach", lambda *_, **__: build(WIDTH))
    out = tmp_path / "with.keras"
    teach_reducer(str(net), work=tmp_path, slices=None, out=out, epochs=1, halvings=2)
    # Its candidates are those that it finds with them.
    assert asked == [2]
    assert read_model_record(out).halvings == 2
    assert read_model_record(net).halvings == 0
    again = tmp_path / "again.keras"
    teach_reducer(str(out), work=tmp_path, slices=None, out=again, epochs=1)
    assert read_model_record(again).halvings == 2


def test_the_net_itself_is_not_overwritten(net, tmp_path):
    with pytest.raises(ConfigError, match="is the net itself; name another file"):
        teach_reducer(str(net), work=tmp_path, slices=None, out=net)
