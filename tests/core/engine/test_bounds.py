"""A task in a process of its own: it is ended when it takes too long or too much."""

import os
import signal
import time

import psutil
import pytest

from lungseg.core.engine.bounds import Bounds, WorkerKilledError, end_process, run_bounded
from lungseg.core.executor import EngineOptions, run_tasks

HOUR = Bounds(seconds=3600)


@pytest.fixture(autouse=True)
def _ended():
    yield
    end_process()


def hang_with_a_child(folder):
    """What a decoder does that hangs in another process, deaf to what it is asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        time.sleep(600)
    (folder / "child").write_text(str(child))
    os.waitpid(child, 0)


def take(count):
    block = bytearray(count)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(30)


def kill_myself(_):
    os.kill(os.getpid(), signal.SIGKILL)


def prints_and_returns(value):
    os.write(1, b"noise of a library")
    return value, os.getpid()


def test_without_bounds_a_task_stays_in_this_process():
    assert run_bounded(prints_and_returns, Bounds(), 7) == (7, os.getpid())


def test_one_process_does_many_tasks_and_what_libraries_print_is_no_answer():
    first, second = (run_bounded(prints_and_returns, HOUR, n) for n in "ab")
    assert (first[0], second[0]) == ("a", "b")
    assert first[1] == second[1] != os.getpid()


def test_what_hangs_is_ended_with_all_that_it_started(tmp_path):
    start = time.monotonic()
    told = run_bounded(hang_with_a_child, Bounds(seconds=2), tmp_path)
    assert time.monotonic() - start < 10
    assert isinstance(told, WorkerKilledError)
    assert str(told).startswith("it was not done after 2 s, and was ended; give it more with")
    wait_for_the_end_of(int((tmp_path / "child").read_text()))
    assert run_bounded(prints_and_returns, HOUR, "next")[0] == "next"


def test_what_takes_too_much_memory_is_ended():
    told = run_bounded(take, Bounds(memory=300_000_000), 500_000_000)
    assert str(told).startswith(
        "it took more than 286.1 MiB of memory, and was ended; give it more"
    )


def test_what_is_killed_is_told_by_its_signal_and_an_error_is_raised():
    told = run_bounded(kill_myself, HOUR, None)
    assert str(told).startswith(
        "its process ended in mid-work (SIGKILL): out of memory, or a crash"
    )
    with pytest.raises(ValueError, match="invalid literal"):
        run_bounded(int, HOUR, "x")


def test_a_time_limit_costs_the_scan_that_hangs_and_no_other():
    options = EngineOptions(jobs=1, time_limit=1.5)
    done = dict(run_tasks(time.sleep, [0.01, 600, 0.02], options))
    assert (done[0.01], done[0.02]) == (None, None)
    assert "not done after 1.5 s" in str(done[600])


def test_a_process_ends_with_its_owner(tmp_path):
    owner = os.fork()
    if owner == 0:
        _, child = run_bounded(prints_and_returns, HOUR, 0)
        (tmp_path / "child").write_text(str(child))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(owner, 0)
    wait_for_the_end_of(int((tmp_path / "child").read_text()))


def wait_for_the_end_of(child):
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != "zombie":
        assert time.monotonic() < deadline
        time.sleep(0.05)
