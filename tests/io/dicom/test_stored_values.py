"""Stored values that contradict their header: right by PS3.5, or refused by name."""

import zlib

import numpy as np
import pydicom
import pytest

from lungseg.core.errors import LimitError, ScanError
from lungseg.io.dicom.header import deflated_at
from lungseg.io.dicom.pixels import slice_hu
from lungseg.io.dicom.planes import HuRules
from lungseg.io.dicom.series import read_series
from lungseg.ops.grid.slices import SliceRules
from lungseg.ops.hu.padding import PADDING_HU, find_padding
from tests.io.dicom.dicom_files import dataset, positions, save, write_series, write_slice

RNG = np.random.default_rng(3)
RULES = SliceRules()
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"


def circle(size=32, radius=15):
    y, x = np.indices((size, size)) - (size - 1) / 2
    return y**2 + x**2 <= radius**2


def test_signed_12_bits_without_their_sign_extended_are_what_pydicom_reads(tmp_path):
    true = RNG.integers(-2048, 2048, (8, 8)).astype(np.int16)
    bare = (true.view(np.uint16) & 0xFFF).view(np.int16)
    path = write_slice(tmp_path / "a", bare, BitsStored=12, RescaleIntercept=0)
    np.testing.assert_array_equal(slice_hu(path), true)
    np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, true)


def test_signed_values_that_are_neither_extended_nor_bare_are_refused(tmp_path):
    stored = RNG.integers(-9000, 3000, (8, 8)).astype(np.int16)
    with pytest.raises(ScanError, match=r"stored-bits: .* 12 signed bits .* which of the two"):
        slice_hu(write_slice(tmp_path / "a", stored, BitsStored=12))


@pytest.mark.parametrize(
    ("dtype", "bits", "top"), [(np.uint16, 12, 4095), (np.int16, 16, 32767), (np.uint16, 16, 4095)]
)
@pytest.mark.parametrize("stated", [True, False])
def test_padding_at_the_top_becomes_one_low_value(tmp_path, dtype, bits, top, stated):
    stored = RNG.integers(0, 2000, (32, 32)).astype(dtype)
    stored[16, 16] = top  # metal
    stored[~circle()] = top
    more = {"PixelPaddingValue": top} if stated else {}
    hu = slice_hu(write_slice(tmp_path / "a", stored, BitsStored=bits, **more))
    assert set(hu[~circle()]) == {PADDING_HU}
    expected = stored.astype(int) - 1024
    np.testing.assert_array_equal(hu[circle()], np.minimum(expected, 32767)[circle()])
    assert find_padding(hu[None]) == PADDING_HU


def test_metal_at_the_top_is_metal_where_no_corner_is_padding(tmp_path):
    stored = np.full((32, 32), 1000, np.uint16)
    stored[10:14, :3] = 4095
    hu = slice_hu(write_slice(tmp_path / "a", stored, BitsStored=12, PixelPaddingValue=4095))
    np.testing.assert_array_equal(hu, stored.astype(int) - 1024)


def test_padding_that_would_be_water_is_padding_by_its_header(tmp_path):
    stored = RNG.integers(-900, 300, (32, 32)).astype(np.int16)
    stored[~circle()] = 0
    path = write_slice(tmp_path / "a", stored, RescaleIntercept=0, PixelPaddingValue=0)
    hu = slice_hu(path)
    assert set(hu[~circle()]) == {PADDING_HU}
    np.testing.assert_array_equal(hu[circle(radius=14)], stored[circle(radius=14)])


@pytest.mark.parametrize(
    "padding",
    [
        {"PixelPaddingValue": 3000, "PixelPaddingRangeLimit": 3010},
        {"PixelPaddingValue": 3010, "PixelPaddingRangeLimit": 3000},
        {"PixelPaddingValue": [3000, 3010]},
    ],
)
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED])
def test_a_range_or_two_values_of_padding_are_both_padding(tmp_path, padding, syntax):
    stored = RNG.integers(0, 2000, (32, 32)).astype(np.uint16)
    outside = ~circle()
    stored[outside] = np.where(np.indices((32, 32))[0] < 16, 3000, 3010)[outside]
    hu = slice_hu(write_slice(tmp_path / "a", stored, syntax=syntax, **padding))
    assert set(hu[outside]) == {PADDING_HU}
    np.testing.assert_array_equal(hu[~outside], stored[~outside].astype(int) - 1024)


def test_two_paddings_beyond_the_stored_bits_are_padding(tmp_path):
    stored = RNG.integers(0, 2000, (32, 32)).astype(np.uint16)
    stored[~circle()] = 63536
    stored[0] = 62512
    hu = slice_hu(write_slice(tmp_path / "a", stored, BitsStored=12))
    assert set(hu[1:][~circle()[1:]]) == {-3024}
    assert set(hu[0]) == {-4048}


def test_a_slice_of_nothing_but_padding_is_refused(tmp_path):
    stored = np.full((8, 8), 4095, np.uint16)
    with pytest.raises(ScanError, match=r"padding: .* nothing but padding"):
        slice_hu(write_slice(tmp_path / "a", stored, BitsStored=12))


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize(("rows", "columns"), [(31, 32), (32, 31), (16, 32), (8, 8)])
def test_rows_or_columns_that_are_wrong_in_all_files_are_refused(tmp_path, rows, columns, syntax):
    stored = RNG.integers(0, 2000, (3, 32, 32)).astype(np.uint16)
    files = write_series(tmp_path, stored, positions(3), syntax=syntax, Rows=rows, Columns=columns)
    with pytest.raises(ScanError, match=r"matrix: .* has 2048 bytes of pixels, and .* need"):
        read_series(files, RULES)


def test_a_byte_that_makes_the_length_even_is_no_fault(tmp_path):
    stored = RNG.integers(0, 200, (5, 5)).astype(np.uint8)
    ds = dataset(stored)
    ds.PixelData += b"\0"
    np.testing.assert_array_equal(
        slice_hu(save(ds, tmp_path / "a")), stored.astype(np.int16) - 1024
    )


@pytest.mark.parametrize(("name", "value"), [("RescaleIntercept", 0), ("RescaleSlope", 2)])
def test_one_slice_whose_scale_is_out_of_line_is_refused(tmp_path, name, value):
    stored = RNG.integers(900, 1100, (7, 16, 16)).astype(np.uint16)
    files = write_series(tmp_path, stored, positions(7))
    ds = pydicom.dcmread(files[4])
    setattr(ds, name, value)
    ds.save_as(files[4])
    with pytest.raises(ScanError, match=r"rescale-outlier: .*004.dcm .* 6 of 7 slices 1 and -1024"):
        read_series(files, RULES)
    accepted = read_series(files, RULES, HuRules(accept_rescale_outliers=True))
    expected = stored[4] * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    np.testing.assert_array_equal(accepted.array[4], expected)


@pytest.mark.parametrize("each", [False, True])
def test_scales_of_their_own_whose_hu_fit_are_what_scanners_do(tmp_path, each):
    hu = RNG.integers(-100, 100, (8, 16, 16))
    for k in range(8):
        intercept = -1024 - 7 * k if each else (-1024 if k < 4 else 0)
        write_series(
            tmp_path / str(k),
            (hu[[k]] - intercept).astype(np.int16),
            [[0, 0, 2.5 * k]],
            RescaleIntercept=intercept,
        )
    series = read_series(sorted(tmp_path.rglob("*.dcm")), RULES)
    np.testing.assert_array_equal(series.array, hu)


@pytest.mark.parametrize("unit", ["US", "Z_EFF", "HU_MOD", "ED"])
def test_units_that_are_not_hu_are_refused_by_name(tmp_path, unit):
    files = write_series(
        tmp_path, RNG.integers(0, 99, (3, 4, 4)).astype(np.int16), positions(3), RescaleType=unit
    )
    with pytest.raises(ScanError, match=rf"(?s)rescale-type: .*'{unit}'.*accept_rescale_type"):
        read_series(files, RULES)
    assert read_series(files, RULES, HuRules(accept_rescale_type=True)).rescale_type == unit


@pytest.mark.parametrize("unit", ["HU", "hu", "Hounsfield"])
def test_hu_under_other_spellings_are_hu(tmp_path, unit):
    files = write_series(
        tmp_path, RNG.integers(0, 99, (3, 4, 4)).astype(np.int16), positions(3), RescaleType=unit
    )
    assert read_series(files, RULES).array.shape == (3, 4, 4)


def deflated_zeros(path, claim, size):
    """A deflated slice whose pixel element claims `claim` bytes and inflates to `size` zeros."""
    ds = dataset(np.zeros((4, 4), np.uint16), syntax=DEFLATED)
    whole = save(ds, path).read_bytes()
    start = deflated_at(path)
    inner = zlib.decompress(whole[start:], -15)
    at = inner.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [whole[:start], squeeze.compress(inner[:at] + claim.to_bytes(4, "little"))]
    piece = bytes(1 << 20)
    parts += [squeeze.compress(piece) for _ in range(size >> 20)]
    path.write_bytes(b"".join([*parts, squeeze.flush()]))
    return path


def test_a_deflated_file_that_inflates_to_gigabytes_takes_no_memory(tmp_path):
    import tracemalloc

    path = deflated_zeros(tmp_path / "bomb.dcm", 1 << 30, 32 << 20)
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    with pytest.raises(ScanError, match=r"matrix: .* has 1073741824 bytes of pixels"):
        slice_hu(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


def test_a_series_that_does_not_fit_into_memory_is_refused_before_it_is_taken(
    tmp_path, monkeypatch
):
    files = write_series(tmp_path, np.zeros((3, 64, 64), np.int16), positions(3))
    monkeypatch.setenv("LUNGSEG_MEMORY_LIMIT", "1000")
    with pytest.raises(LimitError, match=r"000.dcm with 64 x 64 x 3 voxels"):
        read_series(files, RULES)
