"""Build tables: the stage, on scans as the stages before leave them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.core.stage import DatasetInputs
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import ARRAYS, decoded
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.crop import cut
from lungseg.stages import build_tables
from lungseg.stages.build_tables import BuildTables, run
from lungseg.volume import Geometry
from tests.io.tables.table_rows import rows_of
from tests.stages.cached_scan import GEOMETRY, LUNGS, cached_scan
from tests.steps.test_picture_table import ROUND, grey, two_folders

PARAMS = BuildTables(crop_mm=64)
CORNER = (-2, 9)
SMALL = (4, 4, slice(4, 6), slice(20, 24), slice(30, 35))
FAINT = (2, 1, slice(5, 8), slice(40, 42), slice(60, 62))


def inputs_of(*scans, previous=None):
    return DatasetInputs(scans=dict(scans), stages={}, previous=previous)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    return {
        "1.1": cached_scan(folder, "1.1", nodules={1: SMALL, 2: FAINT}),
        "1.2": cached_scan(folder, "1.2", truth="none", patient="Q"),
        "1.3": cached_scan(folder, "1.3", truth="unannotated", verdict="suspect", patient="Q"),
    }


def built(scans, out, params=PARAMS, **more):
    out.mkdir(exist_ok=True)
    facts = run(params, inputs_of(*scans.items(), **more), out)
    return facts, Tables(out / "tables.h5")


def same_content(one, two):
    for name in ARRAYS:
        np.testing.assert_array_equal(
            one.read(name, range(len(one))), two.read(name, range(len(two)))
        )
    for name in ("slices", "scans", "nodules"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_rows_are_the_cropped_slices_of_each_scan(scans, tmp_path):
    facts, table = built(scans, tmp_path)
    assert facts == {
        "scans": 3, "patients": 2, "rows": 21, "nodule_rows": 4, "target_rows": 2, "nodules": 2,
        "taken_over": 0, "left_out": 0, "size": 64,
    }  # fmt: skip
    for scan, folders in scans.items():
        rows = rows_of(table, scan)
        assert table.slices["z_index"][rows].tolist() == list(range(2, 9))
        assert table.slices["z_mm"][rows].tolist() == [-98.0 + k for k in range(7)]
        for name, file, fill in (
            ("image", folders["resample"] / "ct.h5", -1024),
            ("lungs", folders["segment-lungs"] / "lungs.h5", 0),
            ("votes", folders["annotate-nodules"] / "votes.h5", 0),
            ("nodule", folders["annotate-nodules"] / "nodules.h5", 0),
        ):
            whole = volume_file.read(file).array
            np.testing.assert_array_equal(table.read(name, rows), cut(whole[2:9], CORNER, 64, fill))
            # Nothing of the masks is lost.
            assert name == "image" or np.count_nonzero(table.read(name, rows)) == np.count_nonzero(
                whole
            )
    table.close()


def test_the_air_around_the_grid_is_air(scans, tmp_path):
    _, table = built(scans, tmp_path)
    with table:
        assert (table.images([0])[0, 0, :2] == -1024).all()


def test_records_hold_areas_and_where_the_crop_lies(scans, tmp_path):
    _, table = built(scans, tmp_path)
    with table:
        of_scan, slices = table.scans[0], table.slices
        assert of_scan["crop_zyx"].tolist() == [0, *CORNER]
        assert of_scan["shape_zyx"].tolist() == [10, 70, 80]
        assert of_scan["origin_xyz_mm"].tolist() == list(GEOMETRY.origin_xyz_mm)
        assert decoded(table.scans["patient"]) == ["P-1.1", "Q", "Q"]
        assert decoded(table.scans["truth"]) == ["contours", "none", "unannotated"]
        assert decoded(table.scans["verdict"]) == ["good", "good", "suspect"]
        assert table.scans["nodules"].tolist() == [2, 0, 0]
        assert (slices["lung_mm2"] == 40 * 58).all()
        assert slices["nodule_mm2_1"][:7].tolist() == [0, 0, 20, 24, 4, 4, 0]
        assert slices["nodule_mm2_4"][:7].tolist() == [0, 0, 20, 20, 0, 0, 0]
        assert slices["target_mm2"][:7].tolist() == [0, 0, 20, 20, 0, 0, 0]
        assert not slices["nodule_mm2_1"][7:].any()
        assert table.readers(0) == {1: 4, 2: 2}
        assert table.nodules["voxels"].tolist() == [40, 12]
        assert table.attributes["kind"] == "ct"
        assert json.loads(table.attributes["params"])["crop_mm"] == 64
        assert table.attributes["spacing_mm"].tolist() == [1, 1, 1]


def test_areas_are_mm2_on_coarser_voxels(tmp_path):
    geometry = Geometry((2.0, 0.5, 0.5))
    scan = cached_scan(tmp_path, "1.1", nodules={1: SMALL}, geometry=geometry)
    facts, table = built({"1.1": scan}, tmp_path / "out", BuildTables(crop_mm=32))
    with table:
        assert facts["size"] == 64
        assert table.slices["lung_mm2"][0] == 40 * 58 / 4
        assert table.slices["nodule_mm2_4"][2] == 5
        assert table.slices["z_mm"][:2].tolist() == [4, 6]


def test_the_consensus_of_the_target_is_a_setting(scans, tmp_path):
    facts, table = built(scans, tmp_path, replace(PARAMS, min_readers=2, consensus_level=0.5))
    table.close()
    assert facts["target_rows"] == 4
    facts, table = built(scans, tmp_path / "b", replace(PARAMS, min_readers=2, consensus_level=0.6))
    table.close()
    assert facts["target_rows"] == 2


@pytest.mark.parametrize(("every", "rows"), [(1, 7), (2, 6), (3, 5), (9, 5)])
def test_nodule_slices_and_every_nth_other(scans, tmp_path, every, rows):
    params = replace(PARAMS, slices="nodule", every=every)
    facts, table = built({"1.1": scans["1.1"]}, tmp_path, params)
    with table:
        assert facts["rows"] == rows
        assert facts["nodule_rows"] == 4


@pytest.mark.parametrize(
    ("setting", "left", "kept"),
    [
        ({"unannotated": False}, 1, ["1.1", "1.2"]),
        ({"leave_out_suspect": True}, 1, ["1.1", "1.2"]),
        ({}, 0, ["1.1", "1.2", "1.3"]),
    ],
)
def test_scans_are_left_out_by_setting(scans, tmp_path, setting, left, kept):
    facts, table = built(scans, tmp_path, replace(PARAMS, **setting))
    with table:
        assert decoded(table.scans["scan"]) == kept
    assert facts["left_out"] == left


def test_a_data_set_with_every_scan_left_out_is_refused(scans, tmp_path):
    with pytest.raises(DataError, match="no scan to tabulate: 1 of 1 are left out by the settings"):
        built({"1.3": scans["1.3"]}, tmp_path, replace(PARAMS, unannotated=False))


def test_misfits_are_all_named_with_the_size_they_need(scans, tmp_path):
    wide = (slice(2, 9), slice(10, 50), slice(2, 79))
    aside = (3, 3, slice(4, 5), slice(20, 21), slice(75, 76))
    more = {
        "2.1": cached_scan(tmp_path, "2.1", lungs=wide),
        "2.2": cached_scan(tmp_path, "2.2", nodules={1: aside}),
        "2.3": cached_scan(tmp_path, "2.3", lungs=(slice(0, 0), slice(0, 0), slice(0, 0))),
    }
    message = (
        r"3 scans do not fit into the crop of 64 x 64 voxels \(2\.1: the lungs needs 96 x 96 .*"
        r"2\.2: a nodule needs 96 x 96 .*2\.3: the lung mask is empty.*crop_mm to 96 or more"
    )
    with pytest.raises(DataError, match=message):
        built(scans | more, tmp_path / "out")
    with pytest.raises(DataError, match="was never finished"):
        len(Tables(tmp_path / "out" / "tables.h5"))
    facts, table = built(scans | more, tmp_path / "b", replace(PARAMS, leave_out_misfits=True))
    with table:
        assert decoded(table.scans["scan"]) == ["1.1", "1.2", "1.3"]
    assert facts["left_out"] == 3
    del more["2.3"]
    facts, table = built(scans | more, tmp_path / "c", BuildTables(crop_mm=96))
    with table:
        rows = rows_of(table, "2.2")
        assert np.count_nonzero(table.read("nodule", rows)) == 1
        assert table.slices["nodule_mm2_3"][rows].sum() == 1


def test_a_data_set_of_misfits_only_is_refused(scans, tmp_path):
    empty = (slice(0, 0), slice(0, 0), slice(0, 0))
    scan = cached_scan(tmp_path, "2.3", lungs=empty)
    with pytest.raises(
        DataError, match=r"1 scan does not fit .*look at their lung masks, or leave"
    ):
        built({"2.3": scan}, tmp_path / "out", replace(PARAMS, leave_out_misfits=True))


def test_scans_of_two_spacings_are_refused(scans, tmp_path):
    other = cached_scan(tmp_path, "2.1", geometry=Geometry((2.0, 2.0, 2.0)))
    with pytest.raises(DataError, match=r"2\.1 has voxels of \(2\.0, 2\.0, 2\.0\) mm and 1\.1 of"):
        built(scans | {"2.1": other}, tmp_path / "out")


def test_voxels_that_are_not_square_are_refused(tmp_path):
    scan = cached_scan(tmp_path, "2.1", geometry=Geometry((1.0, 1.0, 2.0)))
    with pytest.raises(DataError, match="are not square in the slice"):
        built({"2.1": scan}, tmp_path / "out")


def test_inputs_on_two_grids_are_refused(scans, tmp_path):
    scan = dict(cached_scan(tmp_path, "2.1"))
    scan["resample"] = cached_scan(tmp_path, "2.2", shape=(11, 70, 80))["resample"]
    with pytest.raises(DataError, match=r"2\.1: CT \(11, 70, 80\), lungs .* are not on one grid"):
        built({"2.1": scan}, tmp_path / "out")


def test_appending_writes_only_what_is_new_and_equals_a_new_build_but_for_order(
    scans, tmp_path, monkeypatch
):
    two = {scan: scans[scan] for scan in ("1.1", "1.3")}
    facts, table = built(two, tmp_path / "old")
    table.close()
    before = (tmp_path / "old" / "tables.h5").read_bytes()
    read = []
    original = build_tables._tabulate
    monkeypatch.setattr(
        build_tables, "_tabulate", lambda s, *a, **k: read.append(s.scan) or original(s, *a, **k)
    )
    facts, table = built(scans, tmp_path / "new", previous=tmp_path / "old")
    assert read == ["1.2"]
    assert facts["taken_over"] == 2
    assert (facts["scans"], facts["rows"]) == (3, 21)
    assert (tmp_path / "old" / "tables.h5").read_bytes() == before
    _, anew = built(scans, tmp_path / "anew")
    with table, anew:
        assert decoded(table.scans["scan"]) == ["1.1", "1.3", "1.2"]
        for scan in scans:
            for name in ARRAYS:
                np.testing.assert_array_equal(
                    table.read(name, rows_of(table, scan)), anew.read(name, rows_of(anew, scan))
                )
        assert table.attributes["fingerprint"] == anew.attributes["fingerprint"]


@pytest.mark.parametrize("why", ["gone", "changed", "damaged", "absent"])
def test_an_older_file_of_other_scans_is_not_built_on(scans, tmp_path, why):
    old = {scan: scans[scan] for scan in ("1.1", "1.3")}
    _, table = built(old, tmp_path / "old")
    table.close()
    wanted = dict(scans)
    if why == "gone":
        del wanted["1.3"]
    elif why == "changed":
        wanted["1.3"] = cached_scan(tmp_path, "1.3", fingerprint=" again", patient="Q")
    elif why == "damaged":
        (tmp_path / "old" / "tables.h5").write_bytes(b"cut off")
    else:
        (tmp_path / "old" / "tables.h5").unlink()
    facts, table = built(wanted, tmp_path / "new", previous=tmp_path / "old")
    assert facts["taken_over"] == 0
    _, anew = built(wanted, tmp_path / "anew")
    with table, anew:
        same_content(table, anew)


def test_nothing_new_is_still_a_whole_file(scans, tmp_path):
    _, old = built(scans, tmp_path / "old")
    facts, table = built(scans, tmp_path / "new", previous=tmp_path / "old")
    with table, old:
        assert facts["taken_over"] == 3
        same_content(table, old)


def test_an_id_too_long_for_the_tables_is_named(tmp_path):
    scan = cached_scan(tmp_path, "2.1", patient="ü" * 40)
    with pytest.raises(DataError, match=r"patient id 'ü+' takes 80 bytes"):
        built({"2.1": scan}, tmp_path / "out")


def test_pictures_take_the_place_of_scans(tmp_path):
    folders = two_folders(tmp_path, a=(grey(), ROUND), b=(grey(), ROUND))
    params = BuildTables(images=str(folders[0]), masks=str(folders[1]), picture_px=64)
    facts, table = built({}, tmp_path / "out", params)
    with table:
        assert facts["scans"] == len(table) == 2
        assert json.loads(table.attributes["params"])["picture_px"] == 64


def test_pictures_without_masks(tmp_path):
    with pytest.raises(DataError, match=r"both build-tables\.images and build-tables\.masks"):
        built({}, tmp_path / "out", BuildTables(images=str(tmp_path)))


def test_the_lungs_box_is_in_the_middle(scans, tmp_path):
    _, table = built(scans, tmp_path)
    with table:
        box = np.argwhere(table.read("lungs", [0])[0])
        low, high = box.min(axis=0), box.max(axis=0) + 1
        assert abs(low + high - 64).max() <= 1
        assert (high - low).tolist() == [40, LUNGS[2].stop - LUNGS[2].start]
