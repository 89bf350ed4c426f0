"""Trust: what was damaged, swapped, cut or lost is told; what is right is not read twice."""

import os
import re
import shutil
from dataclasses import asdict

import pytest

from lungseg.core.disk import trust
from lungseg.core.errors import DamagedOutputError
from lungseg.core.json_file import write_json
from lungseg.core.record import Record, read_record
from lungseg.core.store import Store

NAME = "f" * 64
OTHER = "e" * 64
SHA_OF_X = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def put(store, scan="s1", fingerprint=NAME, text="x"):
    with store.scratch("read", fingerprint, scan) as scratch:
        (scratch / "a.txt").write_text(text)
        (scratch / "deep").mkdir()
        (scratch / "deep" / "b.txt").write_text(text * 2)
        store.keep(scratch, Record(stage="read", version=1, fingerprint=fingerprint, scan=scan))
    return store.folder("read", fingerprint, scan)


def rot(path):
    """Another byte, with all the times as they were before."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def fault(folder, scan="s1"):
    return trust.fault_in(folder, "read", NAME, scan)


def test_what_is_as_it_was_kept_has_no_fault(tmp_path):
    store = Store(tmp_path)
    folder = put(store)
    assert fault(folder) == ""
    assert store.trusted_folder("read", NAME, "s1") == folder
    assert store.trusted_file("a.txt", "read", NAME, "s1") == folder / "a.txt"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: (folder / "a.txt").unlink(), r"a\.txt is gone"),
        (lambda folder: (folder / "a.txt").write_text(""), r"a\.txt has 0 bytes, expected 1"),
        (lambda folder: (folder / "deep" / "b.txt").write_text("x"), "has 1 bytes, expected 2"),
        (lambda folder: shutil.rmtree(folder / "deep"), r"deep.b\.txt is gone"),
        (lambda folder: (folder / "stage.json").unlink(), r"stage\.json is gone"),
        (lambda folder: (folder / "stage.json").write_text("{"), "is not the record of an output"),
        (lambda folder: (folder / "stage.json").write_text(""), "is not the record of an output"),
    ],
)
def test_a_look_sees_what_is_lost_or_cut(tmp_path, harm, told):
    store = Store(tmp_path)
    folder = put(store)
    harm(folder)
    found = store.look("read", NAME, "s1")
    assert found.record is None
    assert re.search(told, found.fault)
    with pytest.raises(DamagedOutputError, match=told + r".*`lungseg-cli run read` makes it again"):
        store.trusted_folder("read", NAME, "s1")


def test_a_change_in_place_is_seen_by_its_time(tmp_path):
    store = Store(tmp_path)
    folder = put(store)
    (folder / "a.txt").write_text("y")
    os.utime(folder / "a.txt", ns=(2 * 10**18, 2 * 10**18))
    found = store.look("read", NAME, "s1")
    assert (found.record, "its digest differs" in found.fault) == (None, True)


def test_rot_without_a_trace_is_seen_when_the_file_is_read_and_ever_after(tmp_path):
    store = Store(tmp_path)
    folder = put(store)
    rot(folder / "a.txt")
    assert store.find("read", NAME, "s1") is not None
    assert fault(folder) == f"{folder / 'a.txt'} is not what was kept: its digest differs"
    assert store.find("read", NAME, "s1") is None
    put(store)
    assert fault(folder) == ""


def test_only_the_file_that_is_read_is_compared(tmp_path):
    store = Store(tmp_path)
    folder = put(store)
    rot(folder / "deep" / "b.txt")
    assert store.trusted_file("a.txt", "read", NAME, "s1").read_text() == "x"
    with pytest.raises(DamagedOutputError, match="its digest differs"):
        store.trusted_folder("read", NAME, "s1")


def test_two_scans_outputs_that_were_swapped_are_both_seen(tmp_path):
    store = Store(tmp_path)
    one, two = put(store, "s1"), put(store, "s2", OTHER)
    # With one name, as after a rename of the scans' folders.
    shutil.move(two, two.with_name(one.name))
    two = two.with_name(one.name)
    one.rename(tmp_path / "aside")
    two.rename(one)
    (tmp_path / "aside").rename(two)
    for scan in ("s1", "s2"):
        found = store.look("read", NAME, scan)
        assert found.record is None
        assert found.fault.endswith("holds the output of another scan, stage or setting")


def test_files_of_one_size_that_were_swapped_are_seen_when_they_are_read(tmp_path):
    store = Store(tmp_path)
    one, two = put(store, "s1", text="x") / "a.txt", put(store, "s2", OTHER, text="y") / "a.txt"
    one.rename(tmp_path / "aside")
    two.rename(one)
    (tmp_path / "aside").rename(two)
    assert fault(one.parent).endswith("a.txt is not what was kept: its digest differs")


def test_a_copy_with_new_times_is_compared_once_and_then_trusted(tmp_path, monkeypatch):
    folder = put(Store(tmp_path / "work"))
    put(Store(tmp_path / "work"), "s2", OTHER)
    shutil.copytree(tmp_path / "work", tmp_path / "copy", copy_function=shutil.copyfile)
    store = Store(tmp_path / "copy")
    folder = store.folder("read", NAME, "s1")
    for file in folder.rglob("*.txt"):
        os.utime(file)
    os.utime(folder / "stage.json", (10**9, 10**9))
    assert store.find("read", NAME, "s1") is not None
    monkeypatch.setattr(trust, "has_digest", lambda *_: pytest.fail("compared again"))
    trust._compared.clear()
    assert store.find("read", NAME, "s1") is not None


def test_a_file_is_read_once_in_a_process_until_it_changes(tmp_path, monkeypatch):
    folder = put(Store(tmp_path))
    read = []
    real = trust.has_digest
    monkeypatch.setattr(trust, "has_digest", lambda path, d: read.append(path) or real(path, d))
    assert fault(folder) == ""
    assert read == []  # compared when it was kept
    rot(folder / "a.txt")
    assert "differs" in fault(folder)
    assert set(read) == {folder / "a.txt"}


def test_records_of_earlier_releases_stay_valid(tmp_path):
    store = Store(tmp_path)
    folder = put(store)
    old = asdict(read_record(folder)) | {
        "files": {"a.txt": (1, SHA_OF_X)}
    }  # SHA-256, and no digest of the record itself
    write_json(old, folder / "stage.json")
    found = store.find("read", NAME, "s1")
    assert found.files == {"a.txt": (1, SHA_OF_X)}
    assert fault(folder) == ""
    rot(folder / "a.txt")
    assert "differs" in fault(folder)


def test_a_file_that_cannot_be_read_is_told_and_compared_again_when_it_can(tmp_path, monkeypatch):
    store = Store(tmp_path)
    folder = put(store)
    trust._compared.clear()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(trust, "has_digest", refuse)
        assert fault(folder) == f"{folder / 'a.txt'} cannot be read (Permission denied)"
        assert store.find("read", NAME, "s1") is None
    assert store.find("read", NAME, "s1") is not None
    assert fault(folder) == ""
