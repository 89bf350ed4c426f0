"""What a file is, by its headers: a CT slice, a volume, or what else and why."""

import struct

import numpy as np
import pytest

from tests.io.dicom.dicom_files import positions, write_enhanced, write_slice
from tests.io.sources.trees import STORED, volume


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer, not slices"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "a screenshot"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.67"}, "another kind"),
        ({"Modality": "SEG", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "modality SEG"),
        ({"SamplesPerPixel": 3}, "a colour picture"),
        ({"Modality": None, "SOPClassUID": "1.2.3"}, "neither Modality nor SOP class"),
    ],
)
def test_what_only_looks_like_a_ct_is_left_out(tree, look, header, reason):
    tree.mkdir()
    write_slice(tree / "a", STORED[0], **header)
    found, (left,) = look()
    assert not found
    assert reason in left.reason
    assert not left.fault


def test_a_localizer_is_one_in_small_letters_too(tree, look):
    tree.mkdir()
    path = write_slice(tree / "a", STORED[0], ImageType=["ORIGINAL", "PRIMARY", "TOPOGRAM"])
    path.write_bytes(path.read_bytes().replace(b"TOPOGRAM", b"Topogram"))
    found, (left,) = look()
    assert not found
    assert left.reason == "a localizer, not slices"


@pytest.mark.parametrize(
    "header",
    [
        {"Modality": None},
        {"SOPClassUID": "1.2.111.10008.2.1.4.1.1.2"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.2"},
    ],
)
def test_what_is_a_ct_under_another_name_is_one(tree, look, header):
    tree.mkdir()
    write_slice(tree / "a", STORED[0], **header)
    found, left_out = look()
    assert len(found) == 1
    assert not left_out


def test_an_enhanced_ct_under_the_class_of_screenshots_is_one(tree, look):
    tree.mkdir()
    write_enhanced(
        tree / "a", STORED, positions(4).tolist(), SOPClassUID="1.2.840.10008.5.1.4.1.1.7.3"
    )
    assert len(look()[0]) == 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("notes.dcm", b"hello, I am text", "not a DICOM file"),
        ("scan.zip", b"PK", "an archive"),
        ("scan.tar.gz", b"\x1f\x8b", "an archive"),
        ("view.PNG", b"\x89PNG", "a picture"),
        ("empty.dcm", b"", "empty: nothing of the file was copied"),
    ],
)
def test_other_files_are_named_with_their_reason(tree, look, name, content, reason):
    tree.mkdir()
    (tree / name).write_bytes(content)
    found, (left,) = look()
    assert not found
    assert reason in left.reason
    assert left.path == str(tree / name)
    assert left.fault == (content == b"")


def test_a_file_cut_before_its_series_is_a_fault(tree, look):
    tree.mkdir()
    path = write_slice(tree / "a.dcm", STORED[0])
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"1.2.3.4") - 8])
    found, (left,) = look()
    assert not found
    assert left.fault
    assert "SeriesInstanceUID" in left.reason or "cannot be read" in left.reason


def test_a_ct_without_series_is_a_fault(tree, look):
    tree.mkdir()
    write_slice(tree / "a", STORED[0], SeriesInstanceUID=None)
    _, (left,) = look()
    assert left.fault
    assert left.reason.startswith("a CT without SeriesInstanceUID")


@pytest.mark.parametrize("suffix", [".mhd", ".mha", ".nii", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_masks_beside_scans_are_no_scans(tree, look, suffix, dtype):
    volume(tree / "subset0" / f"1.3.6.1{suffix}")
    volume(tree / "seg-lungs-LUNA16" / f"1.3.6.1{suffix}", 3, dtype)
    (found,), (left,) = look()
    # LUNA16's lists know the scan by the name of its series alone.
    assert found.scan == "1.3.6.1"
    assert "subset0" in found.files[0]
    assert not left.fault
    assert "8 bits a voxel hold no HU" in left.reason


def test_eight_bits_that_a_nifti_scales_may_be_hu(tree, look):
    path = volume(tree / "a.nii", 3, np.uint8)
    with path.open("r+b") as file:
        file.seek(112)
        file.write(struct.pack("<ff", 16.0, -1024.0))
    (found,), left_out = look()
    assert found.scan == "a"
    assert not left_out
