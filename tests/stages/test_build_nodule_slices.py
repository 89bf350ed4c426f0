"""Build tables of nodule slices: beside whole scans, alone, and of both layouts."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.core.errors import DataError
from lungseg.core.stage import DatasetInputs
from lungseg.io.annotations.nodule_slices import find_nodule_slices
from lungseg.io.tables.reader import Tables, inconsistencies
from lungseg.io.tables.schema import UNKNOWN_HU, decoded
from lungseg.ops.nodules.consensus import agreed
from lungseg.stages import split_patients
from lungseg.stages.build_tables import BuildTables, run
from tests.hard_cases import hard
from tests.io.annotations.slices_folder import (
    SERIES,
    disc,
    nodule,
    stretched_tree,
    write_slices,
)
from tests.io.tables.table_rows import rows_of
from tests.stages.cached_scan import cached_scan

THREE = [disc(), disc(), disc(radius=3.0)]


def built(out, params, scans=None, **more):
    out.mkdir(exist_ok=True)
    facts = run(params, DatasetInputs(scans=scans or {}, stages={}, **more), out)
    assert inconsistencies(out / "tables.h5") == []
    return facts, Tables(out / "tables.h5")


def alone(folder, **changes):
    return BuildTables(nodule_slices=str(folder), **changes)


@pytest.fixture
def folder(tmp_path):
    """Two nodules that overlap, one of the same series elsewhere, and one of another patient."""
    return write_slices(
        tmp_path / "slices",
        nodule(THREE),
        nodule(nodule="2", row0=110, column0=190, z_mm=[12.0, 14.0, 16.0]),
        nodule(nodule="3", row0=300),
        nodule(nodule="1", patient="P2", series="1.9"),
    )


def test_each_group_of_windows_is_a_scan_of_the_table(folder, tmp_path):
    facts, table = built(tmp_path / "out", alone(folder))
    with table:
        assert facts == {
            "scans": 3, "patients": 2, "rows": 7 + 5 + 5, "nodule_rows": 17, "target_rows": 6,
            "nodules": 4, "taken_over": 0, "left_out": 0, "size": 64, "windows": 3,
        }  # fmt: skip
        scans = table.scans
        assert decoded(scans["scan"]) == [f"{SERIES}#1", f"{SERIES}#3", "1.9"]
        assert decoded(scans["patient"]) == ["P1", "P1", "P2"]
        assert set(decoded(scans["truth"])) == {"contours"}
        assert set(decoded(scans["verdict"])) == {"none"}
        assert np.isnan(scans["origin_xyz_mm"][0]).tolist() == [True, True, False]
        assert table.attributes["kind"] == "ct"
        assert table.attributes["spacing_mm"].tolist() == [1, 1, 1]
        of_first = table.slices[rows_of(table, f"{SERIES}#1")]
        assert of_first["z_mm"].tolist() == [10, 11, 12, 13, 14, 15, 16]
        assert of_first["z_index"].tolist() == list(range(7))
        assert table.neighbours([0, 3], 1).tolist() == [[0, 0, 1], [2, 3, 4]]


def test_outside_the_windows_is_unknown_and_inside_all_counts_as_lung(folder, tmp_path):
    _, table = built(tmp_path / "out", alone(folder))
    with table:
        images, lungs = table.read("image", range(len(table))), table.read("lungs", range(17))
        unknown = images == UNKNOWN_HU
        np.testing.assert_array_equal(lungs, (~unknown).astype(np.uint8))
        assert not table.read("votes", range(17))[unknown].any()
        # A window of 24 pixels of 1 mm, its middle in the middle of the square.
        assert (~unknown[-1]).sum() == 24 * 24
        assert (~unknown[-1])[20:44, 20:44].all()
        assert set(np.unique(images[-1][~unknown[-1]])) == {-500, 0}
        assert table.slices["lung_mm2"][-1] == 24 * 24


def test_nodules_have_readers_labels_and_the_size_that_was_drawn(folder, tmp_path):
    _, table = built(tmp_path / "out", alone(folder))
    with table:
        assert table.readers(0) == {1: 3, 2: 2}
        first = table.nodules[0]
        area = int(disc()[0].sum())
        # Five rows from its first slice to its last, and half of the next on the way to a slice
        # that the other window shows and on which nobody drew it; but for what that one leaves.
        assert 5 * area < first["voxels"] <= 5.5 * area
        # Its three slices of 2 mm are 6 mm.
        assert first["diameter_mm"] == pytest.approx((6 / np.pi * 6 * area) ** (1 / 3))
        x, y, z = first["centroid_xyz_mm"]
        assert np.isnan([x, y]).all()
        assert z == pytest.approx(12, abs=0.2)
        votes, labels = table.read("votes", [2])[0], table.read("nodule", [2])[0]
        assert set(np.unique(labels)) == {0, 1, 2}
        assert votes[labels == 1].max() == 3
        assert votes[labels == 2].max() == 2


def test_one_slice_tells_no_thickness_and_is_taken_for_the_middle_of_a_ball(tmp_path):
    one = nodule([disc(1), disc(1)], z_mm=[-70.5])
    _, table = built(tmp_path / "out", alone(write_slices(tmp_path / "s", one)))
    with table:
        assert table.slices["z_mm"].tolist() == [-70.5]
        assert table.nodules["diameter_mm"][0] == pytest.approx(10, rel=0.02)


def test_scans_and_slices_stand_in_one_table_and_in_one_split_by_patient(folder, tmp_path):
    scans = {
        SERIES: cached_scan(tmp_path / "a", SERIES, patient="P1"),
        "1.9": cached_scan(tmp_path / "b", "1.9", patient="P2"),
    }
    params = alone(folder, crop_mm=96)
    facts, table = built(tmp_path / "build-tables", params, scans)
    with table:
        assert (facts["scans"], facts["patients"], facts["size"]) == (5, 2, 96)
        ids = decoded(table.scans["scan"])
        assert ids == [SERIES, "1.9", f"{SERIES}#1", f"{SERIES}#3", "1.9#1"]
        assert (table.read("image", rows_of(table, SERIES)) != UNKNOWN_HU).all()
    out = tmp_path / "split"
    out.mkdir()
    inputs = DatasetInputs(scans={}, stages={"build-tables": tmp_path / "build-tables"})
    split_patients.run(
        split_patients.SplitPatients(test_share=0.5, validation_share=0), inputs, out
    )
    parts = json.loads((out / "split.json").read_text())["scans"]
    assert len({parts[name] for name in (SERIES, f"{SERIES}#1", f"{SERIES}#3")}) == 1
    assert parts["1.9"] == parts["1.9#1"] != parts[SERIES]


def test_windows_that_do_not_fit_beside_scans_name_the_size_they_need(folder, tmp_path):
    scans = {
        "1.5": cached_scan(tmp_path / "b", "1.5", lungs=(slice(2, 9), slice(10, 30), slice(12, 40)))
    }
    with pytest.raises(DataError, match=r"#1: the window needs 64 x 64 .*crop_mm to 64 or more"):
        built(tmp_path / "out", alone(folder, crop_mm=32), scans)
    left = alone(folder, crop_mm=32, leave_out_misfits=True)
    facts, table = built(tmp_path / "left", left, scans)
    table.close()
    assert (facts["left_out"], facts["scans"]) == (1, 3)


def test_windows_are_clipped_as_the_scans_beside_them_are(folder, tmp_path):
    bright = write_slices(tmp_path / "bright", nodule(hu_offset=0))
    _, table = built(tmp_path / "out", alone(bright))
    with table:
        images = table.read("image", range(5))
        assert images.max() == 400
        assert images[images != UNKNOWN_HU].min() == 400


def test_bad_nodules_are_named_and_the_others_go_on(tmp_path):
    bad = nodule(nodule="7", hu_slope=float("nan"))
    other = nodule(nodule="8", pixel_mm=0.6)
    folder = write_slices(tmp_path / "s", nodule(), bad, other)
    facts, table = built(tmp_path / "out", alone(folder))
    table.close()
    assert (facts["left_out"], facts["nodules"]) == (2, 1)
    assert "P1 nodule 7: " in facts["left_out_names"]
    assert "slices.csv line 5: hu_slope is 'nan'" in facts["left_out_names"]
    assert "P1 nodule 8: its series" in facts["left_out_names"]
    with pytest.raises(DataError, match=r"no nodule in .* can be read: P1 nodule 7"):
        built(tmp_path / "none", alone(write_slices(tmp_path / "t", bad)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no nodule slices: there is neither slices"):
        built(tmp_path / "no", alone(tmp_path / "empty"))


def test_stretched_slices_are_refused_as_no_hu_unless_they_are_taken_for_what_they_are(tmp_path):
    folder = stretched_tree(tmp_path / "kaggle", {0: THREE, 1: [disc(2), disc(2)]})
    params = alone(folder)
    with pytest.raises(DataError, match="its grey values are stretched slice by slice") as refused:
        built(tmp_path / "no", params)
    assert "set build-tables.stretched_slices=true" in refused.value.advised("build-tables")
    taken = replace(params, stretched_slices=True, stretched_pixel_mm=1.0, stretched_gap_mm=2.0)
    facts, table = built(tmp_path / "out", taken)
    with table:
        assert (facts["scans"], facts["patients"], facts["rows"]) == (2, 1, 5 + 3)
        assert decoded(table.scans["scan"]) == ["LIDC-IDRI-0001#0", "LIDC-IDRI-0001#1"]
        middle = table.read("image", range(5))[:, 32 // 2, 32 // 2]
        assert middle.tolist() == [-1000, -998, -995, -992, -989]
        assert table.readers(0) == {1: 3}


def test_a_table_is_built_on_an_older_one_only_if_its_rows_are_made_alike(folder, tmp_path):
    scan = {"1.5": cached_scan(tmp_path / "b", "1.5")}
    _, table = built(tmp_path / "old", alone(folder))
    table.close()
    # The same squares of 64, and a scan that comes late.
    params = alone(folder, crop_mm=64)
    facts, table = built(tmp_path / "new", params, scan, previous=tmp_path / "old")
    table.close()
    assert (facts["taken_over"], facts["scans"]) == (3, 4)
    larger = replace(params, crop_mm=96)
    facts, table = built(tmp_path / "other", larger, scan, previous=tmp_path / "old")
    table.close()
    assert (facts["taken_over"], facts["scans"], facts["size"]) == (0, 4, 96)


def test_the_commands_need_no_scans_beside_nodule_slices(folder, tmp_path):
    work = tmp_path / "work"
    words = ["build-tables", "--work", str(work), "--set", f"build-tables.nodule_slices={folder}"]
    words += ["--set", "split-patients.validation_share=0"]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "windows 3" in done.output
    seen = CliRunner().invoke(main, ["peek", "P1", "--work", str(work)], catch_exceptions=False)
    assert seen.exit_code == 0, seen.output


def test_a_setting_that_only_chooses_slices_trains_no_net_anew():
    from lungseg.steps.learnt_rows import WHICH_SCANS

    names = [name for name in BuildTables.__dataclass_fields__ if "slices_" in name]
    names += [name for name in BuildTables.__dataclass_fields__ if "stretched" in name]
    assert set(names) | {"nodule_slices"} <= set(WHICH_SCANS)


@pytest.mark.data
@pytest.mark.parametrize(("every", "least"), [(100, 10), hard(12, 100)])
def test_real_nodules_keep_the_volume_that_their_annotators_agreed_on(data, tmp_path, every, least):
    source = data / "nodules"
    if not source.is_dir():
        pytest.skip(f"NO REAL NODULES: {source} is absent")
    lines = (source / "slices.csv").read_text().splitlines()
    patients = sorted({line.split(",")[0] for line in lines[1:]})[::every]
    folder = tmp_path / "nodules"
    folder.mkdir()
    kept = [line for line in lines[1:] if line.split(",")[0] in patients]
    (folder / "slices.csv").write_text("\n".join([lines[0], *kept]))
    for patient in patients:
        (folder / patient).symlink_to(source / patient)
    facts, table = built(tmp_path / "out", alone(folder))
    with table:
        assert facts["left_out"] == 0
        assert facts["nodules"] >= least
        assert (table.read("image", range(0, len(table), 9)) == UNKNOWN_HU).any()
        tabulated = {}
        for record in table.nodules:
            scan = table.scans["scan"][record["scan_row"]].decode()
            patient = table.scans["patient"][record["scan_row"]].decode()
            tabulated.setdefault((patient, scan.partition("#")[0]), []).append(record["voxels"])
    native = {}
    for entry in find_nodule_slices(folder).nodules:
        nodule = entry.read()
        area_mm2 = agreed(nodule.votes, len(nodule.masks)).sum(axis=(1, 2)) * nodule.pixel_mm**2
        gap = np.median(np.diff(nodule.z_mm)) if len(nodule.z_mm) > 1 else 1.0
        # Half a row reaches beyond the outermost slices; what they hold farther out has no row.
        low, high = nodule.z_mm[0] - 0.5, nodule.z_mm[-1] + 0.5
        thick = (nodule.z_mm + gap / 2).clip(None, high) - (nodule.z_mm - gap / 2).clip(low)
        native.setdefault((nodule.patient, nodule.series), []).append((area_mm2 * thick).sum())
    ratio = [sum(tabulated[key]) / sum(volumes) for key, volumes in native.items()]
    assert np.mean(ratio) == pytest.approx(1, abs=0.05)
    assert sum(map(sum, tabulated.values())) == pytest.approx(
        sum(map(sum, native.values())), rel=0.02
    )
