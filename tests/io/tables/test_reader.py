"""The reader of the table file."""

import multiprocessing
import pickle
import threading

import numpy as np
import pytest
import tables as pytables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lungseg.core.errors import DataError
from lungseg.io.tables.reader import Tables, inconsistencies
from lungseg.io.tables.schema import decoded, encoded
from tests.io.tables.table_rows import scan_rows, write_table

SCANS = [
    scan_rows("1.2.3", (4, 5, 6)),
    scan_rows("1.2.4", (7, 8, 11, 12)),
    scan_rows("1.2.5", (13,)),
]
WHOLE = {name: np.concatenate([s.arrays[name] for s in SCANS]) for name in SCANS[0].arrays}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("tables") / "tables.h5", *SCANS)


@pytest.fixture
def table(path):
    with Tables(path) as table:
        yield table


@pytest.mark.parametrize("name", ["image", "lungs", "votes", "nodule"])
def test_rows_come_back_in_any_order_and_repeated(table, name):
    rows = [6, 0, 0, 7, 3, 6]
    np.testing.assert_array_equal(table.read(name, rows), WHOLE[name][rows])
    assert table.read(name, rows).dtype == WHOLE[name].dtype
    assert table.read(name, []).shape == (0, 32, 32)


def test_context_stays_in_the_scan_and_repeats_where_a_slice_is_missing(table):
    assert table.neighbours(range(8), 2).tolist() == [
        [0, 0, 0, 1, 2],
        [0, 0, 1, 2, 2],
        [0, 1, 2, 2, 2],
        [3, 3, 3, 4, 4],
        [3, 3, 4, 4, 4],
        [5, 5, 5, 6, 6],
        [5, 5, 6, 6, 6],
        [7, 7, 7, 7, 7],
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, 7), max_size=6), context=st.integers(0, 3))
def test_images_are_those_of_the_neighbours(table, rows, context):
    images = table.images(rows, context)
    assert images.shape == (len(rows), 2 * context + 1, 32, 32)
    np.testing.assert_array_equal(images, WHOLE["image"][table.neighbours(rows, context)])
    np.testing.assert_array_equal(images[:, context], WHOLE["image"][rows])


def test_records_say_what_the_rows_are(table):
    assert len(table) == 8
    assert table.size == 32
    assert decoded(table.scans["scan"]) == ["1.2.3", "1.2.4", "1.2.5"]
    assert table.slices["z_index"].tolist() == [4, 5, 6, 7, 8, 11, 12, 13]
    assert table.slices["scan_row"].tolist() == [0, 0, 0, 1, 1, 1, 1, 2]
    assert table.slices["z_mm"][:3].tolist() == [-296.0, -295.0, -294.0]
    assert table.scans["first_row"].tolist() == [0, 3, 7]
    assert table.scans["crop_zyx"][0].tolist() == [0, 3, -2]
    assert table.slices["target_mm2"][0] == 5
    assert table.readers(1) == {1: 4, 2: 2}
    assert table.attributes["kind"] == "ct"
    with pytest.raises(ValueError, match="read-only"):
        table.slices["z_index"][0] = 3


def test_only_the_path_travels(path):
    with Tables(path) as table:
        assert len(table) == 8
        frozen = pickle.dumps(table)
        assert len(frozen) < 400
        with pickle.loads(frozen) as again:
            np.testing.assert_array_equal(again.read("image", [5]), table.read("image", [5]))


def test_the_file_is_opened_at_first_use_and_again_after_close(path, monkeypatch):
    opened = []
    original = pytables.open_file
    monkeypatch.setattr(pytables, "open_file", lambda *a: opened.append(a) or original(*a))
    table = Tables(path)
    assert not opened
    table.read("image", [1])
    table.read("lungs", [1])
    assert len(opened) == 1
    table.close()
    table.read("image", [1])
    assert len(opened) == 2
    table.close()


def _sum_in_child(table, queue):
    queue.put(int(table.read("image", [0, 7]).sum()))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_reads_although_its_parent_holds_lock_and_file(table):
    from lungseg.io.tables import reader as module

    expected = int(table.read("image", [0, 7]).sum())
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    held, release = threading.Event(), threading.Event()

    def hold():
        with module.LOCK:
            held.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    child = context.Process(target=_sum_in_child, args=(table, queue))
    child.start()
    child.join(30)
    release.set()
    thread.join()
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0
    assert queue.get() == expected
    assert int(table.read("image", [0, 7]).sum()) == expected


def test_threads_may_share_it(table):
    faults = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(30):
            rows = rng.integers(0, 8, 4)
            if not (table.images(rows, 1)[:, 1] == WHOLE["image"][rows]).all():
                faults.append(rows)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


@pytest.mark.parametrize("rows", [[8], [-1], [0, 99]])
def test_rows_that_are_not_there(table, rows):
    with pytest.raises(IndexError, match="rows run from 0 to 7"):
        table.read("image", rows)


def test_an_array_that_is_not_there(table):
    with pytest.raises(ValueError, match="no array 'mask'; there are image, lungs, votes, nodule"):
        table.read("mask", [0])


def test_no_file(tmp_path):
    with pytest.raises(DataError, match=r"absent\.h5 does not exist; build the tables"):
        len(Tables(tmp_path / "absent.h5"))


def test_not_hdf5(tmp_path):
    (tmp_path / "t.h5").write_text("x" * 4096)
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        len(Tables(tmp_path / "t.h5"))


def test_somebody_elses_hdf5(tmp_path):
    pytables.open_file(str(tmp_path / "t.h5"), "w").close()
    with pytest.raises(DataError, match="not a table file of this program"):
        len(Tables(tmp_path / "t.h5"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format_version", 99, "has table format 99, this program reads 1"),
        ("complete", False, "was never finished"),
    ],
)
def test_a_file_of_another_version_or_unfinished(tmp_path, name, value, message):
    path = write_table(tmp_path / "t.h5", SCANS[0])
    with pytables.open_file(str(path), "a") as file:
        file.root._v_attrs[name] = value
    with pytest.raises(DataError, match=message):
        len(Tables(path))


def test_arrays_of_unequal_length(tmp_path):
    path = write_table(tmp_path / "t.h5", SCANS[0])
    with pytables.open_file(str(path), "a") as file:
        file.root.votes.truncate(2)
    with pytest.raises(DataError, match=r"arrays of unequal length .*'votes': 2"):
        len(Tables(path))


def test_a_flipped_byte_is_an_error_and_not_a_wrong_voxel(tmp_path):
    path = write_table(tmp_path / "t.h5", SCANS[0])
    with pytables.open_file(str(path)) as file:
        where = file.root.image.chunk_info((1, 0, 0))
    raw = bytearray(path.read_bytes())
    raw[where.offset + where.size // 2] ^= 0x55
    path.write_bytes(raw)
    with Tables(path) as table:
        np.testing.assert_array_equal(table.read("image", [0, 2]), SCANS[0].arrays["image"][[0, 2]])
        with pytest.raises(DataError, match=r"row 1 of /image .* is damaged"):
            table.read("image", [1])


def test_ids_may_be_of_any_script_but_not_too_long():
    assert decoded([encoded("Müller-Ø 01", "patient")]) == ["Müller-Ø 01"]
    with pytest.raises(
        DataError, match=r"patient id 'ü.*' takes 74 bytes; the tables keep 1 to 72"
    ):
        encoded("ü" * 37, "patient")
    with pytest.raises(DataError, match="scan id '' takes 0 bytes"):
        encoded("", "scan")


def test_a_good_file_adds_up(tmp_path):
    rows = scan_rows("1.1", (1, 2))
    for name, column in (("lungs", "lung_mm2"), ("votes", "nodule_mm2_1")):
        rows.areas[column][:] = np.count_nonzero(rows.arrays[name], axis=(1, 2))
    assert inconsistencies(write_table(tmp_path / "t.h5", rows, spacing_mm=np.ones(3))) == []


def test_what_does_not_add_up_is_named(tmp_path):
    path = write_table(tmp_path / "t.h5", *SCANS[:2], spacing_mm=np.ones(3))
    told = inconsistencies(path)
    assert len(told) == 14
    assert told[0] == "row 0: lung_mm2 is not the area of /lungs"

    def change(name, column, row, value):
        with pytables.open_file(str(path), "a") as file:
            file.get_node(f"/{name}").cols._f_col(column)[row] = value

    for name, column, row, value, message in (
        ("nodules", "scan_row", 0, 1, "/nodules does not hold as many nodules"),
        ("slices", "z_index", 1, 9, "the rows of a scan do not ascend in z"),
        ("slices", "scan_row", 1, 1, "the rows of /slices are not those of the scans"),
        ("scans", "first_row", 1, 2, "do not follow each other without gaps"),
        ("scans", "n_rows", 0, 9, "/scans counts 13 rows, /slices has 7"),
    ):
        change(name, column, row, value)
        assert any(message in fault for fault in inconsistencies(path)), message


def test_every_damaged_block_is_named(tmp_path):
    path = write_table(tmp_path / "t.h5", SCANS[0], spacing_mm=np.ones(3))
    with pytables.open_file(str(path)) as file:
        where = file.root.nodule.chunk_info((2, 0, 0))
    raw = bytearray(path.read_bytes())
    raw[where.offset + where.size // 2] ^= 0x55
    path.write_bytes(raw)
    assert any("row 2 of /nodule" in fault for fault in inconsistencies(path))


def test_an_id_may_take_all_the_bytes_but_not_end_in_a_zero():
    longest = "1." * 36
    assert decoded(np.array([encoded(longest, "scan")], "S72")) == [longest]
    with pytest.raises(DataError, match=r"scan id .* takes 4 bytes"):
        encoded("1.2\0", "scan")
