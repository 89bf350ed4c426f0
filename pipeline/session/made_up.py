"""Outputs that nobody computed, put where a run would have put them: for tests and benchmarks.

Every output's name is known before anything runs; so a work folder of a thousand scans, with all
the states that scans can be in, is made in seconds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lungseg.core.json_file import write_json
from lungseg.core.plan import Action
from lungseg.core.record import DONE, FAILED, Record
from lungseg.core.stage import Scalar
from lungseg.core.store import Store, folder_name
from lungseg.io.sources.index import LeftOut, Source, write_source


@dataclass(frozen=True)
class MadeUp:
    """What a stage is said to have left: its facts and files, or why it failed."""

    facts: Mapping[str, Scalar] = field(default_factory=dict)
    files: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)
    error: str = ""


def put_scans(work: Path, patients: Mapping[str, str], left_out: Iterable[LeftOut] = ()) -> None:
    """Write a list of scans, with their patients, into the work folder, as if they were found."""
    for scan, patient in patients.items():
        source = Source(scan, patient, "dicom", (f"/scans/{patient}/1.dcm",), f"made up {scan}")
        path = work / "sources" / f"{folder_name(scan)}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_source(source, path)
    listed = [
        {"path": item.path, "reason": item.reason, "fault": item.fault, "scan": item.scan}
        for item in left_out
    ]
    listing = {"roots": ["/scans"], "scans": list(patients), "left_out": listed}
    write_json(listing, work / "sources.json")


def put_outputs(
    store: Store,
    actions: Iterable[Action],
    patients: Mapping[str, str],
    made: Callable[[str, str], MadeUp | None],
) -> None:
    """Write what `made` says of each stage and scan that is to be run; None: it stays to be done.

    Parameters
    ----------
    store
        Where to.
    actions
        A plan: what is to be run, and what its output is called.
    patients
        The patient of each scan.
    made
        From the name of a stage and the scan (empty for the whole data set).
    """
    for action in actions:
        told = made(action.stage, action.scan)
        if told is None:
            continue
        record = Record(
            stage=action.stage,
            version=1,
            fingerprint=action.fingerprint,
            inputs=action.inputs,
            scan=action.scan,
            patient=patients.get(action.scan, ""),
            state=FAILED if told.error else DONE,
            error=told.error,
            facts=told.facts,
            seconds=1.5,
            packages={"numpy": "2.0"},
        )
        if told.error:
            store.keep_failure(record)
            continue
        with store.scratch(action.stage, action.fingerprint, action.scan) as folder:
            for name, write in told.files.items():
                write(folder / name)
            store.keep(folder, record)
