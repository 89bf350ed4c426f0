"""Ctrl-C and SIGTERM, sent to a real run: the exit status, what is said, and that it goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lungseg.__main__ import main as start_program
from tests.hard_cases import hard
from tests.test_flow import QUICK, lungseg, write_scan

# Enough that some are left when the first is through on each of two workers.
SCANS = 6


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("src")
    short = {"nodules": (), "z_range_mm": (-60.0, 80.0)}
    for number in range(SCANS):
        write_scan(folder, f"p{number}", f"1.2.826.{number}", seed=number % 3, **short)
    return folder


def start(source, work, jobs):
    command = [sys.executable, "-m", "lungseg.cli", "preprocess", "--src", source, "--work", work,
               "--jobs", jobs, *QUICK]  # fmt: skip
    return subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "status", "jobs"),
    [
        (signal.SIGINT, 130, 2),
        (signal.SIGTERM, 143, 1),
        hard(signal.SIGINT, 130, 1),
        hard(signal.SIGTERM, 143, 2),
    ],
)
def test_a_run_that_is_stopped_says_what_is_kept_and_goes_on(source, tmp_path, kind, status, jobs):
    run = start(source, tmp_path / "work", jobs)
    for line in run.stderr:
        if "annotate-nodules" in line and "to do" not in line:
            break
    begin = time.monotonic()
    os.killpg(run.pid, kind)
    _, told = run.communicate(timeout=60)
    assert run.returncode == status, told
    assert time.monotonic() - begin < 5
    assert "Traceback" not in told
    done = int(told.split("stopped; ")[1].split(f" of {SCANS} scans done and kept")[0])
    assert 1 <= done < SCANS
    again = json.loads(lungseg("preprocess", "--work", tmp_path / "work", "--json", "--jobs", 1))
    states = [scan["stages"]["annotate-nodules"]["state"] for scan in again["scans"]]
    assert (again["done"], states.count("reused")) == (SCANS, pytest.approx(done, abs=jobs))


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_while_its_workers_start_ends_in_order(source, tmp_path, kind):
    run = start(source, tmp_path / "work", 2)
    for line in run.stderr:
        if "to do" in line:
            break
    begin = time.monotonic()
    os.killpg(run.pid, kind)
    _, told = run.communicate(timeout=60)
    assert time.monotonic() - begin < 5
    assert run.returncode == 128 + kind, told
    assert f"stopped; 0 of {SCANS} scans done and kept; the same command goes on" in told
    assert "Traceback" not in told


def test_ctrl_c_while_the_program_is_imported_ends_it_in_a_sentence(tmp_path):
    """What the command line imports first takes its time here, as on a slow disk."""
    (tmp_path / "click.py").write_text(
        "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"
    )
    path = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.Popen(
        [sys.executable, "-m", "lungseg", "status"], env=path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stdout.readline() == "importing\n"
    os.kill(run.pid, signal.SIGINT)
    _, told = run.communicate(timeout=10)
    assert (run.returncode, told) == (130, "stopped; nothing was run\n")


def test_once_imported_the_commands_see_to_ctrl_c(monkeypatch):
    found = []
    monkeypatch.setattr("lungseg.cli.main", lambda **_: found.append(signal.getsignal(2)))
    start_program()
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)
    monkeypatch.setattr(signal, "signal", lambda *_: pytest.fail("what is ignored stays so"))
    start_program()
    assert found == [signal.default_int_handler, signal.SIG_IGN]
