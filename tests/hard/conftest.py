"""Fixtures of the hard tests: `tally`, `seed` and `rng`; the table of figures at the end.

Write a hard test so (it needs no marker: what stands in this folder is marked ``hard``, and runs
by ``make test-hard`` alone, with ``SEED=2`` for other examples)::

    def test_headers_that_lie_are_refused_or_right(tally, rng, tmp_path):
        kind = tally("NIfTI headers")              # figures of one kind are added up by its name
        for number in range(500):
            file, truth = mutated(tmp_path, rng)
            volume = kind.call(f"seed {number}", read_volume, file, seconds=20)
            if volume is None:
                continue                           # refused, traceback or hang: counted by `call`
            if (volume.array == truth).all():
                kind.right()
            else:
                kind.wrong(f"seed {number}: voxels differ")

- ``kind.call(detail, function, ...)`` counts a `LungsegError` as refused, any other error as a
  traceback, and more than ``seconds`` as a hang; else gives back what the function gave.
- ``kind.command(detail, ["preprocess", ...])`` does the same with the command line: exit status 2
  with a sentence is refused, a traceback on the screen is one, status 0 and 1 are yours to judge.
- ``kind.right()``, ``.refused()``, ``.wrong(detail)``, ``.traceback(detail)``, ``.hang(detail)``
  count what you find out yourself.

A test fails at its end if it tried nothing, or if any of its kinds has a wrong, a traceback or a
hang. The table has one line a kind, and the first faults of each in words; peak memory is that of
the test's process and its children. `seed` is the number of the run, `rng` a generator of its own
for each test, made from the seed and the test's name. A hard test may take 20 minutes.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
import pytest

from tests.hard.tally import Kind, as_table, memory_of

KINDS = pytest.StashKey[dict[str, Kind]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[KINDS] = {}


def _add(config: pytest.Config, kind: Kind) -> None:
    config.stash[KINDS].setdefault(kind.name, Kind(kind.name)).add(kind)


@pytest.fixture(scope="session")
def seed() -> int:
    """Number of the run: ``make test-hard SEED=2``."""
    return int(os.environ.get("HARD_SEED", "1"))


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers of this test, the same for the same seed."""
    return np.random.default_rng([seed, zlib.crc32(request.node.nodeid.encode())])


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Kind]]:
    """A function that gives the `Kind` of a name, into which the test counts."""
    kinds: dict[str, Kind] = {}
    with memory_of(kinds):
        yield lambda name: kinds.setdefault(name, Kind(name))
    for kind in kinds.values():
        _add(request.config, kind)
    assert kinds, "a hard test counts what it tries: tally(kind).right(), .refused(), .wrong()"
    for kind in kinds.values():
        assert kind.tried, f"{kind.name}: nothing was tried"
        assert not kind.faults, "\n".join([f"{kind.name}: {kind.faults} faults", *kind.told])


def pytest_sessionfinish(session: pytest.Session) -> None:
    # In a worker of pytest-xdist: the figures go to the process that shows them.
    if hasattr(session.config, "workeroutput"):
        kinds = session.config.stash[KINDS].values()
        session.config.workeroutput["tally"] = [asdict(kind) for kind in kinds]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    for figures in getattr(node, "workeroutput", {}).get("tally", []):
        _add(node.config, Kind(**figures))  # type: ignore[attr-defined]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    kinds = list(config.stash[KINDS].values())
    if kinds:
        terminalreporter.section("hard tests, seed " + os.environ.get("HARD_SEED", "1"))
        for line in as_table(kinds):
            terminalreporter.write_line(line)
