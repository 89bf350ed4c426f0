"""The writer of the table file."""

import math
import os
import shutil

import numpy as np
import pytest
import tables as pytables

from lungseg.core.errors import DataError
from lungseg.io.tables import writer
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import ARRAYS
from lungseg.io.tables.writer import TableWriter, copy_file, fingerprints
from lungseg.volume import Geometry
from tests.io.tables.table_rows import SIZE, scan_rows, write_table

ONE, TWO, THREE = scan_rows("1.1", (1, 2)), scan_rows("1.2", (5,)), scan_rows("1.3", (0, 1, 2))


def same_content(one, two):
    with Tables(one) as a, Tables(two) as b:
        for name in ARRAYS:
            np.testing.assert_array_equal(a.read(name, range(len(a))), b.read(name, range(len(b))))
        for name in ("slices", "scans", "nodules"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_one_slice_a_chunk_with_checksums(tmp_path):
    path = write_table(tmp_path / "t.h5", ONE)
    with pytables.open_file(str(path)) as file:
        for name in ARRAYS:
            node = file.get_node(f"/{name}")
            assert isinstance(node, pytables.EArray)
            assert node.chunkshape == (1, SIZE, SIZE)
            assert node.filters.complib == "blosc:lz4"
            assert node.filters.fletcher32


def test_a_scan_more_opens_no_array_and_no_index_again(tmp_path, monkeypatch):
    opened = []
    begin = pytables.Node.__init__

    def counted(node, parent, name, *more, **how):
        opened.append(name)
        begin(node, parent, name, *more, **how)

    with TableWriter.create(tmp_path / "t.h5", SIZE, {}) as writer:
        writer.add(ONE)
        monkeypatch.setattr(pytables.Node, "__init__", counted)
        writer.add(TWO)
        writer.add(THREE)
        assert opened == []
        monkeypatch.undo()


@pytest.mark.parametrize(("name", "column"), [("slices", "scan"), ("slices", "patient"),
                                              ("scans", "scan"), ("scans", "patient")])  # fmt: skip
def test_columns_are_indexed_after_writing_and_after_appending(tmp_path, name, column):
    old = write_table(tmp_path / "old.h5", ONE, TWO)
    with TableWriter.extend(old, tmp_path / "new.h5", {}) as writer:
        writer.add(THREE)
    for path, scans in ((old, 2), (tmp_path / "new.h5", 3)):
        with pytables.open_file(str(path)) as file:
            table = file.get_node(f"/{name}")
            index = table.colinstances[column].index
            assert index.is_csi
            assert not index.dirty
            assert index.nelements == table.nrows
            assert len({row[column] for row in table}) == scans
            wanted = {"scan": b"1.1", "patient": b"P-1.1"}[column]
            assert table.will_query_use_indexing(f"{column} == wanted", {"wanted": wanted})
            found = table.read_where(f"{column} == wanted", {"wanted": wanted})
            assert len(found) == (2 if name == "slices" else 1)


def test_extending_equals_writing_anew_and_leaves_the_old_file_alone(tmp_path):
    old = write_table(tmp_path / "old.h5", ONE, TWO)
    before = old.read_bytes()
    with TableWriter.extend(old, tmp_path / "new.h5", {"fingerprint": "x"}) as writer:
        assert (writer.scans, writer.rows) == (2, 3)
        writer.add(THREE)
    assert old.read_bytes() == before
    same_content(tmp_path / "new.h5", write_table(tmp_path / "anew.h5", ONE, TWO, THREE))
    with Tables(tmp_path / "new.h5") as table:
        assert table.attributes["fingerprint"] == "x"
        assert table.attributes["kind"] == "ct"


def test_extending_does_not_write_the_old_rows_again(tmp_path):
    old = write_table(tmp_path / "old.h5", ONE, TWO)
    with TableWriter.extend(old, tmp_path / "new.h5", {}) as writer:
        writer.add(THREE)

    def chunks(path):
        with pytables.open_file(str(path)) as file:
            image = file.root.image
            return [image.chunk_info((row, 0, 0)) for row in range(image.nrows)]

    assert chunks(tmp_path / "new.h5")[:3] == chunks(old)


@pytest.mark.parametrize("how", ["create", "extend"])
def test_a_file_whose_writing_broke_off_is_refused(tmp_path, how):
    class StoppedError(Exception):
        pass

    def stop(writer):
        with writer:
            writer.add(TWO)
            raise StoppedError

    old, new = write_table(tmp_path / "old.h5", ONE), tmp_path / "new.h5"
    writer = TableWriter.create(new, SIZE, {}) if how == "create" else TableWriter.extend(
        old, new, {}
    )  # fmt: skip
    with pytest.raises(StoppedError):
        stop(writer)
    with pytest.raises(DataError, match="was never finished"):
        len(Tables(new))
    assert fingerprints(old) == {"1.1": "made of 1.1"}


@pytest.mark.parametrize("how", ["create", "extend"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("write failed: errno = 28, error message = 'No space left on device'", "No space left"),
        ("Unable to create file", "what is on the disk is not what was written to it"),
    ],
)
def test_a_disk_that_is_full_at_the_beginning_is_told_in_the_systems_words(
    tmp_path, monkeypatch, how, words, told
):
    old = write_table(tmp_path / "old.h5", ONE)

    def fails(*_, **__):
        raise pytables.HDF5ExtError(words)

    attributes = pytables.attributeset.AttributeSet
    breaks = {"create": (pytables.File, "create_earray"), "extend": (attributes, "_g__setattr")}
    monkeypatch.setattr(*breaks[how], fails)
    begin = TableWriter.create if how == "create" else TableWriter.extend
    first = (tmp_path / "new.h5", SIZE) if how == "create" else (old, tmp_path / "new.h5")
    with pytest.raises(OSError, match=rf"{told}.*new\.h5"):
        begin(*first, {})
    monkeypatch.undo()
    # Nothing holds the file: the next try may write it.
    begin(*first, {})._file.close()


def test_fingerprints_are_kept_by_scan(tmp_path):
    path = write_table(tmp_path / "t.h5", ONE, TWO)
    assert fingerprints(path) == {"1.1": "made of 1.1", "1.2": "made of 1.2"}


@pytest.mark.parametrize("fault", ["none", "refuses", "stops short"])
def test_a_copy_is_whole_on_any_file_system(tmp_path, monkeypatch, fault):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    real = os.copy_file_range
    calls = []

    def short(source, target, _):
        calls.append(1)
        return real(source, target, 1000) if len(calls) < 3 else 0

    if fault != "none":
        monkeypatch.setattr(os, "copy_file_range", refuse if fault == "refuses" else short)
    source = tmp_path / "a"
    source.write_bytes(np.random.default_rng(0).bytes(100_000))
    copy_file(source, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == source.read_bytes()


def test_a_copy_does_not_go_through_python_where_it_need_not(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "copyfile", lambda *_: pytest.fail("copied byte by byte"))
    source = tmp_path / "a"
    source.write_bytes(b"x" * 5000)
    writer.copy_file(source, tmp_path / "b")
    assert (tmp_path / "b").stat().st_size == 5000


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"z": (3, 3)}, "rows must be one or more, with z ascending"),
        ({"z": ()}, "rows must be one or more, with z ascending"),
        ({"size": 31}, r"image has shape \(3, 31, 31\), not \(3, 32, 32\)"),
    ],
)
def test_rows_that_are_no_scan(tmp_path, rows, message):
    with TableWriter.create(tmp_path / "t.h5", SIZE, {}) as writer:
        with pytest.raises(ValueError, match=message):
            writer.add(scan_rows(**rows))
        writer.add(ONE)
    assert fingerprints(tmp_path / "t.h5") == {"1.1": "made of 1.1"}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"scan": "1" * 73}, "scan id '1+' takes 73 bytes"),
        ({"patient": "ü" * 40}, "patient id .* takes 80 bytes"),
        ({"truth": "guessed by somebody"}, "longer than the 16 bytes its column keeps"),
    ],
)
def test_words_too_long_for_their_column_leave_the_file_as_it_was(tmp_path, what, message):
    with TableWriter.create(tmp_path / "t.h5", SIZE, {}) as writer:
        with pytest.raises(DataError, match=message):
            writer.add(scan_rows(**what))
        writer.add(ONE)
    with Tables(tmp_path / "t.h5") as table:
        assert len(table) == 2


def test_z_of_a_row_is_that_of_the_middle_of_its_square_on_an_oblique_grid(tmp_path):
    c, s = math.cos(0.5), math.sin(0.5)
    tilted = Geometry((2.0, 1.5, 1.0), (10.0, 20.0, 30.0), (1, 0, 0, 0, c, -s, 0, s, c))
    rows = scan_rows("1.1", (0, 4), geometry=tilted, corner_zyx=(0, 3, -2))
    with Tables(write_table(tmp_path / "t.h5", rows)) as table:
        y_px = 3 + (SIZE - 1) / 2
        expected = [30.0 + s * 1.5 * y_px + c * 2.0 * z for z in (0, 4)]
        np.testing.assert_allclose(table.slices["z_mm"], expected)
