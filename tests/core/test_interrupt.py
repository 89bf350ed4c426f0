"""Ctrl-C and SIGTERM are heard wherever the main thread is when they arrive."""

import os
import signal
import sys
import time

import pytest

from lungseg.core.interrupt import INTERRUPTED, TERMINATED, exit_status, stoppable


class Swallows:
    """What is raised in here is reported by Python as ignored, and forgotten."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        os.kill(os.getpid(), self.number)
        for _ in range(1000):
            time.sleep(0)


def ask(number, times):
    with stoppable():
        waited = [Swallows(number) for _ in range(times)]
        while waited:
            waited.pop()
        time.sleep(10)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)]
)
@pytest.mark.parametrize("times", [1, 3])
def test_a_signal_that_is_swallowed_is_heard_all_the_same(number, status, times, capfd):
    with pytest.raises(KeyboardInterrupt) as stop:
        ask(number, times)
    assert exit_status(stop.value) == status
    assert capfd.readouterr().err == ""


def test_other_errors_that_nobody_can_catch_are_reported_as_before(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    before = signal.getsignal(signal.SIGTERM)

    class Fails:
        def __del__(self):
            raise ValueError("told")

    with stoppable():
        one = Fails()
        del one
    assert [str(error.exc_value) for error in reported] == ["told"]
    assert sys.unraisablehook == reported.append
    assert signal.getsignal(signal.SIGTERM) == before
