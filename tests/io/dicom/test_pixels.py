"""Stored pixels to HU: as the formula has it, in every coding, or refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from lungseg.core.errors import ScanError
from lungseg.io.dicom.decoder import DECODER
from lungseg.io.dicom.header import read_header
from lungseg.io.dicom.pixels import read_plane, slice_hu
from lungseg.io.dicom.planes import planes_of
from tests.io.dicom.dicom_files import dataset, save, write_enhanced, write_slice

RNG = np.random.default_rng(7)


def read(path):
    (plane,) = planes_of(read_header(path))
    out = np.empty((plane.rows, plane.columns), np.int16)
    return out, read_plane(plane, out)


@example(np.full((3, 4), 32767, np.int16), -1024, 1)
@example(np.array([[4095, 0, 7, 8], [1, 2, 3, 4], [5, 6, 7, 8]], np.int16), -1024, 1)
@given(
    st.sampled_from([np.int16, np.uint16, np.int8, np.uint8]).flatmap(
        lambda kind: hnp.arrays(kind, (3, 4))
    ),
    st.sampled_from([-1024, 0, 1000, -32768, -1024.5]),
    st.sampled_from([1, 1.000244, 2.0002442, 0.5, -1]),
)
def test_hu_are_the_formula_or_refused(tmp_path_factory, stored, intercept, slope):
    path = tmp_path_factory.mktemp("hu") / "a.dcm"
    write_slice(path, stored, RescaleIntercept=intercept, RescaleSlope=slope)
    exact = stored.astype(float) * slope + intercept
    bits = 8 * stored.itemsize
    tops = [4095, 32767, (1 << bits) - 1, (1 << bits - 1) - 1]
    corners = stored[::2, ::3]
    if (corners == stored.max()).all() and int(stored.max()) in tops:
        # The range's top in all corners may be padding; all else is what the formula says.
        with contextlib.suppress(ScanError):
            hu, _ = read(path)
            told = ~np.isin(stored, tops) & (exact >= -32768) & (exact <= 32767)
            assert np.abs(hu - exact)[told].max(initial=0) <= 0.5
        return
    if exact.min() >= -32768 and exact.max() <= 32767:
        hu, notes = read(path)
        assert np.abs(hu - exact).max() <= 0.5
        assert notes.rounded == bool((exact != np.rint(exact)).any())
        assert not notes.mended
        return
    with contextlib.suppress(ScanError):
        hu, notes = read(path)
        assert notes.mended
        inside = (exact >= -32768) & (exact <= 32767)
        assert np.abs(hu - exact)[inside].max(initial=0) <= 0.5


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]
)
@pytest.mark.parametrize("kind", [np.int16, np.uint16])
def test_plain_codings_are_read_as_they_are(tmp_path, syntax, kind):
    stored = RNG.integers(0, 3000, (5, 6)).astype(kind)
    hu, _ = read(write_slice(tmp_path / "a", stored, syntax=syntax))
    np.testing.assert_array_equal(hu, stored.astype(int) - 1024)


@pytest.mark.parametrize("coding", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("kind", [np.int16, np.uint16])
def test_compressed_codings_are_read_as_they_are(tmp_path, coding, kind):
    low = -2000 if kind is np.int16 else 0
    stored = RNG.integers(low, 3000, (33, 40)).astype(kind)
    ds = dataset(stored)
    ds.compress(coding)
    hu, _ = read(save(ds, tmp_path / "a"))
    np.testing.assert_array_equal(hu, stored.astype(int) - 1024)


def test_each_frame_of_a_compressed_file_is_decoded_by_itself(tmp_path):
    stored = RNG.integers(0, 3000, (3, 16, 16)).astype(np.uint16)
    path = write_enhanced(tmp_path / "e", stored, [[0, 0, z] for z in (0, 1, 2)])
    import pydicom

    ds = pydicom.dcmread(path)
    ds.compress(RLELossless)
    save(ds, path)
    for k in range(3):
        np.testing.assert_array_equal(slice_hu(path, k), stored[k].astype(int) - 1024)


def test_padding_written_as_signed_into_unsigned_pixels_is_put_back(tmp_path):
    stored = RNG.integers(0, 3000, (8, 8)).astype(np.uint16)
    stored[0, :3] = stored[7, 7] = 63536
    hu, notes = read(write_slice(tmp_path / "a", stored, PixelPaddingValue=63536))
    assert notes.mended
    assert set(hu[stored == 63536]) == {-3024}
    np.testing.assert_array_equal(hu[stored < 63536], stored[stored < 63536].astype(int) - 1024)


def test_a_bright_value_that_is_not_in_a_corner_is_not_taken_for_padding(tmp_path):
    stored = np.full((8, 8), 100, np.uint16)
    stored[3, 3] = 63536
    with pytest.raises(ScanError, match=r"hu-range: .* -924 to 62512 .*PixelRepresentation"):
        read(write_slice(tmp_path / "a", stored))


def test_several_values_beyond_hu_are_refused(tmp_path):
    stored = np.full((8, 8), 100, np.uint16)
    stored[0, :2] = 63536, 63537
    with pytest.raises(ScanError, match=r"hu-range: .*unsigned"):
        read(write_slice(tmp_path / "a", stored))


@pytest.mark.parametrize(
    ("values", "intercept", "told"),
    [
        ([-5, -6], -32768, "-32774 to -32668"),  # two values below
        ([32000], 1000, "1100 to 33000"),  # no unsigned number that was meant as a signed one
    ],
)
def test_values_beyond_hu_that_cannot_be_padding_are_refused(tmp_path, values, intercept, told):
    stored = np.full((8, 8), 100, np.int16)
    stored[0, : len(values)] = values
    with pytest.raises(ScanError, match=f"hu-range: .* {told} "):
        read(write_slice(tmp_path / "a", stored, RescaleIntercept=intercept))


def test_the_smallest_fraction_is_a_rounded_one(tmp_path):
    stored = np.zeros((4, 4), np.int16)
    stored[1, 1] = 1
    _, notes = read(write_slice(tmp_path / "a", stored, RescaleSlope=1.001))
    assert notes.rounded


def test_padding_at_the_bottom_of_int16_stays_at_the_bottom(tmp_path):
    stored = np.full((8, 8), 100, np.int16)
    stored[0] = -32768
    hu, notes = read(write_slice(tmp_path / "a", stored, PixelPaddingValue=-32768))
    assert notes.mended
    assert (hu.min(), hu.max()) == (-32768, -924)


@pytest.mark.parametrize(
    ("value", "slope", "intercept", "hu"),
    [
        (-32668, 1, -100, -32768),
        (32667, 1, 100, 32767),
        (-16384, 2, 0, -32768),
        (4681, 7, 0, 32767),
    ],
)
def test_the_lowest_and_highest_hu_of_int16_are_no_fault(tmp_path, value, slope, intercept, hu):
    stored = np.zeros((8, 8), np.int16)
    stored[3, 3] = value
    path = write_slice(tmp_path / "a", stored, RescaleSlope=slope, RescaleIntercept=intercept)
    found, notes = read(path)
    assert (found[3, 3], notes.mended) == (hu, False)


def test_one_value_just_below_int16_does_not_wrap_around(tmp_path):
    stored = np.zeros((8, 8), np.int16)
    stored[3, 3] = -32768
    hu, notes = read(write_slice(tmp_path / "a", stored, RescaleIntercept=-1))
    assert (hu[3, 3], notes.mended) == (-32768, True)


def test_an_overlay_in_the_high_bits_is_cut_off(tmp_path):
    values = RNG.integers(0, 4096, (6, 6)).astype(np.uint16)
    stored = values | (RNG.integers(0, 2, (6, 6)).astype(np.uint16) << 12)
    ds = dataset(stored, BitsStored=12)
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 12)
    hu, _ = read(save(ds, tmp_path / "a"))
    np.testing.assert_array_equal(hu, values.astype(int) - 1024)


def test_an_overlay_above_signed_values_is_cut_off_and_their_sign_kept(tmp_path):
    values = RNG.integers(-2048, 2048, (6, 6))
    stored = ((values & 0xFFF) | (RNG.integers(0, 2, (6, 6)) << 12)).astype(np.uint16)
    ds = dataset(stored.view(np.int16), BitsStored=12)
    ds.add_new(0x60000102, "US", 12)
    hu, _ = read(save(ds, tmp_path / "a"))
    np.testing.assert_array_equal(hu, values - 1024)


def test_values_beyond_the_stored_bits_are_refused(tmp_path):
    stored = RNG.integers(4096, 9000, (6, 6)).astype(np.uint16)
    with pytest.raises(ScanError, match=r"stored-bits: .* 12 unsigned bits \(0 to 4095\)"):
        read(write_slice(tmp_path / "a", stored, BitsStored=12))


def test_signed_values_below_the_stored_bits_are_refused(tmp_path):
    stored = RNG.integers(-9000, -2049, (6, 6)).astype(np.int16)
    with pytest.raises(ScanError, match=r"stored-bits: .* 12 signed bits \(-2048 to 2047\)"):
        read(write_slice(tmp_path / "a", stored, BitsStored=12))


@pytest.mark.parametrize("corner", [(0, 0), (0, 7), (7, 0), (7, 7)])
def test_one_constant_beyond_the_stored_bits_is_padding_if_it_is_in_a_corner(tmp_path, corner):
    stored = np.full((8, 8), 1000, np.uint16)
    stored[corner] = stored[4, 4] = 63536
    hu, notes = read(write_slice(tmp_path / "a", stored, BitsStored=12))
    assert notes.mended
    assert sorted(set(hu.ravel())) == [-3024, -24]
    stored[corner] = 1000
    with pytest.raises(ScanError, match=r"stored-bits: .* and holds 1000 to 63536"):
        read(write_slice(tmp_path / "a", stored, BitsStored=12))


def test_pixels_cut_short_are_refused(tmp_path):
    path = write_slice(tmp_path / "a.dcm", np.zeros((8, 8), np.int16))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ScanError, match=r"truncated: .*a.dcm holds 118 of the 128 bytes of its"):
        read(path)


@pytest.mark.parametrize("follows", [b"", b"\xfc\xff\xfc\xffOB\0\0\x40\0\0\0" + bytes(64)])
def test_a_pixel_element_shorter_than_the_matrix_is_refused(tmp_path, follows):
    path = write_slice(tmp_path / "a.dcm", np.zeros((8, 8), np.int16), Rows=9)
    path.write_bytes(path.read_bytes() + follows)
    with pytest.raises(ScanError, match=r"truncated: .*a.dcm needs 144 bytes of .* has 128;"):
        read(path)


@pytest.mark.parametrize("coding", [JPEGLSLossless, JPEG2000Lossless])
def test_a_stream_that_no_decoder_reads_is_refused(tmp_path, coding):
    ds = dataset(RNG.integers(0, 3000, (33, 40)).astype(np.uint16))
    ds.compress(coding)
    ds.PixelData = ds.PixelData[:60] + bytes(RNG.integers(0, 255, len(ds.PixelData) - 60).tolist())
    path = save(ds, tmp_path / "a")
    with pytest.raises(ScanError, match=r"undecodable: no decoder reads .*decompress it"):
        read(path)


def test_a_decoder_that_gives_another_matrix_is_refused(tmp_path, monkeypatch):
    ds = dataset(np.zeros((8, 8), np.uint16))
    ds.compress(RLELossless)
    path = save(ds, tmp_path / "a")
    monkeypatch.setattr(DECODER, "decode", lambda *_: np.zeros((4, 4), np.uint16))
    with pytest.raises(ScanError, match=r"matrix: .* decodes to \(4, 4\) pixels"):
        read(path)


def test_one_slice_of_a_file_that_is_no_dicom_is_refused(tmp_path):
    (tmp_path / "a.dcm").write_text("hello, I am text")
    with pytest.raises(ScanError, match=r"a.dcm is not a DICOM file"):
        slice_hu(tmp_path / "a.dcm")
