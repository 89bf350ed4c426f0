"""CSV files that people bring: cut into rows as they were meant, or refused by the line.

Whatever program wrote it: separated by commas, semicolons, tabs or bars; UTF-8 with or without a
byte order mark, UTF-16; decimal commas where commas do not separate; any line ends; Excel's
``sep=;``. What cannot be read without a guess is refused, with its line.
"""

import codecs
import csv
import io
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lungseg.core.errors import DataError, LungsegError

SEPARATORS = ",;\t|"
MOST_BYTES = 1_000_000_000
_OTHER_FILES = {
    b"PK\x03\x04": "an Excel workbook or a zip",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed (gzip)",
    b"%PDF": "a PDF",
}
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One row below the header.

    Attributes
    ----------
    line
        Line of the file on which it begins, the first being 1.
    cells
        All cells, stripped.
    named
        Cells by the name of their column, in lower case; empty where the row is too short.
    fault
        What is wrong with it; empty if nothing is.
    """

    line: int
    cells: tuple[str, ...]
    named: dict[str, str]
    fault: str = ""


class CsvFile:
    """A CSV file, decoded and with its separator known.

    Parameters
    ----------
    path
        The file.
    expected
        What it should be, for messages: "CSV of folds".
    error
        Class of the errors.

    Raises
    ------
    LungsegError
        Of the class `error`: if it is absent, no text, or of an encoding that must be guessed.
    """

    def __init__(self, path: Path, expected: str, error: type[LungsegError] = DataError) -> None:
        self.path, self._expected, self._error = path, expected, error
        self._text = self._decoded()
        self._skipped = 0
        self._decimal = ""
        first = self._text.partition("\n")[0]
        told = re.fullmatch(r"sep=(.)", first.strip('\ufeff "'), re.IGNORECASE)
        if told:
            self.separator = told[1]
            self._text = self._text.partition("\n")[2]
            self._skipped = 1
        else:
            bare = re.sub(r'"[^"]*"', "", first)
            self.separator = max(SEPARATORS, key=bare.count)

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Line and cells of every row that is not empty, the header among them.

        Raises
        ------
        LungsegError
            If a quote is not closed, or a cell is larger than any id or number.
        """
        reader = csv.reader(
            io.StringIO(self._text, newline="\n"), delimiter=self.separator, strict=True
        )
        begin = 1 + self._skipped
        try:
            for row in reader:
                if any(row) and any(cell.strip() for cell in row):
                    yield begin, row
                begin = reader.line_num + 1 + self._skipped
        except csv.Error as error:
            quote = "; is a quote not closed?" if "data" in str(error) else ""
            raise self._error(
                f"{self.path}, line {begin}: {error}{quote}; expected a {self._expected}"
            ) from error

    def names(self) -> list[str]:
        """Names of the columns: the cells of the first row, stripped, in lower case.

        Raises
        ------
        LungsegError
            If two columns have one name.
        """
        line, header = next(self.lines(), (1, []))
        names = [cell.strip().lower() for cell in header]
        twice = [name for name, count in Counter(names).items() if name and count > 1]
        if twice:
            raise self._error(
                f"{self.path}, line {line}: {Counter(names)[twice[0]]} columns are called "
                f"{twice[0]}; expected one"
            )
        return names

    def rows(self, *, open_end: bool = False) -> Iterator[Row]:
        """The rows below the header.

        Parameters
        ----------
        open_end
            Whether rows may have more cells than the header.
        """
        names = self.names()
        lines = self.lines()
        next(lines, None)
        for line, row in lines:
            cells = tuple(cell.strip() for cell in row)
            named = dict.fromkeys(names, "")
            named.update(zip(names, cells, strict=False))
            yield Row(line, cells, named, "" if open_end else self._fault(cells, names))

    def number(self, text: str) -> float:
        """A cell as a finite number; with a decimal comma where commas do not separate.

        Raises
        ------
        ValueError
            If it is none, or if other cells of this file were read with the other decimal sign.
        """
        plain = text.strip()
        sign = ""
        if self.separator != "," and _DECIMAL_COMMA.fullmatch(plain):
            sign, plain = ",", plain.replace(",", ".")
        elif "." in plain:
            sign = "."
        if not _NUMBER.fullmatch(plain):
            known = plain.lower().lstrip("+-") in {"nan", "inf", "infinity"}
            raise ValueError(f"{text!r}, not a {'finite ' if known else ''}number")
        if not math.isfinite(float(plain)):
            raise ValueError(f"{text!r}, not a finite number")
        if sign and self._decimal and sign != self._decimal:
            raise ValueError(
                f"{text!r}, but this file has numbers with a decimal {_SIGNS[self._decimal]}, too; "
                "expected one of them everywhere"
            )
        self._decimal = sign or self._decimal
        return float(plain)

    def _fault(self, cells: Sequence[str], names: Sequence[str]) -> str:
        if any("\n" in cell for cell in cells):
            return "a cell goes over several lines; is a quote not closed?"
        if any(cells[len(names) :]):
            commas = " (a comma for the decimal point, or within a name, needs quotes)"
            return (
                f"{len(cells)} cells, the header has {len(names)}"
                f"{commas if self.separator == ',' else ''}"
            )
        return ""

    def _decoded(self) -> str:
        path = self.path
        if not path.is_file():
            raise self._error(f"{path} is not a file; expected a {self._expected}")
        try:
            size = path.stat().st_size
            raw = path.read_bytes() if size <= MOST_BYTES else b""
        except OSError as error:
            raise self._error(
                f"{path} cannot be read as a {self._expected} ({error.strerror})"
            ) from error
        if size > MOST_BYTES:
            raise self._error(
                f"{path} has {size / 1e9:.1f} GB; expected a {self._expected} of at most "
                f"{MOST_BYTES / 1e9:g} GB"
            )
        for begin, what in _OTHER_FILES.items():
            if raw.startswith(begin):
                raise self._error(
                    f"{path} cannot be read as a {self._expected}: it is {what}; save it as CSV"
                )
        text = self._text_of(raw)
        if "\0" in text:
            line = text[: text.index("\0")].count("\n") + 1
            raise self._error(
                f"{path}, line {line}: there is a NUL character; expected a {self._expected}"
            )
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def _text_of(self, raw: bytes) -> str:
        encoding = next((e for mark, e in _BYTE_ORDER_MARKS.items() if raw.startswith(mark)), "")
        if not encoding:
            # UTF-16 without its mark: every other byte of plain letters is 0.
            low, high = (raw[k:400:2] for k in (0, 1))
            if high and high.count(0) > 0.9 * len(high) and not low.count(0):
                encoding = "utf-16-le"
            elif low and low.count(0) > 0.9 * len(low) and not high.count(0):
                encoding = "utf-16-be"
        try:
            return raw.decode(encoding or "utf-8")
        except UnicodeDecodeError as error:
            line = raw[: error.start].count(b"\n") + 1
            raise self._error(
                f"{self.path} cannot be read as a {self._expected}: line {line} has the byte "
                f"0x{raw[error.start]:02x}, which is not {error.encoding.upper()}; save it as CSV "
                "in UTF-8"
            ) from error


def read_ids(
    path: Path, heads: Collection[str], expected: str, error: type[LungsegError] = DataError
) -> list[str]:
    """The ids of a list, one a line, in their order.

    They stand in the first column, or in the one whose heading is one of `heads`.

    Raises
    ------
    LungsegError
        Of the class `error`: if the file cannot be read.
    """
    rows = [[cell.strip() for cell in row] for _, row in CsvFile(path, expected, error).lines()]
    first = [cell.lower() for cell in rows[0]] if rows else []
    column = next((k for k, head in enumerate(first) if head in heads), None)
    place = column or 0
    ids = [row[place] for row in rows[column is not None :] if len(row) > place]
    return [one for one in ids if one]


_SIGNS = {",": "comma", ".": "point"}
