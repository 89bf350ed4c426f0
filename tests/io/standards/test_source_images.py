"""The images of a scan: whose they are, what is blank, and what cannot be named."""

import dataclasses
import shutil

import numpy as np
import pydicom
import pytest

from lungseg.core.errors import ScanError
from lungseg.io.sources.index import find_scans
from lungseg.io.sources.pseudonyms import pseudonym
from lungseg.io.standards.source_images import on_images, source_images
from lungseg.stages.ingest import Ingest, ct_of_source
from lungseg.volume import Geometry, Volume
from tests.io.dicom.dicom_files import positions, write_enhanced, write_series
from tests.io.standards.dicom_objects import errors_of, needs_validator, points_in, points_of
from tests.io.standards.test_segmentation import (
    HEADER,
    STORED,
    labels_on,
    scan_in,
    written,
)


def scan(folder, **header):
    write_series(folder / "scan", STORED, positions(7), **{**HEADER, **header})
    return scan_in(folder / "scan")


def test_images_are_in_order_along_their_normal_whatever_their_files_are_called(tmp_path):
    write_series(tmp_path / "scan", STORED, positions(7)[::-1], **HEADER)
    images = source_images(scan_in(tmp_path / "scan")[0])
    assert images.positions_xyz_mm[:, 2].tolist() == positions(7)[:, 2].tolist()
    assert (images.shape, images.spacing_yx_mm) == ((12, 10), (0.75, 0.5))
    assert images.frame_of_reference == "1.2.5"


@needs_validator
def test_what_a_file_lacks_or_has_in_no_valid_form_is_blank(tmp_path):
    with pytest.warns(UserWarning, match="Invalid value|value length"):
        source, ct = scan(
            tmp_path,
            StudyDate="1999.13.45",
            StudyTime="25:61",
            PatientSex="unknown",
            PatientBirthDate="12 May",
            AccessionNumber="longer than sixteen characters",
            PatientName="Müller^Jörg",
            SpecificCharacterSet="ISO_IR 100",
        )
    path = written(tmp_path, labels_on(ct), source)
    ds = pydicom.dcmread(path)
    assert [ds.StudyDate, ds.StudyTime, ds.PatientSex, ds.AccessionNumber] == ["", "", "", ""]
    assert ds.PatientBirthDate == ""
    assert str(ds.PatientName) == "Müller^Jörg"
    assert errors_of(path) == []


def test_a_pseudonym_takes_the_place_of_all_that_leads_to_the_patient(tmp_path):
    source, _ = scan(
        tmp_path, PatientBirthDate="19700101", AccessionNumber="A1", StudyID="7", PatientSex="F",
        ReferringPhysicianName="Who", StudyDate="20260102", StudyTime="101112",
    )  # fmt: skip
    name = pseudonym("P1", bytes(32))
    first = source_images(dataclasses.replace(source, patient=name)).first
    assert str(first.PatientID) == name
    left = [first.PatientBirthDate, first.AccessionNumber, first.StudyID, first.StudyDate]
    left += [first.StudyTime, str(first.PatientName), str(first.ReferringPhysicianName)]
    assert left == [""] * 7
    assert first.PatientSex == "F"


def test_a_series_without_frame_of_reference_gets_one_that_stays_the_same(tmp_path):
    source, _ = scan(tmp_path, FrameOfReferenceUID="")
    uid = source_images(source).frame_of_reference
    assert uid
    assert uid == source_images(source).frame_of_reference


def test_a_repeated_slice_is_named_once(tmp_path):
    source, ct = scan(tmp_path)
    copy = tmp_path / "scan" / "copy.dcm"
    shutil.copy(source.files[3], copy)
    again = dataclasses.replace(source, files=(*source.files, str(copy)))
    images = source_images(again)
    assert len(images.datasets) == 7
    np.testing.assert_array_equal(on_images(labels_on(ct), images), labels_on(ct).array)


def test_scans_that_no_dicom_object_can_name_are_refused_in_words(tmp_path):
    source, ct = scan(tmp_path)
    nifti = dataclasses.replace(source, kind="nifti")
    with pytest.raises(ScanError, match=r"was read from a nifti file; .* give the scan as DICOM"):
        source_images(nifti)
    gone = dataclasses.replace(source, files=(*source.files, str(tmp_path / "gone.dcm")))
    with pytest.raises(FileNotFoundError, match=r"gone\.dcm was there when the scan was found"):
        source_images(gone)
    turned = Volume(ct.array, Geometry((1.0, 1.0, 1.0), direction_xyz=(0, 1, 0, 1, 0, 0, 0, 0, -1)))
    with pytest.raises(ScanError, match="the mask's grid is turned against the scan's images"):
        on_images(turned, source_images(source))
    bare, _ = scan(tmp_path / "bare", StudyInstanceUID="")
    with pytest.raises(ScanError, match=r"has no StudyInstanceUID; .* export nii\.gz"):
        source_images(bare)


def test_a_scan_in_several_multi_frame_files_is_refused_in_words(tmp_path):
    source, _ = scan(tmp_path)
    framed = write_enhanced(tmp_path / "more.dcm", STORED, positions(7), **HEADER)
    both = dataclasses.replace(source, files=(*source.files, str(framed)))
    with pytest.raises(ScanError, match=r"is in 8 files, 1 of them multi-frame; .* export nii\.gz"):
        source_images(both)


def test_a_scan_joined_of_several_series_is_refused_in_words(tmp_path):
    source, _ = scan(tmp_path)
    (alone,) = write_series(
        tmp_path / "more", STORED[:1], positions(8)[7:], **{**HEADER, "SeriesInstanceUID": "1.2.8"}
    )
    both = dataclasses.replace(source, files=(*source.files, str(alone)))
    with pytest.raises(ScanError, match=r"have 2 different SeriesInstanceUID; .* export nii\.gz"):
        source_images(both)


def test_a_header_that_pydicom_cannot_read_is_named(tmp_path, monkeypatch):
    source, _ = scan(tmp_path)

    def broken(*_, **__):
        raise ValueError("no such length")

    monkeypatch.setattr(pydicom, "dcmread", broken)
    with pytest.raises(ScanError, match=r"header: .*000\.dcm: .*\(no such length\); copy it again"):
        source_images(source)


@pytest.mark.data
@needs_validator
def test_a_real_multi_frame_scan_and_its_single_slices_have_the_same_mask(data, tmp_path):
    folder = data / "odd" / "rse_panimg" / "dicom_enhanced"
    points = []
    for number, files in enumerate((sorted(folder.glob("slice*.dcm")), [folder / "volume.dcm"])):
        (source,), _ = find_scans(files, tmp_path / "headers.cache")
        ct, _, _ = ct_of_source(source, Ingest(accept_missing_rescale=True))
        labels = np.zeros(ct.shape, np.uint8)
        labels[2:5, 20:40, 10:50] = 1
        (tmp_path / str(number)).mkdir()
        path = written(tmp_path / str(number), ct.like(labels), source)
        assert errors_of(path) == []
        points.append(points_of(path, 1))
        np.testing.assert_allclose(points[-1], points_in(ct.like(labels), 1), atol=2e-3)
    np.testing.assert_allclose(*points)
