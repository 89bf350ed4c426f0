"""The record of a net that started from another one: whom that one had seen, this one has."""

import dataclasses
import json

import pytest

from lungseg.core.errors import DataError
from lungseg.core.stage import DatasetInputs
from lungseg.model import inference
from lungseg.model.epochs import mining
from lungseg.model.model_record import read_model_record
from lungseg.stages import train
from tests.model.graphs import eagerly
from tests.model.toy_table import toy_scan, toy_table
from tests.stages.test_train import TINY


@pytest.fixture(autouse=True, scope="module")
def without_graphs():
    """What a record says does not depend on how a step is computed."""
    with eagerly():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    (folder / "build-tables").mkdir()
    toy_table(folder / "build-tables" / "tables.h5", *(toy_scan(name) for name in "abcd"))
    return folder


def learn(folder, name, params, train_on, validate_on):
    split = folder / name / "split-patients"
    split.mkdir(parents=True)
    parts = {"train": train_on, "validation": validate_on, "test": []}
    (split / "split.json").write_text(json.dumps({"hash": name, "parts": parts}))
    out = folder / name / "train"
    out.mkdir()
    stages = {"build-tables": folder / "build-tables", "split-patients": split}
    train.run(dataclasses.replace(params, tensorboard=False), DatasetInputs({}, stages), out)
    return out / "model.keras"


@pytest.fixture(scope="module")
def first(folder):
    return learn(folder, "first", TINY, ["a"], ["b", "c"])


def test_patients_seen_before_are_seen_and_no_validation_once_learnt_from(folder, first):
    going_on = dataclasses.replace(TINY, start_from=str(first))
    record = read_model_record(learn(folder, "second", going_on, ["b", "d"], ["a"]))
    assert record.train_patients == ["a", "b", "d"]
    assert record.validation_patients == ["c"]
    assert record.train_scans == ["scan of a", "scan of b", "scan of d"]
    assert record.validation_scans == ["scan of c"]
    # The file's name, without the folders of the machine.
    assert record.params["start_from"] == "model.keras"


def test_training_goes_on_from_the_net_named_and_mines_before_its_first_epoch(
    folder, first, monkeypatch
):
    handed, mined = [], []

    def hand_over(path, net):
        hand(path, net)
        handed.append([w.copy() for w in net.get_weights()])

    def mine(*args):
        mined.append(len(mined))
        return dig(*args)

    hand, dig = inference.hand_over, mining.mine
    monkeypatch.setattr(inference, "hand_over", hand_over)
    monkeypatch.setattr(mining, "mine", mine)
    going_on = dataclasses.replace(TINY, start_from=str(first), mine_every=9)
    learn(folder, "third", going_on, ["a"], ["b"])
    expected = inference.load_net(first).get_weights()
    assert len(handed) == 1
    assert all((a == b).all() for a, b in zip(handed[0], expected, strict=True))
    assert mined == [0]


def test_a_net_of_another_architecture_is_refused(folder, first):
    wider = dataclasses.replace(TINY, start_from=str(first), base_width=4)
    with pytest.raises(
        DataError, match=r"model\.keras is a net of another architecture: .* against"
    ):
        learn(folder, "fourth", wider, ["a"], ["b"])
