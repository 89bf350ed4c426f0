"""The tally of the hard tests counts what it says, and leaves them out of other runs."""

import time
from types import SimpleNamespace

import pytest

from lungseg.core.errors import DataError
from tests.conftest import HARD, leave_out_hard_tests
from tests.hard.tally import Kind, as_table, memory_of


def raises(error):
    raise error


def test_a_call_is_counted_as_what_came_of_it():
    kind = Kind("any")
    assert kind.call("a", lambda: 7) == 7
    assert kind.tried == 0, "what comes back is judged by the test"
    assert kind.call("b", raises, DataError("no")) is None
    assert kind.call("c", raises, KeyError("x")) is None
    assert kind.call("d", time.sleep, 5, seconds=1) is None
    assert (kind.refusals, kind.tracebacks, kind.hangs, kind.tried) == (1, 1, 1, 3)
    assert kind.told == ["traceback: c: KeyError: 'x'", "hang: d: over 1 s"]


def test_a_command_that_refuses_is_told_from_one_that_falls_over(monkeypatch):
    kind = Kind("any")
    assert kind.command("a", ["--version"]).stdout.startswith("lungseg-cli")
    assert kind.command("b", ["no-such-command"]) is None
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert kind.command("c", ["--version"]).returncode == 1
    assert (kind.refusals, kind.tried) == (1, 1)


def test_the_table_has_every_kind_and_their_sum_and_the_faults_in_words():
    first, second = Kind("b"), Kind("a")
    first.right(3)
    first.wrong("a lung is gone")
    second.refused()
    second.peak_mb = 12.4
    lines = as_table([first, second])
    assert [line.split() for line in lines[1:4]] == [
        ["a", "1", "1", "0", "0", "0", "0", "12"],
        ["b", "4", "0", "3", "1", "0", "0", "0"],
        ["all", "5", "1", "3", "1", "0", "0", "12"],
    ]
    assert lines[4:] == ["b: wrong: a lung is gone"]


def test_memory_is_that_of_the_moment_when_most_was_held():
    kinds = {"any": Kind("any")}
    with memory_of(kinds):
        block = bytearray(200_000_000)
        block[::4096] = b"x" * len(block[::4096])
        time.sleep(0.2)
        del block
        time.sleep(0.1)
    assert 200 < kinds["any"].peak_mb < 20_000


@pytest.mark.parametrize(
    ("expression", "kept"), [("", 1), ("data", 1), ("hard", 2), ("hard and data", 2)]
)
def test_hard_tests_run_only_where_they_are_named(expression, kept):
    gone, marks = [], []
    config = SimpleNamespace(
        getoption=lambda _: expression,
        hook=SimpleNamespace(pytest_deselected=lambda *, items: gone.extend(items)),
    )
    items = [
        SimpleNamespace(path=path, add_marker=marks.append, get_closest_marker=lambda _: None)
        for path in (HARD / "test_a.py", HARD.parent / "test_b.py")
    ]
    leave_out_hard_tests(config, items)
    assert (len(items), len(gone)) == (kept, 2 - kept)
    assert [mark.name for mark in marks] == ["hard", "timeout"]
