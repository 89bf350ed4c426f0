"""Text of any bytes: shown in a line, kept in JSON, and given back."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungseg.core.errors import ScanError
from lungseg.core.shown import path_as_text, path_of_text, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("Grün/\u3000山田^太郎", "Grün/\u3000山田^太郎"),
        ("a\nb\tc\0", r"a\nb\tc\x00"),
        ("\x1b[31m", r"\x1b[31m"),
        ("left\u202eright\u2028", r"left\u202eright\u2028"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("half \ud83d", r"half \ud83d"),
    ],
)
def test_what_would_break_a_line_is_escaped(text, expected):
    assert shown(text) == expected


def test_what_is_to_be_kept_is_kept():
    assert shown("a\nb\r", keep="\n") == "a\nb\\r"
    assert str(ScanError(f"two\nlines of {os.fsdecode(b'caf' + bytes([233]))}")) == (
        "two\nlines of caf\\xe9"
    )


@given(st.binary())
def test_any_path_is_kept_as_whole_text_and_comes_back(name):
    path = os.fsdecode(name)
    text = path_as_text(path)
    assert json.loads(json.dumps(text, ensure_ascii=False).encode("utf-8")) == text
    assert path_of_text(text) == path
    assert isinstance(shown(path).encode("utf-8"), bytes)
