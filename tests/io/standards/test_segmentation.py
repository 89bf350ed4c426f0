"""DICOM segmentations: each voxel where it was, on the image it names, by software not ours."""

from datetime import UTC, datetime

import highdicom
import numpy as np
import pydicom
import pytest

from lungseg.core.errors import ScanError
from lungseg.io.sources.index import find_scans
from lungseg.io.standards import codes
from lungseg.io.standards.segmentation import (
    Algorithm,
    Segment,
    Titles,
    segmentation_of_labels,
    segmentation_of_masks,
    segmentation_of_probability,
)
from lungseg.io.standards.source_images import source_images
from lungseg.stages.ingest import Ingest, ct_of_source
from tests.io.dicom.dicom_files import AXIAL, positions, write_enhanced, write_series
from tests.io.dicom.test_series import DIRECTIONS
from tests.io.standards.dicom_objects import (
    errors_of,
    frames_of,
    needs_validator,
    points_in,
    points_of,
)

RNG = np.random.default_rng(5)
STORED = RNG.integers(0, 3000, (7, 12, 10)).astype(np.uint16)
ALGORITHM = Algorithm("tests", "1", codes.MORPHOLOGY)
RIGHT = Segment("Right lung", codes.RIGHT_LUNG, ALGORITHM)
LEFT = Segment("Left lung", codes.LEFT_LUNG, ALGORITHM)
TITLES = Titles("Lungs", 301, "LUNGS")
MADE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HEADER = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.5"}


def scan_in(folder):
    """The source and the grid of the one scan in a folder."""
    (source,), _ = find_scans([folder], folder.parent / "headers.cache")
    return source, ct_of_source(source, Ingest(min_slices=3))[0]


def labels_on(ct):
    """Two blocks that no flip takes to each other, off the middle."""
    array = np.zeros(ct.shape, np.uint8)
    array[1:3, 2:7, 1:4] = 1
    array[2:5, 8:11, 5:9] = 2
    return ct.like(array)


def written(folder, labels, source):
    made = segmentation_of_labels(labels, {1: RIGHT, 2: LEFT}, source_images(source), TITLES, MADE)
    path = folder / "lungs.seg.dcm"
    made.save_as(path)
    return path


@pytest.fixture(params=["slices", "frames"])
def plain(request, tmp_path):
    """A scan of single slices, and of frames of one file."""
    folder = tmp_path / "scan"
    places = positions(7, origin=(-20.0, 30.0, -100.0))[::-1]
    if request.param == "slices":
        write_series(folder, STORED, places, **HEADER)
    else:
        folder.mkdir()
        write_enhanced(folder / "ct.dcm", STORED, places, **HEADER)
    return scan_in(folder)


@pytest.mark.parametrize("orientation", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize("backwards", [False, True])
def test_every_voxel_keeps_its_place_in_the_patient(tmp_path, orientation, backwards):
    places = positions(7, orientation=orientation, origin=(-120.5, 33.25, -700.0))
    places = places[::-1] if backwards else places
    write_series(tmp_path / "scan", STORED, places, orientation=orientation, **HEADER)
    source, ct = scan_in(tmp_path / "scan")
    labels = labels_on(ct)
    path = written(tmp_path, labels, source)
    for number in (1, 2):
        np.testing.assert_allclose(
            points_of(path, number), points_in(labels, number), atol=2e-3, rtol=0
        )


def test_every_frame_names_the_image_that_it_lies_on(plain, tmp_path):
    source, ct = plain
    images = {}
    for file in source.files:
        ds = pydicom.dcmread(file)
        images[str(ds.SOPInstanceUID)] = ds
    named = list(frames_of(written(tmp_path, labels_on(ct), source)))
    assert len(named) == 2 + 3
    for _, place, _, image in named:
        ds = images[image.ReferencedSOPInstanceUID]
        here = ds
        if "PerFrameFunctionalGroupsSequence" in ds:
            frame = ds.PerFrameFunctionalGroupsSequence[int(image.ReferencedFrameNumber) - 1]
            here = frame.PlanePositionSequence[0]
        assert list(place) == [float(mm) for mm in here.ImagePositionPatient]


@needs_validator
def test_the_validator_finds_no_error(plain, tmp_path):
    source, ct = plain
    assert errors_of(written(tmp_path, labels_on(ct), source)) == []
    images = source_images(source)
    part = ct.like((labels_on(ct).array / 3).astype(np.float32))
    segmentation_of_probability(part, RIGHT, images, TITLES, MADE).save_as(tmp_path / "p.seg.dcm")
    assert errors_of(tmp_path / "p.seg.dcm") == []
    reader = Segment("Nodule 1 - Annotation 4503", codes.LUNG_NODULE, tracking=("1.2.9", "Nodule"))
    masks = [ct.like(labels_on(ct).array > 0), ct.like(labels_on(ct).array == 2)]
    made = segmentation_of_masks(masks, [reader, reader], images, TITLES, MADE)
    made.save_as(tmp_path / "r.seg.dcm")
    assert errors_of(tmp_path / "r.seg.dcm") == []


def test_highdicom_reads_the_labels_on_the_images(plain, tmp_path):
    source, ct = plain
    labels = labels_on(ct)
    seg = highdicom.seg.segread(written(tmp_path, labels, source))
    got = seg.get_volume(combine_segments=True, allow_missing_positions=True)
    world = np.argwhere(got.array > 0) @ got.affine[:3, :3].T + got.affine[:3, 3]
    values = got.array[got.array > 0]
    index = np.rint(ct.geometry.to_index(world)).astype(int)
    np.testing.assert_array_equal(labels.array[tuple(index.T)], values)
    assert len(values) == np.count_nonzero(labels.array)


def test_simpleitk_reads_the_same_pixels(plain, tmp_path):
    import SimpleITK

    path = written(tmp_path, labels_on(plain[1]), plain[0])
    by_itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    by_pydicom = pydicom.dcmread(path).pixel_array
    np.testing.assert_array_equal(by_itk != 0, by_pydicom != 0)


def test_a_segment_says_what_it_is_in_codes_and_what_found_it(plain, tmp_path):
    ds = pydicom.dcmread(written(tmp_path, labels_on(plain[1]), plain[0]))
    for item, side in zip(ds.SegmentSequence, ("Right", "Left"), strict=True):
        (kind,) = item.SegmentedPropertyTypeCodeSequence
        assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("39607008", "SCT")
        assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == side
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        assert item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "1"
    assert (ds.ContentDate, ds.ContentTime) == ("20260304", "050607")
    assert (ds.PatientID, ds.StudyInstanceUID, ds.FrameOfReferenceUID) == ("P1", "1.2.3", "1.2.5")
    assert (ds.StudyDate, ds.PatientBirthDate, ds.AccessionNumber) == ("", "", "")


def test_the_same_mask_has_the_same_uids_whenever_it_is_written(plain, tmp_path):
    source, ct = plain
    first, again = (pydicom.dcmread(written(tmp_path, labels_on(ct), source)) for _ in range(2))
    assert first.SOPInstanceUID == again.SOPInstanceUID
    other = labels_on(ct)
    other.array[1, 2, 1] = 0
    third = pydicom.dcmread(written(tmp_path, other, source))
    assert third.SOPInstanceUID != first.SOPInstanceUID
    assert third.SeriesInstanceUID == first.SeriesInstanceUID


def test_a_label_without_a_voxel_has_no_segment_and_the_others_are_numbered_on(plain, tmp_path):
    source, ct = plain
    labels = labels_on(ct)
    labels.array[labels.array == 1] = 0
    ds = pydicom.dcmread(written(tmp_path, labels, source))
    assert [(s.SegmentNumber, s.SegmentLabel) for s in ds.SegmentSequence] == [(1, "Left lung")]
    labels.array[:] = 0
    with pytest.raises(ScanError, match=r"the mask has no voxel, .* nrrd and mha hold empty masks"):
        written(tmp_path, labels, source)


def test_more_than_255_candidates_each_keep_their_own_segment(tmp_path):
    write_series(tmp_path / "scan", STORED, positions(7), **HEADER)
    source, ct = scan_in(tmp_path / "scan")
    array = np.zeros(ct.shape, np.uint16)
    array.ravel()[:300] = np.arange(300, 0, -1)
    segments = {k: Segment(f"Candidate {k}", codes.LUNG_NODULE, ALGORITHM) for k in range(1, 301)}
    made = segmentation_of_labels(ct.like(array), segments, source_images(source), TITLES, MADE)
    made.save_as(tmp_path / "many.seg.dcm")
    for number in (1, 255, 256, 300):
        expected = points_in(ct.like(array), number)
        np.testing.assert_allclose(points_of(tmp_path / "many.seg.dcm", number), expected)


def test_masks_that_overlap_keep_each_all_of_its_voxels(plain, tmp_path):
    source, ct = plain
    one, other = (np.zeros(ct.shape, bool) for _ in range(2))
    one[2:4, 2:6, 2:6], other[3:5, 4:8, 4:8] = True, True
    segments = [Segment(name, codes.LUNG_NODULE) for name in ("one", "other")]
    masks = [ct.like(one), ct.like(other)]
    made = segmentation_of_masks(masks, segments, source_images(source), TITLES, MADE)
    made.save_as(tmp_path / "r.seg.dcm")
    for number, mask in enumerate(masks, 1):
        got = points_of(tmp_path / "r.seg.dcm", number)
        np.testing.assert_allclose(got, points_in(mask, True))
    assert made.SegmentSequence[0].SegmentAlgorithmType == "MANUAL"
    with pytest.raises(ScanError, match="the mask has no voxel"):
        segmentation_of_masks([], [], source_images(source), TITLES, MADE)


def test_probabilities_are_kept_to_half_a_step_of_255(plain, tmp_path):
    source, ct = plain
    array = RNG.random(ct.shape, dtype=np.float32)
    array[0] = 0.001
    made = segmentation_of_probability(ct.like(array), RIGHT, source_images(source), TITLES, MADE)
    path = tmp_path / "p.seg.dcm"
    made.save_as(path)
    ds = pydicom.dcmread(path)
    assert (ds.SegmentationType, ds.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    assert ds.NumberOfFrames == 6
    for _, place, frame, _ in frames_of(path):
        k = round(float(ct.geometry.to_index(place)[0]))
        np.testing.assert_allclose(frame / ds.MaximumFractionalValue, array[k], atol=0.5 / 255)


def test_on_a_tilted_gantry_each_pixel_is_within_half_a_voxel_of_its_mask(tmp_path):
    stored = RNG.integers(0, 3000, (12, 30, 20)).astype(np.uint16)
    places = positions(12, step=(0.0, -0.9, 2.5))
    write_series(tmp_path / "scan", stored, places, orientation=AXIAL, **HEADER)
    source, ct = scan_in(tmp_path / "scan")
    array = np.zeros(ct.shape, np.uint8)
    array[3:8, 12:25, 4:15] = 1
    labels = ct.like(array)
    path = written(tmp_path, labels, source)
    got = points_of(path, 1)
    index = np.rint(ct.geometry.to_index(got)).astype(int)
    assert (array[tuple(index.T)] == 1).all()
    assert len(got) == np.count_nonzero(array)
    assert {tuple(place) for _, place, _, _ in frames_of(path)} <= {
        tuple(np.round(place, 6)) for place in places
    }


def test_slices_that_ingest_filled_in_have_no_frame(tmp_path):
    places = positions(8)
    write_series(tmp_path / "scan", STORED, np.delete(places, 3, axis=0), **HEADER)
    (source,), _ = find_scans([tmp_path / "scan"], tmp_path / "headers.cache")
    ct = ct_of_source(source, Ingest(fill_missing_slices=True))[0]
    assert ct.shape[0] == 8
    array = np.zeros(ct.shape, np.uint8)
    array[:, 4:6, 4:6] = 1
    path = written(tmp_path, ct.like(array), source)
    heights = sorted(place[2] for _, place, _, _ in frames_of(path))
    assert heights == sorted(np.delete(places, 3, axis=0)[:, 2])
