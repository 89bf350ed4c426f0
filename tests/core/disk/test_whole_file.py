"""Files written whole: the old one or the new one, and no error is lost."""

import errno
import fcntl
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lungseg.core.disk import whole_file
from lungseg.core.disk.digests import digest_of_bytes, digest_of_contents, has_digest
from lungseg.core.disk.whole_file import (
    force_to_disk,
    if_abandoned,
    meant_in,
    noting,
    sweep_temporary,
    write_bytes,
)


def test_what_is_written_is_there_and_nothing_beside_it(tmp_path):
    write_bytes(b"one", tmp_path / "a")
    write_bytes(memoryview(b"two"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_comes_back_other_than_it_was_written_is_an_error_and_the_old_file_stays(
    tmp_path, monkeypatch
):
    write_bytes(b"old", tmp_path / "a")
    real = os.fsync

    def flip(descriptor):
        real(descriptor)
        os.pwrite(descriptor, b"X", 0)

    monkeypatch.setattr(whole_file.os, "fsync", flip)
    with pytest.raises(OSError, match="is not what was written to it") as caught:
        write_bytes(b"new", tmp_path / "a")
    assert caught.value.errno == errno.EIO
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_disk_that_takes_no_more_is_an_error_that_leaves_nothing(tmp_path):
    program = (
        "import resource, sys, pathlib\n"
        "from lungseg.core.disk.whole_file import write_bytes\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))\n"
        "write_bytes(b'x' * 5000, pathlib.Path(sys.argv[1]) / 'small')\n"
        "try:\n"
        "    write_bytes(b'x' * 5001, pathlib.Path(sys.argv[1]) / 'large')\n"
        "except OSError as error:\n"
        "    print(error.errno)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == errno.EFBIG
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"small": 5000}
    assert resource.RLIM_INFINITY == -1


def test_what_was_meant_is_noted_for_the_folder_that_asks(tmp_path):
    inner = tmp_path / "in" / "deep"
    inner.mkdir(parents=True)
    with noting(tmp_path / "in"):
        write_bytes(b"1", inner / "a")
        write_bytes(b"2", tmp_path / "b")
        assert meant_in(tmp_path / "in") == {str(inner / "a"): (1, digest_of_bytes(b"1"))}
    assert meant_in(tmp_path / "in") == {}


def test_a_temporary_file_is_swept_only_when_nobody_writes_it(tmp_path):
    (tmp_path / ".dead.tmp").touch()
    (tmp_path / "mine.tmp").touch()
    (tmp_path / ".link.tmp").symlink_to("nowhere")
    with whole_file.held_open(tmp_path / ".held.tmp"):
        assert sweep_temporary(tmp_path) == 1
        assert {p.name for p in tmp_path.iterdir()} == {".held.tmp", "mine.tmp", ".link.tmp"}
    assert sweep_temporary(tmp_path) == 1
    old = (1_000_000_000, 1_000_000_000)
    os.utime(tmp_path / ".link.tmp", old, follow_symlinks=False)
    assert sweep_temporary(tmp_path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["mine.tmp"]
    assert sweep_temporary(tmp_path / "no folder") == 0


def test_who_opens_a_file_that_is_swept_that_moment_opens_it_again(tmp_path, monkeypatch):
    path = tmp_path / ".a.tmp"
    real, swept = fcntl.flock, []

    def sweep_first(file, kind):
        if not swept:
            swept.append(path.unlink())
        real(file, kind)

    monkeypatch.setattr(whole_file.fcntl, "flock", sweep_first)
    with whole_file.held_open(path) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"


def test_a_lock_is_abandoned_when_nobody_holds_it_or_it_is_gone(tmp_path):
    lock = tmp_path / "lock"
    with if_abandoned(lock) as free:
        assert free
    with whole_file.held_open(lock), if_abandoned(lock) as free:
        assert not free
    with if_abandoned(lock) as free, if_abandoned(lock) as second:
        assert (free, second) == (True, False)


def test_forcing_a_file_that_is_gone_to_the_disk_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        force_to_disk(tmp_path / "none")


def test_a_digest_names_its_algorithm_and_one_without_a_name_is_sha256(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    # Published test values of both algorithms.
    assert digest_of_contents(path) == "xxh3_128:06b05ab6733a618578af5f94892f3950"
    sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert has_digest(path, sha)
    assert has_digest(path, digest_of_bytes(b"abc"))
    assert not has_digest(path, digest_of_bytes(b"abd"))
    assert not has_digest(path, f"md5:{sha}")
    Path(path).write_bytes(b"abd")
    assert not has_digest(path, sha)
