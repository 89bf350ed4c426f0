"""Which scan a source is: told by its files, kept on disk, and changed by any change of them."""

import os

import pytest

from lungseg.core.errors import DamagedOutputError
from lungseg.io.sources.index import read_source, write_source
from tests.io.dicom.dicom_files import dataset, save
from tests.io.sources.trees import STORED, series, volume


def test_a_changed_file_is_looked_at_again_and_changes_the_identity(tree, look):
    files = series(tree, "1.2.1")
    (before,), _ = look()
    stat = files[0].stat()
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    (touched,), _ = look()
    assert touched.identity != before.identity
    save(dataset(STORED[0], SeriesInstanceUID="1.2.2"), files[0])
    assert [s.scan for s in look()[0]] == ["1.2.1", "1.2.2"]


def rename(files):
    files[-1].rename(files[-1].with_name("004.dcm"))  # their order stays


def grow(files):
    stat = files[0].stat()
    files[0].write_bytes(files[0].read_bytes() + b"\0")
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))


def touch(files):
    os.utime(files[0], ns=(0, files[0].stat().st_mtime_ns + 1))


def change_patient(files):
    for path in files:
        stat = path.stat()
        path.write_bytes(path.read_bytes().replace(b"PA", b"PB"))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("change", [rename, grow, touch, change_patient])
def test_the_identity_is_of_names_sizes_times_and_patient(tree, look, tmp_path, change):
    files = series(tree, "1.2.1", PatientID="PA")
    (before,), _ = look()
    change(files)
    (tmp_path / "headers.cache").unlink()
    (after,), _ = look()
    assert after.scan == before.scan
    assert after.identity != before.identity


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
    (touched,), _ = look()
    raw.write_bytes(raw.read_bytes() + b"\0")
    os.utime(raw, ns=(0, 1))
    (longer,), _ = look()
    assert len({before.identity, touched.identity, longer.identity}) == 3


def test_a_source_comes_back_as_it_was_written(tree, look, tmp_path):
    series(tree, "1.2.1")
    (found,), _ = look()
    write_source(found, tmp_path / "s.json")
    assert read_source(tmp_path / "s.json") == found


@pytest.mark.parametrize("content", ["", "{}", '{"files": []}', "[1]"])
def test_a_damaged_source_is_refused(tmp_path, content):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(DamagedOutputError, match=r"s.json does not describe a scan .* name its"):
        read_source(tmp_path / "s.json")
