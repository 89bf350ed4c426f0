"""What is under ``--src``: the work folder itself is left out, in a line."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.core.errors import ConfigError
from lungseg.io.sources.series import SourceRules
from lungseg.session.scans import changed_since, remembered, remembered_roots
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import open_session
from tests.io.sources.trees import series
from tests.session.looks import look_at

RULES = SourceRules()


def test_a_work_folder_among_the_scans_is_left_out_in_a_line(tmp_path):
    series(tmp_path / "src", "1.2.1")
    work = tmp_path / "src" / "lungseg-work"
    for _ in "ab":  # it is empty, and then it is not
        (found,), (left,) = look_at(work, [tmp_path / "src"], RULES)
        assert found.scan == "1.2.1"
        assert (left.path, left.fault) == (str(work), False)
        assert left.reason == "a work folder of this program, not looked into"
    assert remembered(work) == ([found], [left])
    assert remembered_roots(work) == [tmp_path / "src"]


def test_a_work_folder_elsewhere_is_not_spoken_of(tmp_path):
    series(tmp_path / "src", "1.2.1")
    assert look_at(tmp_path / "work", [tmp_path / "src"], RULES)[1] == []
    own = tmp_path / "src" / "w"
    assert look_at(own, [tmp_path / "src"], RULES, passed_over={own})[1] == []


def test_a_dry_run_leaves_the_work_folder_as_it_was(tmp_path):
    for name in ("1.2.1", "1.2.2"):
        series(tmp_path / name, name)
    work = tmp_path / "work"
    open_session(work, CommandOptions(), [tmp_path / "1.2.1"]).keep()
    before = remembered(work)
    words = ["preprocess", "--src", tmp_path / "1.2.2", "--dry-run", "--work"]
    for place in (work, tmp_path / "new"):
        for more in ([], ["--set", "ingest.pseudonyms=true"]):
            told = CliRunner().invoke(main, [str(word) for word in (*words, place, *more)])
            assert "ingest            run          1" in told.stdout, told.output
    assert remembered(work) == before
    assert sorted(path.name for path in work.iterdir()) == [
        "headers.cache", "sources", "sources.json",
    ]  # fmt: skip
    assert [path.name for path in (work / "sources").iterdir()] == ["1.2.1.json"]
    assert not (tmp_path / "new").exists()


def test_a_folder_that_was_changed_since_it_was_looked_at_is_told(tmp_path):
    series(tmp_path / "src", "1.2.1")
    work = tmp_path / "work"
    open_session(work, CommandOptions(), [tmp_path / "src"]).keep()
    assert changed_since(tmp_path / "none") == changed_since(work) == []
    then = (work / "sources.json").stat().st_mtime_ns + 10**9
    series(tmp_path / "src" / "new", "1.2.2")
    os.utime(tmp_path / "src", ns=(then, then))
    assert changed_since(work) == [tmp_path / "src"]
    told = CliRunner().invoke(main, ["status", "--work", str(work)]).stdout
    assert (
        f"note     {tmp_path / 'src'} was changed since it was looked at; new scans in it" in told
    )


def test_a_folder_that_may_not_be_looked_into_is_not_said_to_be_changed(tmp_path, monkeypatch):
    series(tmp_path / "src", "1.2.1")
    work = tmp_path / "work"
    open_session(work, CommandOptions(), [tmp_path / "src"]).keep()
    real = Path.stat

    def closed(path, **more):
        if path == tmp_path / "src":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **more)

    monkeypatch.setattr(Path, "stat", closed)
    assert changed_since(work) == []


def test_names_of_patients_do_not_stay_in_the_headers_that_were_kept(tmp_path):
    series(tmp_path / "src", "1.2.1", PatientID="Doe^Jane")
    work = tmp_path / "work"
    look_at(work, [tmp_path / "src"], RULES)
    (found,), _ = look_at(work, [tmp_path / "src"], SourceRules(key=bytes(32)))
    assert found.patient.startswith("anon-")
    assert not [
        path for path in work.rglob("*") if path.is_file() and b"Doe^Jane" in path.read_bytes()
    ]


@pytest.mark.parametrize("name", ["x/" * 2500, "y" * 300, "nul\0"])
def test_a_root_that_no_file_system_has_is_said_to_be_none(tmp_path, name):
    with pytest.raises(ConfigError, match=r"--src .*: there is no such file or folder"):
        look_at(tmp_path / "work", [tmp_path / name], RULES)
