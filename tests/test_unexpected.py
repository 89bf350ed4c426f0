"""Whatever a user types or a disk does, a sentence comes, and never a traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.command_line import unexpected
from lungseg.command_line.command_group import FAULT
from lungseg.core.stage import shown
from lungseg.stages import ingest
from tests.io.sources.trees import series
from tests.session.salted import leaks

LONG = "x" * 5000


def run(*words, status=2):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == status, f"{done.output} {done.exception!r}"
    assert "Traceback" not in done.output
    assert len(done.output) < 2500, "no message is longer than a screen"
    return " ".join(done.output.split())


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("resample.spacing_mm=inf", "spacing_mm must be <= 10, not inf|finite"),
        ("resample.spacing_mm=nan", "spacing_mm must be a finite number, not nan"),
        ("evaluate.consensus_level=-inf", "consensus_level must be a finite number, not -inf"),
        ("train.epochs=" + "9" * 5000, "expected a whole number, found '9999"),
        ("train.epochs=" + "9" * 400, "epochs must lie within -9007199254740992 to 90071"),
        ("train.seed=1e400", "expected a whole number, found '1e400'"),
        (f"annotate-nodules.coordinates={LONG}", "at most 4000 characters, not 5000: 'xxx"),
        ("annotate-nodules.coordinates=a\0b", "must be plain text, without '\\x00'"),
        (f"{LONG}.{LONG}={LONG}", "there is no stage 'xxx"),
        (f"resample.{LONG}=1", "resample has no parameter 'xxx"),
        (LONG, "expected stage.name=value"),
    ],
)
def test_a_value_without_end_is_a_sentence(tmp_path, setting, told):
    said = run("params", "--work", tmp_path / "w", "--set", setting)
    assert any(part in said for part in told.split("|")), said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = " + "[" * 100_000 + "]" * 100_000, "is nested too deeply; expected [stage-name]"),
        ("[resample]\nspacing_mm = inf", "must be a finite number, not inf"),
        ("[resample]\nspacing_mm = " + "[" * 50 + "]" * 50, "spacing_mm must be float, not [[[[["),
        ("[resample]\nspacing_mm = " + "9" * 5000, "is not valid TOML"),
        ("[resample]\nspacing_mm = 2026-01-01", "spacing_mm must be float, not datetime.date"),
        ("[resample]\nspacing_mm = {a = 1}", "spacing_mm must be float, not {'a': 1} (dict)"),
        ("x = '" + LONG + "'", "stands outside a table"),
        ("\udcff", "is not valid TOML"),
        (("#" * 1000 + "\n") * 5001, "is larger than 5 MB; expected a settings file"),
    ],
)
def test_a_settings_file_of_any_content_is_a_sentence(tmp_path, text, told):
    file = tmp_path / "settings.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    assert told in run("params", "--work", tmp_path / "w", "--config", file)


def test_a_settings_file_without_an_end_is_not_read_to_it(tmp_path):
    assert "larger than 5 MB" in run("params", "--work", tmp_path, "--config", "/dev/zero")


@pytest.mark.parametrize("option", ["--work", "--src", "--config", "--scan", "--model", "--preset"])
def test_a_word_of_five_thousand_letters_is_a_sentence(tmp_path, option):
    folder = () if option == "--work" else ("--work", tmp_path / "w")
    if option == "--scan":  # in a folder that has some
        (tmp_path / "a.nii").write_bytes(b"no volume")
        folder = (*folder, "--src", tmp_path / "a.nii")
    assert "xxx" in run("preprocess", *folder, option, LONG)


@pytest.mark.parametrize("command", ["lungs", "detect"])
@pytest.mark.parametrize("place", ["/proc/none", "/dev/null/out", "/sys/kernel/x"])
def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path, command, place):
    (tmp_path / "a.nii").write_bytes(b"x")
    assert place in run(command, tmp_path, "--out", place)
    assert place in run("preprocess", "--src", tmp_path, "--work", place)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO, errno.ESTALE])
def test_a_folder_that_may_not_be_entered_is_a_sentence(tmp_path, monkeypatch, number):
    real = Path.mkdir

    def refuse(path, *arguments, **more):
        if "work" in path.parts:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **more)

    monkeypatch.setattr(Path, "mkdir", refuse)
    (tmp_path / "src").mkdir()
    told = run("preprocess", "--src", tmp_path / "src", "--work", tmp_path / "work")
    assert os.strerror(number) in told


def raise_it(*_arguments, **_more):
    raise KeyError("a fault of ours")


def test_what_nobody_expected_is_a_sentence_and_its_traceback_is_in_the_work_folder(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("lungseg.commands.run_stages.open_session", raise_it)
    monkeypatch.delenv(unexpected.DEBUG_VARIABLE, raising=False)
    told = run("status", "--work", tmp_path, status=FAULT)
    assert (
        "an unexpected fault, of the program and not of yours: KeyError: 'a fault of ours'" in told
    )
    (file,) = tmp_path.glob("fault-*.txt")
    assert "in raise_it" in file.read_text()
    monkeypatch.setenv(unexpected.DEBUG_VARIABLE, "1")
    done = CliRunner().invoke(main, ["status", "--work", str(tmp_path)])
    assert (done.exit_code, "in raise_it" in done.output) == (FAULT, True)


class UnforeseenError(Exception):
    """Of a library, and none of ours."""


def with_a_broken_reader(monkeypatch, error):
    real = ingest.read_series

    def read(files, *more):
        if any("bad" in file.parts for file in files):
            raise error
        return real(files, *more)

    monkeypatch.setattr(ingest, "read_series", read)


@pytest.mark.parametrize(
    "error", [UnforeseenError("no such table"), RecursionError(), KeyError("x")]
)
def test_a_reader_that_breaks_costs_its_own_scan_and_shows_no_traceback(
    tmp_path, monkeypatch, error
):
    for name, scan in (("good", "1.1"), ("bad", "1.2")):
        series(tmp_path / "src" / name, scan, PatientID=name)
    with_a_broken_reader(monkeypatch, error)
    words = ["run", "ingest", "--src", tmp_path / "src", "--work", tmp_path / "w", "--jobs", 1]
    told = run(*words, status=1)
    kind = type(error).__name__
    assert f"failed bad 1.2 ingest: {kind}" in told
    assert "2 expected = 1 done + 1 failed + 0 skipped" in told
    (file,) = (tmp_path / "w" / "scans" / "1.2" / "ingest").glob("*.traceback.txt")
    assert kind in file.read_text()
    # It is no fault that the files prove: the next run, of a mended program, does it.
    monkeypatch.undo()
    assert "2 expected = 2 done + 0 failed" in run(*words, status=0)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UnforeseenError("{0} is odd"), "RuntimeError: UnforeseenError: file 1 of 4 is odd"),
        (OSError(errno.EIO, "Input/output error", "{0}"), "Input/output error: file 1 of 4"),
        (MemoryError(), "memory ran out"),
    ],
)
def test_where_patients_have_pseudonyms_a_broken_reader_tells_no_name(
    tmp_path, monkeypatch, error, told
):
    folder = tmp_path / "src" / "bad" / "Smith4711"
    first = str(min(series(folder, "1.2", PatientID="Smith4711")))
    error.args = tuple(a.format(first) if isinstance(a, str) else a for a in error.args)
    if isinstance(error, OSError):
        error.filename = first
    with_a_broken_reader(monkeypatch, error)
    said = run(
        *("run", "ingest", "--src", tmp_path / "src", "--work", tmp_path / "w", "--jobs", 1),
        *("--set", "ingest.pseudonyms=true"), status=1,
    )  # fmt: skip
    assert told in said
    assert "Smith4711" not in said
    assert leaks([tmp_path / "w" / "scans"], ["Smith4711"]) == []


def test_where_no_folder_takes_the_traceback_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "none"))
    told = unexpected.told(MemoryError("of 3 GiB"), {"work": "/proc"})
    assert "memory ran out (MemoryError: of 3 GiB)" in told
    assert "Its traceback is in no file, since none could be written" in told


def test_what_compiled_libraries_write_is_not_shown_and_what_we_say_is(tmp_path):
    program = (
        "import os, sys, click, warnings\n"
        "from lungseg.command_line.unexpected import quiet_libraries\n"
        "with quiet_libraries():\n"
        "    os.write(2, b'HDF5-DIAG: back trace')\n"
        "    os.system('echo from a child >&2')\n"
        "    warnings.warn('of a library')\n"
        "    click.echo('ours', err=True)\n"
        "os.write(2, b'after')\n"
    )
    quiet, loud = (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env={**os.environ, unexpected.DEBUG_VARIABLE: debug},
        ).stderr
        for debug in ("", "1")
    )  # fmt: skip
    assert quiet.split() == ["ours", "after"]
    assert all(word in loud for word in ("HDF5-DIAG", "from a child", "of a library", "ours"))


def test_a_value_that_cannot_be_shown_is_told_by_its_kind():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a list"
