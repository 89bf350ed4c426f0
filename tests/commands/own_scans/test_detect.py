"""`detect`: scans of any form to masks, lists, tables and pictures of nodules."""

import csv
import json
import shutil

import highdicom
import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.commands.own_scans import detect as command
from lungseg.commands.own_scans.detect import COLUMNS, _found
from lungseg.core import worker
from lungseg.io.volumes.formats import read_volume, write_volume
from lungseg.model import nets
from lungseg.phantom.small_chest import chest
from tests.commands.bright_net import write_bright_net
from tests.commands.own_scans.test_lungs import array_of, read_image
from tests.io.pictures.picture_files import read_rgb
from tests.io.standards.dicom_objects import points_in, points_of
from tests.test_flow import write_scan

STEP = (5.0, 3.0, 3.0)
PICTURED = ["--set", "write-detections.close_ups=8"]
SHORT = (-70.0, 80.0)  # z in mm of the part of a chest that is scanned
COARSER = ["--set", "resample.spacing_mm=5", "--jobs", "1"]
# What the lung nets add is for others to test.
RULES = ["--set", "segment-lungs.second_opinion=never"]
# The nodule of the oblique scan is the 25th of what is bright; close ranks differ by processor.
FEW = ["--max-candidates", "40", "--jobs", "1", "--quiet", *RULES]


def detect(*arguments, status=0):
    done = CliRunner().invoke(main, ["detect", *map(str, arguments), *FEW])
    assert done.exit_code == status, f"{done.output}\n{done.exception!r}"
    return done


def read_table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return write_bright_net(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A scan in each of three orientations, one that the net has seen, and one that is broken."""
    src = tmp_path_factory.mktemp("scans")
    phantoms = {
        "ras": chest(STEP, flip="xy", nodules=("isolated",), seed=1, z_range_mm=SHORT),
        "oblique": chest(STEP, tilt_deg=9.0, nodules=("isolated",), seed=2, z_range_mm=SHORT),
        "1.2.826.41": write_scan(src / "dicom", "new", "1.2.826.41")[0],
    }
    write_volume(phantoms["ras"].ct, src / "ras.nii.gz")
    write_volume(phantoms["oblique"].ct, src / "oblique.mha")
    _, short = write_scan(src / "short", "short", "1.2.826.32")
    for path in short[2:]:
        path.unlink()
    return src, phantoms


@pytest.fixture(scope="module")
def done(mixed, net, tmp_path_factory):
    out = tmp_path_factory.mktemp("found")
    words = ["--model", net, "--json", "--dicom", "--report", *PICTURED]
    told = detect(mixed[0], "--out", out, *words, status=1)
    return out, json.loads(told.stdout)


def test_a_dicom_scan_has_segmentation_and_report_and_every_scan_has_markups(done):
    out, _ = done
    rows = {row["scan"]: row for row in read_table(out / "scans.csv") if row["state"] == "done"}
    assert [bool(rows[scan]["report"]) for scan in ("ras", "oblique")] == [False, False]
    candidates = read_table(out / "candidates.csv")
    for scan, row in rows.items():
        (listed,) = json.loads((out / row["markups"]).read_text(encoding="utf-8"))["markups"]
        mine = [c for c in candidates if c["seriesuid"] == scan]
        places = [[float(c[f"coord{axis}"]) for axis in "XYZ"] for c in mine]
        assert [point["position"] for point in listed["controlPoints"]] == places
    row = rows["1.2.826.41"]
    report = highdicom.sr.srread(out / row["report"]).content
    points = [g.roi.value[0] for g in report.get_planar_roi_measurement_groups()]
    mine = [c for c in candidates if c["seriesuid"] == "1.2.826.41"]
    np.testing.assert_allclose(
        points, [[float(c[f"coord{axis}"]) for axis in "XYZ"] for c in mine], atol=1e-4
    )
    labels = read_volume(out / row["mask"])
    assert int(row["with_mask"]) == len(np.unique(labels.array)) - 1
    for group in report.get_volumetric_roi_measurement_groups():
        (number,) = group.referenced_segment.referenced_segment_numbers
        rank = int(group.tracking_identifier.removeprefix("Candidate "))
        got = points_of(out / row["segmentation"], int(number))
        np.testing.assert_allclose(got, points_in(labels, rank), atol=2e-3)


def test_the_table_says_where_each_candidate_lies_and_what_it_touches(done, mixed):
    out, _ = done
    rows = read_table(out / "candidates.csv")
    assert all(row["touches_rib"] in {"true", "false"} for row in rows)
    assert all(row["vessels"].isdigit() for row in rows)
    for scan in ("ras", "oblique"):
        phantom = mixed[1][scan]
        centre = phantom.nodule.geometry.to_world(np.argwhere(phantom.nodule.array).mean(axis=0))
        hit = next(r for r in rows if r["seriesuid"] == scan and away_mm(r, centre) < 5)
        # In DICOM's axes the patient's right has the lower x, and the phantom stands in the middle.
        assert hit["side"] == ("right" if centre[0] < 0 else "left")
        assert hit["third"] in {"upper", "middle", "lower"}
        listed = json.loads((out / f"{name_of(out, scan)}.json").read_text(encoding="utf-8"))
        (same,) = [c for c in listed["candidates"] if c["rank"] == int(hit["rank"])]
        assert (same["side"], str(same["touches_rib"]).lower()) == (hit["side"], hit["touches_rib"])


def away_mm(row, place):
    return np.linalg.norm([float(row[f"coord{axis}"]) for axis in "XYZ"] - place)


def name_of(out, scan):
    (row,) = [row for row in read_table(out / "scans.csv") if row["scan"] == scan]
    return row["list"].removesuffix(".json")


def pages_of(report):
    return {path.parent.name: path.read_text() for path in report.glob("scans/*/index.html")}


def test_the_report_has_a_page_a_scan_and_is_made_again_from_the_folder(done, tmp_path):
    out, told = done
    pages = pages_of(out / "report")
    assert len(pages) == len([one for one in told["scans"] if one["state"] != "skipped"])
    page = pages["ras"]
    assert '"where": "right' in page or '"where": "left' in page
    assert '"vessels", "' in page
    assert "strands that" not in page
    assert "too-few-slices" in (out / "report" / "index.html").read_text()
    words = ["report", "--work", out, "--out", tmp_path / "again", "--quiet", "--json"]
    again = CliRunner().invoke(main, [str(word) for word in words])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["pages_made"] == len(pages)
    assert pages_of(tmp_path / "again") == pages


def test_the_nodule_is_found_where_it_is_in_the_world_and_in_the_sources_array(done, mixed):
    out, _ = done
    rows = read_table(out / "candidates.csv")
    assert list(rows[0]) == list(COLUMNS)
    assert list(rows[0])[:5] == ["seriesuid", "coordX", "coordY", "coordZ", "probability"]
    for scan, ending in (("ras", "nii.gz"), ("oblique", "mha")):
        source = read_image(mixed[0] / f"{scan}.{ending}")
        nodule = mixed[1][scan].nodule
        truth = nodule.geometry.to_world(np.argwhere(nodule.array).mean(axis=0))
        mine = [row for row in rows if row["seriesuid"] == scan]
        away = [
            np.linalg.norm([float(row[f"coord{axis}"]) for axis in "XYZ"] - truth) for row in mine
        ]
        best = mine[int(np.argmin(away))]
        assert min(away) < 4, scan
        x, y, z = source.TransformPhysicalPointToIndex([float(best[f"coord{a}"]) for a in "XYZ"])
        assert [int(best[f"voxel_{axis}"]) for axis in "zyx"] == [z, y, x]
        assert float(best["threshold"]) == 0.5
        assert best["patient"] == scan


def test_the_label_of_a_mask_is_the_rank_of_its_candidate(done, mixed):
    out, _ = done
    source = read_image(mixed[0] / "ras.nii.gz")
    mask = read_image(out / "ras_nodules.nii.gz")
    assert (mask.GetSize(), mask.GetDirection()) == (source.GetSize(), source.GetDirection())
    assert mask.GetOrigin() == pytest.approx(source.GetOrigin(), abs=1e-4)
    labels, hu = array_of(mask), array_of(source)
    rows = [r for r in read_table(out / "candidates.csv") if r["seriesuid"] == "ras"]
    ranks = [int(row["rank"]) for row in rows]
    assert ranks == list(range(1, len(rows) + 1))
    found = [float(row["probability"]) for row in rows]
    assert found == sorted(found, reverse=True)
    masked = set(np.unique(labels)) - {0}
    assert masked
    for row in rows:
        if int(row["rank"]) in masked:
            inside = hu[labels == int(row["rank"])]
            assert float(row["mean_hu"]) == pytest.approx(inside.mean(), abs=0.06)


def test_the_list_of_a_scan_tells_net_grid_and_candidates(done, net):
    out, _ = done
    told = json.loads((out / "ras_nodules.json").read_text(encoding="utf-8"))
    rows = [r for r in read_table(out / "candidates.csv") if r["seriesuid"] == "ras"]
    assert (told["scan"], told["patient"], told["seen"]) == ("ras", "ras", "no")
    assert told["grid"]["spacing_zyx_mm"] == pytest.approx(STEP, abs=1e-5)
    assert len(told["candidates"]) == len(rows)
    assert told["candidates"][0]["voxel_zyx"] == [int(rows[0][f"voxel_{a}"]) for a in "zyx"]
    assert len(told["net"]["sha256"]) == 64


def test_every_scan_has_a_picture_and_the_likeliest_candidates_a_close_up(done):
    out, _ = done
    rows = [r for r in read_table(out / "candidates.csv") if r["seriesuid"] == "ras"]
    assert len(rows) > 8
    assert rows[0]["picture"] == "ras_nodule01.png"
    assert [bool(row["picture"]) for row in rows] == [int(row["rank"]) <= 8 for row in rows]
    assert all((out / row["picture"]).is_file() for row in rows if row["picture"])
    assert read_rgb(out / "ras.png").shape[1] > 700
    assert (read_rgb(out / "ras_nodule01.png") == 255).all(axis=2).any()


def test_a_scan_that_the_net_has_seen_is_done_marked_and_named(done, mixed, net, tmp_path):
    out, _ = done
    seen = {row["scan"]: row["seen"] for row in read_table(out / "scans.csv")}
    assert seen == {"1.2.826.41": "train", "oblique": "no", "ras": "no", "1.2.826.32": ""}
    marked = {(r["seriesuid"], r["seen"]) for r in read_table(out / "candidates.csv")}
    assert ("1.2.826.41", "train") in marked
    text = detect(mixed[0] / "dicom", "--out", tmp_path, "--model", net).stdout
    assert "seen     new 1.2.826.41: the net has seen it (train)" in text


def test_every_scan_has_its_row_and_the_reason_if_it_is_not_done(done):
    out, told = done
    rows = {row["scan"]: row for row in read_table(out / "scans.csv")}
    assert rows["1.2.826.32"]["state"] == "failed"
    assert "too-few-slices" in rows["1.2.826.32"]["reasons"]
    assert rows["ras"]["mask"] == "ras_nodules.nii.gz"
    assert rows["ras"]["list"] == "ras_nodules.json"
    assert rows["1.2.826.41"]["picture"] == "new_2.826.41.png"
    assert (told["expected"], told["done"], told["failed"]) == (4, 3, 1)
    assert len(told["candidates"]) == len(read_table(out / "candidates.csv"))


def test_a_higher_threshold_makes_smaller_masks_and_no_close_up_is_left_over(mixed, net, tmp_path):
    def run(*more):
        detect(mixed[0] / "ras.nii.gz", "--out", tmp_path, "--model", net, *more)
        close_ups = sorted(path.name for path in tmp_path.glob("*_nodule??.png"))
        return np.count_nonzero(array_of(read_image(tmp_path / "ras_nodules.nii.gz"))), close_ups

    large, many = run()
    small, few = run("--threshold", "0.9", "--set", "write-detections.close_ups=2")
    assert 0 < small < large
    assert len(many) == 20
    assert few == ["ras_nodule01.png", "ras_nodule02.png"]


def test_the_scan_is_put_on_the_grid_that_the_net_was_trained_on(done):
    out, _ = done
    (record,) = (out / "lungseg-work").glob("scans/ras/resample/*/stage.json")
    assert json.loads(record.read_text())["facts"]["spacing_mm"] == 4.0
    # ... which nobody told it, so it is not kept.
    assert "resample" not in (out / "lungseg-work" / "settings.toml").read_text()


def test_the_folder_remembers_its_net(done, mixed):
    out, _ = done
    told = json.loads(detect(mixed[0], "--out", out, "--json", status=1).stdout)
    assert told["net"].endswith("model.keras")
    assert told["done"] == 3


def test_a_run_that_is_broken_off_leaves_its_tables_and_goes_on(mixed, net, tmp_path, monkeypatch):
    whole = worker.run_scan_step

    def broken(task, step):
        if (task.scan, step.stage.name) == ("ras", "write-detections"):
            raise KeyboardInterrupt
        return whole(task, step)

    places = [mixed[0] / "ras.nii.gz", mixed[0] / "oblique.mha", "--out", tmp_path]
    monkeypatch.setattr(worker, "run_scan_step", broken)
    detect(*places, "--model", net, status=130)
    states = {row["scan"]: row["state"] for row in read_table(tmp_path / "scans.csv")}
    assert states == {"oblique": "done", "ras": "not done"}
    assert {r["seriesuid"] for r in read_table(tmp_path / "candidates.csv")} == {"oblique"}
    monkeypatch.undo()
    told = json.loads(detect(*places, "--json").stdout)
    assert (told["done"], told["not_done"]) == (2, 0)


def test_without_a_net_it_says_how_to_come_by_one_and_makes_nothing(mixed, tmp_path, monkeypatch):
    monkeypatch.setattr(nets, "TRAINED", tmp_path / "none")
    told = detect(mixed[0], "--out", tmp_path / "out", status=2)
    assert "there is no net in this work folder" in " ".join(told.output.split())
    assert not (tmp_path / "out").exists()


def test_the_packages_net_is_taken_where_there_is_no_other(mixed, net, tmp_path, monkeypatch):
    shutil.copy(net, tmp_path / "nodules.keras")
    monkeypatch.setattr(nets, "TRAINED", tmp_path)
    out = tmp_path / "out"
    told = detect(mixed[0] / "oblique.mha", "--out", out).stdout
    assert "nodules.keras (comes with the package)" in told
    # What either command uses is in use, whichever was the last.
    assert prunable(out) == prunable(out / "lungseg-work") == []
    words = ["lungs", mixed[0] / "oblique.mha", "--out", out, "--quiet", *COARSER]
    assert CliRunner().invoke(main, [str(word) for word in words]).exit_code == 0
    assert prunable(out) == []
    assert not (out / "lungseg-work" / "results").exists()


def prunable(out):
    told = CliRunner().invoke(main, ["prune", "--json", "--work", str(out)])
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)["outputs"]


def test_a_net_that_finds_something_else_is_refused_before_anything_runs(mixed, tmp_path):
    lungs = write_bright_net(tmp_path / "net", target="lungs", kind="pictures")
    told = detect(mixed[0], "--out", tmp_path / "out", "--model", lungs, status=2)
    assert "finds lungs in pictures; detect needs a net that finds nodules in ct" in " ".join(
        told.output.split()
    )
    assert not (tmp_path / "out").exists()


def test_no_cache_leaves_what_was_handed_out(mixed, net, tmp_path):
    words = [mixed[0] / "oblique.mha", "--out", tmp_path, "--model", net, "--format", "nrrd"]
    detect(*words, "--no-cache")
    names = {path.name for path in tmp_path.iterdir()}
    assert {"candidates.csv", "scans.csv", "oblique_nodules.nrrd", "oblique.png"} < names
    assert "lungseg-work" not in names


def test_as_many_close_ups_are_handed_out_as_the_stage_may_write():
    from lungseg.stages.write_detections import WriteDetections, close_up_name

    (most,) = (
        spec.metadata["bounds"]["le"]
        for spec in WriteDetections.__dataclass_fields__.values()
        if spec.name == "close_ups"
    )
    assert list(command.CLOSE_UPS) == [f"_{close_up_name(k)}" for k in range(1, most + 1)]


@pytest.mark.parametrize(
    ("candidates", "most", "told"),
    [
        ([], 100, "0 candidates"),
        ([(0.9871, "")], 100, "1 candidate; the likeliest 0.987"),
        (
            [(0.997, 0.994), (0.98, 0.51), (0.9, 0.01)],
            3,
            "3 candidates, as many as are kept; the first scores 0.997, and 99 % of such are "
            "nodules; 2 likelier to be a nodule than not",
        ),
        # A high score of which few are nodules: neither is hidden by the other.
        (
            [(0.976, 0.13), (0.5, 0.01)],
            100,
            "2 candidates; the first scores 0.976, and 13 % of such are nodules",
        ),
    ],
)
def test_a_scan_is_told_by_how_likely_its_candidates_are_nodules(candidates, most, told):
    rows = [{"probability": p, "calibrated": c} for p, c in candidates]
    assert _found(rows, most) == told
