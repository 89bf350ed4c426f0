"""CSV files of any program, and damaged ones: read right, or refused by the line."""

import math

import pytest

from lungseg.core.errors import LungsegError
from lungseg.io.annotations.coordinates import read_coordinates
from lungseg.io.annotations.fold_file import read_folds

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252")
HEADER = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm", "note")
NOTES = ("", "spiculated", "near \u00fc", "two, or one", 'said "solid"', "a;b", "1,5")


def quoted(cell, separator, always):
    if always or any(sign in cell for sign in (separator, '"', "\n")):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def write(path, rng, number):
    """A list of nodules as some program writes it, and what it says."""
    separator = ",;\t"[number % 3]
    comma = separator != "," and bool(rng.integers(2))
    always, ends = bool(rng.integers(2)), ("\n", "\r\n", "\r")[rng.integers(3)]
    order = rng.permutation(len(HEADER))
    rows, truth = [], {}
    for k in range(int(rng.integers(1, 8))):
        xyz = (rng.uniform(-300, 300, 3) + 50 * k).round(2).tolist()
        mm = round(float(rng.uniform(3, 30)), 2)
        texts = [f"{v:.2f}".replace(".", "," if comma else ".") for v in (*xyz, mm)]
        rows.append([f"1.2.{k}", *texts, NOTES[rng.integers(len(NOTES))]])
        truth[f"1.2.{k}"] = (*xyz, mm)
    lines = [
        separator.join(quoted(row[c], separator, always) for c in order) for row in [HEADER, *rows]
    ]
    text = ends.join(lines) + (ends if rng.integers(2) else "")
    path.write_bytes(text.encode(ENCODINGS[rng.integers(len(ENCODINGS))]))
    return truth


def found_in(path):
    listed = read_coordinates(path)
    rows = {
        scan: (*(of[0].xyz_mm or ()), of[0].diameter_mm) for scan, of in listed.findings.items()
    }
    return rows, listed.problems


def is_same(one, other):
    return one.keys() == other.keys() and all(
        math.dist(one[scan], other[scan]) < 1e-6 for scan in one
    )


def test_a_list_of_any_program_is_read_right_or_refused(tally, rng, tmp_path):
    kind = tally("CSV of any program")
    for number in range(600):
        truth = write(tmp_path / "a.csv", rng, number)
        read = kind.call(f"{number}", found_in, tmp_path / "a.csv")
        if read is None:
            continue
        if is_same(read[0], truth) and not read[1]:
            kind.right()
        else:
            kind.wrong(f"{number}: {read} for {truth}")


def test_a_row_that_is_damaged_never_becomes_another_place(tally, rng, tmp_path):
    """A cell more or less, a quote, another sign: the row is the same, named, or refused."""
    kind = tally("CSV, rows damaged")
    path = tmp_path / "a.csv"
    for number in range(1200):
        truth = write(path, rng, 3 * number)  # separated by commas
        raw = path.read_bytes()
        place = int(rng.integers(raw.find(b"\n") + 1, len(raw))) if b"\n" in raw else len(raw)
        extra = (b",", b'"', b"\n", b"\0", b"x", b";", b"\xff", b",,")[rng.integers(8)]
        path.write_bytes(raw[:place] + extra + raw[place:])
        read = kind.call(f"{number}", found_in, path)
        if read is None:
            continue
        rows, problems = read
        # A changed id is that of no scan here, which the run names.
        if problems or rows.keys() - truth.keys():
            kind.refused()
        # No digit is added: each place must be as it was, whatever became of the notes.
        elif all(math.dist(rows[scan], truth[scan]) < 1e-6 for scan in rows):
            kind.right()
        else:
            kind.wrong(f"{number}: {extra!r} at {place}: {rows} for {truth}")


@pytest.mark.parametrize("reader", [read_coordinates, read_folds])
def test_any_bytes_are_refused_in_a_sentence(tally, rng, tmp_path, reader):
    kind = tally("CSV, any bytes")
    path = tmp_path / "a.csv"
    for number in range(500):
        raw = bytes(rng.integers(0, 256, rng.integers(0, 300), "u1"))
        path.write_bytes((b"patient,part\n" if number % 2 else b"") + raw)
        try:
            if kind.call(f"{number}", reader, path) is not None:
                kind.right()
        except LungsegError:
            kind.refused()
