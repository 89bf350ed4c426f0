"""Sources: every scan is found by its headers, everything else is named with its reason."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lungseg.io.sources.index import find_scans
from tests.io.dicom.dicom_files import write_slice
from tests.io.sources.trees import STORED, series, volume


def test_several_series_in_one_folder_are_separated(tree, look):
    first = series(tree, "1.2.1", PatientID="A")
    for path in first:
        path.rename(path.with_name(f"x{path.name}"))
    series(tree, "1.2.2", PatientID="B")
    found, left_out = look()
    assert [(s.scan, s.patient, s.kind, len(s.files)) for s in found] == [
        ("1.2.1", "A", "dicom", 4),
        ("1.2.2", "B", "dicom", 4),
    ]
    assert not left_out
    assert [Path(f).name for f in found[0].files] == [f"x00{k}.dcm" for k in range(4)]
    assert all(Path(f).is_absolute() for f in found[0].files)


def test_names_say_nothing(tree, look):
    for k, path in enumerate(series(tree, "1.2.1")):
        path.rename(tree / ["a", "b.txt.1", "c.jpeg2", "IM 0001"][k])
    (found,), _ = look()
    assert len(found.files) == 4


def test_a_series_over_several_folders_is_one_scan(tree, look):
    files = series(tree / "a", "1.2.1")
    (tree / "b").mkdir()
    files[3].rename(tree / "b" / "9.dcm")
    (found,), left_out = look()
    assert len(found.files) == 4
    assert not left_out


def test_copies_of_a_series_are_one_scan(tree, look):
    series(tree / "a", "1.2.1")
    shutil.copytree(tree / "a", tree / "copy" / "of")
    (found,), left_out = look()
    assert {Path(f).parent for f in found.files} == {tree / "a"}
    assert [left.reason for left in left_out] == ["copies of slices that are used (4 files)"]
    assert left_out[0].path == str(tree / "copy" / "of" / "000.dcm")
    assert not left_out[0].fault


@pytest.mark.parametrize(
    ("header", "z_mm", "kept"),
    [({}, 0.0, 4), ({"ImageComments": "longer"}, 0.0, 8), ({}, 5.0, 8)],
    ids=["copies", "other size", "other place"],
)
def test_copies_are_one_image_only_if_uid_size_and_place_are_equal(tree, look, header, z_mm, kept):
    for folder, written, first_mm in (("a", {}, 0.0), ("b", header, z_mm)):
        (tree / folder).mkdir(parents=True)
        for k in range(4):
            write_slice(
                tree / folder / f"{k}.dcm",
                STORED[k],
                SOPInstanceUID=f"1.2.9.{k}",
                SeriesInstanceUID="1.2.1",
                ImagePositionPatient=[0.0, 0.0, first_mm + k],
                **written,
            )
    one, other = ({file.stat().st_size for file in (tree / f).iterdir()} for f in "ab")
    assert (one == other) == (not header)
    (found,), left_out = look()
    assert len(found.files) == kept
    assert bool(left_out) == (kept == 4)


def test_other_images_under_the_same_uids_are_kept_for_ingest_to_refuse(tree, look):
    series(tree / "a", "1.2.1")
    series(tree / "b", "1.2.1")
    (found,), _ = look()
    assert len(found.files) == 8


def test_two_images_of_one_uid_in_a_folder_are_both_kept(tree, look):
    for folder, name, value in (("a", "1", 5), ("a", "2", 6), ("b", "1", 5)):
        (tree / folder).mkdir(parents=True, exist_ok=True)
        write_slice(tree / folder / name, np.full((3, 5), value, np.int16), SOPInstanceUID="1.2.9")
    (found,), _ = look()
    assert [f[-3:] for f in found.files] == ["a/1", "a/2"]


def test_a_series_that_is_not_ct_is_named_once(tree, look):
    series(tree / "xray", "1.2.8", Modality="DX")
    series(tree / "ct", "1.2.1")
    found, (left,) = look()
    assert [s.scan for s in found] == ["1.2.1"]
    assert (left.scan, left.modality, left.fault) == ("1.2.8", "DX", False)
    assert left.reason == "modality DX, not CT (4 files)"
    assert left.path == str(tree / "xray" / "000.dcm")


def test_a_localizer_within_a_series_leaves_the_series_alone(tree, look):
    files = series(tree, "1.2.1")
    write_slice(tree / "zz", STORED[0], SeriesInstanceUID="1.2.1", ImageType=["A", "B", "SCOUT"])
    (found,), (left,) = look()
    assert found.files == tuple(map(str, files))
    assert (left.scan, left.fault) == ("", False)


def test_what_lies_beside_scans_is_told_in_a_line(tree, look):
    series(tree, "1.2.1")
    for name in (
        *("._000.dcm", ".DS_Store", "LICENSE", "LICENSE.txt", "a.xml", "annotations.csv"),
        *("DICOMDIR", "readme.md", "x.JSON"),
    ):
        (tree / name).write_bytes(b"\0\5\x16\7 not an image")
    write_slice(tree / "index of a disc", STORED[0], SOPClassUID="1.2.840.10008.1.3.10")
    found, (left,) = look()
    assert len(found) == 1
    assert left.reason == (
        "beside the scans, no images themselves: 8 files (3 without, 1 .txt, 1 .xml, 1 .csv, "
        "1 .md, ...)"
    )
    assert not left.fault


def test_a_slice_under_the_name_of_a_list_is_a_slice(tree, look):
    series(tree, "1.2.1")[3].rename(tree / "readme.txt")
    (found,), left_out = look()
    assert len(found.files) == 4
    assert not left_out


@pytest.mark.parametrize("name", ["voxels.raw", "voxels.ZRAW", "voxels.raw.gz", "a.img"])
def test_voxels_without_their_header_are_a_fault(tree, look, name):
    tree.mkdir()
    (tree / name).write_bytes(bytes(60))
    found, (left,) = look()
    assert not found
    assert left.fault
    assert left.reason.startswith("voxels without their header: no .mhd, .nhdr or .hdr beside it")


def test_a_slice_cut_within_its_pixels_stays_in_its_series(tree, look):
    files = series(tree, "1.2.1")
    files[2].write_bytes(files[2].read_bytes()[:-9])
    assert len(look()[0][0].files) == 4


def test_a_patient_without_a_name_is_its_scan(tree, look):
    series(tree, "1.2.1", PatientID=None)
    assert look()[0][0].patient == "1.2.1"


def test_volumes_are_scans_named_after_their_files(tree, look):
    volume(tree / "1.3.6.1.mhd")
    volume(tree / "sub" / "b.nii.gz")
    volume(tree / "c.nrrd")
    found, left_out = look()
    assert [(s.scan, s.patient, s.kind) for s in found] == [
        ("1.3.6.1", "1.3.6.1", "metaimage"),
        ("b", "b", "nifti"),
        ("c", "c", "nrrd"),
    ]
    assert not left_out


def test_volumes_named_alike_bear_their_folders_names(tree, look):
    for folder in ("p1/ct", "p2/ct", "p2/late"):
        volume(tree / folder / "image.nii.gz")
    volume(tree / "other.nii.gz")
    assert [s.scan for s in look()[0]] == ["other", "p1_ct_image", "p2_ct_image", "p2_late_image"]


def test_two_forms_of_one_name_in_a_folder_are_a_fault(tree, look):
    volume(tree / "a.nii.gz")
    volume(tree / "a.mha", 1)
    found, (left,) = look()
    assert not found
    assert left.fault
    assert left.reason.startswith("duplicates: ")
    assert "a.mha and " in left.reason


def test_a_copy_of_a_dicom_scan_in_another_form_is_left_out(tree, look):
    series(tree / "lidc", "1.2.1")
    volume(tree / "luna" / "1.2.1.mhd")
    (found,), (left,) = look()
    assert found.kind == "dicom"
    assert left.path.endswith("1.2.1.mhd")
    assert "there as DICOM" in left.reason


def test_roots_in_any_order_give_the_same_scan(tree, look):
    files = series(tree / "a", "1.2.1")
    (tree / "b").mkdir()
    files[0].rename(tree / "b" / "0.dcm")
    one, _ = look(tree / "a", tree / "b")
    assert look(tree / "b", tree / "a") == (one, [])
    assert [Path(f).parent.name for f in one[0].files] == ["a", "a", "a", "b"]


def test_roots_may_overlap_be_files_and_be_linked_in_circles(tree, look):
    files = series(tree / "a", "1.2.1")
    (tree / "a" / "back").symlink_to(tree)
    (tree / "link").symlink_to(tree / "a")
    (tree / "nowhere").symlink_to(tree / "gone")
    (tree / "self").symlink_to(tree / "self")
    (found,), left_out = look(tree, tree / "a", files[0])
    assert len(found.files) == 4
    assert [(Path(left.path).name, left.fault) for left in left_out] == [
        ("nowhere", True),
        ("self", True),
    ]
    assert {left.reason for left in left_out} == {
        "unreadable: a link that leads nowhere, or to itself"
    }
    (alone,), _ = look(files[0])
    assert alone.files == (str(files[0]),)


@pytest.mark.data
def test_the_real_tree_is_separated_into_scans(data, tmp_path):
    found, left_out = find_scans([data / "LIDC-IDRI", data / "odd/dcm_qa_ct"], tmp_path / "c")
    assert [(s.patient, len(s.files)) for s in sorted(found, key=lambda s: s.patient)] == [
        ("LIDC-IDRI-0001", 16),
        ("LIDC-IDRI-0002", 12),
        ("LIDC-IDRI-0003", 11),
        ("LIDC-IDRI-0314", 275),
        ("QMNx85rKkkg", 28),
    ]
    assert sorted(left.reason for left in left_out) == [
        "a localizer, not slices",
        "a screenshot (Secondary Capture), not slices (2 files)",
        "beside the scans, no images themselves: 2 files (2 without)",
    ]
