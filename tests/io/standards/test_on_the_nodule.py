"""Segmentation, report and points of a real nodule lie on it, as software that is not ours has it.

The nodule is cut out of LIDC-IDRI-0314 by a threshold around the place that LUNA16 gives, on the
grid that SimpleITK reads; only the writing is ours. All is read back by SimpleITK, highdicom,
pydicom and a JSON parser, and held against the images themselves.
"""

import csv
import json
from datetime import UTC, datetime

import highdicom
import numpy as np
import pydicom
import pytest
from scipy import ndimage

from lungseg.core.record import Record
from lungseg.io.results.candidate_list import Detection
from lungseg.io.sources.index import find_scans
from lungseg.io.standards.markups import write_markups
from lungseg.io.standards.objects import Net, candidate_objects
from lungseg.io.standards.source_images import source_images
from lungseg.ops.surroundings.measure import Surroundings
from lungseg.volume import Geometry, Volume
from tests.io.standards.dicom_objects import errors_of, frames_of, needs_validator

pytestmark = pytest.mark.data
SCAN = "1.3.6.1.4.1.14519.5.2.1.6279.6001.154677396354641150280013275227"


def read_series(folder):
    """The scan by SimpleITK alone: its image, HU, and its files by their instance UID."""
    import SimpleITK as sitk  # noqa: N813

    (where,) = {path.parent for path in folder.rglob("*.dcm")}
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(where), SCAN)
    reader.SetFileNames(names)
    image = reader.Execute()
    uids = {pydicom.dcmread(name, stop_before_pixels=True).SOPInstanceUID: name for name in names}
    return image, sitk.GetArrayFromImage(image), uids


@pytest.fixture(scope="module")
def nodule(data, tmp_path_factory):
    """Where LUNA16 has the nodule, the scan's files, and the folder of what was written of it."""
    folder = data / "LIDC-IDRI" / "LIDC-IDRI-0314"
    with (data / "luna16" / "annotations.csv").open(newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["seriesuid"] == SCAN]
    place = np.array([float(row[f"coord{axis}"]) for axis in "XYZ"])
    image, hu, uids = read_series(folder)
    x, y, z = image.TransformPhysicalPointToIndex(place.tolist())
    box = (slice(z - 12, z + 13), slice(y - 16, y + 17), slice(x - 16, x + 17))
    parts, _ = ndimage.label(ndimage.binary_opening(hu[box] > -400, iterations=2))
    mask = parts == parts[12, 16, 16]
    assert parts[12, 16, 16]
    labels = np.zeros(hu.shape, np.uint8)
    labels[box] = mask
    grid = Geometry(image.GetSpacing()[::-1], image.GetOrigin(), image.GetDirection())
    centre = grid.to_world(np.argwhere(labels).mean(axis=0))
    around = Surroundings("right", "middle", 9.6, 1, touches_rib=True, at_scan_end=False)
    found = [Detection(SCAN, tuple(centre.tolist()), 0.9, 15.5, around=around)]
    out = tmp_path_factory.mktemp("nodule")
    (source,), _ = find_scans([folder], out / "headers.cache")
    record = Record(
        stage="reduce-false-positives", version=1, fingerprint="f",
        finished=datetime(2026, 3, 4, tzinfo=UTC).isoformat(),
    )  # fmt: skip
    seg, report = candidate_objects(
        Volume(labels, grid), found, Net("ab" * 32), source_images(source), record
    )
    seg.save_as(out / "n.seg.dcm")
    report.save_as(out / "n.sr.dcm")
    write_markups(found, out / "n.mrk.json")
    return place, uids, labels, out


def test_every_pixel_of_the_segmentation_lies_on_the_nodule_of_the_image_it_names(nodule):
    import SimpleITK as sitk  # noqa: N813

    place, uids, labels, out = nodule
    # SimpleITK shows a bit that is set as 255.
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "n.seg.dcm"))) > 0
    frames = list(frames_of(out / "n.seg.dcm"))
    assert stored.sum() == labels.sum()
    inside, beside, points = [], [], []
    for (_, origin, frame, image), by_itk in zip(frames, stored, strict=True):
        np.testing.assert_array_equal(frame, by_itk)
        named = sitk.ReadImage(uids[image.ReferencedSOPInstanceUID])
        np.testing.assert_allclose(named.GetOrigin(), origin, atol=1e-3)
        hu = sitk.GetArrayFromImage(named)[0]
        ring = ndimage.binary_dilation(frame, iterations=5) & ~ndimage.binary_dilation(
            frame, iterations=3
        )
        inside.append(hu[frame > 0])
        beside.append(hu[ring])
        points += [
            named.TransformIndexToPhysicalPoint((int(x), int(y), 0)) for y, x in np.argwhere(frame)
        ]
    assert np.concatenate(inside).min() > -400
    assert np.median(np.concatenate(inside)) > 0
    assert np.median(np.concatenate(beside)) < -700
    assert np.linalg.norm(np.mean(points, axis=0) - place) < 1.5


def test_highdicom_puts_the_segmentation_onto_the_images_in_the_same_way(nodule):
    _, uids, labels, out = nodule
    seg = highdicom.seg.segread(out / "n.seg.dcm")
    slices = np.flatnonzero(labels.any(axis=(1, 2)))
    some = slice(slices[0] - 2, slices[-1] + 3)
    pixels = seg.get_pixels_by_source_instance(
        list(uids)[some], segment_numbers=[1], assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(pixels[..., 0], labels[some])
    assert seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Nodule"


def test_report_and_points_have_its_place_and_what_it_touches(nodule):
    place, _, _, out = nodule
    content = highdicom.sr.srread(out / "n.sr.dcm").content
    (group,) = content.get_planar_roi_measurement_groups()
    (point,) = group.roi.value
    assert np.linalg.norm(point - place) < 1.5
    (site,) = group.finding_sites
    assert (site.value.meaning, site.laterality.meaning) == ("Lung", "Right")
    told = [
        item.value.meaning
        for item in group.get_qualitative_evaluations()
        if item.name.scheme_designator == "99LUNGSEG"
    ]
    assert told == ["Touches a vessel or scar", "Touches a rib"]
    (listed,) = json.loads((out / "n.mrk.json").read_text())["markups"]
    (control,) = listed["controlPoints"]
    np.testing.assert_allclose(control["position"], point, atol=1e-3)
    assert listed["coordinateSystem"] == "LPS"
    assert control["description"].endswith("touches a vessel or scar, touches a rib")


@needs_validator
def test_the_validator_finds_no_error_in_objects_of_a_real_scan(nodule):
    for name in ("n.seg.dcm", "n.sr.dcm"):
        assert errors_of(nodule[-1] / name) == []
