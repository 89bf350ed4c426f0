"""Sources: every scan is found by its headers, everything else is named with its reason."""

import os
import shutil
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest

from lungseg.core.errors import ScanError
from lungseg.io.sources import index as module
from lungseg.io.sources.index import find_scans, read_source, write_source
from lungseg.io.volumes.formats import write_volume
from lungseg.volume import Geometry, Volume
from tests.io.dicom.dicom_files import (
    dataset,
    positions,
    save,
    write_enhanced,
    write_series,
    write_slice,
)

STORED = np.arange(4 * 3 * 5, dtype=np.int16).reshape(4, 3, 5)


@pytest.fixture
def tree(tmp_path):
    return tmp_path / "tree"


@pytest.fixture
def look(tree, tmp_path):
    def look(*roots):
        return find_scans(list(roots) or [tree], tmp_path / "headers.cache")

    return look


def series(folder, uid, **header):
    return write_series(folder, STORED, positions(4), SeriesInstanceUID=uid, **header)


def volume(path, value=0, dtype=np.int16):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(Volume(np.full((4, 3, 5), value, dtype), Geometry((1, 1, 1))), path)
    return path


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
    assert not left_out


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


def test_a_localizer_within_a_series_leaves_the_series_alone(tree, look):
    files = series(tree, "1.2.1")
    write_slice(tree / "zz", STORED[0], SeriesInstanceUID="1.2.1", ImageType=["A", "B", "SCOUT"])
    (found,), (left,) = look()
    assert found.files == tuple(map(str, files))
    assert (left.scan, left.fault) == ("", False)


def test_what_lies_beside_scans_is_passed_over(tree, look):
    series(tree, "1.2.1")
    for name in (
        *("._000.dcm", ".DS_Store", "LICENSE", "LICENSE.txt", "a.xml", "annotations.csv"),
        *("DICOMDIR", "readme.md", "x.JSON"),
    ):
        (tree / name).write_bytes(b"\0\5\x16\7 not an image")
    found, left_out = look()
    assert (len(found), left_out) == (1, [])


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


def test_a_slice_cut_within_its_pixels_stays_in_its_series(tree, look):
    files = series(tree, "1.2.1")
    files[2].write_bytes(files[2].read_bytes()[:-9])
    assert len(look()[0][0].files) == 4


def test_a_ct_without_series_is_a_fault(tree, look):
    tree.mkdir()
    write_slice(tree / "a", STORED[0], SeriesInstanceUID=None)
    _, (left,) = look()
    assert left.fault
    assert left.reason.startswith("a CT without SeriesInstanceUID")


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


def test_roots_may_overlap_be_files_and_be_linked_in_circles(tree, look):
    files = series(tree / "a", "1.2.1")
    (tree / "a" / "back").symlink_to(tree)
    (tree / "link").symlink_to(tree / "a")
    (tree / "nowhere").symlink_to(tree / "gone")
    (tree / "self").symlink_to(tree / "self")
    (found,), left_out = look(tree, tree / "a", files[0])
    assert len(found.files) == 4
    assert not left_out
    (alone,), _ = look(files[0])
    assert alone.files == (str(files[0]),)


def test_folders_that_may_not_be_entered_are_passed_over(tree, look, monkeypatch):
    series(tree / "a", "1.2.1")
    (tree / "shut").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("shut"):
            raise PermissionError
        return real(path)

    monkeypatch.setattr(module.os, "scandir", scandir)
    assert len(look()[0]) == 1


def test_a_file_that_cannot_be_opened_is_named_and_tried_again(tree, look, monkeypatch):
    series(tree, "1.2.1")

    def shut(path):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(module, "examine", shut)
        found, left_out = look()
    assert not found
    assert {left.reason for left in left_out} == {"unreadable: Permission denied"}
    assert all(left.fault for left in left_out)
    assert len(look()[0]) == 1


def test_a_second_look_opens_no_file(tree, look, monkeypatch):
    series(tree / "a", "1.2.1")
    series(tree / "x", "1.2.8", Modality="CR")
    volume(tree / "b.nrrd")
    (tree / "c.dcm").write_text("text")
    first = look()

    def never(path):
        raise AssertionError(path)

    monkeypatch.setattr(module, "examine", never)
    assert look() == first


def test_a_changed_file_is_looked_at_again_and_changes_the_identity(tree, look):
    files = series(tree, "1.2.1")
    (before,), _ = look()
    stat = files[0].stat()
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    (touched,), _ = look()
    assert touched.identity != before.identity
    save(dataset(STORED[0], SeriesInstanceUID="1.2.2"), files[0])
    assert [s.scan for s in look()[0]] == ["1.2.1", "1.2.2"]


def test_a_file_of_the_same_size_with_other_words_is_looked_at_again(tree, look):
    files = series(tree, "1.2.1")
    look()
    stat = files[0].stat()
    files[0].write_bytes(files[0].read_bytes().replace(b"1.2.1\0", b"1.2.7\0"))
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert files[0].stat().st_size == stat.st_size
    assert [s.scan for s in look()[0]] == ["1.2.1", "1.2.7"]


def test_the_identity_is_of_the_scan_and_not_of_where_it_lies(tree, look):
    series(tree / "a", "1.2.1")
    (before,), _ = look()
    (tree / "a").rename(tree / "elsewhere")
    (after,), _ = look()
    assert after.files != before.files
    assert after.identity == before.identity


def test_the_identity_of_a_mhd_is_of_its_voxels_too(tree, look):
    path = volume(tree / "a.mhd")
    (before,), _ = look()
    raw = path.with_suffix(".zraw")
    os.utime(raw, ns=(0, 1))
    assert look()[0][0].identity != before.identity


@pytest.mark.parametrize("content", [b"no database", b""])
def test_a_damaged_cache_of_headers_is_thrown_away(tree, look, tmp_path, content):
    series(tree, "1.2.1")
    (tmp_path / "headers.cache").write_bytes(content)
    assert len(look()[0]) == 1
    assert len(look()[0]) == 1


def test_a_cache_of_another_version_is_thrown_away(tree, look, tmp_path):
    series(tree, "1.2.1")
    look()
    with sqlite3.connect(tmp_path / "headers.cache") as database:
        database.execute("PRAGMA user_version = 99")
        database.execute("UPDATE files SET modality = 'XX'")
    database.close()
    assert look()[0][0].scan == "1.2.1"


def test_a_cache_that_another_run_writes_does_not_stop_this_run(tree, look, tmp_path, monkeypatch):
    series(tree, "1.2.1")

    def locked(self):
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr("lungseg.io.sources.header_cache.HeaderCache._save", locked)
    assert len(look()[0]) == 1


def test_a_name_that_is_no_utf8_is_found(tree, look, tmp_path):
    (path, *_) = series(tree, "1.2.1")
    path.rename(os.fsdecode(os.fsencode(tree) + b"/caf\xe9.dcm"))
    (found,), _ = look()
    assert len(found.files) == 4
    write_source(found, tmp_path / "s.json")
    assert read_source(tmp_path / "s.json") == found


def test_a_source_comes_back_as_it_was_written(tree, look, tmp_path):
    series(tree, "1.2.1")
    (found,), _ = look()
    write_source(found, tmp_path / "s.json")
    assert read_source(tmp_path / "s.json") == found


@pytest.mark.parametrize("content", ["", "{}", '{"files": []}', "[1]"])
def test_a_damaged_source_is_refused(tmp_path, content):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ScanError, match=r"s.json does not describe a scan .* name its"):
        read_source(tmp_path / "s.json")


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
    assert [left.reason for left in left_out] == [
        "a screenshot (Secondary Capture), not slices (2 files)",
        "a localizer, not slices",
    ]
