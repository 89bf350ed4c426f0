"""The store: outputs that are complete or absent.

An output is written into a scratch folder beside its place, its record last, then renamed; a
reader sees all of it or nothing. The owner of a scratch folder holds a lock on it, so that the
next run can tell what a killed one left behind from what another run is writing.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lungseg.core import record as records
from lungseg.core.errors import ConfigError, DataError
from lungseg.core.fingerprint import digest_of_file
from lungseg.core.record import Record, read_record, write_record

_NAME_LENGTH = 16
_PARTIAL = ".partial"
_NOT_DONE = ".json"
_LOCK = ".lock"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def folder_name(scan: str) -> str:
    """A folder's name for a scan id: the id itself where that is safe, else made so."""
    if _SAFE.fullmatch(scan):
        return scan
    digest = hashlib.sha256(scan.encode()).hexdigest()[:8]
    return re.sub(r"[^A-Za-z0-9._-]", "_", scan)[:60].lstrip(".") + "-" + digest


@dataclass(frozen=True)
class Store:
    """All outputs under one work folder.

    ``scans/<scan>/<stage>/<fingerprint>/`` holds a scan stage's output,
    ``dataset/<stage>/<fingerprint>/`` a data-set stage's; ``stage.json`` in each is its record.
    A scan that failed, or was skipped, has ``<fingerprint>.json`` in place of the folder.
    """

    work: Path

    def shelf(self, stage: str, scan: str = "") -> Path:
        """Folder that holds every output of a stage (on one scan, or on the data set)."""
        if scan:
            return self.work / "scans" / folder_name(scan) / stage
        return self.work / "dataset" / stage

    def folder(self, stage: str, fingerprint: str, scan: str = "") -> Path:
        """Folder of one output; it exists only when the output is complete."""
        return self.shelf(stage, scan) / fingerprint[:_NAME_LENGTH]

    def find(self, stage: str, fingerprint: str, scan: str = "") -> Record | None:
        """Record of the output if it is complete, or known to fail or be skipped; else None."""
        folder = self.folder(stage, fingerprint, scan)
        for path in (folder / records.NAME, folder.with_suffix(_NOT_DONE)):
            # A torn or foreign record is no record: the output is made again.
            with contextlib.suppress(DataError):
                found = read_record(path) if path.is_file() else None
                if found and found.fingerprint == fingerprint:
                    return found
        return None

    def all(self, stage: str, scan: str = "") -> list[Record]:
        """Every record of a stage, the newest last."""
        found = []
        shelf = self.shelf(stage, scan)
        for path in (*shelf.glob(f"*/{records.NAME}"), *shelf.glob(f"*{_NOT_DONE}")):
            with contextlib.suppress(DataError):
                found.append(read_record(path))
        return sorted(found, key=lambda item: item.finished)

    @contextlib.contextmanager
    def scratch(self, stage: str, fingerprint: str, scan: str = "") -> Iterator[Path]:
        """An empty folder to write an output into; gone afterwards unless `keep` renamed it."""
        shelf = self.shelf(stage, scan)
        shelf.mkdir(parents=True, exist_ok=True)
        name = f".{fingerprint[:_NAME_LENGTH]}-{uuid.uuid4().hex[:8]}"
        scratch, lock = shelf / (name + _PARTIAL), shelf / (name + _LOCK)
        # The lock is held before there is a folder to sweep.
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            try:
                scratch.mkdir()
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def keep(self, scratch: Path, record: Record) -> Record:
        """Complete the output in `scratch`: add its record, and rename it into place."""
        files = {
            str(file.relative_to(scratch)): (file.stat().st_size, digest_of_file(file))
            for file in sorted(scratch.rglob("*"))
            if file.is_file()
        }
        complete = dataclasses.replace(record, files=files)
        write_record(complete, scratch / records.NAME)
        target = self.folder(record.stage, record.fingerprint, record.scan)
        target.with_suffix(_NOT_DONE).unlink(missing_ok=True)
        if self.find(record.stage, record.fingerprint, record.scan) is None:
            shutil.rmtree(target, ignore_errors=True)
        # Another run may have been first with the same output: its copy stands.
        with contextlib.suppress(FileExistsError, OSError):
            scratch.rename(target)
        if not (target / records.NAME).is_file():
            raise DataError(f"the output could not be moved to {target}; is the folder writable?")
        return complete

    def keep_failure(self, record: Record) -> None:
        """Remember that this output cannot be made, or is not wanted, and why."""
        target = self.folder(record.stage, record.fingerprint, record.scan)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_record(record, target.with_suffix(_NOT_DONE))

    def drop(self, stage: str, fingerprint: str, scan: str = "") -> None:
        """Remove one output, or the memory of its failure."""
        target = self.folder(stage, fingerprint, scan)
        target.with_suffix(_NOT_DONE).unlink(missing_ok=True)
        if target.is_dir():
            # Renamed first: a half-deleted output must not look complete.
            doomed = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}{_PARTIAL}")
            target.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    @contextlib.contextmanager
    def in_use(self, what: str) -> Iterator[None]:
        """While it lasts, nothing that is complete is removed; many may be at work at once.

        Raises
        ------
        ConfigError
            If a command that removes outputs is at work here.
        """
        with self._locked(fcntl.LOCK_SH, what):
            yield

    @contextlib.contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """While it lasts, no other command is at work here.

        Raises
        ------
        ConfigError
            If one is.
        """
        with self._locked(fcntl.LOCK_EX, what):
            yield

    @contextlib.contextmanager
    def _locked(self, kind: int, what: str) -> Iterator[None]:
        self.work.mkdir(parents=True, exist_ok=True)
        with (self.work / _LOCK).open("a+", encoding="utf-8") as held:
            try:
                fcntl.flock(held, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                held.seek(0)
                raise ConfigError(
                    f"{held.read().strip() or 'another command'} is at work in {self.work}, and "
                    f"{what} may remove what it uses, or it what {what} uses; try again when it "
                    "has ended"
                ) from error
            held.seek(0)
            held.truncate()
            held.write(f"{what} (process {os.getpid()})")
            held.flush()
            yield

    def sweep(self) -> int:
        """Remove what killed runs left half-written; return how many scratch folders that were."""
        swept = 0
        for pattern in (f"scans/*/*/*{_PARTIAL}", f"dataset/*/*{_PARTIAL}"):
            for scratch in self.work.glob(pattern):
                if _abandoned(scratch.with_suffix(_LOCK)):
                    shutil.rmtree(scratch, ignore_errors=True)
                    scratch.with_suffix(_LOCK).unlink(missing_ok=True)
                    swept += 1
        return swept


def _abandoned(lock: Path) -> bool:
    if not lock.exists():
        return True
    with lock.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
