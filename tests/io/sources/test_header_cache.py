"""A second look: what was read is not read again, unless it changed or the cache is no good."""

import os
import sqlite3

import pytest

from lungseg.io.sources import index as module
from lungseg.io.sources.index import read_source, write_source
from tests.io.dicom.dicom_files import write_slice
from tests.io.sources.trees import STORED, series, volume


def test_a_second_look_opens_no_file(tree, look, monkeypatch):
    series(tree / "a", "1.2.1")
    series(tree / "x", "1.2.8", Modality="CR")
    volume(tree / "b.nrrd")
    (tree / "c.dcm").write_text("text")
    (tree / "empty.dcm").touch()
    (tree / "d.dcm").write_text("changes")
    look()
    (tree / "d.dcm").write_text("has changed")
    first = look()
    assert [left.fault for left in first[1]] == [False, False, True, False]

    def never(path):
        raise AssertionError(path)

    monkeypatch.setattr(module, "examine", never)
    assert look() == first


def test_a_file_of_the_same_size_with_other_words_is_looked_at_again(tree, look):
    files = series(tree, "1.2.1")
    look()
    stat = files[0].stat()
    files[0].write_bytes(files[0].read_bytes().replace(b"1.2.1\0", b"1.2.7\0"))
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert files[0].stat().st_size == stat.st_size
    assert [s.scan for s in look()[0]] == ["1.2.1", "1.2.7"]


def test_a_file_of_another_size_is_looked_at_again_whatever_its_time(tree, look):
    (path, *_) = series(tree, "1.2.1")
    look()
    stat = path.stat()
    write_slice(path, STORED[0], SeriesInstanceUID="1.2.7777")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size != stat.st_size
    assert [s.scan for s in look()[0]] == ["1.2.1", "1.2.7777"]


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


@pytest.mark.parametrize("content", [b"no database", b""])
def test_a_damaged_cache_of_headers_is_thrown_away(tree, look, tmp_path, content):
    series(tree, "1.2.1")
    (tmp_path / "headers.cache").write_bytes(content)
    assert len(look()[0]) == 1
    assert len(look()[0]) == 1


def test_what_was_changed_in_the_database_is_read_anew(tree, look, tmp_path):
    series(tree, "1.2.1", PatientID="P")
    look()
    with sqlite3.connect(tmp_path / "headers.cache") as database:
        database.execute("UPDATE files SET patient = 'Q'")
    database.close()
    ((found,), _) = look()
    assert found.patient == "P"
    assert look() == ([found], [])


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
