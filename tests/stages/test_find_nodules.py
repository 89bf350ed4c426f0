"""Find nodules, from probabilities made by hand, on scans in any orientation."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from lungseg.core.errors import ConfigError, ScanError
from lungseg.io.results.candidate_list import read_detections
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.resample import working_grid
from lungseg.ops.scores.calibration import Calibration, kept
from lungseg.stages.find_nodules import STAGE, FindNodules
from lungseg.volume import Geometry, Volume

PERMUTED = (0, 0, 1.0, -1.0, 0, 0, 0, -1.0, 0)
FLIPPED = (-1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0)
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def scan(tmp_path, direction=FLIPPED, peak=0.9, lungs=1):
    """Folders of a scan with balls of 10 and 6 mm diameter; their centres in the world."""
    shape = (24, 70, 80)
    source = Geometry((2.5, 0.8, 0.7), (31.0, -12.0, 250.0), direction)
    size, grid = working_grid(shape, source, 1.0)
    centres = source.to_world([(8.2, 30.4, 25.7), (16.6, 44.1, 60.3)])
    world = grid.to_world(np.moveaxis(np.indices(size), 0, -1))
    p = np.zeros(size)
    for centre, diameter, height in zip(centres, (10, 6), (peak, 0.8 * peak), strict=True):
        p[np.linalg.norm(world - centre, axis=-1) <= diameter / 2] = height
    folders = {}
    for name in STAGE.needs:
        folders[name] = tmp_path / name
        folders[name].mkdir()
        record = {"stage": name, "version": 1, "fingerprint": "0", "scan": "1.2.3", "patient": "P"}
        (folders[name] / "stage.json").write_text(json.dumps(record))
    volume_file.write(Volume(np.zeros(shape, np.int16), source), folders["ingest"] / "ct.h5")
    probability = Volume(np.rint(p * 65535).astype(np.uint16), grid)
    volume_file.write(probability, folders["predict"] / "probability.h5")
    (folders["predict"] / "net.json").write_text(json.dumps({"calibration": {}}))
    volume_file.write(probability.like(np.zeros(size, np.int16)), folders["resample"] / "ct.h5")
    mask = probability.like(np.full(size, lungs, np.uint8))
    volume_file.write(mask, folders["segment-lungs"] / "region.h5")
    out = tmp_path / "out"
    out.mkdir()
    return folders, out, centres


@pytest.mark.parametrize("direction", [FLIPPED, PERMUTED, OBLIQUE])
def test_candidates_lie_where_the_nodules_lie_in_the_world(tmp_path, direction):
    folders, out, centres = scan(tmp_path, direction)
    facts = STAGE.run(FindNodules(), folders, out)
    found = read_detections(out / "candidates.csv")
    assert [d.scan for d in found] == ["1.2.3"] * 2
    for detection, centre, diameter in zip(found, centres, (10, 6), strict=True):
        assert np.linalg.norm(detection.xyz_mm - centre) < 0.3
        assert detection.diameter_mm == pytest.approx(diameter, abs=0.5)
    assert [d.probability for d in found] == pytest.approx([0.9, 0.72], abs=1e-3)
    assert facts["candidates"] == facts["nodules"] == 2
    assert facts["largest_mm"] == pytest.approx(10, abs=0.5)
    assert facts["best_score"] == pytest.approx(0.9, abs=1e-3)
    source = volume_file.read(out / "nodules_source.h5")
    working = volume_file.read(out / "nodules.h5")
    assert source.array.dtype == working.array.dtype == np.uint16
    assert (source.shape, source.geometry) == volume_file.read_geometry(folders["ingest"] / "ct.h5")
    for label, centre in enumerate(centres, 1):
        middle = source.geometry.to_world(np.argwhere(source.array == label).mean(axis=0))
        assert np.linalg.norm(middle - centre) < 0.6
        volume = np.count_nonzero(source.array == label) * source.voxel_ml
        assert volume == pytest.approx(np.count_nonzero(working.array == label) / 1000, rel=0.01)


def test_the_csv_is_in_luna16s_form(tmp_path):
    folders, out, _ = scan(tmp_path)
    STAGE.run(FindNodules(), folders, out)
    with (out / "candidates.csv").open(newline="") as file:
        header, first, _ = csv.reader(file)
    assert header == [
        "seriesuid",
        "coordX",
        "coordY",
        "coordZ",
        "probability",
        "diameter_mm",
        "calibrated",
        "found_probability",
        "reducer_probability",
    ]
    assert first[0] == "1.2.3"
    assert float(first[4]) == pytest.approx(0.9, abs=1e-4)


@pytest.mark.parametrize("method", ["fixed", "kmeans"])
@pytest.mark.parametrize("peak", [0.0, 0.05])
def test_an_empty_map_gives_no_candidates_by_either_threshold(tmp_path, method, peak):
    folders, out, _ = scan(tmp_path, peak=peak)
    facts = STAGE.run(FindNodules(threshold_method=method), folders, out)
    assert facts["candidates"] == 0
    assert facts["largest_mm"] == facts["best_score"] == 0
    assert read_detections(out / "candidates.csv") == []
    assert not volume_file.read(out / "nodules.h5").array.any()
    assert not volume_file.read(out / "nodules_source.h5").array.any()


def test_kmeans_finds_nodules_that_a_timid_net_left_below_one_half(tmp_path):
    folders, out, _ = scan(tmp_path, peak=0.4)
    assert STAGE.run(FindNodules(), folders, out)["nodules"] == 0
    facts = STAGE.run(FindNodules(threshold_method="kmeans"), folders, out)
    assert facts["nodules"] == 2
    assert 0.1 < facts["threshold"] < 0.3


def test_no_lungs_no_candidates(tmp_path):
    folders, out, _ = scan(tmp_path, lungs=0)
    assert STAGE.run(FindNodules(), folders, out)["candidates"] == 0


@pytest.mark.parametrize("name", ["probabilities", "search region"])
def test_grids_that_differ_are_refused(tmp_path, name):
    folders, out, _ = scan(tmp_path)
    file = {"probabilities": "predict/probability.h5", "search region": "segment-lungs/region.h5"}[
        name
    ]
    moved = volume_file.read(tmp_path / file)
    volume_file.write(Volume(moved.array, moved.geometry.moved((1, 0, 0))), tmp_path / file)
    with pytest.raises(ScanError, match=f"the {name} lie on another grid"):
        STAGE.run(FindNodules(), folders, out)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match=r"candidate_threshold 0.6 must not be above threshold"):
        FindNodules(candidate_threshold=0.6)
    with pytest.raises(ConfigError, match="min_diameter_mm 60 must be below max_diameter_mm 60"):
        FindNodules(min_diameter_mm=60.0)


def test_what_the_net_knows_of_scores_stands_beside_them_if_it_is_of_these_settings(tmp_path):
    folders, out, _ = scan(tmp_path)
    curve = Calibration((0.0, 0.9, 1.0), (0.0, 0.5, 1.0))
    entry = kept(curve, "platt", dataclasses.asdict(FindNodules()), {})
    (folders["predict"] / "net.json").write_text(json.dumps({"calibration": entry}))
    STAGE.run(FindNodules(), folders, out)
    found = read_detections(out / "candidates.csv")
    assert [d.calibrated for d in found] == pytest.approx([0.5, 0.4], abs=1e-3)
    STAGE.run(FindNodules(score="max"), folders, out)
    assert [d.calibrated for d in read_detections(out / "candidates.csv")] == [None, None]
