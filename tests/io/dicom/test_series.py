"""Series: in any order and direction they are the volume that SimpleITK's reader makes of them."""

import numpy as np
import pydicom
import pytest

from lungseg.core.errors import ScanError
from lungseg.io.dicom.planes import HuRules
from lungseg.io.dicom.series import read_series
from lungseg.ops.grid.slices import SliceRules
from tests.io.dicom.dicom_files import (
    AXIAL,
    positions,
    save,
    write_enhanced,
    write_series,
    write_slice,
)

RULES = SliceRules()
RNG = np.random.default_rng(5)
STORED = RNG.integers(0, 3000, (6, 8, 7)).astype(np.uint16)
DIRECTIONS = {
    "head first": AXIAL,
    "turned about": (-1, 0, 0, 0, -1, 0),
    "face down": (1, 0, 0, 0, -1, 0),
    "on the side": (0, -1, 0, 1, 0, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "oblique": (0.9396926, 0.3420201, 0, -0.3213938, 0.8830222, 0.3420201),
}


def by_simpleitk(folder):
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    return SimpleITK.GetArrayFromImage(image), image


@pytest.mark.parametrize("orientation", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize("backwards", [False, True])
def test_a_series_is_the_volume_that_simpleitk_reads(tmp_path, orientation, backwards):
    places = positions(6, orientation=orientation, origin=(-120.5, 33.25, -700.125))
    files = write_series(
        tmp_path, STORED, places[::-1] if backwards else places, orientation=orientation
    )
    series = read_series(RNG.permutation(files).tolist(), RULES)
    array, image = by_simpleitk(tmp_path)
    np.testing.assert_array_equal(series.array, array)
    np.testing.assert_allclose(series.origin_xyz_mm, image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(series.axes.matrix_xyz.ravel(), image.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(
        (*series.spacing_yx_mm[::-1], series.stack_geometry.step_mm), image.GetSpacing(), atol=1e-4
    )
    assert series.stack_geometry.is_plain


def test_each_slice_has_its_own_slope_and_intercept(tmp_path):
    places = positions(3)
    rescales = [(1, -1024), (1.5, -1000), (1.000244, 0)]
    for k, (slope, intercept) in enumerate(rescales):
        write_slice(
            tmp_path / f"{k}",
            STORED[k],
            ImagePositionPatient=places[k].tolist(),
            RescaleSlope=slope,
            RescaleIntercept=intercept,
        )
    series = read_series(sorted(tmp_path.iterdir()), RULES)
    for k, (slope, intercept) in enumerate(rescales):
        np.testing.assert_array_equal(
            series.array[k], np.rint(STORED[k].astype(float) * slope + intercept)
        )
    assert series.rounded


def test_an_enhanced_file_is_its_classic_slices(tmp_path):
    places = positions(6)
    files = write_series(tmp_path / "classic", STORED, places)
    enhanced = write_enhanced(tmp_path / "e", STORED[::-1], places[::-1].tolist())
    one, other = read_series(files, RULES), read_series([enhanced], RULES)
    np.testing.assert_array_equal(one.array, other.array)
    np.testing.assert_array_equal(one.origin_xyz_mm, other.origin_xyz_mm)
    assert one.stack_geometry.step_mm == other.stack_geometry.step_mm
    both = read_series([*files, enhanced], RULES)
    assert both.duplicates == 6
    np.testing.assert_array_equal(one.array, both.array)


def test_a_slice_that_is_there_twice_is_kept_once(tmp_path):
    files = write_series(tmp_path, STORED[[0, 1, 1, 2]], positions(3)[[0, 1, 1, 2]])
    series = read_series(files, RULES)
    assert series.duplicates == 1
    np.testing.assert_array_equal(series.array, STORED[:3].astype(int) - 1024)


def with_copy(folder, **changes):
    """Three slices, and a copy of the second, of the same instance but for `changes`."""
    files = write_series(folder, STORED[:3], positions(3), SpacingBetweenSlices=2.5)
    copy = pydicom.dcmread(files[1])
    for name, value in changes.items():
        setattr(copy, name, value)
    return [*files, save(copy, folder / "copy.dcm")]


def cut(path, n):
    path.write_bytes(path.read_bytes()[:-n])


def cut_before_pixels(path):
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    save(dataset, path)


BREAKS = {
    "pixels cut": (lambda path: cut(path, 20), "copy.dcm holds 92 of the 112 bytes of its pixels"),
    "pixels gone": (cut_before_pixels, "copy.dcm ends before its pixels"),
}


@pytest.mark.parametrize(("spoil", "why"), BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize("last", [True, False])
def test_a_broken_copy_of_an_intact_slice_is_left_out_and_named(tmp_path, spoil, why, last):
    files = with_copy(tmp_path)
    whole = read_series(files[:3], RULES)
    spoil(files[3])
    series = read_series(files if last else files[::-1], RULES)
    np.testing.assert_array_equal(series.array, whole.array)
    assert series.duplicates == 0
    (told,) = series.broken
    assert told.startswith(f"truncated: {tmp_path}")
    assert told.endswith(why)
    assert whole.broken == ()


@pytest.mark.parametrize("spoil", [spoil for spoil, _ in BREAKS.values()], ids=BREAKS)
@pytest.mark.parametrize(
    "changes", [{"SOPInstanceUID": "1.2.3.4.5"}, {"ImagePositionPatient": [0, 0, 7.5]}]
)
def test_a_broken_slice_that_is_no_copy_of_an_intact_one_fails_the_series(tmp_path, spoil, changes):
    files = with_copy(tmp_path, **changes)
    spoil(files[3])
    with pytest.raises(ScanError, match=r"truncated: .*copy\.dcm"):
        read_series(files, RULES)


def test_copies_that_are_both_broken_fail_the_series(tmp_path):
    files = with_copy(tmp_path)
    cut(files[1], 20)
    cut(files[3], 30)
    with pytest.raises(ScanError, match=r"truncated: .*001\.dcm holds 92 of the 112 bytes"):
        read_series(files, RULES)


def test_a_copy_that_a_setting_would_accept_is_not_taken_for_broken(tmp_path):
    files = with_copy(tmp_path, RescaleType="US")
    with pytest.raises(ScanError, match=r"rescale-type: .*copy\.dcm"):
        read_series(files, RULES)


def test_two_slices_at_one_place_are_refused_by_name(tmp_path):
    files = write_series(tmp_path, STORED[:4], positions(3)[[0, 1, 1, 2]])
    with pytest.raises(
        ScanError, match=r"duplicates: 2 slices .* one place \(2.50 mm .*: 001.dcm, 002.dcm"
    ):
        read_series(files, RULES)


def test_a_third_slice_at_one_place_must_be_equal_too(tmp_path):
    files = write_series(tmp_path, STORED[[0, 1, 1, 2, 3]], positions(3)[[0, 1, 1, 1, 2]])
    with pytest.raises(ScanError, match=r"duplicates: 3 slices .*: 001.dcm, 002.dcm, 003.dcm"):
        read_series(files, RULES)


def test_equal_slices_side_by_side_are_not_duplicates(tmp_path):
    places = positions(3)[[0, 1, 1, 2]]
    places[2, 0] += 30
    with pytest.raises(ScanError, match=r"duplicates: 2 slices"):
        read_series(write_series(tmp_path, STORED[[0, 1, 1, 2]], places), RULES)


def test_two_times_in_one_series_are_refused(tmp_path):
    files = write_series(tmp_path, STORED, np.concatenate([positions(3)] * 2))
    with pytest.raises(ScanError, match=r"duplicates: .*so at 3 places.*phases"):
        read_series(files, RULES)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("Rows", 7, "matrix: .*001.dcm has 112 bytes of pixels, and 7 rows of 7 columns need 98"),
        ("PixelSpacing", [0.8, 0.5], r"pixel-spacing: .*001.dcm has \(0.8, 0.5\) mm"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0, -1], "orientation: slice 2 is turned by 90"),
        ("RescaleSlope", None, "rescale: .*001.dcm"),
        ("PixelData", b"\0" * 20, "truncated: .*001.dcm needs 112 bytes of .* has 20"),
    ],
)
def test_a_slice_unlike_the_others_is_refused_by_name(tmp_path, name, value, told):
    files = write_series(tmp_path, STORED[:3], positions(3))
    ds = pydicom.dcmread(files[1])
    if value is None:
        delattr(ds, name)
    else:
        setattr(ds, name, value)
    ds.save_as(files[1])
    with pytest.raises(ScanError, match=told):
        read_series(files, RULES)


@pytest.mark.parametrize(("spacing", "alike"), [(0.75006, True), (0.7501, False)])
def test_spacings_that_differ_by_a_rounding_are_one(tmp_path, spacing, alike):
    files = write_series(tmp_path, STORED[:3], positions(3))
    ds = pydicom.dcmread(files[1])
    ds.PixelSpacing = [spacing, 0.5]  # 0.75 in the others
    ds.save_as(files[1])
    if alike:
        assert read_series(files, RULES).spacing_yx_mm == (0.75, 0.5)
    else:
        with pytest.raises(ScanError, match=r"pixel-spacing: .*001.dcm has \(0.7501, 0.5\) mm"):
            read_series(files, RULES)


def test_a_missing_rescale_is_accepted_by_a_setting(tmp_path):
    files = write_series(
        tmp_path, STORED[:3], positions(3), RescaleSlope=None, RescaleIntercept=None
    )
    series = read_series(files, RULES, HuRules(accept_missing_rescale=True))
    np.testing.assert_array_equal(series.array, STORED[:3])


def test_a_file_that_changed_its_kind_is_refused(tmp_path):
    files = write_series(tmp_path, STORED[:3], positions(3))
    files[2].write_text("I was a slice")
    with pytest.raises(ScanError, match=r"truncated: .*002.dcm is not a DICOM file any more"):
        read_series(files, RULES)


def test_a_file_that_is_gone_is_refused(tmp_path):
    files = write_series(tmp_path, STORED[:3], positions(3))
    files[2].unlink()
    with pytest.raises(ScanError, match=r"unreadable: .*002.dcm: No such file"):
        read_series(files, RULES)


def test_what_a_series_says_of_itself_is_kept(tmp_path):
    files = write_series(
        tmp_path,
        STORED[:3],
        positions(3),
        Manufacturer="ACME",
        LossyImageCompression="01",
        RescaleType="US",
    )
    series = read_series(files, RULES, HuRules(accept_rescale_type=True))
    assert (series.manufacturer, series.lossy, series.rescale_type) == ("ACME", 3, "US")


def test_units_and_padding_are_counted_file_by_file(tmp_path):
    stored = STORED[:4].copy()
    stored[1:3, 0, 0] = 63536
    files = write_series(tmp_path, stored, positions(4))
    for path, unit in zip(files, ("HU", "US", "OD", "US"), strict=True):
        ds = pydicom.dcmread(path)
        ds.RescaleType = unit
        ds.save_as(path)
    with pytest.raises(ScanError, match=r"rescale-type: .*001.dcm has values in 'US'"):
        read_series(files, RULES)
    series = read_series(files, RULES, HuRules(accept_rescale_type=True))
    assert (series.rescale_type, series.mended, series.lossy) == ("OD,US", 2, 0)
