"""Every real file that other programs stumble over: what it is, and exactly what comes of it.

One row a file or series. A scan must equal what an independent reader makes of it (SimpleITK's
series reader, pydicom's pixels and the formula, nibabel, pynrrd, zlib) within 0.5 HU and 0.01 mm;
all else must be refused, or left out, by name. Files that no row speaks of make the last test fail.
"""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy import ndimage

from lungseg.core.errors import ScanError
from lungseg.io.dicom.pixels import slice_hu
from lungseg.io.dicom.planes import HuRules
from lungseg.io.dicom.series import read_series
from lungseg.io.sources.index import find_scans
from lungseg.io.volumes.formats import read_hu_file
from lungseg.ops.grid.slices import SliceRules
from lungseg.stages.ingest import Ingest, ct_of_source
from tests.io.other_readers import READERS, by_simpleitk

pytestmark = pytest.mark.data
CORNER, PANIMG = "odd/cornerstone_ts", "odd/rse_panimg"
TWO = {"min_slices": 2}
FILL = {"fill_missing_slices": True}

# One slice each: HU equal to those of CTImage.dcm, whatever the coding ...
LOSSLESS = (
    *("*/CTImage.dcm", "*BigEndian*", "*Deflated*", "*JPEG2000LosslessOnly*", "*RLELossless*"),
    *("*JPEGLSLossless*", "*JPEGProcess14SV1*", "*JPEGProcess14T*", "*LittleEndian*plicitT*"),
)
# ... or as near as the losses let them be (largest and mean difference, HU).
LOSSY = {
    "*JPEG2000Transfer*": (5, 0.6),
    "*JPEGLSLossy*": (1, 0.7),
    "*JPEGProcess10_12*": (40, 4),
    "*JPEGProcess2_4*": (40, 4),
    "*JPEGProcess6_8*": (40, 4),
    "*JPEGProcess1T*": (65, 20),
}
SLICES = (f"{CORNER}/CT[12]_J2KR", "odd/tcga_header_variants/*.dcm")

# Series that are a volume as they lie, and the settings that make those of two slices one.
SERIES = {
    "odd/dcmqi_23x38x3/image": {"accept_rescale_type": True},
    "odd/dcmqi_ct3slice": {},
    "odd/no_modality": TWO,
    "lungs/cip64_dicom": {},
    "lungs/abdomen_two_slices": TWO,
}
TILTED = {
    "odd/dicom2nifti_failing/gantrytilting": (14.0, {}),
    "odd/dcm_qa_ct/GE": (18.5, {}),
    "odd/dicom2nifti_failing/sliceincrement/002": (15.5, FILL),
}
# Series that are refused as they lie.
REFUSED = {
    "odd/dicom2nifti_failing/notavolume": "duplicates: 4 slices with different pixels .*61.50 mm",
    "odd/dicom2nifti_failing/sliceincrement/001": "missing-slices: .* 10 mm between 28.11 and 38.1",
    "odd/dicom2nifti_failing/sliceincrement/002": "missing-slices: .* 1 missing: 1.499 mm between",
    "odd/dcmqi_23x38x3/image": "rescale-type: .* has values in 'US'",
    "odd/fda_undecodable_j2k": "too-few-slices: the series has 2 slices",
    "odd/no_modality": "too-few-slices: the series has 2 slices",
    f"{PANIMG}/dicom_intercept": "too-few-slices: the series has 2 slices",
    f"{PANIMG}/dicom_slope": "too-few-slices: the series has 2 slices",
    f"{PANIMG}/dicom_window_level": "too-few-slices: the series has 2 slices",
    "lungs/abdomen_two_slices": "too-few-slices: the series has 2 slices",
    f"{CORNER}/CT0012.fragmented_no_bot_jpeg_baseline.51.dcm": "rescale-type: .* in 'US'",
    f"{CORNER}/CT1_J2KR": "too-few-slices: the series has 1 slice ",
}
# Volumes of other forms, and the reader they must agree with.
VOLUMES = {
    "lungs/cip64_*.nrrd": "nrrd",
    "lungs/*.nii.gz": "nibabel",
    "lungs/*.mha": "zlib",
    "odd/dcmqi_23x38x3/nrrd/label.nrrd": "nrrd",
    f"{PANIMG}/image10x10x10*.mh[ad]": "zlib",
    f"{PANIMG}/image5x6x7.mhd": "zlib",
    f"{PANIMG}/image5x6x7-*123*.mhd": "zlib",
    f"{PANIMG}/nrrd/image10x11x12.n*": "nrrd",
    f"{PANIMG}/nrrd/image10x11x12_compressed.n*": "nrrd",
}
UNSOUND = {
    f"{PANIMG}/image10x11x12x13*.mh[ad]": "dimensions: .* has 4 axes",
    f"{PANIMG}/image128x256RGB.mhd": "dimensions: .* has 2 axes",
    f"{PANIMG}/image128x256x?RGB.mhd": "samples: .* has 3 values a voxel",
    f"{PANIMG}/image3x4*.mhd": "dimensions: .* has 2 axes",
    f"{PANIMG}/image4x4x4x4x4.mha": "dimensions: .* has 5 axes",
    f"{PANIMG}/image5x6x7-no-spacing.mhd": "spacing: .* states no ElementSpacing",
    f"{PANIMG}/image_min10_max10.mha": "dimensions: .* has 2 axes",
    f"{PANIMG}/invalid_utf8.mhd": r"header: .* a line '.*xffcompresseddata', which is no",
    f"{PANIMG}/mhd_window/*.mhd": "dimensions: .* has 2 axes",
    f"{PANIMG}/mhd_window/errors/*.mhd": "dimensions: .* has 2 axes",
    f"{PANIMG}/nrrd/image10x11x12_unsupported_version.nrrd": "header: .* begins with 'NRRD1004'",
    f"{PANIMG}/referring_to_system_file.mhd": "data-file: .* outside its folder, and is not read",
}
LEFT_OUT = {
    f"{CORNER}/no-pixel-data.dcm": "modality SR, not CT",
    "odd/dcm_qa_ct/exam_summary/I?0": "a screenshot",
    "odd/dcm_qa_ct/scout/I10": "a localizer",
    "odd/dcmqi_23x38x3/screenshots/*": "a picture",
    "odd/dcmqi_23x38x3/seg/label.seg": "modality SEG, not CT",
    f"{PANIMG}/dicom_2d/cxr.dcm": "modality CR, not CT",
    f"{PANIMG}/*.png": "a picture",
    f"{PANIMG}/image5x6x7.mhd": "8 bits a voxel hold no HU: a mask",
    "lungs/*_lungs.*": "8 bits a voxel hold no HU: a mask",
    f"{PANIMG}/*.zip": "an archive",
    f"{PANIMG}/no_image": "not a DICOM file",
}
PASSED_OVER = (
    *("odd/SOURCES.txt", "odd/dcm_qa_ct/*/DIRFILE", f"{PANIMG}/.gitignore"),
    *(f"{PANIMG}/dicom_enhanced/DATA_SOURCE.md", f"{PANIMG}/*.zraw", f"{PANIMG}/*/*.zraw"),
    *(f"{PANIMG}/nrrd/*.raw", f"{PANIMG}/nrrd/*.raw.gz"),
)
# Rows with tests of their own below.
ALONE = (
    *("odd/fda_undecodable_j2k/*", "odd/dcmqi_23x38x3/multiframe/mf.dcm"),
    *(f"{PANIMG}/dicom_4d/*", f"{PANIMG}/dicom_4d_enhanced/*", f"{PANIMG}/dicom_enhanced/*.dcm"),
)


def scan_of(root, tmp_path, **settings):
    (source,), _ = find_scans([root], tmp_path / "headers.cache")
    return ct_of_source(source, Ingest(**settings))


def formula(path):
    """HU of one file by pydicom alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(path)
        return ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept), ds


def same_volume(ct, array, affine):
    assert ct.shape == array.shape
    assert np.abs(ct.array - array.astype(float)).max() <= 0.5
    for corner in np.ndindex(2, 2, 2):
        at = np.array(corner) * (np.array(ct.shape) - 1)
        expected = (affine @ [*at[::-1], 1])[:3]
        np.testing.assert_allclose(ct.geometry.to_world(at), expected, atol=0.01)


@pytest.fixture(scope="module")
def original(data):
    return formula(data / CORNER / "CTImage.dcm")[0]


@pytest.mark.parametrize("pattern", LOSSLESS)
def test_a_lossless_coding_gives_the_original(data, original, pattern):
    paths = [path for path in (data / CORNER).iterdir() if path.match(pattern)]
    assert paths
    for path in paths:
        np.testing.assert_array_equal(slice_hu(path), original)


@pytest.mark.parametrize("pattern", LOSSY)
def test_a_lossy_coding_gives_what_another_decoder_gives(data, original, pattern):
    import SimpleITK

    (path,) = [path for path in (data / CORNER).iterdir() if path.match(pattern)]
    hu = slice_hu(path)
    most, mean = LOSSY[pattern]
    off = np.abs(hu - original)
    assert off.max() <= most
    assert off.mean() <= mean
    other = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[0]
    # Two decoders of JPEG 2000 may round the last bit differently.
    assert np.abs(hu - other).max() <= (1 if "2000" in pattern else 0.5)


def slices(data):
    return [path for pattern in SLICES for path in sorted(data.glob(pattern))]


def test_single_slices_have_the_hu_that_their_files_state(data):
    paths = slices(data)
    assert len(paths) == 13
    for path in paths:
        expected, _ = formula(path)
        assert np.abs(slice_hu(path) - expected).max() <= 0.5, path.name


@pytest.mark.parametrize("folder", SERIES)
def test_a_series_is_what_simpleitk_reads(data, tmp_path, folder):
    ct, _, facts = scan_of(data / folder, tmp_path, **SERIES[folder])
    same_volume(ct, *by_simpleitk(data / folder))
    assert facts["slice_positions"] == "even"


@pytest.mark.parametrize("folder", ["dicom_intercept", "dicom_slope", "dicom_window_level"])
def test_slices_that_simpleitk_does_not_know_are_what_pydicom_reads(data, tmp_path, folder):
    ct, _, _ = scan_of(data / PANIMG / folder, tmp_path, min_slices=2)
    for k, path in enumerate(sorted((data / PANIMG / folder).iterdir())):
        hu, ds = formula(path)
        assert np.abs(ct.array[k] - hu).max() <= 0.5
        place = [float(v) for v in ds.ImagePositionPatient]
        np.testing.assert_allclose(ct.geometry.to_world((k, 0, 0)), place, atol=0.01)


@pytest.mark.parametrize("folder", TILTED)
def test_a_tilted_series_is_true_to_where_its_slices_lie(data, tmp_path, folder):
    degrees, settings = TILTED[folder]
    ct, padding, facts = scan_of(data / folder, tmp_path, **settings)
    assert facts["tilt_degrees"] == pytest.approx(degrees, abs=0.02)
    found = [formula(path) for path in sorted((data / folder).rglob("*.dcm"))]
    planes = sorted(found, key=lambda plane: float(plane[1].ImagePositionPatient[2]))
    positions = np.array([[float(v) for v in ds.ImagePositionPatient] for _, ds in planes])
    axes = np.array([float(v) for v in planes[0][1].ImageOrientationPatient]).reshape(2, 3)
    spacing = float(planes[0][1].PixelSpacing[0])
    normal = np.cross(*axes)
    rng = np.random.default_rng(0)
    compared = 0
    for at in rng.integers(0, ct.shape, (1500, 3)):
        world = ct.geometry.to_world(at)
        heights = (positions - world) @ normal
        above = int(np.searchsorted(heights, -1e-6))
        pair = [above] if abs(heights[min(above, len(heights) - 1)]) < 1e-4 else [above - 1, above]
        if min(pair) < 0 or max(pair) >= len(planes):
            continue
        values = []
        for k in pair:
            column, row = axes @ (world - positions[k]) / spacing
            values.append(
                ndimage.map_coordinates(planes[k][0], [[row], [column]], order=1, cval=np.nan)[0]
            )
        low = planes[pair[0]][0].min() if padding is None else padding
        if np.isnan(values).any() or min(values) < low + 400:
            continue
        weight = 0 if len(pair) == 1 else -heights[pair[0]] / (heights[pair[1]] - heights[pair[0]])
        expected = values[0] + abs(weight) * (values[-1] - values[0])
        assert ct.array[tuple(at)] == pytest.approx(expected, abs=0.75)
        compared += 1
    assert compared > 150


@pytest.mark.parametrize("folder", REFUSED)
def test_a_series_that_is_no_volume_is_refused_by_name(data, tmp_path, folder):
    with pytest.raises(ScanError, match=REFUSED[folder]):
        scan_of(data / folder, tmp_path)


@pytest.mark.parametrize("path", ["000000.dcm", "000374.dcm"])
def test_jpeg_2000_that_no_decoder_reads_is_refused(data, tmp_path, path):
    with pytest.raises(ScanError, match=rf"undecodable: no decoder reads .*{path}"):
        slice_hu(data / "odd/fda_undecodable_j2k" / path)
    if path == "000000.dcm":
        with pytest.raises(ScanError, match=rf"undecodable: no decoder reads .*{path}"):
            scan_of(data / "odd/fda_undecodable_j2k", tmp_path, min_slices=2)


def test_an_enhanced_file_is_its_classic_slices(data):
    folder = data / PANIMG / "dicom_enhanced"
    one = read_series(sorted(folder.glob("slice*.dcm")), SliceRules())
    other = read_series([folder / "volume.dcm"], SliceRules())
    assert one.array.shape == (7, 512, 512)
    np.testing.assert_array_equal(one.array, other.array)
    np.testing.assert_array_equal(one.origin_xyz_mm, other.origin_xyz_mm)
    np.testing.assert_array_equal(one.axes.matrix_xyz, other.axes.matrix_xyz)
    assert one.stack_geometry.step_mm == other.stack_geometry.step_mm == 4
    assert one.spacing_yx_mm == other.spacing_yx_mm


def test_a_small_enhanced_file_is_its_classic_slices(data):
    folder = data / "odd/dcmqi_23x38x3"
    units = HuRules(accept_rescale_type=True)
    one = read_series(sorted((folder / "image").iterdir()), SliceRules(), units)
    other = read_series([folder / "multiframe/mf.dcm"], SliceRules(), units)
    np.testing.assert_array_equal(one.array, other.array)
    np.testing.assert_array_equal(one.origin_xyz_mm, other.origin_xyz_mm)


def test_each_time_of_a_series_in_time_is_a_scan(data, tmp_path):
    classic, _ = find_scans([data / PANIMG / "dicom_4d"], tmp_path / "a")
    enhanced, _ = find_scans([data / PANIMG / "dicom_4d_enhanced"], tmp_path / "b")
    assert [s.scan for s in classic] == [s.scan for s in enhanced]
    assert len(classic) == 19
    for one, other in zip(classic, enhanced, strict=True):
        assert (len(one.files), len(other.files)) == (4, 1)
        first, second = (ct_of_source(source, Ingest())[0] for source in (one, other))
        np.testing.assert_array_equal(first.array, second.array)
        assert first.geometry == second.geometry
        assert first.spacing_mm == (0.5, 0.43, 0.43)
        for path, plane in zip(sorted(one.files, key=position), first.array, strict=True):
            np.testing.assert_array_equal(plane, formula(path)[0])


def position(path):
    return float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])


def volumes(pattern, data):
    return [p for p in sorted(data.glob(pattern)) if "unsupported" not in p.name]


@pytest.mark.parametrize("pattern", VOLUMES)
def test_a_volume_is_what_another_reader_reads(data, pattern):
    paths = volumes(pattern, data)
    assert paths
    for path in paths:
        ct = read_hu_file(path).volume
        same_volume(ct, *READERS[VOLUMES[pattern]](path))


@pytest.mark.parametrize("pattern", UNSOUND)
def test_a_volume_that_cannot_be_a_scan_is_refused(data, tmp_path, pattern):
    paths = sorted(data.glob(pattern))
    assert paths
    for path in paths:
        with pytest.raises(ScanError, match=UNSOUND[pattern]):
            scan_of(path, tmp_path)


@pytest.mark.parametrize("pattern", LEFT_OUT)
def test_a_file_that_is_not_ct_is_left_out(data, tmp_path, pattern):
    paths = sorted(data.glob(pattern))
    assert paths
    for path in paths:
        found, (left,) = find_scans([path], tmp_path / "headers.cache")
        assert not found
        assert LEFT_OUT[pattern] in left.reason
        assert not left.fault


@pytest.mark.parametrize("pattern", PASSED_OVER)
def test_what_is_no_scan_by_its_name_is_not_told_of_alone(data, tmp_path, pattern):
    paths = sorted(data.glob(pattern))
    assert paths
    found, left_out = find_scans([data / "odd"], tmp_path / "headers.cache")
    alone = [
        left for left in left_out if not left.reason.startswith(("beside the scans", "hidden"))
    ]
    named = {file for source in found for file in source.files} | {left.path for left in alone}
    assert not named & {str(path) for path in paths}


def test_every_file_has_its_row(data):
    rows = [
        *(f"{CORNER}/{pattern.removeprefix('*/')}" for pattern in (*LOSSLESS, *LOSSY)),
        *SLICES,
        *(f"{folder}/**/*" for folder in (*SERIES, *TILTED, *REFUSED)),
        *REFUSED,
        *(*VOLUMES, *UNSOUND, *LEFT_OUT, *PASSED_OVER, *ALONE),
    ]
    told = {path for row in rows for path in data.glob(row)}
    every = {path for top in ("odd", "lungs") for path in (data / top).rglob("*") if path.is_file()}
    assert sorted(map(str, every - told)) == []
    assert Path(data / CORNER / "CTImage.dcm") in told
