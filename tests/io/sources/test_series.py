"""Which slices are one scan: acquisitions, patients, series of one slice, screenshots."""

import numpy as np
import pytest

from lungseg.core.errors import ScanError
from lungseg.io.sources.index import find_scans
from lungseg.io.sources.scan_ids import series_of
from lungseg.io.sources.series import JOIN, SPLIT, SourceRules
from lungseg.stages.ingest import Ingest, ct_of_source
from tests.io.dicom.dicom_files import positions, write_series, write_slice

RNG = np.random.default_rng(2)
STORED = RNG.integers(0, 2000, (12, 6, 5)).astype(np.uint16)
SCREEN_CLASS = "1.2.840.10008.5.1.4.1.1.7"


@pytest.fixture
def look(tree, tmp_path):
    def found(**rules):
        return find_scans([tree], tmp_path / "headers.cache", rules=SourceRules(**rules))

    return found


def two_breaths(tree, **header):
    """Two breath-holds of six slices each under one series, the second between the first."""
    places = positions(12, gap_mm=1.25)
    for number in (1, 2):
        write_series(
            tree / str(number),
            STORED[number - 1 :: 2],
            places[number - 1 :: 2],
            AcquisitionNumber=number,
            **header,
        )


def test_acquisitions_that_overlap_are_refused_by_name(tree, look):
    two_breaths(tree)
    (source,), left_out = look()
    assert (source.scan, len(source.files), left_out) == ("1.2.3.4", 12, [])
    with pytest.raises(ScanError, match=r"acquisitions: .*AcquisitionNumber that overlap") as error:
        ct_of_source(source, Ingest())
    assert "set ingest.acquisitions=split" in error.value.advised("ingest")
    assert "set ingest.acquisitions=join" in error.value.advised("ingest")


def test_each_acquisition_is_a_scan_by_a_setting(tree, look):
    two_breaths(tree)
    found, left_out = look(acquisitions=SPLIT)
    assert [(s.scan, s.patient, len(s.files)) for s in found] == [
        ("1.2.3.4_a1", "P1", 6),
        ("1.2.3.4_a2", "P1", 6),
    ]
    assert not left_out
    for k, source in enumerate(found):
        ct, _, facts = ct_of_source(source, Ingest(acquisitions=SPLIT))
        np.testing.assert_array_equal(ct.array, STORED[k::2].astype(int) - 1024)
        assert ct.spacing_mm[0] == 2.5
        assert facts["slice_positions"] == "even"
        assert series_of(source.scan) == "1.2.3.4"


def test_acquisitions_are_joined_by_a_setting_and_that_is_another_scan(tree, look):
    two_breaths(tree)
    (refused,), _ = look()
    (joined,), _ = look(acquisitions=JOIN)
    assert joined.scan == refused.scan
    assert joined.identity != refused.identity
    ct, _, _ = ct_of_source(joined, Ingest(acquisitions=JOIN))
    np.testing.assert_array_equal(ct.array, STORED.astype(int) - 1024)


def test_a_rule_for_acquisitions_leaves_other_scans_what_they_are(tree, look):
    write_series(tree, STORED, positions(12), AcquisitionNumber=3)
    identities = {look(acquisitions=rule)[0][0].identity for rule in ("refuse", SPLIT, JOIN)}
    assert len(identities) == 1


@pytest.mark.parametrize("times", ["same", "of its own"])
def test_step_and_shoot_is_one_scan(tree, look, times):
    for k, place in enumerate(positions(12)):
        write_series(
            tree / str(k),
            STORED[[k]],
            [place],
            AcquisitionNumber=k + 1,
            AcquisitionTime="101010" if times == "same" else f"10101{k % 10}.{k:02d}",
        )
    found, left_out = look(acquisitions=SPLIT)
    assert [(s.scan, len(s.files)) for s in found] == [("1.2.3.4", 12)]
    assert not left_out
    ct, _, _ = ct_of_source(found[0], Ingest())
    np.testing.assert_array_equal(ct.array, STORED.astype(int) - 1024)


@pytest.mark.parametrize(
    ("name", "values", "labels"),
    [
        ("AcquisitionTime", ("101010", "101530.5"), ["t1", "t2"]),
        ("AcquisitionDateTime", ("20200101101010", "20200101101530"), ["t1", "t2"]),
        ("TemporalPositionIdentifier", (1, 2), ["p1", "p2"]),
        ("ConvolutionKernel", (["B30f", "x"], "B70f"), ["k1", "k2"]),
    ],
)
def test_times_phases_and_kernels_are_told_apart_at_one_place(tree, look, name, values, labels):
    for k, value in enumerate(values):
        write_series(tree / str(k), STORED[k * 6 : k * 6 + 6], positions(6), **{name: value})
    with pytest.raises(ScanError, match="acquisitions: "):
        ct_of_source(look()[0][0], Ingest())
    found, _ = look(acquisitions=SPLIT)
    assert [source.scan for source in found] == [f"1.2.3.4_{label}" for label in labels]
    for k, source in enumerate(found):
        ct, _, _ = ct_of_source(source, Ingest())
        np.testing.assert_array_equal(ct.array, STORED[k * 6 : k * 6 + 6].astype(int) - 1024)


def test_two_patients_under_one_series_are_refused(tree, look):
    for k, patient in enumerate(("A", "B")):
        write_series(
            tree / patient, STORED[k * 6 : k * 6 + 6], positions(12)[k::2], PatientID=patient
        )
    found, (left,) = look()
    assert not found
    assert left.fault
    assert left.scan == "1.2.3.4"
    assert left.reason.startswith("patients: 12 slices of one SeriesInstanceUID have 2 PatientIDs")
    assert "(A, B)" in left.reason


def test_a_slice_without_patient_id_is_of_the_patient_of_the_others(tree, look):
    write_series(tree / "a", STORED[:6], positions(6), PatientID="A")
    write_series(tree / "b", STORED[6:9], positions(9)[6:], PatientID="")
    (source,), left_out = look()
    assert (source.patient, len(source.files), left_out) == ("A", 9, [])


def lone(tree, study, patient="A", first=0, spacing=(1, 1)):
    tree.mkdir(exist_ok=True)
    for k, place in enumerate(positions(6)):
        write_slice(
            tree / f"{study}{patient}{first + k}",
            STORED[k],
            PatientID=patient,
            StudyInstanceUID=study,
            SeriesInstanceUID=f"{study}.{first + k}",
            ImagePositionPatient=place.tolist(),
            PixelSpacing=list(spacing),
        )


def test_a_series_per_slice_is_said_once_for_each_study_and_joined_by_a_setting(tree, look):
    lone(tree, "1.7")
    lone(tree, "1.8", "B")
    found, left_out = look()
    assert not found
    assert [left.scan for left in left_out] == ["1.7_s1", "1.8_s1"]
    for left in left_out:
        assert left.fault
        assert left.reason.startswith("too-few-slices: 6 series of one slice each in one study")
        assert left.setting.startswith("join_series=true")
    found, left_out = look(join_series=True)
    assert not left_out
    assert [(s.scan, s.patient, len(s.files)) for s in found] == [
        ("1.7_s1", "A", 6),
        ("1.8_s1", "B", 6),
    ]
    for source in found:
        ct, _, _ = ct_of_source(source, Ingest(join_series=True))
        np.testing.assert_array_equal(ct.array, STORED[:6].astype(int) - 1024)


def test_stacks_of_one_study_that_differ_are_joined_apart(tree, look):
    lone(tree, "1.7")
    lone(tree, "1.7", first=10, spacing=(2, 2))
    series = write_series(tree / "whole", STORED, positions(12), StudyInstanceUID="1.7")
    found, left_out = look(join_series=True)
    assert [(s.scan, len(s.files)) for s in found] == [
        *[("1.2.3.4", len(series)), ("1.7_s1", 6), ("1.7_s2", 6)]
    ]
    assert not left_out


def test_two_lone_slices_are_two_series(tree, look):
    tree.mkdir()
    for k in (0, 1):
        write_slice(
            tree / str(k),
            STORED[k],
            StudyInstanceUID="1.7",
            SeriesInstanceUID=f"1.7.{k}",
            ImagePositionPatient=[0, 0, k],
        )
    assert [s.scan for s in look(join_series=True)[0]] == ["1.7.0", "1.7.1"]


def test_slices_stored_as_screenshots_are_used_by_a_setting(tree, look):
    write_series(tree, STORED, positions(12), SOPClassUID=SCREEN_CLASS)
    found, (left,) = look()
    assert not found
    assert not left.fault
    assert "stored as a screenshot (Secondary Capture) (12 files)" in left.reason
    assert left.setting.startswith("secondary_capture=true")
    (source,), left_out = look(secondary_capture=True)
    assert not left_out
    ct, _, _ = ct_of_source(source, Ingest(secondary_capture=True))
    np.testing.assert_array_equal(ct.array, STORED.astype(int) - 1024)


@pytest.mark.parametrize(
    "header",
    [
        {"SOPClassUID": SCREEN_CLASS, "ImagePositionPatient": None},
        {"SOPClassUID": SCREEN_CLASS, "ImageType": ["DERIVED", "SECONDARY", "REF_SURVIEW"]},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"], "ImagePositionPatient": None},
        {"PixelPaddingValue": list(range(300)), "ImagePositionPatient": None},
    ],
)
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_a_dose_screen_is_skipped_not_failed(tree, look, header, syntax):
    write_series(tree / "ct", STORED, positions(12), syntax=syntax)
    header = {"ImagePositionPatient": [0, 0, 0], **header}
    write_slice(tree / "dose", STORED[0], SeriesInstanceUID="1.9", syntax=syntax, **header)
    found, (left,) = look()
    assert [source.scan for source in found] == ["1.2.3.4"]
    assert not left.fault
    assert "a screenshot" in left.reason
    assert not left.setting
