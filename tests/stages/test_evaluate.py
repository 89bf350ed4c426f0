"""Evaluate, on a small set whose every score is known by hand."""

import csv
import json

import numpy as np
import pytest

from lungseg.core.errors import DataError, ScanError
from lungseg.core.record import Record, write_record
from lungseg.core.stage import DatasetInputs
from lungseg.io.annotations.nodule_list import IgnoredPoint, Nodule, NoduleList, write_nodules
from lungseg.io.results.candidate_list import (
    Detection,
    read_detections,
    write_candidates,
    write_detections,
)
from lungseg.io.volumes import volume_file
from lungseg.ops.nodules.bodies.candidates import Candidate
from lungseg.stages.evaluate import STAGE, Evaluate
from lungseg.volume import Geometry, Volume
from tests.io.pictures.picture_files import read_rgb

SHAPE = (12, 40, 40)
GRID = Geometry((1.0, 1.0, 1.0), (-20.0, 5.0, 100.0), (-1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def world(index):
    return tuple(float(v) for v in GRID.to_world(index))


def found(index, probability, diameter_mm=6.0, voxels=0):
    return Candidate(
        xyz_mm=world(index), probability=probability, diameter_mm=diameter_mm, voxels=voxels
    )


class Set:
    """A data set in a folder: stages' outputs as evaluate gets them."""

    def __init__(self, folder, train=("P0",), validation=()):
        self.folder = folder
        self.scans = {}
        self.part_of = dict.fromkeys(train, "train") | dict.fromkeys(validation, "validation")

    def stage(self, name, scan="", patient="", **facts):
        folder = self.folder / name / scan
        folder.mkdir(parents=True, exist_ok=True)
        if name == "predict":
            facts["part"] = self.part_of.get(patient, "test")
        record = Record(stage=name, version=1, fingerprint=f"of-{name}", scan=scan, patient=patient,
                        facts=facts)  # fmt: skip
        write_record(record, folder / "stage.json")
        return folder

    def add(self, patient, *, nodules=(), candidates=(), points=(), truth="contours", marks=()):
        """One scan: nodules are (centre, half edge, readers), marks boxes."""
        scan = f"scan-{patient}"
        votes, labels = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint16)
        listed = []
        for k, (centre, half, readers) in enumerate(nodules, 1):
            box = tuple(slice(c - half, c + half + 1) for c in centre)
            votes[box], labels[box] = readers, k
            size = (2 * half + 1) ** 3
            listed.append(
                Nodule(
                    label=k,
                    readers=readers,
                    truth="contours",
                    centroid_xyz_mm=world(centre),
                    diameter_mm=float(np.cbrt(6 / np.pi * size)),
                    min_diameter_mm=1.0,
                    max_diameter_mm=1.0,
                    volume_mm3=float(size),
                    voxels=size,
                    share_in_lungs=1.0,
                )
            )
        mask = np.zeros(SHAPE, np.uint16)
        for k, box in enumerate(marks, 1):
            mask[box] = k
        drawn = self.stage("annotate-nodules", scan, patient)
        volume_file.write(Volume(votes, GRID), drawn / "votes.h5")
        volume_file.write(Volume(labels, GRID), drawn / "nodules.h5")
        known = NoduleList(scan=scan, truth=truth, nodules=tuple(listed), points=tuple(points))
        write_nodules(known, drawn / "nodules.json")
        seen = self.stage("reduce-false-positives", scan, patient, reduced=False)
        volume_file.write(Volume(mask, GRID), seen / "nodules.h5")
        write_candidates(scan, candidates, seen / "candidates.csv")
        predicted = self.stage("predict", scan, patient)
        (predicted / "net.json").write_text(json.dumps({"sha256": "0a1b", "split_hash": "abc"}))
        self.scans[scan] = {
            "annotate-nodules": drawn, "reduce-false-positives": seen, "predict": predicted,
            "find-nodules": self.stage("find-nodules", scan, patient),
        }  # fmt: skip
        return scan

    def run(self, **params):
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        inputs = DatasetInputs(scans=self.scans, stages={})
        facts = STAGE.run(Evaluate(**{"bootstraps": 50} | params), inputs, out)
        return facts, json.loads((out / "scores.json").read_text()), out


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def three(tmp_path):
    """Three scans, four nodules of which three count; two are hit, one false positive is left."""
    data = Set(tmp_path)
    data.add(
        "P1",
        nodules=[((5, 20, 10), 2, 4), ((5, 20, 30), 1, 3)],
        candidates=[
            found((5, 20, 11), 0.9),  # hit
            found((5, 21, 10), 0.7),  # double
            found((5, 2, 2), 0.8),  # false positive
        ],
        marks=[(slice(3, 8), slice(18, 23), slice(8, 11))],  # 75 of the first nodule's 125
    )
    data.add(
        "P2",
        nodules=[((5, 10, 10), 2, 3), ((6, 30, 30), 2, 1)],
        candidates=[
            found((5, 10, 10), 0.6),  # hit
            found((6, 30, 29), 0.95),  # on a nodule of one reader: ignored
            found((8, 35, 5), 0.5),  # on a non-nodule: ignored
        ],
        points=[IgnoredPoint(kind="non-nodule", xyz_mm=world((8, 35, 8)))],
    )
    data.add("P3", truth="none")
    return data


def test_detection_scores_by_hand(three):
    facts, scores, _ = three.run()
    detection = scores["detection"]
    assert (scores["scans"], scores["nodules"], scores["candidates"]) == (3, 3, 6)
    assert (detection["hits"], detection["missed"], detection["false_positives"]) == (2, 1, 1)
    assert (detection["ignored"], detection["duplicates"]) == (2, 1)
    assert detection["sensitivity"] == pytest.approx(2 / 3, abs=1e-6)
    assert detection["false_positives_per_scan"] == pytest.approx(1 / 3, abs=1e-6)
    # One hit before the false positive, the other after it, at 1/3 per scan.
    at = detection["sensitivity_at"]
    assert list(at) == ["0.125", "0.25", "0.5", "1", "2", "4", "8"]
    assert list(at.values()) == pytest.approx([1 / 3, 1 / 3, *[2 / 3] * 5], abs=1e-6)
    assert detection["cpm"] == pytest.approx(4 / 7, abs=1e-6)
    low, high = detection["cpm_interval"]
    assert low <= detection["cpm"] <= high
    assert facts["cpm"] == pytest.approx(4 / 7, abs=1e-4)


def test_segmentation_scores_by_hand(three):
    _, scores, _ = three.run()
    segmentation = scores["segmentation"]
    target = 125 + 27 + 125
    assert segmentation["voxels"] == {
        "true_positive": 75, "false_positive": 0, "false_negative": target - 75,
    }  # fmt: skip
    assert segmentation["pooled"]["dice"] == pytest.approx(150 / (75 + target), abs=1e-6)
    one = 2 * 75 / (75 + 125 + 27)
    assert segmentation["mean_per_scan"]["dice"] == pytest.approx((one + 0) / 2, abs=1e-6)
    assert segmentation["mean_per_scan"]["scans"] == 2
    assert segmentation["mean_per_nodule"]["dice"] == pytest.approx(0.75 / 3, abs=1e-6)
    assert segmentation["mean_per_found_nodule"] == {
        "dice": 0.75, "sensitivity": 0.6, "nodules": 1,
    }  # fmt: skip
    slices = segmentation["per_slice"]
    assert (slices["slices"], slices["empty"]) == (36, 26)
    assert slices["empty_clean"] == 1.0


def test_scores_name_their_patients_model_and_definitions(three):
    _, scores, _ = three.run()
    assert scores["model"] == {"sha256": "0a1b", "split_hash": "abc"}
    assert scores["includes_training_patients"] is False
    assert scores["truth"] == {"contours": 2, "none": 1}
    for score in ("hit", "cpm", "pooled", "per_slice", "mean_per_nodule", "interval"):
        assert scores["definitions"][score]


def test_tables_have_one_line_per_scan_and_nodule(three):
    _, _, out = three.run()
    scans = rows(out / "per_scan.csv")
    assert [r["seriesuid"] for r in scans] == ["scan-P1", "scan-P2", "scan-P3"]
    assert [r["false_positives"] for r in scans] == ["1", "0", "0"]
    assert scans[2]["dice"] == ""
    nodules = rows(out / "per_nodule.csv")
    assert [(r["seriesuid"], r["label"], r["hit"]) for r in nodules] == [
        ("scan-P1", "1", "True"), ("scan-P1", "2", "False"), ("scan-P2", "1", "True"),
    ]  # fmt: skip
    assert [r["probability"] for r in nodules] == ["0.9", "", "0.6"]
    assert nodules[0]["distance_mm"] == "1.0"
    assert len(read_detections(out / "candidates.csv")) == 6
    assert [r["threshold"] for r in rows(out / "froc.csv")] == ["", "0.9", "0.8", "0.6"]
    assert read_rgb(out / "froc.png").std() > 5


def test_a_second_run_writes_the_same_files(three):
    _, first, out = three.run()
    png = (out / "froc.png").read_bytes()
    _, second, _ = three.run()
    assert first == second
    assert png == (out / "froc.png").read_bytes()
    assert three.run(seed=2)[1]["detection"]["cpm"] == first["detection"]["cpm"]


def test_fewer_readers_wanted_makes_more_nodules(three):
    _, scores, _ = three.run(min_readers=1)
    assert (scores["nodules"], scores["detection"]["hits"]) == (4, 3)


def test_training_patients_are_refused_unless_allowed_and_then_reported(three):
    three.add("P0", nodules=[((5, 10, 10), 2, 3)])
    assert three.run()[1]["left_out"] == {"of part train": 1}
    for part in ("all", "train"):
        with pytest.raises(DataError, match=r"1 of the \d scans to score .* net was trained on"):
            three.run(part=part)
    _, scores, _ = three.run(part="all", allow_training=True)
    assert scores["includes_training_patients"] is True
    assert (scores["scans"], scores["nodules"]) == (4, 4)


def test_unannotated_scans_are_counted_and_not_scored(three):
    three.add("P3b", truth="unannotated", candidates=[found((5, 5, 5), 0.99)])
    _, scores, _ = three.run(part="all")
    assert scores["left_out"] == {"unannotated": 1}
    assert scores["detection"]["false_positives"] == 1


def test_without_nodules_scores_are_null_with_a_reason(tmp_path):
    data = Set(tmp_path)
    data.add("P1", truth="none", candidates=[found((5, 5, 5), 0.9)])
    facts, scores, out = data.run()
    assert "no scored scan has a nodule" in scores["detection"]["reason"]
    assert scores["detection"]["cpm"] is None
    assert scores["detection"]["cpm_interval"] is None
    assert scores["detection"]["false_positives_per_scan"] == 1.0
    assert scores["segmentation"]["pooled"] is None
    assert facts["cpm"] is None
    assert (out / "froc.png").exists()


def test_without_candidates_sensitivity_is_0(tmp_path):
    data = Set(tmp_path)
    data.add("P1", nodules=[((5, 10, 10), 2, 3)])
    _, scores, _ = data.run()
    assert scores["detection"]["cpm"] == 0.0
    assert scores["detection"]["sensitivity"] == 0.0
    assert scores["segmentation"]["pooled"]["dice"] == 0.0
    assert scores["segmentation"]["pooled"]["precision"] is None


def test_without_scans_the_reason_names_what_there_is(tmp_path, caplog):
    data = Set(tmp_path)
    data.add("P0", nodules=[((5, 10, 10), 2, 3)])
    facts, scores, out = data.run()
    assert scores["detection"]["reason"].startswith(
        "no annotated scan with predictions is in part test (others: 1 of part train)"
    )
    assert facts["scans"] == 0
    assert facts["left_out_of_part_train"] == 1
    assert "no scores: no annotated scan with predictions is in part test (others: 1" in caplog.text
    assert rows(out / "per_nodule.csv") == []


def test_masks_on_another_grid_are_refused(three):
    path = three.scans["scan-P2"]["reduce-false-positives"] / "nodules.h5"
    volume_file.write(Volume(np.zeros(SHAPE, np.uint16), GRID.moved((1, 0, 0))), path)
    with pytest.raises(ScanError, match="scan-P2: the candidates' masks have the grid"):
        three.run()


def test_calibration_counts_hits_and_false_positives_alone(three):
    _, scores, out = three.run()
    # Hits at 0.9 and 0.6, a false positive at 0.8; the other three count nowhere.
    told = scores["calibration"]["score"]
    assert told["predicted"] == [0.6, 0.8, 0.9]
    assert told["observed"] == [1.0, 0.0, 1.0]
    assert told["candidates"] == [1, 1, 1]
    assert told["ece"] == pytest.approx((0.4 + 0.8 + 0.1) / 3)
    assert scores["calibration"]["calibrated"] is None
    assert scores["calibration"]["fitted"] is None
    assert scores["definitions"]["calibration"]
    assert read_rgb(out / "reliability.png").std() > 5


def test_candidates_are_calibrated_by_the_curve_that_the_net_keeps(three):
    curve = {"score": [0.0, 1.0], "probability": [0.0, 0.5], "settings": {}}
    for folders in three.scans.values():
        told = {"sha256": "0a1b", "calibration": curve}
        (folders["predict"] / "net.json").write_text(json.dumps(told))
    _, scores, _ = three.run()
    assert scores["calibration"]["calibrated"]["predicted"] == [0.3, 0.425]


def test_all_precisions_are_told_in_which_scans_were_predicted(three):
    for folders, precision in zip(
        three.scans.values(), ("float32", "bfloat16", "float32"), strict=True
    ):
        told = {"sha256": "0a1b", "precision": precision}
        (folders["predict"] / "net.json").write_text(json.dumps(told))
    _, scores, _ = three.run()
    assert scores["model"] == {"sha256": "0a1b", "precision": "bfloat16 and float32"}


def test_a_curve_is_fitted_for_the_net_where_there_are_candidates_enough(tmp_path):
    data = Set(tmp_path)
    for k in range(6):
        data.add(
            f"P{k + 1}",
            nodules=[((5, 20, 10), 2, 4)],
            candidates=[found((5, 20, 10), 0.5 + 0.05 * k), found((5, 2, 2), 0.2 + 0.1 * k)],
        )
    _, scores, _ = data.run(calibration="isotonic")
    fitted = scores["calibration"]["fitted"]
    assert (fitted["method"], fitted["candidates"], fitted["hits"]) == ("isotonic", 12, 6)
    assert (fitted["parts"], fitted["scans"], fitted["net_sha256"]) == (["test"], 6, "0a1b")
    assert fitted["probability"] == sorted(fitted["probability"])


def test_nothing_scored_has_no_calibration(tmp_path):
    data = Set(tmp_path)
    data.add("P1", truth="unannotated")
    _, scores, out = data.run()
    assert scores["calibration"] is None
    assert (out / "reliability.png").exists()


def test_the_curve_before_the_reducer_stands_beside_the_one_after(tmp_path):
    data = Set(tmp_path)
    places = [(5, 20, 11), (5, 2, 2)]
    scan = data.add("P1", nodules=[((5, 20, 10), 2, 4)], candidates=[found(p, 0.5) for p in places])
    _, scores, _ = data.run()
    assert "before_reducer" not in scores["detection"]
    rows = [
        Detection(scan, world(place), after, 5.0, None, before, 0.5)
        for place, before, after in zip(places, (0.6, 0.9), (0.8, 0.3), strict=True)
    ]
    write_detections(rows, data.scans[scan]["reduce-false-positives"] / "candidates.csv")
    data.stage("reduce-false-positives", scan, "P1", reduced=True)
    _, scores, out = data.run()
    after, before = scores["detection"], scores["detection"]["before_reducer"]
    # Before, the false positive was the likelier: the nodule was found at one a scan.
    assert (after["cpm"], after["hits"]) == (1.0, 1)
    assert before["sensitivity_at"] == {
        **dict.fromkeys(("0.125", "0.25", "0.5"), 0.0), **dict.fromkeys("1248", 1.0),
    }  # fmt: skip
    assert (out / "froc.png").stat().st_size > 10_000
