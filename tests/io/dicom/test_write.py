"""What is written is what independent readers read."""

import numpy as np
import pydicom
import pytest

from lungseg.io.dicom.write import SeriesHeader, series_folder, write_series
from lungseg.phantom.small_chest import grid
from lungseg.volume import Geometry, Volume

HEADER = SeriesHeader(patient="LIDC-IDRI-9999", study="1.2.3", series="1.2.3.4")


def volume(low=-1024, high=3000, degrees=0.0, flip="", spacing_mm=(2.5, 0.703125, 0.8)):
    rng = np.random.default_rng(0)
    shape, geometry = grid(spacing_mm, (-11.0, 4.0), (21.0, 24.0), flip, degrees)
    return Volume(rng.integers(low, high, shape).astype(np.int16), geometry)


def read_back(root, header):
    import SimpleITK

    folder = str(series_folder(root, header))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder, header.series))
    image = reader.Execute()
    return SimpleITK.GetArrayFromImage(image), image


@pytest.mark.parametrize(
    ("low", "header"),
    [
        (-1024, HEADER),
        (-3024, SeriesHeader(patient="P", study="1.2", series="1.2.9", signed=True)),
        (-2000, SeriesHeader(patient="P", study="1.2", series="1.2.8", intercept_hu=-3024)),
        (
            -1000,
            SeriesHeader(patient="P", study="1.2", series="1.2.7", signed=True, intercept_hu=0),
        ),
    ],
)
@pytest.mark.parametrize(("degrees", "flip"), [(0.0, ""), (17.0, ""), (0.0, "yx"), (-9.0, "zx")])
def test_simpleitk_reads_the_same_values_in_the_same_place(tmp_path, low, header, degrees, flip):
    ct = volume(low, degrees=degrees, flip=flip)
    write_series(ct, tmp_path, header)
    array, image = read_back(tmp_path, header)
    np.testing.assert_array_equal(array, ct.array)
    g = ct.geometry
    np.testing.assert_allclose(image.GetOrigin(), g.origin_xyz_mm, atol=1e-4)
    np.testing.assert_allclose(image.GetSpacing()[::-1], g.spacing_mm, atol=1e-4)
    np.testing.assert_allclose(image.GetDirection(), g.direction_xyz, atol=1e-4)


def test_slices_from_the_head_down_are_read_from_the_feet_up(tmp_path):
    ct = volume(flip="z")
    write_series(ct, tmp_path, HEADER)
    array, image = read_back(tmp_path, HEADER)
    np.testing.assert_array_equal(array, ct.array[::-1])
    lowest = ct.geometry.to_world((ct.shape[0] - 1, 0, 0))
    np.testing.assert_allclose(image.GetOrigin(), lowest, atol=1e-4)


def test_headers_say_what_lidc_headers_say(tmp_path):
    header = SeriesHeader(
        patient="LIDC-IDRI-0002",
        study="1.2.3",
        series="1.2.3.5",
        slice_thickness_mm=1.25,
        signed=True,
        padding_hu=-3024,
        contrast=True,
    )
    ct = volume(-3024)
    paths = write_series(ct, tmp_path, header)
    assert paths[0].parent == tmp_path / "LIDC-IDRI-0002" / "1.2.3" / "1.2.3.5"
    assert sorted(p.name for p in paths) == [f"{n:06d}.dcm" for n in range(1, len(paths) + 1)]
    assert [p.name for p in paths] != sorted(p.name for p in paths)
    seen = [pydicom.dcmread(p) for p in paths]
    assert len({d.SOPInstanceUID for d in seen}) == len(seen)
    assert {d.file_meta.MediaStorageSOPInstanceUID for d in seen} == {
        d.SOPInstanceUID for d in seen
    }
    z = [float(d.ImagePositionPatient[2]) for d in seen]
    np.testing.assert_allclose(np.diff(z), 2.5)
    assert [d.InstanceNumber for d in seen] == list(range(len(seen), 0, -1))
    first = seen[0]
    assert (first.Modality, first.PatientID, first.SeriesInstanceUID) == (
        "CT",
        "LIDC-IDRI-0002",
        "1.2.3.5",
    )
    assert (first.SliceThickness, first.PixelSpacing) == (1.25, [0.703125, 0.8])
    assert (first.PixelRepresentation, first.PixelPaddingValue) == (1, -2000)
    assert (first.RescaleIntercept, first.RescaleSlope) == (-1024, 1)
    assert first.ContrastBolusAgent == "IV"
    # Type 2: empty, but there.
    empty = ("PatientName", "PatientBirthDate", "PatientSex", "StudyTime", "StudyID")
    assert [first[name].value for name in empty] == [""] * len(empty)
    assert (first.PatientIdentityRemoved, first.DeidentificationMethod) == (
        "YES",
        "digital phantom",
    )
    assert first.pixel_array.dtype == np.int16


def test_unsigned_is_the_default_and_padding_is_written_only_if_asked(tmp_path):
    first = pydicom.dcmread(write_series(volume(), tmp_path, HEADER)[0])
    assert first.PixelRepresentation == 0
    assert "PixelPaddingValue" not in first
    assert "ContrastBolusAgent" not in first
    assert first.SliceThickness == 2.5


@pytest.mark.parametrize("spacing", [1 / 3, 0.7031250001234567, 1e-5 / 3, 123456.789012345678])
def test_numbers_fit_decimal_strings(tmp_path, spacing):
    ct = Volume(np.zeros((2, 2, 2), np.int16), Geometry((1.0, spacing, spacing), (-1 / 3,) * 3))
    first = pydicom.dcmread(write_series(ct, tmp_path, HEADER)[0])
    assert all(len(str(v)) <= 16 for v in (*first.PixelSpacing, *first.ImagePositionPatient))
    assert float(first.PixelSpacing[0]) == pytest.approx(spacing, rel=1e-9)


def test_values_that_would_wrap_around_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"HU -3024 to .* unsigned 16-bit pixels do not hold"):
        write_series(volume(-3024, -1000), tmp_path, HEADER)
    assert not list(tmp_path.iterdir())
