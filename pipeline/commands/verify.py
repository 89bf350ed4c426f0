"""Verify: files match their records, arrays can be read, tables are consistent."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lungseg.core import record as records
from lungseg.core.disk import trust
from lungseg.core.disk.digests import has_digest
from lungseg.core.errors import ConfigError, LungsegError
from lungseg.core.record import Record, read_record
from lungseg.core.shown import many
from lungseg.io.tables import reader
from lungseg.io.volumes import volume_file
from lungseg.session.scans import remembered_roots
from lungseg.session.work_folder import NO_SCANS

_VOLUMES = {
    "ingest",
    "resample",
    "segment-lungs",
    "annotate-nodules",
    "predict",
    "find-nodules",
    "reduce-false-positives",
}


_ADVICE = "what is damaged is made again by the next run that needs it, e.g. the same command again"


@dataclass(frozen=True)
class Checked:
    """How many outputs and files were checked, and every fault with the file it is in."""

    outputs: int
    files: int
    faults: tuple[str, ...]

    def as_text(self) -> str:
        """As lines of text."""
        lines = [f"fault    {fault}" for fault in self.faults]
        if self.faults:
            lines.append(_ADVICE)
        lines.append(
            f"{many(self.outputs, 'output')}, {many(self.files, 'file')}, "
            f"{many(len(self.faults), 'fault')}"
        )
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """As a mapping, for JSON."""
        return {"outputs": self.outputs, "files": self.files, "faults": list(self.faults)}


def verify(work: Path) -> Checked:
    """Check every complete output under a work folder.

    Faults are: a file that is missing, or differs in size or digest from its record; an array
    that cannot be read; an output whose folder is not named after its fingerprint; and a table
    whose rows are inconsistent. What has one is not trusted any more: the next run makes it again.

    Raises
    ------
    ConfigError
        If the folder holds neither outputs nor scans.
    """
    outputs = files = 0
    faults: list[str] = []
    for folder in _outputs(work):
        outputs += 1
        try:
            record = read_record(folder)
        except LungsegError as error:
            faults.append(str(error))
            continue
        files += len(record.files)
        damaged = list(_damaged_files(folder, record))
        found = damaged or _unreadable(folder, record)
        if found:
            trust.distrust(folder)
        faults += found
    if not outputs and not remembered_roots(work):
        raise ConfigError(NO_SCANS)
    return Checked(outputs, files, tuple(faults))


def _outputs(work: Path) -> Iterator[Path]:
    for pattern in ("scans/*/*/*", "dataset/*/*"):
        for folder in sorted(work.glob(pattern)):
            if folder.is_dir() and not folder.name.startswith("."):
                yield folder


def _damaged_files(folder: Path, record: Record) -> Iterator[str]:
    if not record.fingerprint.startswith(folder.name):
        yield f"{folder}: its record is of another output ({record.fingerprint[:16]})"
    for name, (size, digest) in record.files.items():
        path = folder / name
        if not path.is_file():
            yield f"{path}: missing"
        elif path.stat().st_size != size:
            yield f"{path}: {path.stat().st_size} bytes, expected {size}"
        elif not has_digest(path, digest):
            yield f"{path}: its digest is not what its record says"
    strays = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    for name in sorted(strays - set(record.files) - {records.NAME}):
        yield f"{folder / name}: not in the record"


def _unreadable(folder: Path, record: Record) -> list[str]:
    faults = []
    for name in record.files:
        path = folder / name
        try:
            if record.stage in _VOLUMES and path.suffix == ".h5":
                volume_file.read(path)
            elif record.stage == "build-tables" and path.suffix == ".h5":
                faults += [f"{path}: {fault}" for fault in reader.inconsistencies(path)]
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
        except (LungsegError, ValueError) as error:
            faults.append(f"{path}: {error}")
    return faults
