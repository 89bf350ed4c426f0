"""Results, prune and export in a folder of several scans, through the command line."""

import csv
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.commands import results
from lungseg.core.record import read_record
from lungseg.core.store import Store
from lungseg.io.annotations.nodule_list import read_nodules
from lungseg.io.volumes import volume_file
from lungseg.io.volumes.formats import read_volume
from lungseg.model.nets import current_net
from tests.io.standards.dicom_objects import points_in, points_of
from tests.kept_by_hand import kept_as_it_is
from tests.test_flow import PATIENTS, SECOND, lungseg, phantom_of, write_scan

CHANGE = ["--set", "find-nodules.max_candidates=5"]


@pytest.fixture
def work(done, tmp_path):
    """A copy of the folder after all four commands, for a test to change."""
    shutil.copytree(done, tmp_path / "work", symlinks=True)
    return tmp_path / "work"


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def refused(*arguments, status=2):
    told = CliRunner().invoke(main, [str(word) for word in arguments])
    assert told.exit_code == status, told.output
    return " ".join(told.output.split())


def stamps(folder):
    return {path.name: path.lstat().st_mtime_ns for path in folder.iterdir() if path.is_file()}


def test_results_show_what_is_done_under_plain_names(work):
    folder = work / "results"
    assert [name for name in results.FILES if (folder / name).is_file()] == list(results.FILES)
    for name, stage in {"tables.h5": "build-tables", "model.keras": "train", "froc.png": "evaluate",
                        "scores.json": "evaluate"}.items():  # fmt: skip
        assert (folder / name).is_symlink()
        assert not (folder / name).readlink().is_absolute()
        # It was copied as a whole: relative links hold.
        assert (folder / name).resolve().is_relative_to(work / "dataset" / stage)
    assert (folder / "model.keras").resolve() == current_net(work).file


def test_patients_have_their_scans_part_and_nodules(done):
    told = {row["patient"]: row for row in rows(done / "results" / "patients.csv")}
    assert sorted(told) == sorted(PATIENTS)
    assert {row["part"] for row in told.values()} == {"train", "validation", "test"}
    assert {patient: row["scans"] for patient, row in told.items()} == {
        "one": "1", "two": "2", "three": "1",
    }  # fmt: skip
    assert {row["nodules"] for row in told.values()} == {"1"}


def test_a_patient_whom_nobody_annotated_has_no_count_of_nodules(work, tmp_path):
    write_scan(tmp_path / "src", "four", "1.2.826.4", seed=3, nodules=())
    lungseg("preprocess", "--src", tmp_path / "src", "--work", work, "--quiet", "--jobs", 1)
    (four,) = rows(work / "results" / "patients.csv")
    assert (four["patient"], four["part"], four["nodules"]) == ("four", "", "")
    assert rows(work / "results" / "nodules.csv") == []


def test_every_nodule_of_the_truth_has_its_place_on_the_scans_own_grid(done):
    told = {row["patient"]: row for row in rows(done / "results" / "nodules.csv")}
    assert sorted(told) == sorted(PATIENTS)
    for patient, row in told.items():
        nodule = phantom_of(patient).nodule
        centre = np.argwhere(nodule.array).mean(axis=0)
        found = [int(row[f"voxel_{axis}"]) for axis in "zyx"]
        assert np.abs(found - centre).max() <= 1
        world = [float(row[f"{axis}_mm"]) for axis in "xyz"]
        assert world == pytest.approx(nodule.geometry.to_world(centre), abs=4)
        assert (row["scan"], row["readers"], row["truth"]) == (
            PATIENTS[patient],
            "3",
            "coordinates",
        )
        assert float(row["diameter_mm"]) == pytest.approx(10, abs=2)
        assert row["malignancy"] == ""
        assert row["side"] == ("right" if float(row["x_mm"]) < 0 else "left")
        assert row["third"] in {"upper", "middle", "lower"}
        assert 0 <= float(row["edge_mm"]) <= 20


def test_the_list_of_nodules_has_the_medians_of_ratings(work):
    (file,) = work.glob("scans/1.2.826.1/annotate-nodules/*/nodules.json")
    raw = json.loads(file.read_text())
    raw["nodules"][0] |= {"ratings_median": {"malignancy": 3.5, "subtlety": 5.0}}
    file.write_text(json.dumps(raw))
    kept_as_it_is(file.parent)
    (work / "results" / "nodules.csv").unlink()
    lungseg("preprocess", "--work", work, "--quiet", "--jobs", 1)
    one = next(r for r in rows(work / "results" / "nodules.csv") if r["patient"] == "one")
    assert (one["malignancy"], one["subtlety"], one["texture"]) == ("3.5", "5", "")


def test_candidates_of_all_predicted_scans_say_what_the_net_saw_and_who_is_annotated(done):
    told = rows(done / "results" / "candidates.csv")
    counts = {
        json.loads(file.read_text())["scan"]: json.loads(file.read_text())["facts"]["candidates"]
        for file in done.glob("scans/*/find-nodules/*/stage.json")
    }
    assert set(counts) == {*PATIENTS.values(), SECOND}
    assert {scan: sum(r["seriesuid"] == scan for r in told) for scan in counts} == counts
    assert list(told[0])[:5] == ["seriesuid", "coordX", "coordY", "coordZ", "probability"]
    split = json.loads(next(done.glob("dataset/split-patients/*/split.json")).read_text())["parts"]
    for row in told:
        assert row["patient"] in split[row["part"]]
        assert row["annotated"] == str(row["seriesuid"] != SECOND).lower()
        assert row["side"] in {"right", "left", ""}
        assert row["vessels"].isdigit()
        assert {row["touches_rib"], row["at_scan_end"]} <= {"true", "false"}
    assert {row["side"] for row in told} >= {"right", "left"}


def test_a_second_run_reads_no_list_of_nodules_and_writes_nothing(work, monkeypatch):
    def never(*_):
        raise AssertionError("read again")

    before = stamps(work / "results")
    for name in ("read_nodules", "write_text", "write_checked"):
        monkeypatch.setattr(results, name, never)
    lungseg("postprocess", "--work", work, "--quiet", "--jobs", 1)
    assert stamps(work / "results") == before


def test_what_the_settings_no_longer_lead_to_is_taken_out_and_comes_back(work):
    lungseg("preprocess", "--work", work, "--quiet", "--jobs", 1, *CHANGE)
    left = [name for name in results.FILES if (work / "results" / name).exists()]
    assert left == ["patients.csv", "nodules.csv", "tables.h5", "model.keras"]
    lungseg("postprocess", "--work", work, "--quiet", "--jobs", 1)
    counts = rows(work / "results" / "candidates.csv")
    assert len(counts) <= 5 * 4
    assert (work / "results" / "scores.json").is_file()


def test_results_follow_a_setting_that_is_told_or_forgotten_without_a_run(work):
    lungseg("params", "--work", work, *CHANGE)
    assert not (work / "results" / "scores.json").exists()
    lungseg("params", "--work", work, "--reset", CHANGE[1].partition("=")[0])
    assert all((work / "results" / name).is_file() for name in results.FILES)


def test_the_end_of_every_command_says_where_to_look(work):
    told = lungseg("postprocess", "--work", work, "--quiet", "--jobs", 1).splitlines()[-1]
    assert told == f"look in  {work / 'results'}: {', '.join(results.FILES)}"
    assert told in lungseg("status", "--work", work)


def test_where_there_are_no_links_there_are_copies_and_only_once(work, monkeypatch):
    def no_links(*_):
        raise PermissionError("no links here")

    shutil.rmtree(work / "results")
    monkeypatch.setattr("pathlib.Path.symlink_to", no_links)
    lungseg("train", "--work", work, "--quiet", "--jobs", 1)
    copy = work / "results" / "model.keras"
    assert not copy.is_symlink()
    assert copy.read_bytes() == current_net(work).file.read_bytes()
    before = copy.stat().st_ino
    lungseg("train", "--work", work, "--quiet", "--jobs", 1)
    assert copy.stat().st_ino == before


def test_a_net_from_elsewhere_is_shown_where_it_lies(work, tmp_path):
    net = tmp_path / "mine.keras"
    shutil.copy(current_net(work).file, net)
    lungseg("postprocess", "--work", work, "--quiet", "--jobs", 1, "--model", net)
    assert (work / "results" / "model.keras").readlink() == net


def test_results_that_cannot_be_written_do_not_fail_what_was_done(work):
    shutil.rmtree(work / "results")
    (work / "results").write_text("a file stands in the way")
    told = lungseg("postprocess", "--work", work, "--quiet", "--jobs", 1)
    assert f"results  {work / 'results'} is not up to date: " in told


def test_pictures_bear_the_patients_name_and_go_when_they_are_no_longer_so(work):
    told = lungseg("preprocess", "--work", work, "--quiet", "--jobs", 1, "--pictures")
    folder = work / "results" / "pictures"
    names = {path.name for path in folder.iterdir()}
    assert names == {"one.png", "three.png", "two_2.826.2.png", "two_2.826.22.png"}
    assert all(f"picture  {folder / name}" in told for name in names)
    before = stamps(folder)
    lungseg("preprocess", "--work", work, "--quiet", "--jobs", 1, "--pictures")
    assert stamps(folder) == before
    told = lungseg("preprocess", "--work", work, "--quiet", "--jobs", 1, *CHANGE)
    assert "4 outdated pictures were removed" in told
    assert list(folder.iterdir()) == []


def outputs(work, stage):
    return sorted(path.parent for path in work.glob(f"dataset/{stage}/*/stage.json"))


def test_prune_says_what_each_thing_is_and_why_it_is_not_used(work):
    lungseg("run", "find-nodules", "--work", work, "--quiet", "--jobs", 1, *CHANGE)
    told = lungseg("prune", "--work", work)
    assert "find-nodules of one ...1.2.826.1: max_candidates 100 -> 5" in told
    assert "12 outputs" in told
    assert "kept, though not in use: 1 net, score" in told
    assert len(list(work.glob("scans/*/find-nodules/*/stage.json"))) == 8
    raw = json.loads(lungseg("prune", "--work", work, "--json"))
    reached = {"find-nodules", "reduce-false-positives", "locate-candidates"}
    assert {one["stage"] for one in raw["outputs"]} == reached
    assert {one["stage"] for one in raw["kept"]} == {"evaluate"}
    assert all(one["made"][:4].isdigit() and one["size"] > 0 for one in raw["outputs"])


def test_prune_takes_nets_and_scores_only_when_told_and_never_the_current_net(work):
    net = current_net(work).file
    earlier = net.parent.with_name("0123456789abcdef")
    shutil.copytree(net.parent, earlier)
    params = {**read_record(earlier).params, "epochs": 1}
    kept_as_it_is(
        earlier, fingerprint="0123456789abcdef" * 4, finished="2000-01-01T00:00:00", params=params
    )
    (net.parent.parent / ".resume-0123").mkdir()
    # The current net is of other settings, too, and so are the scores.
    change = ["--set", "train.epochs=7", "--set", "evaluate.seed=9"]
    lungseg("preprocess", "--work", work, "--quiet", "--jobs", 1, *change)
    lungseg("prune", "--yes", "--work", work)
    assert len(outputs(work, "train")) == 2
    assert len(outputs(work, "evaluate")) == 1
    assert (net.parent.parent / ".resume-0123").is_dir()
    told = lungseg("prune", "--models", "--work", work)
    assert "2000-01-01 00:00  train: epochs 1 -> 7" in told
    assert "checkpoints of a training run: it did not come to its end" in told
    lungseg("prune", "--yes", "--models", "--work", work)
    assert outputs(work, "train") == [net.parent]
    assert outputs(work, "evaluate") == []
    assert not (net.parent.parent / ".resume-0123").exists()
    assert (work / "results" / "model.keras").resolve() == net


def test_prune_removes_nothing_while_another_command_is_at_work(work):
    with Store(work).in_use("a run"):
        assert "a run (process" in refused("prune", "--yes", "--work", work)
        assert "outputs" in lungseg("prune", "--work", work)


def test_a_scan_that_is_gone_is_named_as_such_and_its_folder_goes(work, tmp_path):
    write_scan(tmp_path / "src", "four", "1.2.826.4", seed=3, nodules=())
    lungseg("preprocess", "--src", tmp_path / "src", "--work", work, "--quiet", "--jobs", 1)
    told = lungseg("prune", "--yes", "--work", work)
    assert "ingest of one ...1.2.826.1: its scan is not among those of now" in told
    assert [path.name for path in (work / "scans").iterdir()] == ["1.2.826.4"]


def exported(path):
    import SimpleITK

    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


def test_the_target_is_what_enough_readers_agree_on(work, tmp_path):
    (folder,) = work.glob("scans/1.2.826.1/annotate-nodules/*")
    labels = volume_file.read(folder / "nodules.h5")
    # One of the three readers saw but a corner of it.
    votes = np.where(labels.array > 0, 3, 0).astype(np.uint8)
    inner = np.argwhere(votes)
    for z, y, x in inner[: len(inner) // 2]:
        votes[z, y, x] = 1
    volume_file.write(labels.like(votes), folder / "votes.h5")
    kept_as_it_is(folder)
    where = ["export", "--scan", "one", "--work", work, "--grid", "working"]
    told = lungseg(*where, "--what", "target", "--out", tmp_path / "a.nrrd")
    assert (
        "target (min_readers 3, consensus_level 0.5, those of evaluate) of 1.2.826.1 (one)" in told
    )
    np.testing.assert_array_equal(exported(tmp_path / "a.nrrd"), votes >= 2)
    lungseg(*where, "--what", "target", "--out", tmp_path / "b.nrrd", "--consensus-level", 0.3)
    np.testing.assert_array_equal(exported(tmp_path / "b.nrrd"), votes >= 1)
    told = lungseg(*where, "--what", "target", "--out", tmp_path / "c.nrrd", "--min-readers", 4)
    assert told.endswith("mm; nothing is marked in it\n")
    assert "min_readers 4, consensus_level 0.5, told here" in told
    assert not exported(tmp_path / "c.nrrd").any()
    lungseg(*where, "--what", "nodules", "--out", tmp_path / "d.nrrd")
    np.testing.assert_array_equal(exported(tmp_path / "d.nrrd"), labels.array)


@pytest.mark.parametrize(
    ("what", "name", "words"),
    [
        ("lungs", "a.seg.dcm", "a binary DICOM segmentation of 2 segments"),
        ("nodules", "b.seg.dcm", "a binary DICOM segmentation of 1 segment in"),
        ("target", "c.seg.dcm", "a binary DICOM segmentation of 1 segment in"),
        ("probability", "d.seg.dcm", "a fractional DICOM segmentation of 1 segment in"),
        ("detections", "e.seg.dcm", "a binary DICOM segmentation of"),
        ("detections", "f.sr.dcm", "a structured report (TID 1500) on"),
        ("detections", "g.mrk.json", "points for 3D Slicer"),
    ],
)
def test_what_is_known_of_a_scan_goes_to_other_software(done, tmp_path, what, name, words):
    where = ["--scan", "one", "--what", what, "--work", done]
    told = lungseg("export", *where, "--out", tmp_path / name)
    assert words in told
    if not name.endswith("seg.dcm") or what == "probability":
        return
    lungseg("export", *where, "--out", tmp_path / "a.nrrd")
    volume = read_volume(tmp_path / "a.nrrd")
    labels = [int(label) for label in np.unique(volume.array) if label]
    for number, label in enumerate(labels[:3], 1):
        got = points_of(tmp_path / name, number)
        np.testing.assert_allclose(got, points_in(volume, label), atol=2e-3)


@pytest.mark.parametrize(("ending", "voxels"), [("nhdr", "a.raw.gz"), ("mhd", "a.zraw")])
def test_the_voxels_beside_a_header_have_its_name(done, tmp_path, ending, voxels):
    out = tmp_path / f"a.{ending}"
    lungseg("export", "--scan", "one", "--what", "lungs", "--out", out, "--work", done)
    assert {path.name for path in tmp_path.iterdir()} == {out.name, voxels}
    assert set(np.unique(exported(out))) == {0, 1, 2}


def test_what_each_annotator_drew_is_not_known_of_positions(done, tmp_path):
    where = ["export", "--scan", "one", "--what", "readings", "--out", tmp_path / "a.seg.dcm"]
    told = refused(*where, "--work", done, status=1)
    assert "are coordinates, and not what each annotator drew; export --what nodules" in told


def test_the_target_on_the_source_grid_is_a_mask_of_the_nodules_volume(work, tmp_path):
    lungseg("export", "--scan", "one", "--what", "target", "--out", tmp_path / "a.nii.gz",
            "--work", work)  # fmt: skip
    array = exported(tmp_path / "a.nii.gz")
    (folder,) = work.glob("scans/1.2.826.1/annotate-nodules/*")
    (nodule,) = read_nodules(folder).nodules
    assert set(np.unique(array)) == {0, 1}
    assert array.shape == phantom_of("one").ct.shape
    assert array.sum() * 6 * 4 * 4 == pytest.approx(nodule.volume_mm3, abs=6 * 4 * 4)


@pytest.mark.parametrize("what", ["target", "nodules", "votes"])
def test_a_scan_that_nobody_annotated_has_no_truth_to_export(done, tmp_path, what):
    where = ["export", "--scan", "26.22", "--what", what, "--out", tmp_path / "a.nii.gz"]
    told = refused(*where, "--work", done, status=1)
    assert f"nobody annotated {SECOND}, so it has no truth to export" in told
    assert not (tmp_path / "a.nii.gz").exists()


def test_all_scans_are_exported_but_for_those_that_cannot_and_they_are_named(work, tmp_path):
    where = ["export", "--all", "--what", "target", "--out", tmp_path / "out", "--work", work]
    told = lungseg(*where, status=1)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{p}_{uid}_target.nii.gz" for p, uid in PATIENTS.items()}
    assert f"failed   {SECOND} (two): nobody annotated" in told
    assert told.splitlines()[-1] == f"3 written to {tmp_path / 'out'}, 1 failed"
    before = stamps(tmp_path / "out")
    again = lungseg(*where, status=1)
    assert "3 were there already and are as they were, --force overwrites" in again
    assert stamps(tmp_path / "out") == before
    lungseg(*where, "--force", "--format", "nii.gz", status=1)
    assert not set(stamps(tmp_path / "out").items()) & set(before.items())
    lungseg("export", "--all", "--what", "lungs", "--format", "nrrd", "--out", tmp_path / "out",
            "--work", work)  # fmt: skip
    assert len(list((tmp_path / "out").glob("*_lungs.nrrd"))) == 4


def test_a_file_that_is_there_is_not_overwritten_unless_told(done, tmp_path):
    out = tmp_path / "a.nii.gz"
    out.write_text("mine")
    where = ["export", "--scan", "three", "--what", "ct", "--out", out, "--work", done]
    assert "is there already; --force overwrites it" in refused(*where)
    assert out.read_text() == "mine"
    lungseg(*where, "--force")
    assert exported(out).shape == phantom_of("three").ct.shape
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_folder_that_is_not_to_be_written_to_is_named_with_the_file(done, tmp_path, monkeypatch):
    def refuse(_volume, path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("lungseg.io.volumes.formats.write_volume", refuse)
    out = tmp_path / "a.nii.gz"
    where = ["export", "--scan", "three", "--what", "ct", "--out", out, "--work", done]
    assert f"{out}: Permission denied; name another folder" in refused(*where)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--scan", "one", "--all"], "name one scan with --scan, or take --all"),
        ([], "name one scan with --scan, or take --all"),
        (["--all", "--format", "png"], "--format png: expected one of .nii.gz"),
        (["--scan", "two"], "--scan names 2 scans, expected one"),
        (["--scan", "one", "--min-readers", "2"], "make the target, and --what is ct"),
    ],
)
def test_an_export_that_cannot_be_meant_says_so(done, tmp_path, more, message):
    out = tmp_path / ("out" if "--all" in more else "a.nrrd")
    assert message in refused("export", "--what", "ct", "--out", out, "--work", done, *more)


def test_all_scans_go_into_a_folder_and_not_into_a_file(done, tmp_path):
    where = ["export", "--all", "--what", "ct", "--out", tmp_path / "a.nrrd", "--work", done]
    assert "with --all it is the folder for the files" in refused(*where)


@pytest.mark.parametrize("what", ["probability", "detections"])
def test_the_answer_on_a_scan_that_was_skipped_is_refused_with_the_reason(work, tmp_path, what):
    test = ["--set", "predict.part=test", "--set", "evaluate.part=test"]
    lungseg("postprocess", "--work", work, "--quiet", "--jobs", 1, *test)
    split = json.loads(next(work.glob("dataset/split-patients/*/split.json")).read_text())["parts"]
    part_of = {patient: part for part, patients in split.items() for patient in patients}
    seen = next(p for p in ("one", "three") if part_of[p] != "test")
    told = refused("export", "--scan", seen, "--what", what, "--out", tmp_path / "a.nrrd",
                   "--work", work, status=1)  # fmt: skip
    assert f"{PATIENTS[seen]} has no {what}, it was skipped" in told
    assert "predict.part" in told


def test_an_answer_without_a_net_is_refused_and_the_rest_is_exported(work, tmp_path):
    shutil.rmtree(work / "dataset" / "train")
    (work / "net.json").unlink()
    where = ["--out", tmp_path / "a.nrrd", "--work", work, "--scan", "one"]
    assert "there is no net" in refused("export", "--what", "probability", *where, status=1)
    lungseg("export", "--what", "lungs", *where)
    assert exported(tmp_path / "a.nrrd").shape == phantom_of("one").ct.shape
