"""The ledger of files that were handed out: a line for each, joined, and known after a kill."""

import functools
import itertools

import pytest

from lungseg.commands.own_scans import ledger


def write(text, path):
    path.write_text(text)


def put(folder, name, text):
    ledger.place_files(folder, {name: functools.partial(write, text)})


def test_a_file_costs_a_line_however_many_there_are_and_the_ledger_takes_them_in(tmp_path):
    ledger.note(tmp_path, work=True)
    sizes = []
    for number in range(40):
        put(tmp_path, f"{number:02}.txt", "x")
        sizes.append((tmp_path / ledger.JOURNAL).stat().st_size)
    assert {after - before for before, after in itertools.pairwise(sizes)} == {sizes[0]}
    assert len(ledger.written(tmp_path)) == 40
    before = ledger.written(tmp_path)
    ledger.note(tmp_path)
    assert not (tmp_path / ledger.JOURNAL).exists()
    assert ledger.written(tmp_path) == before
    assert ledger.notes(tmp_path)["work"] is True


def test_the_marks_of_a_file_are_the_one_before_and_the_one_that_is_there(tmp_path):
    for text in ("a", "bb", "ccc"):
        put(tmp_path, "one.txt", text)
    assert [size for size, _ in ledger.written(tmp_path)["one.txt"]] == [2, 3]
    assert ledger.written(tmp_path)["one.txt"][-1] == ledger.mark_of(tmp_path / "one.txt")


def test_a_torn_line_is_passed_over_and_the_next_one_counts(tmp_path):
    put(tmp_path, "one.txt", "a")
    with (tmp_path / ledger.JOURNAL).open("ab") as journal:
        journal.write(b'\n["two.txt", [3,')
    put(tmp_path, "three.txt", "a")
    assert set(ledger.written(tmp_path)) == {"one.txt", "three.txt"}


@pytest.mark.parametrize("damage", ["", "{", "[1]", "[" * 100_000, '{"files": [1]}'])
def test_a_damaged_ledger_knows_no_files(tmp_path, damage):
    (tmp_path / ledger.OURS).write_text(damage)
    assert ledger.written(tmp_path) == {}
    put(tmp_path, "one.txt", "a")
    assert set(ledger.written(tmp_path)) == {"one.txt"}
