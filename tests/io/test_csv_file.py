"""CSV files of any program: read as they were meant, or refused by the line."""

import pytest

from lungseg.core.errors import ConfigError, DataError
from lungseg.io.csv_file import CsvFile, read_ids

TEXT = "Scan,x_mm,note\na,1.5,hi\n\nb,-2,\n"
ROWS = [
    (2, {"scan": "a", "x_mm": "1.5", "note": "hi"}),
    (4, {"scan": "b", "x_mm": "-2", "note": ""}),
]


def opened(tmp_path, raw):
    path = tmp_path / "list.csv"
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return CsvFile(path, "CSV of places")


def rows_of(file, **how):
    return [(row.line, row.named) for row in file.rows(**how)]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_form_is_read_alike(tmp_path, separator, encoding, ends):
    text = TEXT.replace(",", separator).replace("\n", ends)
    file = opened(tmp_path, text.encode(encoding))
    assert file.names() == ["scan", "x_mm", "note"]
    assert rows_of(file) == ROWS
    assert not any(row.fault for row in file.rows())


def test_a_big_endian_mark_is_read(tmp_path):
    assert rows_of(opened(tmp_path, b"\xfe\xff" + TEXT.encode("utf-16-be"))) == ROWS


def test_excels_line_that_names_the_separator_is_followed(tmp_path):
    file = opened(tmp_path, "sep=;\nscan;x_mm\na,b;1,5\n")
    assert rows_of(file) == [(3, {"scan": "a,b", "x_mm": "1,5"})]


def test_a_comma_within_quotes_separates_nothing(tmp_path):
    assert rows_of(opened(tmp_path, '"a, b";c\n"1;2";3\n')) == [(2, {"a, b": "1;2", "c": "3"})]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        ("1,5", 1.5),
        ("-,5", -0.5),
        ("3e1", 30.0),
        ("7", 7.0),
        (" 2. ", 2.0),
        ("+.5E-1", 0.05),
    ],
)
def test_numbers_have_a_point_or_a_comma(tmp_path, text, value):
    assert opened(tmp_path, "a;b\n").number(text) == value


@pytest.mark.parametrize(
    ("separator", "texts", "message"),
    [
        (",", ["1,5"], "'1,5', not a number"),
        (";", ["1.234,5"], "not a number"),
        (";", ["1,5", "2.5"], "'2.5', but this file has numbers with a decimal comma, too"),
        (";", ["2.5", "1,5"], "'1,5', but this file has numbers with a decimal point, too"),
        (";", [""], "'', not a number"),
        (";", ["1_000"], "not a number"),
        (";", ["nan"], "'nan', not a finite number"),
        (";", ["-inf"], "not a finite number"),
        (";", ["1e999"], "not a finite number"),
        (";", ["0x1f"], "not a number"),
        (";", ["\uff11"], "not a number"),
    ],
)
def test_what_is_no_number_is_said(tmp_path, separator, texts, message):
    file = opened(tmp_path, f"a{separator}b\n")
    for text in texts[:-1]:
        file.number(text)
    with pytest.raises(ValueError, match=message):
        file.number(texts[-1])


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a,1,5,hi,x", "5 cells, the header has 3 (a comma for the decimal point"),
        ('a,"1\n2",3', "a cell goes over several lines; is a quote not closed?"),
        ("a,1", ""),
        ("a,1,hi,,", ""),
    ],
)
def test_a_row_that_does_not_fit_the_header_is_named(tmp_path, row, fault):
    (found,) = opened(tmp_path, f"scan,x_mm,note\n{row}\n").rows()
    assert found.fault.startswith(fault)
    assert bool(found.fault) == bool(fault)


def test_commas_are_not_blamed_where_they_do_not_separate(tmp_path):
    (found,) = opened(tmp_path, "a;b\n1;2;3\n").rows()
    assert found.fault == "3 cells, the header has 2"


def test_rows_may_be_longer_where_the_form_is_open(tmp_path):
    (row,) = opened(tmp_path, "a,b\n1,2,3\n").rows(open_end=True)
    assert (row.fault, row.cells) == ("", ("1", "2", "3"))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('a,b\n1,2\n3,"x\n4,5\n', r"list\.csv, line 3: unexpected end of .* a quote not closed\?"),
        ('a,b\n1,"x"y\n', r"line 2: ',' expected after '\"'; expected a CSV of places"),
        ("a,b\n1,2\n" + "x" * 200_000, r"line 3: field larger than field limit"),
        (b"a,b\n1,2\n\xe9,3\n", r"line 3 has the byte 0xe9, which is not UTF-8; save it"),
        (b"\xff\xfea\x00\x00", "which is not UTF-16"),
        (b"a,b\n1,\x002\n", r"line 2: there is a NUL character"),
        (b"PK\x03\x04rest", "it is an Excel workbook or a zip; save it as CSV"),
        (b"\xd0\xcf\x11\xe0rest", "it is an old Excel workbook"),
        (b"\x1f\x8brest", r"it is compressed \(gzip\)"),
        ("a,b,A\n1,2,3\n", r"line 1: 2 columns are called a; expected one"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_for_sure_is_refused_by_the_line(tmp_path, raw, message):
    with pytest.raises(DataError, match=message):
        list(opened(tmp_path, raw).rows())


def test_a_file_that_is_absent_a_folder_or_closed_to_us_is_named(tmp_path, monkeypatch):
    for place in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ConfigError, match="is not a file; expected a CSV of places"):
            CsvFile(place, "CSV of places", ConfigError)

    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", denied)
    with pytest.raises(DataError, match=r"cannot be read as a CSV of places \(Permission denied\)"):
        opened(tmp_path, TEXT)


def test_a_file_larger_than_any_list_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr("lungseg.io.csv_file.MOST_BYTES", 10)
    with pytest.raises(DataError, match=r"has 0\.0 GB; expected a CSV of places of at most"):
        opened(tmp_path, TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\n",
        "seriesuid\na\nb\n",
        "\ufeffa,1\n\nb,2\n",
        "n;SeriesUID\n1;a\n2;b\n3;\n4\n",
        '"a"\n b \n',
    ],
)
def test_lists_of_ids_are_read(tmp_path, text):
    path = tmp_path / "list.csv"
    path.write_text(text, "utf-8")
    assert read_ids(path, {"seriesuid"}, "list") == ["a", "b"]


def test_an_empty_list_names_nobody(tmp_path):
    (tmp_path / "list.csv").touch()
    assert read_ids(tmp_path / "list.csv", {"seriesuid"}, "list") == []
