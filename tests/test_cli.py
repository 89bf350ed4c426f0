"""The command line itself: help, errors, exit status."""

import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.commands.sharing.wanted import OBJECTS
from lungseg.flow import FLOW
from lungseg.io.volumes.headers import SUFFIXES

ROOT = Path(__file__).parents[1]


def invoke(*arguments):
    return CliRunner().invoke(main, [str(word) for word in arguments])


def test_help_answers_at_once_and_imports_nothing_heavy():
    program = (
        "import sys, cli\n"
        "try:\n    cli.main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'numpy', 'tensorflow', 'keras', 'SimpleITK', 'scipy', 'tables', 'distributed'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    start = time.process_time()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert time.process_time() - start < 0.5
    for word in ("preprocess", "build-tables", "train", "postprocess", "Exit status: 0"):
        assert word in done.stdout


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help(command):
    done = invoke(command, "--help")
    assert done.exit_code == 0
    assert len(done.output.splitlines()[2].strip()) > 20


def test_the_help_of_export_names_every_ending_that_is_written():
    told = invoke("export", "--help").output.split()
    words = {word.strip(",.;") for word in told}
    assert {ending.strip(".") for ending in (*SUFFIXES, *OBJECTS)} <= {w.strip(".") for w in words}


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("lungs", ["--format", "--dicom", "--pictures"]),
        ("detect", ["--format", "--dicom", "--threshold", "--max-candidates"]),
    ],
)
def test_help_says_of_what_a_folder_keeps_that_the_run_before_counts(command, options):
    told = " ".join(invoke(command, "--help").output.split())
    for option in options:
        of_it = told[told.index(f"{option} ") :]
        before = of_it.index("as in the run before into OUT; at first ")
        assert of_it.index("[default:") == before - len("[default: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["preprocess"], "no scans here yet: name a folder of chest CT"),
        (["train"], "no scans here yet: name a folder of chest CT"),
        (["postprocess"], "no scans here yet: name a folder of chest CT"),
        (["train", "--set", "predict.model=a.keras"], "name the net with --model instead"),
        (["postprocess", "--model", "none"], "no net of this name comes with the package"),
        (["preprocess", "--src", "/nowhere"], "--src /nowhere: there is no such file or folder"),
        (["run", "lower"], "no stage is named 'lower'; there are ingest, resample"),
        (
            ["train", "--preset", "huge"],
            "there is no preset 'huge'; there are small, lidc-cpu, lidc-cpu-scans, lidc-gpu, "
            "lidc-gpu-scans, lidc, xray",
        ),
        (["train", "--set", "tran.epochs=1"], "there is no stage 'tran'; did you mean train?"),
        (["train", "--set", "train.epoch=1"], "no parameter 'epoch'; did you mean epochs?"),
        (["train", "--set", "train.epochs=0"], "train: epochs must be >= 1, not 0"),
        (["train", "--force", "tran"], "--force tran: there is no such stage; did you mean train?"),
        (["preprocess", "--scan", "X"], "no scans here yet: name a folder of chest CT"),
        (["run", "predict", "--scan", "X"], "no scans here yet: name a folder of chest CT"),
        (
            ["export", "--scan", "X", "--what", "ct", "--out", "x.mha"],
            "no scans here yet: name a folder of chest CT",
        ),
        (["status", "--config", "/none.toml"], "/none.toml' does not exist"),
    ],
)
def test_a_usage_error_says_what_to_try_and_ends_with_status_2(tmp_path, arguments, message):
    done = invoke(*arguments, "--work", tmp_path)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_a_net_for_detect_that_is_none_is_a_wrong_command_line(tmp_path):
    (tmp_path / "some.toml").write_text("a = 1")
    done = invoke("detect", tmp_path, "--out", tmp_path / "out", "--model", tmp_path / "some.toml")
    assert done.exit_code == 2
    assert "it is no .keras file; name one that `train` wrote" in " ".join(done.output.split())


def test_a_folder_that_cannot_be_written_to_is_a_usage_error(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", "locked/work")

    monkeypatch.setattr("lungseg.session.scans.look", refused)
    done = invoke("preprocess", "--src", tmp_path, "--work", tmp_path / "work")
    assert done.exit_code == 2
    assert "locked/work: Permission denied; name another folder" in " ".join(done.output.split())


def test_params_are_toml_that_can_be_given_back(tmp_path):
    done = invoke("params", "--work", tmp_path, "--set", "resample.spacing_mm=2")
    (tmp_path / "lungseg.toml").write_text(done.output)
    again = invoke("params", "--work", tmp_path)
    assert "spacing_mm = 2.0" in again.output
    assert again.output == done.output


def test_stages_lists_the_flow():
    lines = invoke("stages").output.splitlines()
    assert lines[0].startswith("ingest ")
    assert len(lines) == 28
    assert lines[1].strip() == "needs the source files"
    assert lines[3].strip() == "needs ingest"


@pytest.mark.parametrize(
    "command",
    [
        ["train"],
        ["postprocess"],
        ["run", "resample"],
        ["status"],
        ["export", "--all", "--what", "ct", "--out", "x"],
        ["peek"],
        ["prune"],
        ["prune", "--yes"],
        ["verify"],
        ["params", "--why"],
        ["report", "--out", "x"],
    ],
    ids=str,
)
def test_a_work_folder_that_is_not_there_says_how_to_begin_and_is_not_made(tmp_path, command):
    done = invoke(*command, "--work", tmp_path / "w")
    runs = command[0] in {"train", "postprocess", "run"}
    expected = "no scans here yet: name a folder of" if runs else "w: there is no such folder; name"
    told = " ".join(done.output.split())
    assert expected in told
    assert "`lungseg-cli preprocess --src FOLDER`" in told
    assert "with --work" in told or not runs
    assert done.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "stage", "runs"),
    [
        ("preprocess", "train", "it runs ingest, resample, segment-lungs, annotate-nodules"),
        ("lungs", "resample", ""),
        ("lungs", "train", "it runs ingest, resample, segment-lungs, write-lungs"),
    ],
)
def test_a_stage_that_a_command_does_not_run_cannot_be_forced(tmp_path, command, stage, runs):
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "a.nii").write_bytes(b"no volume")
    where = ["--work", tmp_path / "w", "--force", stage]
    of = ["--src", tmp_path / "ct"] if command == "preprocess" else [tmp_path / "ct"]
    out = [] if command == "preprocess" else ["--out", tmp_path / "out"]
    for more in [["--dry-run"], []][: 2 if out and runs else 1]:
        done = invoke(command, *of, *out, *where, *more)
        refused = f"--force {stage}: this command does not run that stage; {runs}"
        assert (refused in " ".join(done.output.split())) == bool(runs)
        assert done.exit_code == (2 if runs else 0)
        assert [path.name for path in tmp_path.iterdir()] == ["ct"]


@pytest.mark.parametrize("command", [["export", "--all", "--what", "ct", "--out", "x"], ["peek"]])
def test_an_empty_work_folder_says_how_to_begin(tmp_path, command):
    done = invoke(*command, "--work", tmp_path)
    assert "no scans here yet: name a folder of chest CT" in " ".join(done.output.split())
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "evaluate",
            "No such command 'evaluate'. It is a stage: `lungseg-cli run evaluate` runs it.",
        ),
        ("find_nodules", "It is a stage: `lungseg-cli run find-nodules` runs it."),
        ("predikt", "Did you mean the stage predict? `lungseg-cli run predict` runs it."),
        ("preproces", "No such command 'preproces'. Did you mean preprocess?"),
        ("x" * 5000, "...xxxx"),
    ],
)
def test_a_stage_named_as_a_command_is_pointed_to_run(word, message):
    done = invoke(word)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_the_help_of_run_lists_the_stages():
    told = invoke("run", "--help").output
    for stage in FLOW:
        assert f"  {stage.name} " in told
        assert stage.help.split(",")[0][:30] in told


def test_status_of_an_empty_work_folder_says_how_to_begin(tmp_path):
    assert "preprocess --src" in invoke("status", "--work", tmp_path).output


def test_the_version_is_printed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"lungseg-cli, version {project['version']}\n" == invoke("--version").output
