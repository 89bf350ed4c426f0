"""Structured reports: place, size and score of each candidate, by software that is not ours."""

from datetime import UTC, datetime
from importlib.metadata import version

import highdicom
import numpy as np
import pydicom
import pytest

from lungseg.core.errors import ScanError
from lungseg.core.record import Record
from lungseg.io.results.candidate_list import Detection
from lungseg.io.standards.objects import Net, candidate_objects
from lungseg.io.standards.source_images import source_images
from tests.io.dicom.dicom_files import positions, write_series
from tests.io.standards.dicom_objects import errors_of, needs_validator
from tests.io.standards.test_segmentation import HEADER, STORED, scan_in

FOUND = (
    Detection("1.2.3.4", (1.25, 3.5, 7.5), 0.93751, 4.25),
    Detection("1.2.3.4", (2.0, 1.0, 10.0), 0.2, 3.0),
)
RECORD = Record(
    stage="find-nodules",
    version=2,
    fingerprint="f",
    finished=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC).isoformat(),
)
NET = Net("0123456789abcdef" * 4)


@pytest.fixture
def made(tmp_path):
    """Files of a segmentation and a report on two candidates, of which the first has a mask."""
    write_series(tmp_path / "scan", STORED, positions(7), **HEADER)
    source, ct = scan_in(tmp_path / "scan")
    labels = np.zeros(ct.shape, np.uint16)
    labels[2:4, 3:6, 1:4] = 1
    masks, report = candidate_objects(ct.like(labels), FOUND, NET, source_images(source), RECORD)
    masks.save_as(tmp_path / "found.seg.dcm")
    report.save_as(tmp_path / "found.sr.dcm")
    return tmp_path, labels.sum() * ct.geometry.voxel_mm3


def numbers_of(group):
    return {m.name.meaning: (m.value, m.unit.value) for m in group.get_measurements()}


def test_highdicom_reads_every_candidates_place_size_and_score(made):
    report = highdicom.sr.srread(made[0] / "found.sr.dcm")
    groups = report.content.get_planar_roi_measurement_groups()
    for rank, (group, one) in enumerate(zip(groups, FOUND, strict=True), 1):
        assert group.tracking_identifier == f"Candidate {rank}"
        assert group.roi.value.tolist() == [list(one.xyz_mm)]
        assert group.roi.frame_of_reference_uid == "1.2.5"
        assert group.finding_type.value == "27925004"
        assert [site.value.meaning for site in group.finding_sites] == ["Lung"]
        told = numbers_of(group)
        assert told["Diameter"] == (one.diameter_mm, "mm")
        assert told["Certainty of Finding"] == (round(100 * one.probability, 4), "%")


def test_a_candidate_with_a_mask_names_its_segment_and_has_its_volume(made):
    folder, volume_mm3 = made
    report = highdicom.sr.srread(folder / "found.sr.dcm")
    masks = pydicom.dcmread(folder / "found.seg.dcm")
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    named = group.referenced_segment
    segment = masks.SegmentSequence[0]
    assert named.referenced_sop_instance_uid == masks.SOPInstanceUID
    assert [int(number) for number in named.referenced_segment_numbers] == [1]
    assert (group.tracking_uid, segment.SegmentNumber) == (segment.TrackingUID, 1)
    assert numbers_of(group)["Volume"] == (pytest.approx(volume_mm3), "mm3")


def test_a_report_names_the_net_the_device_and_that_nobody_verified_it(made):
    ds = pydicom.dcmread(made[0] / "found.sr.dcm")
    assert (ds.VerificationFlag, ds.CompletionFlag) == ("UNVERIFIED", "COMPLETE")
    assert (ds.PatientID, ds.StudyInstanceUID, ds.ContentDate) == ("P1", "1.2.3", "20260304")
    texts = {str(item.value) for item in ds.iterall() if item.keyword == "TextValue"}
    assert {f"{version('lungseg-cli')}, net 0123456789abcdef", "lungseg-cli nodule net"} <= texts


@needs_validator
def test_the_validator_finds_no_error(made):
    assert errors_of(made[0] / "found.sr.dcm") == []
    assert errors_of(made[0] / "found.seg.dcm") == []


@needs_validator
def test_candidates_without_any_mask_have_a_report_and_no_segmentation(tmp_path):
    write_series(tmp_path / "scan", STORED, positions(7), **HEADER)
    source, ct = scan_in(tmp_path / "scan")
    empty = ct.like(np.zeros(ct.shape, np.uint16))
    images = source_images(source)
    masks, report = candidate_objects(empty, FOUND, NET, images, RECORD)
    assert masks is None
    report.save_as(tmp_path / "none.sr.dcm")
    assert errors_of(tmp_path / "none.sr.dcm") == []
    content = highdicom.sr.srread(tmp_path / "none.sr.dcm").content
    assert len(content.get_planar_roi_measurement_groups()) == 2
    with pytest.raises(ScanError, match="there are no candidates, and a report has at least one"):
        candidate_objects(empty, [], NET, images, RECORD)
