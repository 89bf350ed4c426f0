"""A file that another program holds is in use, and not damaged."""

import fcntl
from contextlib import contextmanager

import numpy as np
import pytest
import tables

from lungseg.core.errors import DataError, NotProvenError
from lungseg.io.hdf5 import why_locked
from lungseg.io.tables.reader import Tables, inconsistencies
from lungseg.io.volumes import volume_file
from lungseg.volume import Geometry, Volume
from tests.io.tables.table_rows import scan_rows, write_table

VOLUME = Volume(np.zeros((2, 3, 4), np.int16), Geometry((1.0, 1.0, 1.0)))


@contextmanager
def held(path):
    """Held as a program holds a file of HDF5 that it may write."""
    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_table_that_another_program_holds_is_in_use(tmp_path):
    path = write_table(tmp_path / "t.h5", scan_rows("1.2"), spacing_mm=np.ones(3))
    with held(path):
        for use in (lambda: len(Tables(path)), lambda: inconsistencies(path)):
            with pytest.raises(DataError, match=r"t\.h5 is in use by another program") as told:
                use()
            assert "again" not in str(told.value).replace("try again", "")
    assert len(Tables(path)) > 0


def test_a_table_that_this_program_writes_is_in_use(tmp_path):
    path = write_table(tmp_path / "t.h5", scan_rows("1.2"))
    with (
        tables.open_file(str(path), "a"),
        pytest.raises(DataError, match="is open for writing in this program; close it"),
    ):
        len(Tables(path))


def test_a_volume_that_another_program_holds_is_tried_again_and_not_made_again(tmp_path):
    volume_file.write(VOLUME, tmp_path / "a.h5")
    with (
        held(tmp_path / "a.h5"),
        pytest.raises(NotProvenError, match=r"a\.h5 is in use by another program") as told,
    ):
        volume_file.read(tmp_path / "a.h5")
    assert type(told.value) is NotProvenError, "a damaged output would be made again"
    assert volume_file.read(tmp_path / "a.h5").array.shape == (2, 3, 4)


def test_a_file_system_without_locks_is_told_from_a_file_in_use():
    text = "unable to lock file, errno = 37, error message = 'No locks available'"
    assert "cannot be locked (No locks available); if no" in why_locked(OSError(text))
    assert "HDF5_USE_FILE_LOCKING=FALSE" in why_locked(OSError(text))
    assert why_locked(ValueError("is damaged")) == ""
