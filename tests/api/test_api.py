"""The Python API gives what the command line gives, array for array."""

import csv
import doctest
import importlib
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import lungseg
from lungseg.cli import main
from lungseg.core.store import Store
from lungseg.io.volumes import volume_file
from lungseg.io.volumes.formats import read_volume, write_volume
from lungseg.phantom.small_chest import chest
from tests.commands.bright_net import write_bright_net
from tests.model.toy_table import toy_scan, toy_table
from tests.test_flow import write_scan

STEP = (5.0, 3.0, 3.0)
MODULES = ["scans", "lungs", "detection", "scoring"]


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return write_bright_net(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """One scan as a file, turned and with padding, and one as a DICOM series."""
    src = tmp_path_factory.mktemp("scans")
    (src / "file").mkdir()
    # Short ones: they are put on a grid of 1 mm.
    short = {"flip": "xy", "nodules": ("isolated",), "seed": 1, "z_range_mm": (-30.0, 50.0)}
    padded = chest(STEP, padding_hu=-2000, **short)
    write_volume(padded.ct, src / "file" / "case7.nii.gz")
    write_scan(src / "series", "new", "1.2.826.41", z_range_mm=(20.0, 160.0))
    return src


@pytest.fixture(scope="module")
def by_commands(sources, net, tmp_path_factory):
    """Folder of what `detect` hands out, and the outputs of its stages by scan."""
    out = tmp_path_factory.mktemp("found")
    for command in (["detect", "--model", str(net), "--max-candidates", "30"], ["lungs"]):
        done = CliRunner().invoke(
            main, [*command, str(sources), "--out", str(out / command[0]), "--jobs", "1",
                   "--quiet", "--work", str(out / "work")]
        )  # fmt: skip
        assert done.exit_code == 0, done.output
    return out


def output(by_commands, stage, scan, name, **params):
    """A file of the one output of a stage on a scan with these parameters."""
    store = Store(by_commands / "work")
    found = [record for record in store.all(stage, scan) if params.items() <= record.params.items()]
    assert len(found) == 1
    return store.folder(stage, found[0].fingerprint, scan) / name


PLACES = {"case7": "file/case7.nii.gz", "1.2.826.41": "series"}
scans = pytest.mark.parametrize("scan", PLACES)


def same(volume, expected):
    assert volume.array.dtype == expected.array.dtype
    np.testing.assert_array_equal(volume.array, expected.array)
    np.testing.assert_allclose(volume.geometry.matrix, expected.geometry.matrix, atol=1e-6)
    np.testing.assert_allclose(
        volume.geometry.origin_xyz_mm, expected.geometry.origin_xyz_mm, atol=1e-4
    )


@scans
def test_a_scan_is_read_and_resampled_as_the_stages_do(by_commands, sources, scan):
    ct = lungseg.read_scan(sources / PLACES[scan])
    path = output(by_commands, "ingest", scan, "ct.h5")
    same(ct, volume_file.read(path))
    np.testing.assert_equal(ct.padding_hu, float(volume_file.read_attribute(path, "padding_hu")))
    assert (ct.scan, ct.patient) == (scan, "new" if scan == "1.2.826.41" else scan)
    even = lungseg.resample(ct, 4.0)
    made = output(by_commands, "resample", scan, "ct.h5", spacing_mm=4.0)
    same(even.ct, volume_file.read(made))
    view = made.with_name("field_of_view.h5")
    assert (even.field_of_view is not None) == view.exists() == (scan == "case7")
    if even.field_of_view is not None:
        same(even.field_of_view, volume_file.read_mask(view))


@scans
def test_lungs_are_those_of_the_command(by_commands, sources, scan):
    ct = lungseg.read_scan(sources / PLACES[scan])
    found = lungseg.find_lungs(ct)
    text = (by_commands / "lungs" / "lungs.csv").read_text(encoding="utf-8")
    (row,) = (row for row in csv.DictReader(text.splitlines()) if row["scan"] == scan)
    same(found.labels, read_volume(by_commands / "lungs" / row["file"]))
    assert (found.verdict, found.reasons) == (row["verdict"], row["reasons"])
    assert set(np.unique(found.labels.array)) == {0, 1, 2}
    for name in ("right_ml", "left_ml", "mean_hu", "p5_hu", "share_below_950"):
        assert float(found.facts[name]) == pytest.approx(float(row[name]), rel=1e-6), name


@scans
def test_candidates_and_masks_are_those_of_the_command(by_commands, sources, net, scan):
    ct = lungseg.read_scan(sources / PLACES[scan])
    found = lungseg.detect(ct, net, max_candidates=30)
    told = json.loads(output(by_commands, "write-detections", scan, "nodules.json").read_text())
    assert len(found.candidates) == len(told["candidates"]) > 0
    for one, row in zip(found.candidates, told["candidates"], strict=True):
        assert one.scan == scan
        assert (one.rank, list(one.voxel_zyx)) == (row["rank"], row["voxel_zyx"])
        assert one.mask_voxels == row["mask_voxels"]
        assert one.xyz_mm == pytest.approx(row["world_xyz_mm"], abs=1e-3)
        assert one.probability == pytest.approx(row["probability"], abs=1e-6)
        assert one.diameter_mm == pytest.approx(row["diameter_mm"], abs=1e-3)
        assert one.mean_hu == pytest.approx(row["mean_hu"], abs=0.2)
    masks = output(by_commands, "reduce-false-positives", scan, "nodules_source.h5")
    same(found.mask, volume_file.read(masks))
    stored = volume_file.read(output(by_commands, "predict", scan, "probability.h5"))
    np.testing.assert_array_equal(np.rint(found.probability.array * 65535), stored.array)
    assert (found.threshold, found.seen) == (told["threshold"], told["seen"])
    assert (found.seen == "train") == (scan == "1.2.826.41")
    assert found.net == net


def test_arrays_of_ones_own_need_no_files(net):
    phantom = chest(STEP, nodules=("isolated",), seed=1)
    ct = lungseg.Volume(phantom.ct.array, lungseg.Geometry(STEP, phantom.ct.geometry.origin_xyz_mm))
    found = lungseg.detect(ct, net)
    nodule = phantom.nodule
    truth = nodule.geometry.to_world(np.argwhere(nodule.array).mean(axis=0))
    away = [math.dist(one.xyz_mm, truth) for one in found.candidates]
    assert min(away) < 4
    assert found.seen == "no"


def test_a_folder_of_several_scans_names_them(sources):
    assert [one.scan for one in lungseg.find_scans(sources)] == ["1.2.826.41", "case7"]
    with pytest.raises(lungseg.ScanError, match=r"2 scans in .*; name one(.|\n)*41 \(new\)\n  cas"):
        lungseg.read_scan(sources)
    assert lungseg.read_scan(sources, "case7").scan == "case7"
    assert lungseg.read_scan(sources, "new").scan == "1.2.826.41"
    with pytest.raises(lungseg.ScanError, match=r"no scan case8 in .*\n  1.2.826.41 \(new\)\n"):
        lungseg.read_scan(sources, "case8")


def test_a_place_without_a_scan_and_a_mask_are_refused(tmp_path):
    with pytest.raises(lungseg.ScanError, match=r"there is nothing at .*absent"):
        lungseg.read_scan(tmp_path / "absent")
    (tmp_path / "photo.dcm").write_text("no scan")
    with pytest.raises(lungseg.ScanError, match=r"no scan in .*\n  .*photo\.dcm: "):
        lungseg.read_scan(tmp_path)
    write_volume(chest(STEP).lungs, tmp_path / "lungs.nrrd")
    with pytest.raises(lungseg.ScanError, match="a mask or labels, not CT"):
        lungseg.read_scan(tmp_path / "lungs.nrrd")


def test_what_is_no_hu_and_what_is_no_setting_is_refused():
    ct = chest(STEP).ct
    with pytest.raises(lungseg.ScanError, match="holds float64, not HU as int16"):
        lungseg.find_lungs(ct.like(ct.array.astype(float)))
    with pytest.raises(lungseg.ConfigError, match=r"no setting wall; there are method, .*wall_mm"):
        lungseg.find_lungs(ct, wall=3)
    with pytest.raises(lungseg.ConfigError, match="wall_mm must be"):
        lungseg.find_lungs(ct, wall_mm=-3.0)
    with pytest.raises(lungseg.ConfigError, match="there is no such file or folder"):
        lungseg.detect(ct, "absent")


def test_settings_reach_the_stage():
    ct = chest(STEP).ct
    tight = lungseg.find_lungs(ct, spacing_mm=3.0, rim_mm=0.0, second_opinion="never").labels
    wide = lungseg.find_lungs(ct, spacing_mm=3.0, rim_mm=2.0, second_opinion="never").labels
    assert np.count_nonzero(tight.array) < np.count_nonzero(wide.array)
    assert lungseg.resample(ct, 6.0, hu_high=0).ct.array.max() == 0


def test_a_table_is_read_by_its_file_and_by_the_folder_it_is_in(tmp_path):
    (tmp_path / "results").mkdir()
    toy_table(tmp_path / "results" / "tables.h5", toy_scan("a"))
    for place in (tmp_path, tmp_path / "results", tmp_path / "results" / "tables.h5"):
        with lungseg.read_table(place) as table:
            assert table.read("image", [0]).shape == (1, table.size, table.size)
    with pytest.raises(lungseg.DataError, match="does not exist"):
        lungseg.read_table(tmp_path / "results" / "others.h5")


LUNA16 = "seriesuid,coordX,coordY,coordZ,{}\n"
NODULES = LUNA16.format("diameter_mm") + "a,0,0,0,8\nb,10,0,0,6\n"
IGNORED = LUNA16.format("diameter_mm") + "a,50,0,0,-1\n"
CANDIDATES = LUNA16.format("probability") + (
    "a,3,0,0,0.9\na,-3.9,0,0,0.8\na,54.9,0,0,0.95\na,55.1,0,0,0.5\nb,14,0,0,0.7\n"
)


def test_candidates_are_scored_by_luna16s_rules(tmp_path):
    for name, text in (("nodules", NODULES), ("ignored", IGNORED), ("candidates", CANDIDATES)):
        (tmp_path / name).write_text(text)
    scores = lungseg.score_candidates(*(tmp_path / n for n in ("candidates", "nodules", "ignored")))
    assert (scores.scans, scores.nodules, scores.hits) == (2, 2, 1)
    assert (scores.false_positives, scores.ignored, scores.duplicates) == (2, 1, 1)
    # the hit is likelier than both false positives
    assert scores.cpm == 0.5
    assert list(scores.sensitivity_at.values()) == [0.5] * 7
    wider = lungseg.score_candidates(
        tmp_path / "candidates", tmp_path / "nodules", scans=["a", "b", "c", "d"], bootstraps=0
    )
    assert (wider.scans, wider.false_positives, wider.cpm_interval) == (4, 3, None)
    assert wider.curve.fp_per_scan[-1] == 3 / 4


def test_what_cannot_be_scored_is_said(tmp_path):
    (tmp_path / "rows.csv").write_text(NODULES + "c,0,0,zero,8\n")
    with pytest.raises(lungseg.DataError, match=r"1 of 3 rows cannot be used: rows\.csv, line 4"):
        lungseg.score_candidates([], tmp_path / "rows.csv")
    odd = lungseg.Detection("a", (1.0, 2.0, 3.0), probability=float("nan"), diameter_mm=6.0)
    with pytest.raises(lungseg.DataError, match=r"probability=nan.* is no finite number"):
        lungseg.score_candidates([odd], {"a": [((1.0, 2.0, 3.0), 8.0)]})
    with pytest.raises(lungseg.DataError, match="no nodule in 1 scan, so"):
        lungseg.score_candidates([], {"a": []})


def test_volumes_are_written_where_one_says(tmp_path):
    mask = chest(STEP).lungs
    lungseg.write_volume(mask, tmp_path / "lungs.mha")
    same(read_volume(tmp_path / "lungs.mha"), mask.like(mask.array.astype(np.uint8)))
    with pytest.raises(lungseg.ConfigError, match="the name tells no format"):
        lungseg.write_volume(mask, tmp_path / "lungs.png")


def test_importing_the_package_imports_nothing_heavy():
    told = subprocess.run(
        [sys.executable, "-c", "import sys, lungseg; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    heavy = {"numpy", "scipy", "keras", "tensorflow", "SimpleITK", "pydicom", "tables", "click"}
    assert heavy.isdisjoint(told)
    assert set(lungseg.__all__) <= set(dir(lungseg))
    assert [lungseg.__getattr__(name).__name__ for name in lungseg.__all__] == lungseg.__all__
    with pytest.raises(AttributeError, match="no attribute 'find_livers'"):
        _ = lungseg.find_livers


@pytest.mark.parametrize("name", MODULES)
def test_every_example_gives_what_it_says(name, net, tmp_path):
    (tmp_path / "out").mkdir()
    write_volume(chest(STEP).ct, tmp_path / "case7.nii.gz")
    toy_table(tmp_path / "out" / "tables.h5", toy_scan("a"))
    module = importlib.import_module(f"lungseg.api.{name}")
    names = {"folder": str(tmp_path), "model": net, "table": tmp_path / "out" / "tables.h5"}
    ran = doctest.testmod(module, extraglobs=names)
    assert ran.failed == 0, f"{ran.failed} of {ran.attempted} lines; the report is above"
    functions = [
        thing for thing in vars(module).values()
        if getattr(thing, "__module__", "") == module.__name__
        and getattr(lungseg.api, getattr(thing, "__name__", ""), None) is thing
        and not isinstance(thing, type)
    ]  # fmt: skip
    assert functions
    assert all(">>>" in (one.__doc__ or "") for one in functions)


@pytest.mark.data
@pytest.mark.hard
def test_a_real_scan_is_read_and_its_lungs_are_found(data):
    ct = lungseg.read_scan(data / "lungs" / "lctsc_case0_ct.nii.gz")
    truth = read_volume(data / "lungs" / "lctsc_case0_lungs.nii.gz").array > 0
    found = lungseg.find_lungs(ct)
    mask = found.labels.array > 0
    assert 2 * np.count_nonzero(mask & truth) / (mask.sum() + truth.sum()) > 0.95
    assert found.facts["mean_hu"] < -600
