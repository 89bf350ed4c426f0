"""Scores as CSV and JSON: each number in its column, what is unknown as nothing."""

import csv
import json
import math

import numpy as np

from lungseg.io.annotations.nodule_list import Nodule, NoduleList
from lungseg.io.results.candidate_list import Detection
from lungseg.io.results.score_files import Scored, write_rows, write_scores, write_tables
from lungseg.ops.scores.counts import Counts
from lungseg.ops.scores.detection import Froc, ScanHits
from lungseg.ops.scores.segmentation import NoduleOverlap

CURVE = Froc(np.array([np.inf, 0.9, 0.2]), np.array([0.0, 0.5, 3.0]), np.array([0.0, 0.5, 1.0]))


def nodule(label, xyz_mm):
    return Nodule(
        label=label,
        readers=label + 2,
        truth="contours",
        centroid_xyz_mm=xyz_mm,
        diameter_mm=8.0,
        min_diameter_mm=7.0,
        max_diameter_mm=9.0,
        volume_mm3=268.0,
        voxels=268,
        share_in_lungs=1.0,
    )


HITS = ScanHits(np.array([-1, 1]), np.array([np.nan, 0.75]), np.array([0.4]), 3, 2)


def scored(counts):
    nodules = (nodule(1, (1.0, 2.0, 3.0)), nodule(2, (10.0, 20.0, 30.0)))
    return Scored(
        scan="1.2",
        patient="P",
        part="test",
        truth=NoduleList(scan="1.2", truth="contours", nodules=nodules),
        nodules=nodules,
        detections=tuple(
            Detection("1.2", (x, 24.0, 30.0), p, 5.0) for x, p in ((90.0, 0.4), (13.0, 0.75))
        ),
        hits=HITS,
        hits_before=HITS,
        counts=counts,
        overlaps=(NoduleOverlap(1, 0.0, 0.125), NoduleOverlap(2, 0.5, 0.25)),
        voxel_ml=0.5,
    )


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_scan_is_a_row_with_each_number_in_its_column(tmp_path):
    counts = Counts(true_positive=2, false_positive=5, false_negative=1, true_negative=9)
    write_tables([scored(counts)], CURVE, tmp_path)
    (row,) = rows(tmp_path / "per_scan.csv")
    assert row == {
        "seriesuid": "1.2",
        "patient": "P",
        "part": "test",
        "truth": "contours",
        "nodules": "2",
        "candidates": "2",
        "hits": "1",
        "false_positives": "1",
        "ignored": "2",
        "duplicates": "3",
        "target_ml": "1.5",
        "marked_ml": "3.5",
        "dice": "0.4",
    }


def test_a_scan_without_target_has_no_dice(tmp_path):
    write_tables([scored(Counts(false_positive=5, true_negative=9))], CURVE, tmp_path)
    (row,) = rows(tmp_path / "per_scan.csv")
    assert (row["dice"], row["target_ml"], row["marked_ml"]) == ("", "0.0", "2.5")


def test_a_nodule_is_a_row_and_one_that_was_missed_has_no_hit(tmp_path):
    write_tables([scored(Counts(1, 1, 1, 1))], CURVE, tmp_path)
    missed, hit = rows(tmp_path / "per_nodule.csv")
    names = ("label", "coordX", "coordY", "coordZ", "diameter_mm", "readers", "radius_mm")
    assert [missed[name] for name in names] == ["1", "1.0", "2.0", "3.0", "8.0", "3", "4.0"]
    names = ("hit", "probability", "distance_mm", "dice", "sensitivity")
    assert [missed[name] for name in names] == ["False", "", "", "0.0", "0.125"]
    assert [hit[name] for name in names] == ["True", "0.75", "5.0", "0.5", "0.25"]


def test_the_curve_is_written_point_by_point(tmp_path):
    write_tables([], CURVE, tmp_path)
    assert (tmp_path / "froc.csv").read_text().splitlines() == [
        "threshold,fp_per_scan,sensitivity",
        ",0.0,0.0",
        "0.9,0.5,0.5",
        "0.2,3.0,1.0",
    ]


def test_numbers_have_six_digits_and_nan_is_null(tmp_path):
    document = {"a": math.nan, 2: (np.float64(1 / 3), np.int64(4)), "c": {"d": [None, True, "x"]}}
    write_scores(document, tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text()) == {
        "a": None,
        "2": [0.333333, 4],
        "c": {"d": [None, True, "x"]},
    }
    write_rows(("a", "b"), [(math.inf, 1 / 3), (None, "x")], tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == "a,b\n,0.333333\n,x\n"
