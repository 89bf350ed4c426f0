"""`lungs`: scans of any form to masks on their own grids and a table, as a user runs it."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.commands.own_scans import hand_out, ledger
from lungseg.commands.own_scans.hand_out import Outcome
from lungseg.commands.own_scans.lungs import COLUMNS, _tables
from lungseg.commands.own_scans.place import WORK
from lungseg.commands.own_scans.seen import lines_on_lung_net, seen_by_lung_net
from lungseg.core import worker
from lungseg.core.errors import ConfigError
from lungseg.io.volumes.formats import read_volume, write_volume
from lungseg.phantom.small_chest import chest
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import Session, open_session
from tests.io.standards.dicom_objects import points_in, points_of
from tests.test_flow import QUICK, write_scan

STEP = (6.0, 4.0, 4.0)
COARSE = [*QUICK, "--jobs", "1", "--quiet"]


def lungs(*arguments, status=0):
    done = CliRunner().invoke(main, ["lungs", *map(str, arguments), *COARSE])
    assert done.exit_code == status, f"{done.output}\n{done.exception!r}"
    return done


def rows_of(out):
    with (out / "lungs.csv").open(newline="", encoding="utf-8") as file:
        return {row["scan"] or row["source"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Scans of every form and orientation, and things that are none; their phantoms by id."""
    src = tmp_path_factory.mktemp("mixed")
    phantoms = {
        "1.2.826.31": write_scan(src / "a", "Flipped, Jo", "1.2.826.31", flip="zx")[0],
        # A short one, for all that is not about lungs.
        "ras": chest(STEP, flip="xy", z_range_mm=(-60.0, 80.0)),
        "oblique": chest(STEP, tilt_deg=9.0, flip="y"),
        "plain": chest(STEP, single=True, padding_hu=-2000),
    }
    for name, ending in (("ras", "nii.gz"), ("oblique", "nrrd"), ("plain", "mha")):
        write_volume(phantoms[name].ct, src / f"{name}.{ending}")
    _, short = write_scan(src / "short", "short", "1.2.826.32")
    for path in short[2:]:
        path.unlink()
    (src / "notes.dcm").write_text("not DICOM at all")
    return src, phantoms


@pytest.fixture(scope="module")
def done(mixed, tmp_path_factory):
    out = tmp_path_factory.mktemp("done") / "out"
    told = lungs(
        mixed[0] / "a", mixed[0], "--out", out, "--json", "--pictures", "--dicom", status=1
    )
    return out, json.loads(told.stdout)


def read_image(path):
    """A scan, or a mask, as SimpleITK itself reads it."""
    import SimpleITK

    if not path.is_dir():
        return SimpleITK.ReadImage(str(path))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
    return reader.Execute()


def array_of(image):
    import SimpleITK

    return SimpleITK.GetArrayFromImage(image)


def test_a_dicom_scan_has_its_lungs_as_a_segmentation_too_and_no_other_scan_has(done, mixed):
    out, _ = done
    named = {scan: row["segmentation"] for scan, row in rows_of(out).items()}
    (segmented,) = {name for name in named.values() if name}
    assert named["1.2.826.31"] == segmented
    assert segmented == rows_of(out)["1.2.826.31"]["file"].replace(".nii.gz", ".seg.dcm")
    volume = read_volume(out / rows_of(out)["1.2.826.31"]["file"])
    for number in (1, 2):
        got = points_of(out / segmented, number)
        np.testing.assert_allclose(got, points_in(volume, number), atol=2e-3)
    again = lungs(mixed[0], "--out", out, status=1).stdout
    assert again.count("no DICOM") == 3
    assert "ras was read from a nifti file" in " ".join(again.split())


def test_every_mask_lies_on_its_scans_own_grid_as_simpleitk_reads_both(done, mixed):
    out, _ = done
    for scan, phantom in mixed[1].items():
        row = rows_of(out)[scan]
        mask, source = read_image(out / row["file"]), read_image(Path(row["source"]))
        assert mask.GetSize() == source.GetSize()
        for name in ("GetOrigin", "GetSpacing", "GetDirection"):
            told = getattr(source, name)()
            assert getattr(mask, name)() == pytest.approx(told, abs=1e-4), (scan, name)
        labels = array_of(mask)
        inside = array_of(source)[labels > 0]
        assert inside.mean() == pytest.approx(float(row["mean_hu"]), abs=0.06), scan
        if scan[0] == "1":  # its slices were put in another order
            continue
        for side in (1, 2):
            truth = phantom.lungs.array == side
            both = np.count_nonzero(truth & (labels == side))
            total = np.count_nonzero(truth) + np.count_nonzero(labels == side)
            assert total == 0 or 2 * both / total > 0.88, (scan, side)


def test_right_is_right_in_the_world_however_the_array_lies(done, mixed):
    out, _ = done
    for scan in mixed[1]:
        image = read_image(out / rows_of(out)[scan]["file"])
        array = array_of(image)
        for side, sign in ((1, -1), (2, 1)):
            where = np.argwhere(array == side)
            if len(where):
                middle = [float(v) for v in where.mean(axis=0)[::-1]]
                x, _, _ = image.TransformContinuousIndexToPhysicalPoint(middle)
                assert x * sign > 20, (scan, side)


def test_the_table_measures_what_the_mask_and_the_source_say(done, mixed):
    out, _ = done
    row = rows_of(out)["ras"]
    hu = array_of(read_image(mixed[0] / "ras.nii.gz"))
    mask = array_of(read_image(out / row["file"]))
    inside = hu[mask > 0]
    voxel_ml = 6 * 4 * 4 / 1000
    assert float(row["right_ml"]) == pytest.approx((mask == 1).sum() * voxel_ml, abs=0.1)
    assert float(row["left_ml"]) == pytest.approx((mask == 2).sum() * voxel_ml, abs=0.1)
    assert float(row["mean_hu"]) == pytest.approx(inside.mean(), abs=0.05)
    assert int(row["p5_hu"]) == np.percentile(inside, 5, method="inverted_cdf")
    assert int(row["p95_hu"]) == np.percentile(inside, 95, method="inverted_cdf")
    assert float(row["share_below_950"]) == pytest.approx((inside < -950).mean(), abs=1e-4)
    spacing = [float(row[f"spacing_{axis}_mm"]) for axis in "zyx"]
    assert spacing == pytest.approx(STEP, abs=1e-5)
    assert row["verdict"] == "suspect"
    assert row["reasons"].startswith("cut at the bottom")
    whole = rows_of(out)["oblique"]
    assert (whole["verdict"], whole["reasons"]) == ("good", "")
    assert float(row["seconds"]) > 0


@pytest.mark.parametrize(
    ("patient", "asked", "seen"),
    [("LIDC-IDRI-0001", True, "train"), ("LIDC-IDRI-0001", False, ""), ("new", True, "no")],
)
def test_the_table_tells_what_the_lung_net_has_seen_where_it_was_asked(
    tmp_path, patient, asked, seen
):
    session = open_session(tmp_path, CommandOptions())
    facts = {"segment-lungs": {"verdict": "good"} | ({"net_against_ml": 0.0} if asked else {})}
    one = Outcome("1.2.3", patient, "", "done", facts=facts)
    assert _tables(session, [one])["lungs.csv"].rows[0]["net_seen"] == seen
    # `lungs` and `detect` say it.
    told = "".join(lines_on_lung_net([one], seen_by_lung_net([one], session)))
    assert ("LIDC-IDRI-0001 1.2.3: the lung net has seen it (train)" in told) == (seen == "train")
    assert (told == "") == (seen != "train")


def test_every_scan_and_everything_else_has_its_row(done, mixed):
    out, told = done
    rows = rows_of(out)
    assert next(iter(rows.values())).keys() == dict.fromkeys(COLUMNS).keys()
    assert rows["plain"]["verdict"] == "suspect"
    assert "only a left lung" in rows["plain"]["reasons"]
    assert rows["1.2.826.32"]["verdict"] == "failed"
    assert "ingest: too-few-slices" in rows["1.2.826.32"]["reasons"]
    assert rows["1.2.826.32"]["file"] == ""
    other = rows[str((mixed[0] / "notes.dcm").resolve())]
    assert (other["verdict"], other["scan"]) == ("skipped", "")
    assert "not a DICOM file" in other["reasons"]
    assert (told["expected"], told["done"], told["failed"], told["skipped"]) == (6, 4, 1, 1)
    assert [row["scan"] for row in told["scans"]] == [row["scan"] for row in rows.values()]


def test_files_are_named_after_their_source_and_are_copies(done, mixed):
    out, _ = done
    rows = rows_of(out)
    assert rows["ras"]["file"] == "ras_lungs.nii.gz"
    assert rows["1.2.826.31"]["file"] == "Flipped_Jo_2.826.31_lungs.nii.gz"
    assert rows["1.2.826.31"]["source"] == str(
        (mixed[0] / "a" / "Flipped, Jo" / "1.2.826.31.9" / "1.2.826.31").resolve()
    )
    assert (out / "ras_lungs.png").is_file()
    (kept,) = (out / "lungseg-work").glob("scans/ras/write-lungs/*/lungs.nii.gz")
    copy = out / "ras_lungs.nii.gz"
    assert copy.read_bytes() == kept.read_bytes()
    assert copy.stat().st_ino != kept.stat().st_ino
    assert not copy.is_symlink()


def test_a_second_run_makes_nothing_anew_and_does_not_take_its_own_files_for_scans(mixed, tmp_path):
    """The folder written to may lie among the scans."""
    src = tmp_path / "src"
    src.mkdir()
    shutil.copy(mixed[0] / "ras.nii.gz", src)
    told = [
        json.loads(lungs(src, "--out", src / "out", "--json", "--pictures").stdout) for _ in "ab"
    ]
    assert [one["expected"] for one in told] == [1, 1]
    assert told[0]["scans"] == told[1]["scans"]


def test_a_run_that_is_broken_off_leaves_its_table_and_goes_on(mixed, tmp_path, monkeypatch):
    begun = []
    whole = worker.run_chain

    def broken(task):
        begun.append(task.scan)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return whole(task)

    src = [mixed[0] / name for name in ("ras.nii.gz", "oblique.nrrd", "plain.mha")]
    monkeypatch.setattr(worker, "run_chain", broken)
    lungs(*src, "--out", tmp_path, status=130)
    verdicts = {scan: row["verdict"] for scan, row in rows_of(tmp_path).items()}
    assert verdicts == {"oblique": "good", "plain": "suspect", "ras": "not done"}
    assert (tmp_path / "oblique_lungs.nii.gz").is_file()
    monkeypatch.undo()
    (record,) = tmp_path.glob("lungseg-work/scans/oblique/segment-lungs/*/stage.json")
    before = record.read_text()
    told = json.loads(lungs(*src, "--out", tmp_path, "--json").stdout)
    assert (told["done"], told["not_done"]) == (3, 0)
    assert record.read_text() == before


def test_files_that_are_called_alike_are_told_apart(mixed, tmp_path):
    for patient in ("one", "two"):
        (tmp_path / "src" / patient).mkdir(parents=True)
        shutil.copy(mixed[0] / "ras.nii.gz", tmp_path / "src" / patient / "ct.nii.gz")
    lungs(tmp_path / "src", "--out", tmp_path / "out")
    files = {row["file"] for row in rows_of(tmp_path / "out").values()}
    assert files == {"one_ct_lungs.nii.gz", "two_ct_lungs.nii.gz"}


def test_nobody_elses_file_is_written_over(mixed, tmp_path):
    own = tmp_path / "RAS_lungs.nii.gz"
    own.write_text("drawn by hand")
    told = lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path, status=2)
    assert "RAS_lungs.nii.gz would be written over, and it was not written by such a" in " ".join(
        told.output.split()
    )
    assert own.read_text() == "drawn by hand"


def test_a_file_of_a_format_that_was_never_written_is_somebody_elses(mixed, tmp_path):
    lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path)
    own = tmp_path / "ras_lungs.nrrd"
    own.write_text("drawn by hand")
    lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path, "--format", "nrrd", status=2)
    assert own.read_text() == "drawn by hand"


def test_a_mask_that_was_corrected_by_hand_is_not_written_over(mixed, tmp_path):
    lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path)
    mask = tmp_path / "ras_lungs.nii.gz"
    mask.write_bytes(mask.read_bytes() + b"corrected")
    told = lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path, status=2)
    assert "was changed since such a command wrote it" in " ".join(told.output.split())
    assert mask.read_bytes().endswith(b"corrected")


def test_no_cache_removes_the_work_folder_that_was_made_and_the_files_stay(mixed, tmp_path):
    for _ in "ab":  # and the next run knows its own files again
        lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path, "--no-cache", "--format", "nrrd")
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            ".lungseg-cli.json", "lungs.csv", "ras_lungs.nrrd",
        ]  # fmt: skip


def test_no_cache_leaves_a_work_folder_in_which_more_was_made(mixed, tmp_path):
    lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path)
    (tmp_path / WORK / "dataset").mkdir()
    told = lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path, "--no-cache")
    assert "stays: more was made in it than scans" in told.stderr
    (tmp_path / "other" / WORK).mkdir(parents=True)
    told = lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path / "other", "--no-cache")
    assert "stays: it was there before" in told.stderr


def test_no_cache_and_a_work_folder_of_ones_own_do_not_go_together(mixed, tmp_path):
    more = ["--work", tmp_path / "w", "--no-cache"]
    told = lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path, *more, status=2)
    assert "--no-cache removes the work folder within --out" in " ".join(told.output.split())


def test_a_work_folder_that_is_named_keeps_its_own_scans_and_settings(mixed, tmp_path):
    work = tmp_path / "work"
    first = ["preprocess", "--src", mixed[0] / "a", "--work", work]
    done = CliRunner().invoke(main, [*map(str, first), *COARSE])
    assert done.exit_code == 0, done.output
    own = [work / name for name in ("sources.json", "settings.toml", "sources/1.2.826.31.json")]
    before = [path.read_text() for path in own]
    # The same scan, from elsewhere: a copy that may be gone tomorrow.
    shutil.copytree(mixed[0] / "a", tmp_path / "copy")
    lungs(mixed[0] / "ras.nii.gz", tmp_path / "copy", "--out", tmp_path / "out", "--work", work)
    assert [path.read_text() for path in own] == before
    assert not (tmp_path / "out" / WORK).exists()
    assert len(list(work.glob("scans/1.2.826.31/segment-lungs/*/lungs.h5"))) == 1


def test_a_setting_once_told_holds_in_the_folders_next_run(mixed, tmp_path):
    lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path, "--format", "mha")
    told = lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path)
    assert rows_of(tmp_path)["ras"]["file"] == "ras_lungs.mha"
    assert "write-lungs.format=mha" in told.stdout


def test_a_file_that_cannot_be_copied_out_is_a_failure_of_its_scan(mixed, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hand_out.shutil, "copyfile", full)
    lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path, status=1)
    row = rows_of(tmp_path)["ras"]
    assert row["verdict"] == "failed"
    assert "could not be copied to" in row["reasons"]
    assert "No space left on device" in row["reasons"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere"], "/nowhere: there is no such file or folder"),
        (["SRC", "--memory-limit", "lots"], "--memory-limit lots: expected a size such as 4GB"),
        (
            ["SRC", "--format", "png"],
            "--format png: write-lungs: format must be one of nii.gz, nrrd, mha; not 'png'",
        ),
        (["EMPTY"], "there are no scans in"),
        ([], "Missing argument 'SRC...'"),
    ],
)
def test_a_usage_error_leaves_nothing_behind(mixed, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    places = {"SRC": mixed[0] / "ras.nii.gz", "EMPTY": tmp_path / "empty"}
    words = [places.get(word, word) for word in arguments]
    told = lungs(*words, "--out", tmp_path / "out", status=2)
    assert message in " ".join(told.output.split())
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_refused_late_leaves_the_folders_as_they_were(mixed, tmp_path, monkeypatch):
    def refuse(*_):
        raise ConfigError("the scheduler does not answer")

    src = mixed[0] / "ras.nii.gz"
    lungs(src, "--out", tmp_path / "there")
    table, noted = tmp_path / "there" / "lungs.csv", ledger.notes(tmp_path / "there")
    before = table.read_text()
    monkeypatch.setattr(Session, "run", refuse)
    for out in ("new", "there"):
        told = lungs(src, "--out", tmp_path / out, "--format", "mha", status=2)
        assert "the scheduler does not answer" in told.output
    assert not (tmp_path / "new").exists()
    assert (table.read_text(), ledger.notes(tmp_path / "there")) == (before, noted)
    assert (tmp_path / "there" / "ras_lungs.nii.gz").is_file()


def test_a_refusal_is_told_where_nothing_may_be_written(tmp_path, monkeypatch):
    def closed(*_):
        raise PermissionError(13, "Permission denied")

    for name in ("empty", "out"):
        (tmp_path / name).mkdir()
    ledger.note(tmp_path / "out", work=True)
    monkeypatch.setattr(ledger, "write_json", closed)
    told = lungs(tmp_path / "empty", "--out", tmp_path / "out", "--dry-run", status=2)
    assert "there are no scans in" in told.output


def test_the_table_is_written_even_if_nothing_can_be_put_aside(mixed, tmp_path):
    lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path)
    (tmp_path / "earlier").write_text("somebody's")
    told = lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path, "--format", "mha", status=2)
    assert f"{tmp_path / 'earlier'}: File exists" in " ".join(told.output.split())
    assert rows_of(tmp_path)["ras"]["file"] == "ras_lungs.mha"


def test_what_earlier_runs_left_is_put_aside_or_named(mixed, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    out, src = tmp_path / "out", [mixed[0] / "ras.nii.gz", mixed[0] / "plain.mha"]
    lungs(*src, "--out", out, "--pictures")
    assert "\nearlier" not in lungs(*src, "--out", out).stdout
    mask = (out / "ras_lungs.nii.gz").read_bytes()
    (out / "earlier").mkdir()
    (out / "earlier" / "ras_lungs.png").write_text("somebody's")
    for scans in ("\nearlier  1 scan of earlier runs: status, report, export and prune know", ""):
        monkeypatch.setattr(hand_out.shutil, "copyfile", full)
        told = lungs(src[0], "--out", out, status=1).stdout
        assert scans in told
        assert ("scan of earlier runs" in told) == bool(scans)
        assert list(rows_of(out)) == ["ras"]
        assert (
            "2 files of these scans, of an earlier run and not written again, put into earlier/"
            in told
        )
        assert "2 files of other scans, of earlier runs, as they were; lungs.csv tells of" in told
        assert "this run alone: plain_lungs.nii.gz, plain_lungs.png" in told
        assert not (out / "ras_lungs.nii.gz").exists()
        assert (out / "plain_lungs.nii.gz").is_file()
        # What was put aside before is written over, and what somebody put there is not.
        assert sorted(path.name for path in (out / "earlier").iterdir()) == [
            "2-ras_lungs.png", "ras_lungs.nii.gz", "ras_lungs.png",
        ]  # fmt: skip
        assert (out / "earlier" / "ras_lungs.nii.gz").read_bytes() == mask
        monkeypatch.undo()
        lungs(src[0], "--out", out)
    told = json.loads(lungs(out, src[0], "--out", out, "--format", "mha", "--json").stdout)
    # What was put aside is no scan, wherever the folder lies; somebody's picture is none either.
    assert (told["expected"], told["done"], told["skipped"]) == (2, 1, 1)
    assert told["earlier"] == {
        "put_aside": ["ras_lungs.nii.gz"],
        "not_listed": ["plain_lungs.nii.gz", "plain_lungs.png"],
        "scans": [],
    }


def test_nothing_is_handed_out_into_a_work_folder_but_into_one_beside_it(mixed, tmp_path):
    lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path)
    work = tmp_path / "lungseg-work"
    before = sorted(path.name for path in work.iterdir())
    told = lungs(mixed[0] / "ras.nii.gz", "--out", work, status=2)
    assert f"--out {work} is a work folder" in " ".join(told.output.split())
    assert sorted(path.name for path in work.iterdir()) == before
    lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path / "beside", "--work", work)
    assert (tmp_path / "beside" / "ras_lungs.nii.gz").is_file()


def test_a_scan_whose_name_has_no_latin_letter_is_told_by_its_name(mixed, tmp_path):
    (tmp_path / "src").mkdir()
    shutil.copy(mixed[0] / "ras.nii.gz", tmp_path / "src" / "日本.nii.gz")
    told = lungs(tmp_path / "src", "--out", tmp_path / "out").stdout
    (name,) = [row["file"] for row in rows_of(tmp_path / "out").values()]
    assert f"suspect  日本 {name}  right " in told


def test_a_folder_that_cannot_be_made_is_a_usage_error(mixed, tmp_path):
    (tmp_path / "file").touch()
    told = lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path / "file" / "out", status=2)
    assert "cannot be made (Not a directory); name a folder" in " ".join(told.output.split())


def test_a_dry_run_says_what_would_be_done(mixed, tmp_path):
    out = tmp_path / "out"
    told = lungs(mixed[0] / "ras.nii.gz", "--out", out, "--dry-run")
    assert "write-lungs       run          1  ingest runs" in told.stdout
    assert not out.exists()
    lungs(mixed[0] / "ras.nii.gz", "--out", out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    told = lungs(mixed[0], "--out", out, "--dry-run", "--format", "mha")
    assert "write-lungs       run          4" in told.stdout
    cache = out / WORK / "headers.cache"
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert {path for path in after if after[path] != before.get(path)} <= {cache, cache.parent}


def test_the_text_names_what_is_good_suspect_failed_and_where_to_look(mixed, tmp_path):
    told = lungs(mixed[0], "--out", tmp_path, status=1).stdout
    assert "good     oblique_lungs.nii.gz  right " in told
    assert "suspect  plain plain_lungs.nii.gz\n         only a left lung" in told
    assert "failed   short " in told
    assert "6 expected = 4 done + 1 failed + 1 skipped" in told
    assert f"where to look: {tmp_path / 'lungs.csv'}" in told


def test_status_takes_the_folder_that_was_handed_out(done, mixed, tmp_path):
    told = CliRunner().invoke(main, ["status", "--work", str(done[0])])
    assert told.exit_code == 0, told.output
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("write-lungs ")]
    assert line.split()[1:3] == ["reuse", "4"]
    # Of what the command has to do with, and no more.
    listed = [line.split()[0] for line in told.stdout.split("\n\n")[0].splitlines()]
    assert list(dict.fromkeys(listed)) == ["ingest", "resample", "segment-lungs", "write-lungs"]
    assert "resample.spacing_mm=4" in told.stdout
    elsewhere = ["--work", tmp_path / "w", "--out", tmp_path / "out"]
    lungs(mixed[0] / "ras.nii.gz", *elsewhere)
    told = CliRunner().invoke(main, ["status", "--work", str(tmp_path / "out")])
    assert told.exit_code == 2
    assert "was made with --work; name that work folder" in " ".join(told.output.split())


@pytest.mark.parametrize("at", ["", WORK])
def test_every_command_that_looks_takes_the_folder_that_was_handed_out(done, tmp_path, at):
    def told(*words):
        here = [*words, "--work", done[0] / at, "--json"]
        run = CliRunner().invoke(main, [str(word) for word in here])
        assert run.exit_code == 0, run.output
        return run.stdout

    assert json.loads(told("verify"))["outputs"] > 10
    assert json.loads(told("prune"))["outputs"] == []
    assert "write-lungs.pictures = True" in told("params", "--why")
    out = tmp_path / "lungs.nii.gz"
    told("export", "--scan", "ras", "--what", "lungs", "--out", out)
    np.testing.assert_array_equal(
        array_of(read_image(out)), array_of(read_image(done[0] / "ras_lungs.nii.gz"))
    )
    # What is told now counts before how the folder was made.
    changed = json.loads(told("status", "--set", "resample.spacing_mm=3"))["scans"][0]["stages"]
    assert (changed["ingest"]["do"], changed["resample"]["do"]) == ("reuse", "run")


def test_no_stage_is_run_in_the_folder_that_was_handed_out(done):
    run = CliRunner().invoke(main, ["run", "ingest", "--work", str(done[0])])
    assert run.exit_code == 2
    assert f"its work folder is {done[0] / WORK}" in " ".join(run.output.split())


def test_a_work_folder_beside_what_was_handed_out_stands_for_itself(mixed, tmp_path):
    """Its name is that of a hand-out's own, and it was there before, with scans of its own."""
    work = tmp_path / WORK
    open_session(work, CommandOptions(), [mixed[0] / "plain.mha"]).keep()
    lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path, "--work", work)
    for command in ("status", "verify", "params", "prune"):
        told = CliRunner().invoke(main, [command, "--json", "--work", str(work)])
        assert told.exit_code == 0, told.output
        if command == "status":
            assert [one["id"] for one in json.loads(told.stdout)["scans"]] == ["plain"]


def test_status_shows_what_is_handed_out_only_where_it_is_done(mixed, tmp_path):
    def status(work):
        done = CliRunner().invoke(main, ["status", "--work", str(work)])
        return [line for line in done.stdout.splitlines() if line.startswith("write-")]

    lungs(mixed[0] / "ras.nii.gz", "--out", tmp_path)
    assert [line.split()[:3] for line in status(tmp_path / WORK)] == [["write-lungs", "reuse", "1"]]
    src, work = mixed[0] / "ras.nii.gz", tmp_path / "other"
    words = ["run", "ingest", "--src", src, "--work", work, "--jobs", 1, "--quiet"]
    CliRunner().invoke(main, [str(word) for word in words])
    assert status(work) == []
