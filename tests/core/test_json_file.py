"""JSON files: the old one or the new one, never half of either."""

import json

import pytest

from lungseg.core.disk import whole_file
from lungseg.core.json_file import json_text, write_json


def test_what_is_written_is_read_back(tmp_path):
    write_json({"name": "Müller", "mm": 1.5}, tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"name": "Müller", "mm": 1.5}
    assert "Müller" in text
    assert text.endswith("}\n")


def test_a_number_that_json_does_not_know_is_refused_and_the_old_file_stays(tmp_path):
    write_json([1], tmp_path / "a.json")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json([float("nan")], tmp_path / "a.json")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == [1]


def test_a_fault_half_way_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    write_json([1], tmp_path / "a.json")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_file.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_json([2], tmp_path / "a.json")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == [1]


def test_a_file_name_that_is_no_utf8_is_escaped_and_read_back(tmp_path):
    name = b"caf\xe9.dcm".decode(errors="surrogateescape")
    write_json([name], tmp_path / "a.json")
    assert (tmp_path / "a.json").read_bytes() == b'[\n "caf\\udce9.dcm"\n]\n'
    assert json.loads((tmp_path / "a.json").read_text()) == [name]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json([name, float("nan")], tmp_path / "a.json")


def test_a_name_of_any_length_that_the_disk_takes_is_written(tmp_path):
    path = tmp_path / ("n" * 250 + ".json")
    write_json([1], path)
    assert json.loads(path.read_text()) == [1]
    assert json_text([1]) == "[\n 1\n]"
