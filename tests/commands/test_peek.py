"""Peek: the pictures of rows."""

import numpy as np
import pytest

from lungseg.commands.peek import _chosen, _spread, _wanted, peek
from lungseg.core.errors import ConfigError
from lungseg.io.tables.reader import Tables
from lungseg.ops.overlay import BY_VOTES, LEFT_LUNG, RIGHT_LUNG
from lungseg.steps.picture_table import build_picture_table
from tests.io.pictures.picture_files import read_rgb
from tests.io.tables.table_rows import AREAS, SIZE, scan_rows, write_table
from tests.steps.test_picture_table import ROUND, grey, two_folders


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    def rows(scan, n, nodule_at=()):
        arrays = {
            "image": np.full((n, SIZE, SIZE), -1024, np.int16),
            "lungs": np.zeros((n, SIZE, SIZE), np.uint8),
            "votes": np.zeros((n, SIZE, SIZE), np.uint8),
            "nodule": np.zeros((n, SIZE, SIZE), np.uint16),
        }
        arrays["lungs"][:, 4:28, 3:14] = 1
        arrays["lungs"][:, 4:28, 18:29] = 2
        areas = {name: np.zeros(n, np.float32) for name in AREAS}
        for z in nodule_at:
            arrays["votes"][z, 8:14, 5:10] = 4
            areas["nodule_mm2_1"][z] = 30
        return scan_rows(scan, range(n), arrays=arrays, areas=areas)

    path = tmp_path_factory.mktemp("peek") / "tables.h5"
    return write_table(path, rows("1.2.31", 60, (7, 8)), rows("1.2.32", 3), rows("9/1", 1))


def has(picture, colour):
    return (picture == np.asarray(colour, np.uint8)).all(axis=-1).any()


def panels(paths):
    """How many panels the sheets have: each has a green outline of the left lung's width."""
    count = 0
    for path in paths:
        picture = read_rgb(path)
        green = (picture == np.asarray(LEFT_LUNG, np.uint8)).all(axis=-1)
        columns = np.flatnonzero(green.sum(axis=0) >= 20).size // 2
        count += green.sum() // (2 * 11 + 2 * 22) if columns else 0
    return count


def test_rows_are_shown_with_their_outlines_on_several_sheets(table, tmp_path):
    paths = peek(table, "1.2.31", tmp_path)
    assert [path.name for path in paths] == ["1.2.31-01.png", "1.2.31-02.png"]
    assert panels(paths) == 24
    first = read_rgb(paths[0])
    assert has(first, RIGHT_LUNG)
    assert has(first, LEFT_LUNG)
    assert has(first, BY_VOTES[3])
    assert not has(read_rgb(paths[1]), BY_VOTES[3])


@pytest.mark.parametrize(("every", "shown"), [(1, 60), (10, 8), (60, 3)])
def test_every_nth_row_and_all_with_a_nodule(table, tmp_path, every, shown):
    assert panels(peek(table, "1.2.31", tmp_path, every=every)) == shown


@pytest.mark.parametrize(("scan", "shown"), [("31", 24), ("P-1.2.32", 3), ("9/1", 1), (None, 24)])
def test_a_scan_is_found_by_its_end_or_its_patient(table, tmp_path, scan, shown):
    paths = peek(table, scan, tmp_path / "new" / "folder")
    assert panels(paths) == shown
    assert all(path.parent == tmp_path / "new" / "folder" for path in paths)


def test_an_unknown_scan_is_refused(table, tmp_path):
    with pytest.raises(
        ConfigError, match=r"no scan or patient '7\.7' in .* holds 3 scans, the first"
    ):
        peek(table, "7.7", tmp_path)


def test_pictures_are_shown_in_all_their_greys(tmp_path):
    folders = two_folders(tmp_path, a=(grey(value=100), ROUND))
    build_picture_table(*folders, tmp_path / "t.h5", 64)
    (path,) = peek(tmp_path / "t.h5", "a", tmp_path / "out")
    picture = read_rgb(path)
    assert has(picture, (100, 100, 100))
    assert has(picture, RIGHT_LUNG)


def test_a_whole_id_stands_before_the_end_of_another(tmp_path):
    path = write_table(tmp_path / "t.h5", scan_rows("1.2.1", (1, 2, 3)), scan_rows("2.1", (5,)))
    with Tables(path) as table:
        assert _wanted(table, "2.1").tolist() == [3]
        assert _wanted(table, ".1").tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("nodules", "shown"), [(2, 2), (12, 12), (50, 12), (60, 24)])
def test_half_of_what_is_shown_is_left_for_rows_without_nodule(nodules, shown):
    slices = np.zeros(60, [("nodule_mm2_1", "f4")])
    slices["nodule_mm2_1"][:nodules] = 1
    rows = _chosen(np.arange(60), slices, None)
    # Of 50 with a nodule and 10 without, the 10 are all shown.
    assert len(rows) == 24
    assert np.count_nonzero(rows < nodules) == (14 if nodules == 50 else shown)


def test_rows_are_spread_from_the_middle_of_each_stretch():
    assert _spread(60, 3).tolist() == [10, 30, 50]
    assert _spread(2, 3).tolist() == [0, 1]
    assert _spread(0, 3).tolist() == []
