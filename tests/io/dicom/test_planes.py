"""Planes: what position and HU need is present and possible, or the file is refused by name."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from lungseg.core.errors import ScanError
from lungseg.io.dicom.header import read_header
from lungseg.io.dicom.planes import HuRules, planes_of
from tests.io.dicom.dicom_files import dataset, positions, save, write_enhanced, write_slice

PIXELS = np.arange(12, dtype=np.int16).reshape(3, 4)


def planes(path, rules=None):
    return planes_of(read_header(path), rules)


def test_a_classic_slice_is_one_plane(tmp_path):
    path = write_slice(
        tmp_path / "a.dcm",
        PIXELS,
        ImagePositionPatient=[1.5, -2, 3],
        PixelSpacing=["006.367188e-01", 0.5],
        RescaleSlope=1.000244,
    )
    (plane,) = planes(path)
    assert plane.position_xyz_mm == (1.5, -2, 3)
    assert plane.spacing_yx_mm == (0.6367188, 0.5)
    assert (plane.slope, plane.intercept, plane.signed) == (1.000244, -1024, True)
    assert (plane.rows, plane.columns, plane.name) == (3, 4, "a.dcm")


@pytest.mark.parametrize("shared", [True, False])
def test_an_enhanced_file_has_a_plane_for_each_frame(tmp_path, shared):
    places = positions(4)
    path = write_enhanced(tmp_path / "e", np.stack([PIXELS] * 4), places.tolist(), shared=shared)
    found = planes(path)
    assert [plane.position_xyz_mm for plane in found] == [tuple(p) for p in places]
    assert [plane.at - found[0].at for plane in found] == [0, 24, 48, 72]
    assert {plane.spacing_yx_mm for plane in found} == {(0.75, 0.5)}
    assert {(plane.slope, plane.intercept) for plane in found} == {(1, -1024)}
    assert found[2].name == "e frame 3"


def test_a_frames_own_group_goes_before_the_shared_one_and_that_before_the_top(tmp_path):
    path = write_enhanced(
        tmp_path / "e",
        np.stack([PIXELS] * 3),
        positions(3).tolist(),
        PixelSpacing=[9, 8],
        RescaleSlope=5,
        RescaleIntercept=7,
    )
    ds = pydicom.dcmread(path)
    own = Dataset()
    own.RescaleSlope, own.RescaleIntercept = 2, 0
    ds.PerFrameFunctionalGroupsSequence[1].PixelValueTransformationSequence = Sequence([own])
    assert {plane.spacing_yx_mm for plane in planes(path)} == {(0.75, 0.5)}
    del ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    found = planes(save(ds, path))
    assert [(p.slope, p.intercept) for p in found] == [(1, -1024), (2, 0), (1, -1024)]
    assert {plane.spacing_yx_mm for plane in found} == {(9, 8)}


def test_a_frame_whose_position_has_two_numbers_is_refused(tmp_path):
    path = write_enhanced(tmp_path / "e", np.stack([PIXELS] * 2), [[0, 0, 0], [0, 1.5]])
    with pytest.raises(ScanError, match=r"position: .*e frame 2 has no ImagePositionPatient;"):
        planes(path)


def test_frames_that_the_pixel_element_does_not_hold_are_refused(tmp_path):
    path = write_enhanced(
        tmp_path / "e", np.stack([PIXELS] * 2), positions(3).tolist(), NumberOfFrames=3
    )
    path.write_bytes(path.read_bytes() + b"\xfc\xff\xfc\xffOB\0\0\x40\0\0\0" + bytes(64))
    with pytest.raises(ScanError, match=r"truncated: .*e frame 3 needs 72 bytes .* has 48;"):
        planes(path)


def test_pixels_are_unsigned_where_the_file_does_not_say(tmp_path):
    (plane,) = planes(write_slice(tmp_path / "a.dcm", PIXELS, PixelRepresentation=None))
    assert not plane.signed


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"ImagePositionPatient": None}, "position: .* no ImagePositionPatient; without it"),
        ({"PixelSpacing": None}, "position: .* no PixelSpacing"),
        (
            {"PixelSpacing": None, "ImageOrientationPatient": None},
            "no ImageOrientationPatient, no PixelSpacing",
        ),
        ({"PixelSpacing": [0, 1]}, "position: .* PixelSpacing .* above 0 mm"),
        (
            {"RescaleSlope": None},
            r"rescale: .* no RescaleSlope .*\nset accept_missing_rescale=true",
        ),
        ({"RescaleSlope": 0}, "rescale: .* slope 0 and intercept -1024"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, r"samples: .* 3 .*\(RGB\)"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "photometric: .* 'PALETTE COLOR'"),
        ({"PixelRepresentation": 2}, "bits: .* PixelRepresentation 2, not 0 or 1"),
        ({"BitsAllocated": 32}, "bits: .* 16 of 32 bits"),
        ({"BitsStored": 17}, "bits: .* 17 of 16 bits"),
        ({"BitsStored": 0}, "bits: .* 0 of 16 bits"),
        ({"Rows": 0}, "matrix: .* no rows or no columns"),
        ({"NumberOfFrames": 2}, "frame-positions: .* 2 frames and no position for each"),
    ],
)
def test_what_is_missing_or_impossible_is_refused(tmp_path, header, told):
    with pytest.raises(ScanError, match=told):
        planes(write_slice(tmp_path / "a.dcm", PIXELS, **header))


@pytest.mark.parametrize(
    ("keyword", "value", "told"),
    [
        ("ImagePositionPatient", [1.25, 0, 0], "position: .* is not a number"),
        ("PixelSpacing", [1.25, 1], "position: .* is not a number"),
        ("RescaleSlope", 1.25, "rescale: .* slope nan and intercept -1024"),
        ("RescaleIntercept", 1.25, "rescale: .* slope 1 and intercept nan"),
    ],
)
def test_a_value_that_is_not_a_number_is_refused(tmp_path, keyword, value, told):
    path = write_slice(tmp_path / "a.dcm", PIXELS, **{keyword: value})
    path.write_bytes(path.read_bytes().replace(b"1.25", b"nan "))
    with pytest.raises(ScanError, match=told):
        planes(path)


@pytest.mark.parametrize(
    ("slope", "intercept", "taken"),
    [(None, None, (1, 0)), (2, None, (2, 0)), (None, -1024, (1, -1024))],
)
def test_a_missing_rescale_can_be_accepted(tmp_path, slope, intercept, taken):
    path = write_slice(tmp_path / "a.dcm", PIXELS, RescaleSlope=slope, RescaleIntercept=intercept)
    (plane,) = planes(path, HuRules(accept_missing_rescale=True))
    assert (plane.slope, plane.intercept) == taken


def test_a_file_that_ends_before_its_pixels_is_refused(tmp_path):
    ds = dataset(PIXELS)
    del ds.PixelData
    with pytest.raises(ScanError, match=r"truncated: .* ends before its pixels"):
        planes(save(ds, tmp_path / "a"))


@pytest.mark.parametrize("keyword", ["BitsStored", "PixelRepresentation"])
def test_compressed_pixels_need_their_form_stated(tmp_path, keyword):
    ds = dataset(np.zeros((8, 8), np.uint16))
    ds.compress("1.2.840.10008.1.2.5")
    delattr(ds, keyword)
    with pytest.raises(ScanError, match=rf"bits: .* states no {keyword}, without which"):
        planes(save(ds, tmp_path / "a"))


def test_an_enhanced_file_whose_frames_are_not_all_described_is_refused(tmp_path):
    path = write_enhanced(
        tmp_path / "e", np.stack([PIXELS] * 3), positions(2).tolist(), NumberOfFrames=3
    )
    with pytest.raises(ScanError, match=r"frame-positions: .* says 3 frames and describes 2"):
        planes(path)


def test_an_enhanced_file_whose_groups_are_damaged_is_refused(tmp_path):
    path = write_enhanced(tmp_path / "e", np.stack([PIXELS] * 2), [[0, 0, 0], [0, 0, 1.5]])
    path.write_bytes(path.read_bytes().replace(b"0.0\\1.5", b"0.0\\1x5"))
    with pytest.raises(ScanError, match=r"frame-positions: the groups of .* cannot be read"):
        planes(path)
