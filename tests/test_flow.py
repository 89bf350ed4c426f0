"""The whole flow on small phantom scans, through the command line, as a user runs it."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.commands.report.collect import collect
from lungseg.core.fingerprint import digest_of_file
from lungseg.flow import COMMANDS
from lungseg.io.dicom.write import SeriesHeader, write_series
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.resample import labels_to_grid
from lungseg.phantom.small_chest import chest
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import open_session

# Coarse, without the lung nets, and a net of a handful of filters: what is tested is that
# everything fits together.
SETTINGS = [
    "resample.spacing_mm=4", "segment-lungs.second_opinion=never",
    "build-tables.crop_mm=384",
    "train.network=unet", "train.base_width=4", "train.depth=3", "train.epochs=2",
    "train.slices_per_epoch=8", "train.batch_size=4", "train.crop_px=0", "train.workers=0",
    "train.loss=bce_dice", "predict.part=all", "evaluate.part=all",
    "evaluate.bootstraps=100",
    "split-patients.validation_share=0.34", "split-patients.test_share=0.34",
]  # fmt: skip
# Of them what makes a scan quick.
QUICK = [word for setting in SETTINGS[:2] for word in ("--set", setting)]
PATIENTS = {"one": "1.2.826.1", "two": "1.2.826.2", "three": "1.2.826.3"}
# A second scan of patient two, which nobody annotated.
SECOND = "1.2.826.22"


def lungseg(*arguments, status=0):
    """Run a command; return what it printed on stdout."""
    done = CliRunner().invoke(main, [str(word) for word in arguments])
    told = f"{done.output}\n{done.exception!r}"
    assert done.exit_code == status, told
    return done.stdout


def settings():
    return [word for setting in SETTINGS for word in ("--set", setting)]


def phantom_of(patient):
    return chest((6.0, 4.0, 4.0), seed=list(PATIENTS).index(patient), nodules=("isolated",))


def list_nodules(path):
    """A plain list of the phantoms' nodules, as a user would write one."""
    lines = ["scan,x_mm,y_mm,z_mm,diameter_mm"]
    for patient, series in PATIENTS.items():
        nodule = phantom_of(patient).nodule
        centre = nodule.geometry.to_world(np.argwhere(nodule.array).mean(axis=0))
        diameter = (6 / np.pi * nodule.array.sum() * nodule.geometry.voxel_mm3) ** (1 / 3)
        lines.append(",".join([series, *(f"{mm:.2f}" for mm in centre), f"{diameter:.2f}"]))
    path.write_text("\n".join(lines) + "\n")


def write_scan(folder, patient, series, **nuisances):
    phantom = chest((6.0, 4.0, 4.0), **nuisances)
    header = SeriesHeader(patient=patient, study=f"{series}.9", series=series)
    return phantom, write_series(phantom.ct, folder, header)


@pytest.fixture(scope="module")
def work(preprocessed, tmp_path_factory):
    """A copy of the folder after `preprocess`, for the tests here to change."""
    folder = tmp_path_factory.mktemp("flow") / "work"
    shutil.copytree(preprocessed, folder)
    return folder


def test_the_json_summary_tells_every_scan_and_stage(work):
    again = json.loads(lungseg("preprocess", "--work", work, "--json", *settings()))
    assert [scan["patient"] for scan in again["scans"]] == list(PATIENTS)
    stages = again["scans"][0]["stages"]
    assert list(stages) == ["ingest", "resample", "segment-lungs", "annotate-nodules"]
    assert all(stage["state"] == "reused" for stage in stages.values())
    assert stages["annotate-nodules"]["facts"]["truth"] == "coordinates"
    assert stages["annotate-nodules"]["facts"]["nodules"] == 1
    assert stages["segment-lungs"]["facts"]["lung_ml"] > 2000
    assert stages["ingest"]["seconds"] > 0
    assert stages["ingest"]["error"] == ""


def test_rows_about_no_scan_and_rows_of_no_use_are_named_by_line(work, tmp_path):
    listed = tmp_path / "more.csv"
    list_nodules(listed)
    listed.write_text(listed.read_text() + "9.9.9,1,2,3,5\n1.2.826.1,1,2,3,-4\n")
    other = ["--set", f"annotate-nodules.coordinates={listed}"]
    told = CliRunner().invoke(
        main, ["preprocess", "--work", str(work), "--dry-run", *settings(), *other]
    )
    # What was tried dry is not remembered: see the next test, which finds everything reused.
    assert "more.csv, line 5: there is no scan 9.9.9 here (1 rows)" in told.stderr
    assert "line 6" in told.stderr


def test_a_dry_run_says_what_and_why_and_does_nothing(work):
    more = ["--set", "segment-lungs.method=slice2d", "--dry-run"]
    told = lungseg("preprocess", "--work", work, *settings(), *more)
    assert "resample          reuse        3" in told
    assert "segment-lungs     run          3  method volume3d -> slice2d" in told
    assert "annotate-nodules  run          3  input changed: segment-lungs" in told
    again = json.loads(lungseg("preprocess", "--work", work, "--json", *settings()))
    assert again["scans"][0]["stages"]["segment-lungs"]["state"] == "reused"


def test_the_rest_of_the_flow_gives_files_a_person_can_open(trained):
    """No command names the list of nodules again: where things are is remembered."""
    told = json.loads(lungseg("status", "--work", trained, "--json"))
    assert {s: a["do"] for s, a in told["dataset"].items()} == dict.fromkeys(
        ["build-tables", "split-patients", "train", "evaluate"], "reuse"
    )
    (model,) = trained.glob("dataset/train/*/model.keras")
    assert model.stat().st_size > 1000
    (log,) = trained.glob("dataset/train/*/log.csv")
    assert len(log.read_text().splitlines()) == 3
    (scores,) = trained.glob("dataset/evaluate/*/scores.json")
    found = json.loads(scores.read_text())
    assert (found["scans"], found["nodules"]) == (3, 3)
    assert found["includes_training_patients"]
    assert found["truth"] == {"coordinates": 3}
    assert json.loads(lungseg("verify", "--work", trained, "--json"))["faults"] == []


def test_training_patients_are_not_scored_unless_asked(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "work", symlinks=True)
    refused = ["--set", "evaluate.allow_training=false"]
    told = lungseg("postprocess", "--work", tmp_path / "work", *refused, "--jobs", 1, status=1)
    assert "allow_training" in told


def test_peek_writes_sheets_of_what_the_net_sees(work, tmp_path):
    lungseg("build-tables", "--work", work, *settings(), "--jobs", 1, "--quiet")
    told = lungseg("peek", "two", "--out", tmp_path, "--work", work, *settings())
    assert [str(path) for path in tmp_path.glob("*.png")] == told.split()


def test_prune_removes_what_the_settings_do_not_use_and_nothing_else(work, tmp_path):
    copy = tmp_path / "work"
    shutil.copytree(work, copy)
    other = ["--set", "segment-lungs.method=slice2d"]
    lungseg("preprocess", "--work", copy, "--quiet", "--jobs", 1, "--scan", "one", *other)
    lungseg("params", "--work", copy, "--reset", "segment-lungs")
    assert len(list(copy.glob("scans/1.2.826.1/segment-lungs/*/stage.json"))) == 2
    named = lungseg("prune", "--work", copy, *settings())
    assert len(list(copy.glob("scans/1.2.826.1/segment-lungs/*/stage.json"))) == 2
    assert "would be freed" in named
    lungseg("prune", "--yes", "--work", copy, *settings())
    assert len(list(copy.glob("scans/1.2.826.1/segment-lungs/*/stage.json"))) == 1
    again = json.loads(lungseg("preprocess", "--work", copy, "--json", "--quiet", *settings()))
    assert {stage["state"] for scan in again["scans"] for stage in scan["stages"].values()} == {
        "reused"
    }


@pytest.mark.parametrize(
    ("what", "name"), [("ct", "a.nii.gz"), ("lungs", "b.nrrd"), ("ct", "c.mha")]
)
def test_an_exported_volume_lies_where_the_scan_lies(work, tmp_path, what, name):
    import SimpleITK

    out = tmp_path / name
    lungseg("export", "--scan", "one", "--what", what, "--out", out, "--work", work, *settings())
    image = SimpleITK.ReadImage(str(out))
    phantom = phantom_of("one")
    assert image.GetOrigin() == pytest.approx(phantom.ct.geometry.origin_xyz_mm, abs=1e-3)
    assert image.GetSpacing() == pytest.approx(phantom.ct.spacing_mm[::-1], abs=1e-4)
    array = SimpleITK.GetArrayFromImage(image)
    if what == "ct":
        np.testing.assert_array_equal(array, phantom.ct.array)
    else:
        both = np.count_nonzero((array > 0) & (phantom.lungs.array > 0))
        dice = 2 * both / (np.count_nonzero(array) + np.count_nonzero(phantom.lungs.array))
        assert dice > 0.9


def test_an_export_of_what_is_not_there_says_how_to_make_it(work, tmp_path):
    scan = ["--scan", "one", "--out", tmp_path / "a.nrrd", "--work", work]
    change = ["--set", "segment-lungs.rim_mm=2"]
    told = CliRunner().invoke(main, ["export", "--what", "nodules", *change, *map(str, scan)])
    assert told.exit_code == 1
    assert "`lungseg-cli run annotate-nodules` makes it" in told.output


def test_an_export_to_an_unknown_format_is_a_usage_error(work, tmp_path):
    scan = ["--scan", "one", "--out", str(tmp_path / "a.png"), "--work", str(work)]
    told = CliRunner().invoke(main, ["export", "--what", "ct", *scan])
    assert told.exit_code == 2
    assert "expected a name that ends in .nii.gz" in told.output


def test_verify_names_the_one_damaged_file(work, tmp_path):
    copy = tmp_path / "work"
    shutil.copytree(work, copy)
    (victim,) = copy.glob("scans/1.2.826.2/resample/*/ct.h5")
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 255
    victim.write_bytes(data)
    told = json.loads(lungseg("verify", "--work", copy, "--json", status=1))
    assert told["faults"] == [f"{victim}: its digest is not what its record says"]
    victim.unlink()
    assert f"{victim}: missing" in lungseg("verify", "--work", copy, status=1)


def test_a_stage_runs_twice_to_equal_arrays_and_leaves_its_inputs_alone(work, tmp_path):
    fresh = tmp_path / "fresh"
    (tree,) = json.loads((work / "sources.json").read_text())["roots"]
    files = (p for stage in COMMANDS["preprocess"] for p in work.glob(f"scans/*/{stage}/*/*.h5"))
    before = {p: digest_of_file(p) for p in files}
    assert len(before) == 21
    fresh.mkdir()
    shutil.copy(work / "settings.toml", fresh)
    lungseg("preprocess", "--src", tree, "--work", fresh, "--jobs", 2, "--quiet", *settings())
    for path, digest in before.items():
        assert digest_of_file(path) == digest
        twin = fresh / path.relative_to(work)
        np.testing.assert_array_equal(volume_file.read(twin).array, volume_file.read(path).array)


def test_pictures_are_written_for_every_scan(work):
    told = lungseg("preprocess", "--work", work, "--pictures", "--quiet", *settings())
    pictures = sorted(work.glob("results/pictures/*.png"))
    assert [path.stem for path in pictures] == sorted(PATIENTS)
    assert all(f"picture  {path}" in told for path in pictures)


def test_a_mixed_tree_ends_with_the_good_scan_done_and_all_others_named(tmp_path):
    src = tmp_path / "src"
    _, good = write_scan(src, "good", "1.2.826.10", nodules=())
    shutil.copy(good[3], good[3].with_name("copy.dcm"))
    (good[4].with_name("broken.dcm")).write_bytes(good[4].read_bytes()[:-3000])
    _, two = write_scan(src, "two-slices", "1.2.826.11", nodules=())
    for path in two[2:]:
        path.unlink()
    _, cut = write_scan(src, "cut-off", "1.2.826.12", nodules=())
    cut[7].write_bytes(cut[7].read_bytes()[:-3000])
    (src / "notes.dcm").write_text("not DICOM at all")
    _, film = write_scan(src, "film", "1.2.826.13", nodules=())
    import pydicom

    for path in film:
        dataset = pydicom.dcmread(path)
        dataset.Modality = "DX"
        dataset.save_as(path)
    told = lungseg("preprocess", "--src", src, "--work", tmp_path / "w", "--json", "--jobs", 1,
                   *QUICK, status=1)  # fmt: skip
    summary = json.loads(told)
    assert summary["expected"] == summary["done"] + summary["failed"] + summary["skipped"] == 5
    assert (summary["done"], summary["failed"], summary["skipped"]) == (1, 2, 2)
    states = {scan["patient"]: scan["state"] for scan in summary["scans"]}
    assert states == {"good": "done", "two-slices": "failed", "cut-off": "failed"}
    errors = {s["patient"]: s["stages"]["ingest"]["error"] for s in summary["scans"]}
    assert "2 slices" in errors["two-slices"]
    assert cut[7].name in errors["cut-off"]
    reasons = {item["id"] or item["path"]: item["reason"] for item in summary["left_out"]}
    assert "DX" in reasons["1.2.826.13"]
    assert any(path.endswith("notes.dcm") for path in reasons)
    # The report counts as the screen does; where scans are named, nothing else is told.
    count = collect(open_session(tmp_path / "w", CommandOptions())).count.as_dict()
    assert count == {**{name: summary[name] for name in count if name != "not_done"}, "not_done": 0}
    told = lungseg("preprocess", "--work", tmp_path / "w", "--scan", "good", "--jobs", 1)
    assert "\n1 expected = 1 done + 0 failed + 0 skipped; " in told
    assert "notes.dcm" not in told
    note = "note     good 1.2.826.10\n         ingest: a copy of a slice, equal in every pixel, is "
    assert note in told
    assert "intact ones are used: truncated: " in told
    assert "broken.dcm holds " in told


def test_a_mirrored_scan_has_the_mirrored_lungs(tmp_path):
    """The whole way from files: flipped storage order must not swap right and left."""
    masks = []
    for flip in ("", "zyx"):
        src, out = tmp_path / f"src{flip}", tmp_path / f"w{flip}"
        phantom, _ = write_scan(src, "p", "1.2.826.20", nodules=(), flip=flip)
        lungseg("run", "segment-lungs", "--src", src, "--work", out, "--jobs", 1, "--quiet",
                *QUICK)  # fmt: skip
        (path,) = out.glob("scans/*/segment-lungs/*/lungs.h5")
        truth = phantom.lungs
        back = labels_to_grid(volume_file.read(path), truth.shape, truth.geometry)
        for side in (1, 2):
            both = np.count_nonzero((back.array == side) & (truth.array == side))
            total = np.count_nonzero(back.array == side) + np.count_nonzero(truth.array == side)
            assert 2 * both / total > 0.88, f"side {side}, flip {flip!r}"
        masks.append(back.array.sum())
    assert masks[0] == pytest.approx(masks[1], rel=0.02)
