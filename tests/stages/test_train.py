"""The train stage: a net, its record and its log out of a table and a split."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from lungseg.core.errors import ConfigError, DataError
from lungseg.core.stage import DatasetInputs
from lungseg.io.tables.reader import Tables
from lungseg.model.checkpoints import Checkpoints
from lungseg.model.inference import load_net
from lungseg.model.model_record import read_model_record, write_model_record
from lungseg.model.samples import InputSpec
from lungseg.session.presets import PRESETS
from lungseg.stages import build_tables, predict, split_patients, train
from lungseg.stages.train import Train, input_spec_of, recipe_of
from tests.model.graphs import eagerly
from tests.model.toy_table import SIZE, toy_scan, toy_table

TINY = Train(
    network="unet", base_width=2, depth=2, epochs=1, batch_size=4, slices_per_epoch=8, workers=1,
    loss="bce_dice", context=1, tensorboard=True,
)  # fmt: skip
SPLIT = {
    "hash": "abc",
    "parts": {"train": ["a", "b"], "validation": ["c"], "test": ["d"]},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for stage in ("build-tables", "split-patients"):
        (folder / stage).mkdir()
    toy_table(folder / "build-tables" / "tables.h5", *(toy_scan(name) for name in "abcd"))
    (folder / "split-patients" / "split.json").write_text(json.dumps(SPLIT))
    return DatasetInputs({}, {p.name: p for p in folder.iterdir()})


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("shelf") / "out"
    out.mkdir()
    # Two steps; graphs are made in the flows' tests.
    with eagerly():
        facts = train.run(TINY, inputs, out)
    return out, facts


def test_it_writes_two_nets_a_record_a_log_and_leaves_nothing_beside(trained):
    out, facts = trained
    assert {p.name for p in out.iterdir()} == {
        "model.keras", "last.keras", "model.json", "log.csv", "tensorboard",
    }  # fmt: skip
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    assert list((out / "tensorboard").rglob("events*"))
    assert facts["epochs"] == facts["best_epoch"] == 1
    assert facts["images_per_second"] > 0
    assert 0 <= facts["waiting_share"] <= 1


def test_the_record_has_the_input_and_the_patients_of_training(trained):
    record = read_model_record(trained[0])
    assert record.split_hash == "abc"
    assert record.table_fingerprint == "toy"
    assert record.train_patients == ["a", "b"]
    assert record.validation_patients == ["c"]
    assert (record.train_scans, record.validation_scans) == (
        ["scan of a", "scan of b"],
        ["scan of c"],
    )
    assert record.scans_then == 4
    assert [record.part_of(patient) for patient in "abcdx"] == [
        "train", "train", "validation", "test", "test",
    ]  # fmt: skip
    assert record.part_of("renamed", "scan of c") == "validation"
    assert record.classes == ["background", "nodules"]
    assert (record.crop_px, record.spacing_mm, record.context) == (SIZE, [1.0, 1.0, 1.0], 1)
    assert record.input_spec.context == 1
    assert record.network["channels"] == 3


def test_the_input_of_training_is_the_input_of_prediction(trained):
    record = dataclasses.replace(
        read_model_record(trained[0]),
        target="lungs", context=2, low=-900.0, high=300.0, inside_lungs=True,
    )  # fmt: skip
    assert record.input_spec == InputSpec(
        target="lungs", context=2, low=-900.0, high=300.0, inside_lungs=True
    )


@pytest.mark.parametrize("name", ["model.keras", "last.keras"])
def test_a_net_that_was_moved_alone_still_says_what_it_is(trained, tmp_path, name):
    moved = shutil.copy(trained[0] / name, tmp_path / "elsewhere.keras")
    assert read_model_record(moved) == read_model_record(trained[0])
    answer = load_net(moved).predict_on_batch(np.zeros((1, SIZE, SIZE, 3), np.float32))
    assert np.isfinite(answer).all()


def test_the_saved_net_answers_as_its_size_asks(trained):
    net = load_net(trained[0] / "model.keras")
    answer = net.predict_on_batch(np.zeros((2, SIZE, SIZE, 3), np.float32))
    assert answer.shape == (2, SIZE, SIZE, 2)
    np.testing.assert_allclose(answer.sum(-1), 1, atol=1e-5)


def test_what_it_resumes_from_depends_on_what_makes_the_net(inputs):
    digest = train._digest(TINY, "rows")
    assert digest == train._digest(dataclasses.replace(TINY, workers=2), "rows")
    assert digest != train._digest(dataclasses.replace(TINY, seed=2), "rows")
    assert digest != train._digest(TINY, "others")


def learnt(folder, *scans, params=TINY, **parts):
    """Identity of what is learnt from these scans, of which `parts` are not as in SPLIT."""
    stages = {name: folder / name for name in ("build-tables", "split-patients")}
    for stage in stages.values():
        stage.mkdir(parents=True, exist_ok=True)
    (stages["build-tables"] / "tables.h5").unlink(missing_ok=True)
    toy_table(stages["build-tables"] / "tables.h5", *scans)
    split = {"hash": "any", "parts": SPLIT["parts"] | parts}
    (stages["split-patients"] / "split.json").write_text(json.dumps(split))
    return train.learnt_from(params.target, stages)


def test_a_net_is_known_by_the_rows_of_those_it_learns_from(tmp_path):
    four = [toy_scan(name) for name in "abcd"]
    before = learnt(tmp_path, *four)
    other = dataclasses.replace(four[0], fingerprint="drawn anew")
    assert learnt(tmp_path, other, *four[1:]) != before
    assert learnt(tmp_path, *four, train=["a"], test=["b", "d"]) != before
    assert learnt(tmp_path, *four, train=["a", "c"], validation=["b"]) != before
    assert learnt(tmp_path, *four[:2], *four[3:]) != before


def test_a_scan_of_a_test_patient_or_one_that_nobody_annotated_comes_and_goes(tmp_path):
    four = [toy_scan(name) for name in "abcd"]
    before = learnt(tmp_path, *four)
    assert learnt(tmp_path, *four[:3]) == before
    test = dataclasses.replace(toy_scan("e"), patient="d")
    assert learnt(tmp_path, *four, test) == before
    unannotated = dataclasses.replace(toy_scan("f"), patient="a", truth="unannotated")
    assert learnt(tmp_path, *four, unannotated) == before
    lungs = dataclasses.replace(TINY, target="lungs")
    assert learnt(tmp_path, *four, unannotated, params=lungs) != learnt(
        tmp_path, *four, params=lungs
    )


def test_a_fault_leaves_the_checkpoints_for_the_next_run(inputs, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()

    def dies(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lungseg.model.training.train", dies)
    with pytest.raises(KeyboardInterrupt):
        train.run(TINY, inputs, out)
    (left,) = [p for p in tmp_path.iterdir() if p != out]
    assert left.name.startswith(".resume-")
    assert Checkpoints(left).history == []


def test_an_empty_window_is_refused():
    with pytest.raises(ConfigError, match=r"hu_low 400 must be below train\.hu_high 400"):
        input_spec_of(Train(hu_low=400.0))


def test_a_crop_larger_than_the_tables_is_refused(inputs):
    tables = Tables(inputs.stages["build-tables"] / "tables.h5")
    with pytest.raises(DataError, match=r"crop_px 64 is larger than the tables' slices of 32"):
        recipe_of(Train(crop_px=64), tables)


def test_nodules_are_not_looked_for_in_pictures(tmp_path):
    tables = Tables(toy_table(tmp_path / "tables.h5", toy_scan("a"), kind="pictures"))
    with pytest.raises(DataError, match=r"set train\.target = lungs"):
        recipe_of(Train(), tables)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_settings_that_exist(name):
    kinds = {
        stage.STAGE.name: stage.STAGE.params
        for stage in (build_tables, split_patients, train, predict)
    }
    chosen = {}
    for key, value in PRESETS[name].items():
        stage, _, setting = key.partition(".")
        chosen.setdefault(stage, {})[setting] = value
    for stage, values in chosen.items():
        params = kinds[stage](**values)
        assert all(getattr(params, setting) == value for setting, value in values.items())


def test_a_record_of_another_format_and_none_at_all_are_refused(trained, tmp_path):
    with pytest.raises(DataError, match="no record of a trained net"):
        read_model_record(tmp_path)
    record = dataclasses.replace(read_model_record(trained[0]), format=99)
    write_model_record(record, tmp_path)
    with pytest.raises(DataError, match="has format 99"):
        read_model_record(tmp_path)
