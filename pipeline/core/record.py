"""The record of one output: what made it, from what, what came of it. It is written last."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lungseg.core.disk.checked_json import read_checked, write_checked
from lungseg.core.errors import DataError
from lungseg.core.stage import Scalar

NAME = "stage.json"

DONE = "done"
FAILED = "failed"
SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run of one stage, on one scan or on the whole data set.

    Attributes
    ----------
    stage, version
        Name and version of the stage.
    fingerprint
        SHA-256 over stage, version, params and the fingerprints of the inputs.
    inputs
        Fingerprint of each input by name, as a scan stage sees it; a data-set stage has
        ``{"stage": fingerprint, "stage/scan": fingerprint, ...}``.
    scan, patient
        Whose it is; both empty for a data-set stage.
    state
        ``done``, ``failed`` or ``skipped``; only ``done`` has files.
    error
        Why it failed or was skipped, for a person.
    facts
        A few scalars that the stage found.
    files
        Size in bytes and digest of every file of the output, by relative name; a digest without
        the name of an algorithm is SHA-256 (up to release 0.2).
    """

    stage: str
    version: int
    fingerprint: str
    params: Mapping[str, Scalar] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    scan: str = ""
    patient: str = ""
    state: str = DONE
    error: str = ""
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    finished: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def write_record(record: Record, path: Path) -> None:
    """Write `record` as JSON, with its own digest, to the file `path`."""
    write_checked(dataclasses.asdict(record), path)


def read_record(path: Path) -> Record:
    """Read the record in the file `path`, or in the folder `path`.

    Raises
    ------
    DataError
        If it is not a record.
    """
    file = path / NAME if path.is_dir() else path
    try:
        raw = read_checked(file, _KNOWN)
        files = {n: (int(size), str(digest)) for n, (size, digest) in raw.pop("files", {}).items()}
        return Record(**{k: v for k, v in raw.items() if k in _KNOWN}, files=files)
    except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{file} is not the record of an output ({error}); the next run makes it again"
        ) from error


_KNOWN = frozenset(spec.name for spec in dataclasses.fields(Record))
