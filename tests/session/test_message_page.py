"""The page of messages is what the code says, and holds what users were shown."""

import re
from pathlib import Path

import pytest

from lungseg.session.message_page import MEANINGS, messages, page

PAGE = Path(__file__).parents[2] / "docs" / "messages.md"


@pytest.fixture(scope="module")
def found():
    return messages()


def test_the_page_is_made_from_the_code(found):
    assert PAGE.read_text("utf-8") == page(found), "messages have changed: run `make docs`"


@pytest.mark.parametrize(
    ("room", "kind", "words"),
    [
        ("io/pictures", "DataError", "⟨file⟩ holds ⟨pages⟩ pictures; give each its own file"),
        ("io/annotations", "row", "⟨name⟩ is empty; expected the scan's id"),
        ("ops/lungs", "doubt", "no trachea was found; it may be in the mask"),
        ("ops/grid", "DataError", "are lung is not certain; expected 0 and one other"),
        ("stages", "ScanSkipped", "a mask or labels, not CT"),
        ("io/volumes", "DamagedOutputError", "it must be made again"),
        # Carried by an object, by a list of one rule, by a list that is returned.
        ("io/sources", "left out", "an archive (⟨suffix⟩) is not looked into; unpack it"),
        ("io/sources", "left out", "copies of slices that are used (⟨number of copies⟩ file(s))"),
        ("io/pictures", "left out", "⟨name⟩: no partner"),
        ("io/pictures", "left out", "⟨name⟩: a folder; pictures are read from ⟨folder⟩ alone"),
        ("io/tables", "found by verify", "row ⟨row⟩: ⟨column⟩ is not the area of /⟨name⟩"),
        ("session", "note", "equal in every pixel, is / are left out"),
        # Numbers that the code names are told as numbers.
        ("ops/lungs", "doubt", "⟨soft⟩ of the mask is soft tissue (at most 25%)"),
    ],
)
def test_what_users_are_shown_is_found(found, room, kind, words):
    assert any(m.room == room and m.kind == kind and words in m.text for m in found)


def test_a_message_tells_what_to_set_and_when_it_is_said(found):
    (one,) = (m for m in found if "finds no patient in the name" in m.text)
    assert one.setting.startswith("picture_patient to an expression")
    assert one.when == "If nothing matches."


def test_nearly_every_error_of_the_code_is_on_the_page(found):
    package = Path(__file__).parents[2] / "pipeline"
    raised = sum(
        len(re.findall(r"raise (?:Config|Scan|Data|Limit|NotProven|DamagedOutput)Error\(", text))
        for text in (p.read_text("utf-8") for p in package.rglob("*.py") if not p.is_symlink())
    )
    assert len(found) > 0.9 * raised, "messages that are composed elsewhere stand there"
    assert {m.kind for m in found} >= set(MEANINGS) - {"note"}


def test_what_differs_is_told_in_words_and_never_as_code(found):
    put_in = {word for one in found for word in re.findall(r"⟨([^⟩]*)⟩", one.text + one.setting)}
    assert "…" not in put_in
    assert not [word for word in put_in if not re.fullmatch(r"[A-Za-z0-9]+( [A-Za-z0-9]+)*", word)]
    assert not put_in & {"path", "strerror", "dtype", "raw", "shape"}
