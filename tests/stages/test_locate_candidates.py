"""Locate candidates: the list as it was, with where each lies and what it touches."""

import csv

import numpy as np
import pytest

from lungseg.io.results.candidate_list import (
    PLACE_COLUMNS,
    Detection,
    read_detections,
    write_detections,
)
from lungseg.io.volumes import volume_file
from lungseg.ops.surroundings.measure import Surroundings
from lungseg.stages.locate_candidates import STAGE, LocateCandidates
from lungseg.volume import Geometry, Volume

GRID = Geometry((1.0, 1.0, 1.0), (5.0, 6.0, -300.0))
THICK = Geometry((3.0, 1.0, 1.0), GRID.origin_xyz_mm)


def at(*index):
    return tuple(float(mm) for mm in GRID.to_world(index))


@pytest.fixture
def scan(tmp_path):
    """Two lungs; a nodule on a vessel, one at a rib, and a faint one at the lower end."""
    hu = np.full((60, 50, 120), 0, np.int16)
    lungs = np.zeros(hu.shape, np.uint8)
    lungs[:, 5:45, 8:52], lungs[:, 5:45, 68:112] = 1, 2
    hu[lungs > 0] = -850
    labels = np.zeros(hu.shape, np.uint16)
    labels[28:34, 22:28, 27:33] = 1
    labels[44:50, 20:26, 106:112] = 2
    hu[labels > 0] = 30
    hu[30:32, 24:26, 10:50] = 30
    hu[40:54, 15:32, 113:118] = 600
    folders = {name: tmp_path / name for name in STAGE.needs}
    for folder in folders.values():
        folder.mkdir()
    volume_file.write(Volume(hu[::3], THICK), folders["ingest"] / "ct.h5")
    volume_file.write(Volume(hu, GRID), folders["resample"] / "ct.h5")
    volume_file.write(Volume(lungs, GRID), folders["segment-lungs"] / "lungs.h5")
    found = folders["reduce-false-positives"]
    volume_file.write(Volume(labels, GRID), found / "nodules.h5")
    candidates = [
        Detection("1.2", at(30.5, 24.5, 29.5), 0.9, 7.4, 0.5, 0.8, 0.95),
        Detection("1.2", at(46.5, 22.5, 108.5), 0.8, 7.4),
        Detection("1.2", at(4.0, 20.0, 90.0), 0.2, 5.0),
    ]
    write_detections(candidates, found / "candidates.csv")
    return folders, candidates


def test_every_candidate_has_its_place_and_what_it_touches(scan, tmp_path):
    folders, candidates = scan
    out = tmp_path / "out"
    out.mkdir()
    facts = STAGE.run(LocateCandidates(), folders, out)
    located = read_detections(out / "candidates.csv")
    assert [one.around for one in located] == [
        Surroundings("right", "middle", 17.0, 2, touches_rib=False, at_scan_end=False),
        Surroundings("left", "upper", 0.0, 0, touches_rib=True, at_scan_end=False),
        Surroundings("left", "lower", 13.0, 0, touches_rib=False, at_scan_end=True),
    ]
    for one, before in zip(located, candidates, strict=True):
        assert (one.xyz_mm, one.probability) == (before.xyz_mm, before.probability)
        assert one.reducer_probability == before.reducer_probability
    assert facts == {"candidates": 3, "with_vessels": 1, "touching_ribs": 1, "at_scan_end": 1}
    with (out / "candidates.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert [first[name] for name in PLACE_COLUMNS] == [
        "right", "middle", "17.0", "2", "false", "false",
    ]  # fmt: skip


def test_a_scan_without_candidates_has_an_empty_list(scan, tmp_path):
    folders, _ = scan
    write_detections([], folders["reduce-false-positives"] / "candidates.csv")
    facts = STAGE.run(LocateCandidates(), folders, tmp_path)
    assert read_detections(tmp_path / "candidates.csv") == []
    assert facts["candidates"] == 0
