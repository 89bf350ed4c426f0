"""JSON files with their own digest."""

import json

import pytest

from lungseg.core.disk.checked_json import read_checked, write_checked

VALUE = {"scan": "1.2", "facts": {"ml": 4300.5, "name": "Müller"}, "n": [1, 2]}


def test_what_was_written_is_read_back_and_is_plain_json(tmp_path):
    write_checked(VALUE, tmp_path / "a.json")
    assert read_checked(tmp_path / "a.json", ()) == VALUE
    plain = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert list(plain) == [*VALUE, "check"]


def test_an_empty_mapping_has_its_digest_too(tmp_path):
    write_checked({}, tmp_path / "a.json")
    assert read_checked(tmp_path / "a.json", ()) == {}
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["check"]


def test_no_bit_can_be_flipped_without_notice(tmp_path):
    path = tmp_path / "a.json"
    write_checked(VALUE, path)
    data = path.read_bytes()
    unnoticed = []
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            found = read_checked(path, VALUE)
        except ValueError:
            continue
        if found != VALUE:
            unnoticed.append(place)
    assert unnoticed == []


def test_no_cut_goes_without_notice(tmp_path):
    path = tmp_path / "a.json"
    write_checked(VALUE, path)
    data = path.read_bytes()
    for length in range(len(data) - 2):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"Expect|digest|Unterminated|delimiter|decode"):
            read_checked(path, VALUE)


def test_a_file_of_an_earlier_release_has_no_digest_and_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(VALUE))
    assert read_checked(path, VALUE) == VALUE
    with pytest.raises(ValueError, match="unknown entry 'n', and no digest"):
        read_checked(path, {"scan", "facts"})


def test_a_change_by_hand_is_told(tmp_path):
    path = tmp_path / "a.json"
    write_checked(VALUE, path)
    path.write_text(path.read_text("utf-8").replace("4300.5", "4300.6"), "utf-8")
    with pytest.raises(ValueError, match="it was damaged, or changed by hand"):
        read_checked(path, VALUE)


@pytest.mark.parametrize(
    ("text", "told"), [("[1]", "expected an object, found list"), ("[" * 100_000, "too deeply")]
)
def test_what_is_no_mapping_is_refused(tmp_path, text, told):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=told):
        read_checked(tmp_path / "a.json", ())
