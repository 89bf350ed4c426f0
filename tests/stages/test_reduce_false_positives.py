"""Reduce false positives: candidates in new order, their masks with them."""

import dataclasses
import json

import numpy as np
import pytest

from lungseg.core.record import Record, write_record
from lungseg.io.results.candidate_list import read_detections
from lungseg.io.volumes import volume_file
from lungseg.model.reducer.member import attach
from lungseg.ops.scores.calibration import Calibration, kept
from lungseg.stages.find_nodules import STAGE as FIND
from lungseg.stages.find_nodules import FindNodules
from lungseg.stages.reduce_false_positives import STAGE, ReduceFalsePositives, relabelled
from lungseg.volume import Geometry, Volume
from tests.commands.bright_net import write_bright_net
from tests.model.reducer.hand_made import TOLD, by_hand, scene

GRID = Geometry((1.0, 1.0, 1.0), (10.0, 20.0, -300.0), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
THICK = Geometry((2.0, 1.0, 1.0), GRID.origin_xyz_mm, GRID.direction_xyz)
BALL, TUBE = GRID.to_world((20, 20, 20)), GRID.to_world((20, 40, 40))


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return write_bright_net(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Folders of a scan with a ball and, likelier to the net, a part of a tube."""
    root = tmp_path_factory.mktemp("scan")
    folders = {name: root / name for name in (*FIND.needs, "find-nodules")}
    for name, folder in folders.items():
        folder.mkdir()
        record = Record(stage=name, version=1, fingerprint="0", scan="1.2.3", patient="P")
        write_record(record, folder / "stage.json")
    hu, likely = scene()
    ct = Volume(hu, GRID)
    volume_file.write(ct, folders["resample"] / "ct.h5")
    volume_file.write(Volume(hu[::2], THICK), folders["ingest"] / "ct.h5")
    p = ct.like(np.rint(likely * 65535).astype(np.uint16))
    volume_file.write(p, folders["predict"] / "probability.h5")
    (folders["predict"] / "net.json").write_text(json.dumps({"calibration": {}}))
    volume_file.write(ct.like(np.ones(hu.shape, np.uint8)), folders["segment-lungs"] / "region.h5")
    facts = FIND.run(FindNodules(), folders, folders["find-nodules"])
    record = Record(
        stage="find-nodules", version=1, fingerprint="0", scan="1.2.3", patient="P", facts=facts,
        params={"score": "top"},
    )  # fmt: skip
    write_record(record, folders["find-nodules"] / "stage.json")
    return folders


def with_reducer(net, folder, record=TOLD):
    file = folder / "with.keras"
    attach(net, by_hand(), record, (), (), file)
    return file


def run(scan, net, tmp_path, **params):
    out = tmp_path / "out"
    out.mkdir()
    facts = STAGE.run(ReduceFalsePositives(model=str(net), **params), scan, out)
    return facts, read_detections(out / "candidates.csv"), out


def same_files(scan, out):
    for name in ("candidates.csv",):
        assert (out / name).read_bytes() == (scan["find-nodules"] / name).read_bytes()
    for name in ("nodules.h5", "nodules_source.h5"):
        one, other = (volume_file.read(folder / name) for folder in (out, scan["find-nodules"]))
        assert one.geometry == other.geometry
        np.testing.assert_array_equal(one.array, other.array)


def test_what_comes_and_goes_is_listed_before_what_wanders_on(scan, net, tmp_path):
    before = read_detections(scan["find-nodules"] / "candidates.csv")
    assert [round(d.probability, 2) for d in before] == [0.95, 0.8]
    assert np.linalg.norm(before[0].xyz_mm - TUBE) < 0.5
    facts, after, _ = run(scan, with_reducer(net, tmp_path), tmp_path)
    assert np.linalg.norm(after[0].xyz_mm - BALL) < 0.5
    assert np.linalg.norm(after[1].xyz_mm - TUBE) < 0.5
    assert [d.found_probability for d in after] == [before[1].probability, before[0].probability]
    for d in after:
        odds = [np.log(p / (1 - p)) for p in (d.found_probability, d.reducer_probability)]
        assert d.probability == pytest.approx(1 / (1 + np.exp(-np.mean(odds))), abs=1e-5)
    assert after[0].reducer_probability > 0.9
    assert after[1].reducer_probability < 0.2
    assert (facts["reduced"], facts["moved"], facts["candidates"], facts["nodules"]) == (
        True, 2, 2, 2,
    )  # fmt: skip
    assert facts["best_score"] == after[0].probability


@pytest.mark.parametrize("name", ["nodules.h5", "nodules_source.h5"])
def test_a_candidates_mask_has_its_new_number_on_both_grids(scan, net, tmp_path, name):
    _, after, out = run(scan, with_reducer(net, tmp_path), tmp_path)
    labels = volume_file.read(out / name)
    earlier = volume_file.read(scan["find-nodules"] / name)
    np.testing.assert_array_equal(labels.array == 1, earlier.array == 2)
    np.testing.assert_array_equal(labels.array == 2, earlier.array == 1)
    for k, one in enumerate(after, 1):
        middle = labels.geometry.to_world(np.argwhere(labels.array == k).mean(axis=0))
        assert np.linalg.norm(middle - np.asarray(one.xyz_mm)) < 0.7


def test_without_a_reducer_or_if_it_is_left_out_all_is_passed_on(scan, net, tmp_path):
    facts, _, out = run(scan, net, tmp_path)
    assert (facts["reduced"], facts["moved"]) == (False, 0)
    same_files(scan, out)
    other = tmp_path / "other"
    other.mkdir()
    facts, _, out = run(scan, with_reducer(net, tmp_path), other, use="no")
    assert facts["reduced"] is False
    same_files(scan, out)


def test_probabilities_are_calibrated_by_a_curve_of_reduced_candidates_alone(scan, net, tmp_path):
    line = Calibration((0.0, 1.0), (0.0, 0.5))
    for n, settings in enumerate(({"score": "top"}, {"score": "top", "reduced": True})):
        folder = tmp_path / str(n)
        folder.mkdir()
        curve = kept(line, "platt", settings, {})
        file = with_reducer(net, folder, dataclasses.replace(TOLD, calibration=curve))
        _, after, _ = run(scan, file, folder)
        for one in after:
            expected = None if n == 0 else pytest.approx(one.probability / 2, abs=1e-5)
            assert one.calibrated == expected


def test_a_scan_without_candidates_has_none_after(scan, net, tmp_path):
    folders = {**scan, "find-nodules": tmp_path / "none"}
    folders["find-nodules"].mkdir()
    record = Record(
        stage="find-nodules", version=1, fingerprint="0", scan="1.2.3", patient="P",
        facts={"nodules": 0, "threshold": 0.5},
    )  # fmt: skip
    write_record(record, folders["find-nodules"] / "stage.json")
    header = (scan["find-nodules"] / "candidates.csv").read_text().splitlines()[0]
    (folders["find-nodules"] / "candidates.csv").write_text(header + "\n")
    for name in ("nodules.h5", "nodules_source.h5"):
        empty = volume_file.read(scan["find-nodules"] / name)
        volume_file.write(empty.like(np.zeros_like(empty.array)), folders["find-nodules"] / name)
    facts, after, _ = run(folders, with_reducer(net, tmp_path), tmp_path)
    assert after == []
    assert (facts["candidates"], facts["best_score"]) == (0, 0.0)


@pytest.mark.parametrize("order", ["C", "F"])
def test_masks_get_their_new_labels_in_whatever_order_the_array_is_kept(order):
    labels = np.zeros((2, 3, 4), np.uint8, order=order)
    labels[0, 1, 2], labels[1, 2, 3] = 1, 2
    new = relabelled(Volume(labels, GRID), np.array([1, 0])).array
    assert (new[0, 1, 2], new[1, 2, 3], np.count_nonzero(new)) == (2, 1, 2)
