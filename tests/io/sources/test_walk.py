"""Every path below a root is a scan's, or is named: whatever its name, kind and rights."""

import json
import os
import socket
from pathlib import Path

import nibabel
import numpy as np
import pytest

from lungseg.io.sources import index, walk
from lungseg.io.sources.index import find_scans, read_source, write_source
from tests.io.dicom.dicom_files import write_slice
from tests.io.sources.trees import STORED, series, volume


def reasons(left_out):
    return {Path(left.path).name: (left.reason, left.fault) for left in left_out}


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "I/O er")])
def test_a_folder_that_cannot_be_entered_is_a_fault(tree, look, monkeypatch, error):
    series(tree / "a", "1.2.1")
    (tree / "shut").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("shut"):
            raise error
        return real(path)

    monkeypatch.setattr(walk.os, "scandir", scandir)
    found, left_out = look()
    assert len(found) == 1
    assert reasons(left_out) == {"shut": (f"unreadable: {error.strerror} (a folder)", True)}


def test_a_root_that_is_gone_or_no_file_is_named(tree, look):
    tree.mkdir()
    os.mkfifo(tree / "pipe")
    found, left_out = look(tree / "gone", tree / "pipe")
    assert not found
    assert reasons(left_out) == {
        "gone": ("unreadable: it was there, and was gone when it was to be read; look again", True),
        "pipe": ("no file but a pipe, a socket or a device", False),
    }


def test_pipes_and_sockets_are_named_and_not_opened(tree, look):
    series(tree, "1.2.1")
    os.mkfifo(tree / "pipe.dcm")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()  # noqa: PTH109 - a socket's path must be short
        os.chdir(tree)
        listener.bind("socket")
        os.chdir(here)
        found, left_out = look()
    assert len(found) == 1
    assert reasons(left_out) == {
        "pipe.dcm": ("no file but a pipe, a socket or a device", False),
        "socket": ("no file but a pipe, a socket or a device", False),
    }


def test_a_file_that_goes_while_it_is_looked_at_is_a_fault_and_tried_again(tree, look, monkeypatch):
    files = series(tree, "1.2.1")
    real = index.examine

    def examine(path):
        if path.name == "001.dcm":
            raise FileNotFoundError(2, "No such file or directory")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(index, "examine", examine)
        (found,), (left,) = look()
    assert len(found.files) == 3
    assert left.fault
    assert left.reason.startswith("unreadable: it was there, and was gone")
    assert look()[0][0].files == tuple(map(str, files))


@pytest.mark.parametrize("error", [OverflowError("too large"), RecursionError(), MemoryError()])
def test_a_file_whose_reader_fails_does_not_end_the_others(tree, look, monkeypatch, error):
    series(tree / "a", "1.2.1")
    (tree / "b.mhd").write_text("NDims = 1e400\n")
    real = index.examine

    def examine(path):
        if path.name == "b.mhd":
            raise error
        return real(path)

    monkeypatch.setattr(index, "examine", examine)
    (found,), (left,) = look()
    assert found.scan == "1.2.1"
    assert left.fault
    assert left.reason.startswith(f"unreadable: its reader failed ({type(error).__name__}")


def test_a_header_of_nonsense_is_its_own_scans_fault(tree, look):
    series(tree / "a", "1.2.1")
    (tree / "b.mhd").write_text("NDims = 1e400\nElementDataFile = b.raw\n")
    (tree / "c.nrrd").write_bytes(b"NRRD0004\nsizes: 1e400\n\n")
    (tree / "d.nii").write_bytes(b"\0")
    (tree / "e.nii.gz").write_bytes(b"\x1f\x8b")
    (tree / "f.mha").touch()
    found, left_out = look()
    # Reading them names their fault (test_placement, test_text_headers).
    assert [source.scan for source in found] == ["1.2.1", "b", "c", "d", "e", "f"]
    assert not left_out


def test_hidden_folders_are_entered(tree, look):
    series(tree / ".study" / "deeper", "1.2.1")
    write_slice(tree / ".study" / ".slice", STORED[0], SeriesInstanceUID="1.2.2")
    (tree / ".git" / "objects").mkdir(parents=True)
    for k in range(3):
        (tree / ".git" / "objects" / f"{k}").write_bytes(b"object")
    (tree / ".git" / "config.txt").write_text("text")
    (tree / ".git" / "lock").touch()
    cut = write_slice(tree / ".git" / "cut.dcm", STORED[0])
    cut.write_bytes(cut.read_bytes()[: cut.read_bytes().index(b"1.2.3.4") - 8])
    found, left_out = look()
    assert [(source.scan, len(source.files)) for source in found] == [("1.2.1", 4), ("1.2.2", 1)]
    told = reasons(left_out)
    assert told[".git"] == ("hidden, and no scan: 5 files (4 without, 1 .txt)", False)
    assert list(told) == [".git", "cut.dcm"]


def test_a_link_that_is_named_itself_keeps_its_name_as_below_a_folder(tree, tmp_path):
    """As in an annex of git, where a file's own name is its digest."""
    kept = tmp_path / "annex" / "MD5E-s12--0a1b.nii.gz"
    volume(kept)
    (tree / "sub-01").mkdir(parents=True)
    link = tree / "sub-01" / "ct.nii.gz"
    link.symlink_to(kept)
    by_name, by_folder, both = (
        find_scans(roots, None)[0] for roots in ([link], [tree], [tree, link])
    )
    assert [(one.scan, one.files) for one in by_name] == [("ct", (str(link),))]
    assert by_name == by_folder == both


def test_only_what_a_mac_leaves_is_passed_over_in_silence(tree, look):
    series(tree, "1.2.1")
    for name in ("._000.dcm", ".DS_Store", ".notes"):
        (tree / name).write_bytes(b"a word")
    (tree / "._gone").symlink_to(tree / "nowhere")
    found, left_out = look()
    assert len(found) == 1
    assert reasons(left_out) == {".notes": ("hidden, and no scan: 1 file (1 without)", False)}


@pytest.mark.parametrize("parts", [("headers.cache", "sources"), ("headers.cache", "guests")])
def test_a_work_folder_within_is_left_out_in_a_line(tree, look, parts):
    series(tree, "1.2.1")
    work = tree / "lungseg-work"
    (work / parts[1]).mkdir(parents=True)
    (work / parts[0]).touch()
    volume(work / "scans" / "1.2.1" / "lungs.nii.gz")
    found, left_out = look()
    assert [source.scan for source in found] == ["1.2.1"]
    told = {"lungseg-work": ("a work folder of this program, not looked into", False)}
    assert reasons(left_out) == told
    assert reasons(look(work)[1]) == told


def test_what_this_program_wrote_here_is_passed_over(tree, tmp_path):
    series(tree / "a", "1.2.1")
    volume(tree / "own.nii.gz")
    volume(tree / "out" / "b.nii.gz")
    found, left_out = find_scans([tree], tmp_path / "c", {tree / "own.nii.gz", tree / "out"})
    assert [source.scan for source in found] == ["1.2.1"]
    assert not left_out


NAMES = [b"caf\xe9", b"\xff\xfe", b"new\nline", b"\x1b[31mred", "\u202eleft".encode(), b"back\\x41"]
SHOWN = [r"caf\xe9", r"\xff\xfe", r"new\nline", r"\x1b[31mred", r"\u202eleft", r"back\x41"]


@pytest.mark.parametrize(("name", "shown"), list(zip(NAMES, SHOWN, strict=True)), ids=SHOWN)
def test_names_of_any_bytes_work_and_are_shown_escaped(tree, look, tmp_path, name, shown):
    written = volume(tree / "a.nii.gz")
    path = tree / os.fsdecode(name + b".nii.gz")
    written.rename(path)
    (tree / os.fsdecode(name + b".zip")).write_bytes(b"PK")
    (found,), (left,) = look()
    assert (found.scan, found.patient) == (shown, shown)
    assert found.files == (str(path),)
    assert left.path == f"{tree}/{shown}.zip"
    write_source(found, tmp_path / "s.json")
    json.loads((tmp_path / "s.json").read_text(encoding="utf-8")).values()
    assert "\\ud" not in (tmp_path / "s.json").read_text(encoding="utf-8")
    assert read_source(tmp_path / "s.json") == found
    assert look() == ([found], [left])


def test_ids_of_dicom_are_shown_escaped(tree, look):
    tree.mkdir()
    write_slice(tree / "a", STORED[0], SeriesInstanceUID="1.2.1", PatientID="P\n1\x1b[2J")
    (found,), _ = look()
    assert found.patient == r"P\n1\x1b[2J"


def test_ids_of_any_length_are_cut_to_what_is_kept(tree, look):
    long = "n" * 200
    for name in (f"{long}1", f"{long}2", "é" * 100, "k" * 72):
        volume(tree / f"{name}.nii.gz")
    scans = [source.scan for source in look()[0]]
    assert len(set(scans)) == 4
    assert "k" * 72 in scans
    for scan in scans:
        assert len(scan.encode()) <= index.ID_BYTES


def test_a_pair_is_a_scan_and_other_headers_are_not(tree, look):
    tree.mkdir()
    nibabel.save(nibabel.Nifti1Pair(STORED.T, np.eye(4)), tree / "a.hdr")
    (tree / "b.hdr").write_text("ENVI\nsamples = 3\n")
    (tree / "b.img").write_bytes(b"x")
    (found,), left_out = look()
    assert (found.scan, found.kind) == ("a", "nifti")
    assert reasons(left_out) == {
        "b.hdr": ("a .hdr of another program, not of NIfTI", False),
        "b.img": ("voxels of a .hdr of another program, not of NIfTI", False),
    }
    (before,), _ = look()
    os.utime(tree / "a.img", ns=(0, 1))
    assert look()[0][0].identity != before.identity


def test_a_file_that_a_header_names_is_its_scans_whatever_its_name(tree, look):
    path = volume(tree / "a.mhd")
    (tree / "a.zraw").rename(tree / "a.bin")
    path.write_text(path.read_text().replace("a.zraw", "a.bin"))
    (found,), left_out = look()
    assert found.scan == "a"
    assert not left_out


def test_files_of_no_bytes_are_faults(tree, look):
    tree.mkdir()
    for name in ("a", "b.dcm", "c.001", "d.txt", "e.png"):
        (tree / name).touch()
    _, left_out = look()
    assert {name for name, (_, fault) in reasons(left_out).items() if fault} == {
        "a",
        "b.dcm",
        "c.001",
    }
