"""The store: outputs that are complete or absent.

An output is written into a scratch folder beside its place, its record last, then renamed; a
reader sees all of it or nothing. The owner of a scratch folder holds a lock on it, so that the
next run can tell what a killed one left behind from what another run is writing. What is read from
here is first compared with its record, by `lungseg.core.disk.trust`.
"""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lungseg.core import record as records
from lungseg.core.disk import trust, whole_file
from lungseg.core.disk.digests import digest_of_contents, has_digest
from lungseg.core.errors import ConfigError, DamagedOutputError, DataError
from lungseg.core.record import Record, read_record, write_record

_NAME_LENGTH = 16
_PARTIAL = ".partial"
_NOT_DONE = ".json"
_LOCK = ".lock"
_TRACEBACK = ".traceback.txt"
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
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
        return self.look(stage, fingerprint, scan).record

    def look(self, stage: str, fingerprint: str, scan: str = "") -> trust.Found:
        """What is there of an output, and why it is not trusted, if so."""
        folder = self.folder(stage, fingerprint, scan)
        found = trust.look(folder, stage, fingerprint, scan)
        if found.record is None:
            # A torn or foreign note of a failure is none: it is tried again.
            with contextlib.suppress(DataError):
                known = read_record(folder.with_suffix(_NOT_DONE))
                if (known.stage, known.fingerprint, known.scan) == (stage, fingerprint, scan):
                    return trust.Found(known)
        return found

    def trusted_folder(self, stage: str, fingerprint: str, scan: str = "") -> Path:
        """Folder of a complete output, after its files were compared with their digests.

        Raises
        ------
        DamagedOutputError
            If they are not what was kept.
        """
        return self._trusted(stage, fingerprint, scan)

    def trusted_file(self, name: str, stage: str, fingerprint: str, scan: str = "") -> Path:
        """One file of a complete output, after it was compared with its digest.

        Raises
        ------
        DamagedOutputError
            If it is not what was kept.
        """
        return self._trusted(stage, fingerprint, scan, only=name) / name

    def _trusted(self, stage: str, fingerprint: str, scan: str, only: str = "") -> Path:
        folder = self.folder(stage, fingerprint, scan)
        fault = trust.fault_in(folder, stage, fingerprint, scan, only=only)
        if fault:
            raise DamagedOutputError(f"{fault}; `lungseg-cli run {stage}` makes it again")
        return folder

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
        with whole_file.held_open(lock):
            try:
                scratch.mkdir()
                with whole_file.noting(scratch):
                    yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def keep(self, scratch: Path, record: Record) -> Record:
        """Complete the output in `scratch`: add its record, and rename it into place.

        Raises
        ------
        OSError
            If a file could not be written, or is not what was meant to be written.
        DataError
            If the output cannot be put into its place.
        """
        complete = dataclasses.replace(record, files=_files_of(scratch))
        write_record(complete, scratch / records.NAME)
        target = self.folder(record.stage, record.fingerprint, record.scan)
        target.with_suffix(_NOT_DONE).unlink(missing_ok=True)
        self._put(scratch, target, record)
        trust.remember(target, complete)
        for old in target.parent.glob(f"*{_TRACEBACK}"):
            old.unlink(missing_ok=True)
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
        self._remove(target)

    def _put(self, scratch: Path, target: Path, record: Record) -> None:
        for _ in range(3):
            try:
                scratch.rename(target)
            except OSError:
                # Another run may have been first with the same output: if sound, its copy stands.
                if self.find(record.stage, record.fingerprint, record.scan):
                    return
                self._remove(target)
            else:
                return
        raise DataError(f"the output could not be moved to {target}; is the folder writable?")

    @staticmethod
    def _remove(target: Path) -> None:
        if target.is_dir():
            # Renamed first: a half-deleted output must not look complete.
            doomed = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}{_PARTIAL}")
            # Another run may have renamed it just now.
            with contextlib.suppress(FileNotFoundError):
                target.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def traceback_file(self, stage: str, fingerprint: str, scan: str = "") -> Path:
        """Where the traceback of a stage that broke is kept until it succeeds."""
        return self.folder(stage, fingerprint, scan).with_suffix(_TRACEBACK)

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

    def _open_lock(self, kind: int) -> contextlib.AbstractContextManager[TextIO | None]:
        """The file that is locked; None where nobody could make one, and nothing is removed."""
        path = self.work / _LOCK
        try:
            return path.open("a+", encoding="utf-8")
        except OSError as error:
            if kind == fcntl.LOCK_EX or error.errno not in _READ_ONLY:
                raise
        # Who may only look locks as well as they can.
        return path.open(encoding="utf-8") if path.is_file() else contextlib.nullcontext()

    @contextlib.contextmanager
    def _locked(self, kind: int, what: str) -> Iterator[None]:
        self.work.mkdir(parents=True, exist_ok=True)
        with self._open_lock(kind) as held:
            if held is None:
                yield
                return
            try:
                fcntl.flock(held, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                held.seek(0)
                raise ConfigError(
                    f"{held.read().strip() or 'another command'} is at work in {self.work}, and "
                    f"{what} may remove what it uses, or it what {what} uses; try again when it "
                    "has ended"
                ) from error
            if held.writable():
                held.seek(0)
                held.truncate()
                held.write(f"{what} (process {os.getpid()})")
                held.flush()
            yield

    def sweep(self) -> int:
        """Remove what killed runs left half-written; return how many outputs that were."""
        scans = self.work / "scans"
        shelves = [*_folders(self.work / "dataset")]
        shelves += [shelf for scan in _folders(scans) for shelf in _folders(scan)]
        swept = sum(_sweep_shelf(shelf) for shelf in shelves)
        for folder in (self.work, *_folders(self.work)):
            if folder != scans:
                whole_file.sweep_temporary(folder)
        return swept


def _files_of(scratch: Path) -> dict[str, tuple[int, str]]:
    """Size and digest of every file, once all are on the disk and are what was meant."""
    meant = whole_file.meant_in(scratch)
    found = {}
    for path in sorted(scratch.rglob("*")):
        if not path.is_file():
            continue
        # An error that whoever wrote it did not pass on comes up here at the latest.
        whole_file.force_to_disk(path)
        now = path.stat().st_size
        size, digest = meant.get(str(path)) or (now, digest_of_contents(path))
        if now != size or not has_digest(path, digest):
            raise whole_file.differs(path)
        found[str(path.relative_to(scratch))] = (size, digest)
    return found


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, PermissionError):
        return []


def _sweep_shelf(shelf: Path) -> int:
    swept = 0
    with contextlib.suppress(FileNotFoundError, PermissionError), os.scandir(shelf) as entries:
        hidden = [entry.name for entry in entries if entry.name.startswith(".")]
        for name in {Path(name).stem for name in hidden if name.endswith((_PARTIAL, _LOCK))}:
            with whole_file.if_abandoned(shelf / (name + _LOCK)) as abandoned:
                if abandoned:
                    shutil.rmtree(shelf / (name + _PARTIAL), ignore_errors=True)
                    (shelf / (name + _LOCK)).unlink(missing_ok=True)
                    swept += name + _PARTIAL in hidden
        if any(name.endswith(whole_file.TEMPORARY) for name in hidden):
            whole_file.sweep_temporary(shelf)
    return swept
