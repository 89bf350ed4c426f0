"""Names of files that are handed out: safe on any system, and never the same."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungseg.io.results.plain_names import LONGEST, plain_names, safe_name

ENDINGS = ("_nodules.nii.gz", ".png", "_nodule01.png", "_nodule20.png")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("case7", "case7"),
        ("../../x", "x"),
        ("/etc/passwd", "etc_passwd"),
        ("..", "scan"),
        (".", "scan"),
        ("", "scan"),
        ("   ", "scan"),
        ("CON", "CON_"),
        ("nul.scan", "nul_.scan"),
        ("COM1", "COM1_"),
        ("CONTRAST", "CONTRAST"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("a b\tc\n", "a_b_c"),
        ("a\x00b", "a_b"),
        ("C:\\x", "C_x"),
        ("Müller, Jörg", "Muller_Jorg"),
        ("LIDC-IDRI-0001_20603192", "LIDC-IDRI-0001_20603192"),
    ],
)
def test_a_hostile_name_becomes_a_harmless_one(text, name):
    assert safe_name(text) == name


def test_a_very_long_name_is_cut_and_stays_different_from_its_like():
    one, other = safe_name("a" * 300), safe_name("a" * 299 + "b")
    assert len(one) == len(other) == LONGEST
    assert one != other
    assert one.startswith("a" * 60)


def test_a_name_without_any_latin_letter_is_a_digest_and_differs_from_others():
    assert safe_name("日本") != safe_name("中国")
    assert re.fullmatch("[0-9a-f]{8}", safe_name("日本"))


@given(st.text())
def test_any_text_becomes_one_safe_part_of_a_path(text):
    name = safe_name(text)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
    assert len(name) <= LONGEST + 1
    assert safe_name(name) == name


def test_scans_that_collide_take_their_next_name_and_the_others_keep_theirs():
    names = plain_names(
        {"1.77": ["A_77", "A_1.77"], "2.77": ["A_77", "A_2.77"], "3": ["B"]}, [".x"]
    )
    assert names == {"1.77": "A_1.77", "2.77": "A_2.77", "3": "B"}


def test_names_that_differ_in_case_alone_collide():
    assert plain_names({"a": ["Case"], "b": ["case"]}, [".png"]) == {"a": "Case", "b": "case_2"}


def test_a_number_that_is_somebodys_name_is_not_given():
    names = plain_names({"a": ["c"], "b": ["C"], "c": ["c_2"]}, [".png"])
    assert names == {"a": "c", "b": "C_3", "c": "c_2"}


def test_a_name_that_is_anothers_name_and_ending_collides():
    """The picture of the scan case_nodule01 is not the close-up of case's first nodule."""
    names = plain_names({"a": ["case"], "b": ["case_nodule01"]}, ENDINGS)
    assert names == {"a": "case", "b": "case_nodule01_2"}


@given(
    st.dictionaries(
        st.text("ab", min_size=1, max_size=3),
        st.lists(st.text("aA/_.1", max_size=4), min_size=1, max_size=2),
        max_size=8,
    )
)
def test_no_two_files_of_any_scans_are_called_alike(wanted):
    names = plain_names(wanted, ENDINGS)
    assert list(names) == list(wanted)
    files = [(name + e).casefold() for name, e in itertools.product(names.values(), ENDINGS)]
    assert len(set(files)) == len(files)
    backwards = dict(reversed(wanted.items()))
    assert plain_names(backwards, ENDINGS) == names
