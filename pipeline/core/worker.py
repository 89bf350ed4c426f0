"""Doing it: run stages into the store, one scan's chain or one data-set stage at a time.

This is all that happens inside a worker. Nothing here raises for a scan's fault: what went wrong
is part of the result, and the other scans never learn of it.
"""

import contextlib
import datetime
import errno
import functools
import importlib.metadata
import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lungseg.core import record as records
from lungseg.core.disk import trust
from lungseg.core.disk.handed_on import handing_on
from lungseg.core.errors import LungsegError, ScanSkipped, is_proven
from lungseg.core.fingerprint import effective_params
from lungseg.core.record import Record
from lungseg.core.stage import DatasetInputs, DatasetStage, Facts, Params, ScanStage, Stage
from lungseg.core.store import Store

log = logging.getLogger(__name__)

RAN = "ran"
REUSED = "reused"
FAILED = records.FAILED
SKIPPED = records.SKIPPED
BLOCKED = "blocked"
AGAIN = "again"
"""An input is not what was kept: it must be made again before the stage can run."""

_PACKAGES = (
    "numpy", "scipy", "scikit-image", "scikit-learn", "SimpleITK", "pydicom", "tables", "keras",
    "tensorflow", "pylidc", "connected-components-3d",
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One stage to run: its parameters, its inputs' fingerprints and their folders."""

    stage: Stage
    params: Params
    fingerprint: str
    inputs: Mapping[str, str]
    folders: Mapping[str, Path]
    force: bool = False


@dataclass(frozen=True)
class ScanTask:
    """The stages to run on one scan, in order; travels to a worker."""

    store: Store
    scan: str
    patient: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Result:
    """What came of one stage on one scan (or on the data set, where `scan` is empty).

    Attributes
    ----------
    state
        ``ran``, ``reused``, ``failed``, ``blocked``, ``skipped``; ``again`` between worker and
        runner alone.
    error
        Why it failed or was skipped, for a person.
    record
        Of what was done, or of how it failed.
    known
        True if it failed or was skipped in an earlier run, and was not tried again.
    damaged
        Names of the stages whose outputs must be made again first.
    """

    stage: str
    scan: str
    state: str
    fingerprint: str
    error: str = ""
    record: Record | None = None
    known: bool = False
    damaged: tuple[str, ...] = ()


def run_chain(task: ScanTask) -> list[Result]:
    """Run a scan's stages in order; those after one that failed, or was skipped, are not run."""
    results: list[Result] = []
    stop: Result | None = None
    with handing_on():
        for step in task.steps:
            if stop is None:
                results.append(run_scan_step(task, step))
                stop = results[-1] if results[-1].state != RAN else None
            else:
                state = SKIPPED if stop.state == SKIPPED else BLOCKED
                why = stop.error if state == SKIPPED else f"{stop.stage} failed"
                results.append(Result(step.stage.name, task.scan, state, step.fingerprint, why))
    return results


def run_scan_step(task: ScanTask, step: Step) -> Result:
    """Run one stage on one scan."""
    stage = step.stage
    if not isinstance(stage, ScanStage):
        raise TypeError(f"{stage.name} is not a stage of scans")
    base = _blank(step, task.scan, task.patient)
    damaged = _damaged_inputs(task, step)
    if damaged:
        why = "; ".join(damaged.values())
        return Result(stage.name, task.scan, AGAIN, step.fingerprint, why, damaged=tuple(damaged))
    return _run(task.store, step, base, lambda out: stage.run(step.params, step.folders, out))


def _damaged_inputs(task: ScanTask, step: Step) -> dict[str, str]:
    """What is wrong with the inputs, by the stage that made them."""
    found = {}
    for need in step.stage.needs:
        name, folder = step.inputs[need], step.folders[need]
        of_scan = folder == task.store.folder(need, name, task.scan)
        fault = trust.fault_in(folder, need, name, task.scan if of_scan else "")
        if fault:
            found[need] = fault
    return found


def run_dataset_step(store: Store, step: Step, inputs: DatasetInputs) -> Result:
    """Run one stage on the whole data set."""
    stage = step.stage
    if not isinstance(stage, DatasetStage):
        raise TypeError(f"{stage.name} is not a stage of the data set")
    return _run(store, step, _blank(step), lambda out: stage.run(step.params, inputs, out))


def _blank(step: Step, scan: str = "", patient: str = "") -> Record:
    return Record(
        stage=step.stage.name,
        version=step.stage.version,
        fingerprint=step.fingerprint,
        params=effective_params(step.params),
        inputs=dict(step.inputs),
        scan=scan,
        patient=patient,
    )


def _run(store: Store, step: Step, base: Record, run: Callable[[Path], Facts]) -> Result:
    name, scan = step.stage.name, base.scan
    start, cpu = time.perf_counter(), time.process_time()

    def finished(**changes: object) -> Record:
        return replace(
            base,
            seconds=round(time.perf_counter() - start, 3),
            cpu_seconds=round(time.process_time() - cpu, 3),
            finished=datetime.datetime.now(datetime.UTC).isoformat(),
            packages=_versions(),
            **changes,  # type: ignore[arg-type]
        )

    try:
        if step.force:
            store.drop(name, step.fingerprint, scan)
        with store.scratch(name, step.fingerprint, scan) as scratch:
            facts = run(scratch)
            done = store.keep(scratch, finished(facts=dict(facts)))
        return Result(name, scan, RAN, step.fingerprint, record=done)
    except LungsegError as error:
        state = SKIPPED if isinstance(error, ScanSkipped) else FAILED
        message = error.advised(name) + _hint(error)
        failure = finished(state=state, error=message)
        if scan and is_proven(error):
            # The same next time; but a disk that takes no note of it must not end the run.
            with contextlib.suppress(OSError):
                store.keep_failure(failure)
        return Result(name, scan, state, step.fingerprint, message, failure)
    except Exception as error:
        # Perhaps the machine's fault (memory, disk), so it is tried again next time.
        said = _in_a_line(f"{type(error).__name__}: {error}".rstrip(": "))
        message = f"{said}{_hint(error)}{_traceback(store, step, scan, error)}"
        return Result(name, scan, FAILED, step.fingerprint, message, finished(state=FAILED))


def _in_a_line(text: str) -> str:
    """A message that fits on the screen: of many lines (a library's back trace) the outermost."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines) if len(lines) < _MANY_LINES else f"{lines[0]} ... {lines[-1]}"


_MANY_LINES = 4
_OF_DISKS = {
    errno.ENOSPC: "the disk is full: free some, or put --work elsewhere, and run again",
    errno.EDQUOT: "your share of the disk is used up: free some, or put --work elsewhere, and run "
    "again",
    errno.EFBIG: "no file may grow so large here (`ulimit -f`, or the file system's own limit): "
    "raise it, or put --work elsewhere, and run again",
    errno.EROFS: "the disk can only be read: put --work elsewhere",
    errno.EACCES: "allow it, and run again",
    errno.EIO: "the disk, or the way to it, fails: the next run tries again",
    errno.ENOENT: "is its disk there? The next run tries again",
    errno.ESTALE: "is its disk there? The next run tries again",
}


def _hint(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "; memory ran out: try fewer --jobs"
    if isinstance(error, OSError) and error.errno in _OF_DISKS:
        return f"; {_OF_DISKS[error.errno]}"
    return ""


def _traceback(store: Store, step: Step, scan: str, error: BaseException) -> str:
    # What the system said is told in full; a traceback is for what nobody foresaw.
    if isinstance(error, OSError) and error.errno in _OF_DISKS:
        return ""
    path = store.traceback_file(step.stage.name, step.fingerprint, scan)
    try:
        path.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError as fault:
        log.warning("no traceback could be written to %s: %s", path, fault)
        return " (traceback: not written)"
    return f" (traceback: {path})"


@functools.cache
def _versions() -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
