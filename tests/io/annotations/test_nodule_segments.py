"""LIDC's truth in DICOM segmentations: the very pixels, nodules by tracking id, ratings by code."""

import dataclasses

import numpy as np
import pydicom
import pytest

from lungseg.core.errors import ConfigError, ScanError
from lungseg.io.annotations.nodule_segments import files_below, read_scan, told_of
from lungseg.io.standards import codes
from lungseg.ops.nodules.clusters import cluster
from lungseg.ops.nodules.contours import flipped, rasterise, slice_z_mm
from tests.io.annotations.segment_files import RATINGS, blob, write_report, write_segment
from tests.io.dicom.dicom_files import positions, write_series
from tests.io.standards.test_segmentation import HEADER, STORED, scan_in

UID = "1.2.3.4"


@pytest.fixture(autouse=True)
def forget():
    files_below.cache_clear()


@pytest.fixture
def scan(tmp_path):
    places = positions(7, origin=(-20.0, 30.0, -100.0))
    write_series(tmp_path / "scan", STORED, places, **HEADER)
    return scan_in(tmp_path / "scan")


@pytest.fixture
def folder(scan, tmp_path):
    """Two annotators of one nodule, one of another beside it, and a report on the first."""
    source, ct = scan
    masks = (
        blob(ct, slice(1, 4), slice(2, 6), slice(1, 5)),
        blob(ct, slice(2, 4), slice(2, 7), slice(2, 6)),
        blob(ct, slice(2, 4), slice(7, 11), slice(2, 6)),
    )
    place = tmp_path / "segments"
    first = write_segment(place / "a" / "1.dcm", source, masks[0], annotation="4503")
    write_segment(place / "a" / "2.dcm", source, masks[1], annotation="IL057_127364")
    write_segment(place / "b" / "1.dcm", source, masks[2], nodule=2, annotation="7")
    write_report(place / "a" / "1_report.dcm", source, first)
    (place / "README.txt").write_text("not DICOM")
    return place, masks


def by_key(found):
    return {reading.key: reading for reading in found.readings}


def test_each_reading_has_the_very_pixels_of_its_segment(folder, scan):
    place, masks = folder
    found = by_key(read_scan(UID, place))
    names = ["1 - Annotation 4503", "1 - Annotation IL057_127364", "2 - Annotation 7"]
    z_mm = slice_z_mm(scan[1].shape, scan[1].geometry)
    for name, mask in zip(names, masks, strict=True):
        patch, outside = rasterise(found[f"Nodule {name}"], z_mm)
        drawn = np.zeros(mask.shape, bool)
        z, y, x = patch.first_zyx
        depth, height, width = patch.mask.shape
        drawn[z : z + depth, y : y + height, x : x + width] = patch.mask
        np.testing.assert_array_equal(drawn, mask.array)
        assert outside == 0


def test_readings_of_one_nodule_are_those_of_one_tracking_id_however_near_others_are(folder):
    readings = read_scan(UID, folder[0]).readings
    assert [len(group) for group in cluster(readings, 50.0, 2.5)] == [2, 1]
    unnamed = [dataclasses.replace(reading, nodule="") for reading in readings]
    assert [len(group) for group in cluster(unnamed, 50.0, 2.5)] == [3]


def test_ratings_are_read_from_the_report_that_names_the_segment(folder):
    found = by_key(read_scan(UID, folder[0]))
    expected = {name: number for name, (_, _, number) in RATINGS.items()}
    assert found["Nodule 1 - Annotation 4503"].ratings == expected
    assert found["Nodule 2 - Annotation 7"].ratings == {}


def test_the_images_that_they_lie_on_are_told(folder, scan):
    images = read_scan(UID, folder[0]).drawn_on
    assert (images.columns, images.rows, images.pixel_mm, images.thickness_mm) == (
        10,
        12,
        0.75,
        2.5,
    )
    assert images.corners_xyz_mm == (
        (-20.0, 30.0, -97.5),
        (-20.0, 30.0, -95.0),
        (-20.0, 30.0, -92.5),
    )
    assert images.axes_xyz == (1, 0, 0, 0, 1, 0)


def test_a_reading_on_an_image_that_runs_the_other_way_is_its_mirror(folder, scan):
    reading = by_key(read_scan(UID, folder[0]))["Nodule 1 - Annotation 4503"]
    z_mm = slice_z_mm(scan[1].shape, scan[1].geometry)
    patch, _ = rasterise(flipped(reading, (True, False), (10, 12)), z_mm)
    straight, _ = rasterise(reading, z_mm)
    np.testing.assert_array_equal(patch.mask, straight.mask[:, :, ::-1])
    assert patch.first_zyx[2] == 10 - straight.first_zyx[2] - straight.mask.shape[2]


def test_a_scan_that_no_segmentation_names_is_not_known(folder):
    assert read_scan("1.2.3.5", folder[0]) is None


def test_what_is_no_abnormal_structure_is_left_out_by_name(folder, scan, tmp_path):
    source, ct = scan
    mask = blob(ct, slice(1, 4), slice(2, 6), slice(1, 5))
    write_segment(folder[0] / "lung.dcm", source, mask, annotation="9", structure=codes.LEFT_LUNG)
    found = read_scan(UID, folder[0])
    assert len(found.readings) == 3
    assert found.problems == (
        f"{folder[0] / 'lung.dcm'}: segment 1, 'Nodule 1 - Annotation 9', shows Lung, nothing "
        "abnormal; it is left out",
    )


def test_what_a_folder_of_segmentations_holds_of_ones_scans_is_told(folder, scan):
    source, ct = scan
    mask = blob(ct, slice(1, 4), slice(2, 6), slice(1, 5))
    counted = f"{folder[0]} holds 3 segmentations; 3 of them are of 1 of the 2 scans here"
    assert told_of(folder[0], {UID, "1.2.3.5"}) == [counted]
    files_below.cache_clear()
    write_segment(folder[0] / "lung.dcm", source, mask, annotation="9", structure=codes.LEFT_LUNG)
    told = told_of(folder[0], {UID, "1.2.3.5"})
    assert told[0] == counted.replace("3 ", "4 ")
    assert told[1:] == list(read_scan(UID, folder[0]).problems)
    assert told_of(folder[0], {"1.2.3.5"})[0].endswith("0 of them are of 0 of the 1 scans here")
    assert len(told_of(folder[0], {"1.2.3.5"})) == 1


def test_segments_that_are_called_alike_get_names_of_their_own(folder, scan):
    mask = blob(scan[1], slice(1, 3), slice(3, 7), slice(1, 5))
    write_segment(folder[0] / "c.dcm", scan[0], mask, annotation="4503")
    keys = [reading.key for reading in read_scan(UID, folder[0]).readings]
    assert len(set(keys)) == 4
    assert sum(key.startswith("Nodule 1 - Annotation 4503 (") for key in keys) == 2


def test_a_folder_without_segmentations_is_refused_in_words(tmp_path):
    with pytest.raises(ConfigError, match="is not a folder; expected DICOM segmentations in it"):
        read_scan(UID, tmp_path / "none")
    write_series(tmp_path / "scan", STORED, positions(7), **HEADER)
    with pytest.raises(ConfigError, match=r"no file in .* is a DICOM segmentation; expected those"):
        read_scan(UID, tmp_path / "scan")


def changed(path, change):
    ds = pydicom.dcmread(path)
    change(ds)
    ds.save_as(path)


def test_damaged_and_foreign_files_are_named(folder):
    place, _ = folder
    path = place / "a" / "1.dcm"
    whole = path.read_bytes()

    changed(path, lambda ds: delattr(ds, "SegmentSequence"))
    with pytest.raises(
        ScanError, match=r"1\.dcm is not a complete DICOM segmentation .*SegmentSeq"
    ):
        read_scan(UID, place)
    path.write_bytes(whole)

    changed(path, lambda ds: setattr(ds, "Rows", 6))
    changed(path, lambda ds: setattr(ds, "Columns", 20))
    with pytest.raises(ScanError, match=r"lies on images of .* and .* of the same series, on"):
        read_scan(UID, place)
    path.write_bytes(whole)

    path.write_bytes(whole[:900])
    with pytest.raises((ScanError, ConfigError), match=r"1\.dcm"):
        read_scan(UID, place)
    path.write_bytes(whole)

    files_below.cache_clear()
    changed(path, lambda ds: delattr(ds, "ReferencedSeriesSequence"))
    with pytest.raises(ConfigError, match=r"1\.dcm names 0 series as that which it segments"):
        read_scan(UID, place)
