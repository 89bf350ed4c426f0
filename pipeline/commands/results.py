"""Results: what a work folder has come to by now, under plain names in WORK/results.

Links into the cache (copies where the file system has none), lists over all scans, and pictures.
What the present settings and scans no longer lead to is taken out again; it stays in the cache. A
list is written anew only when one of the outputs it is made of is another one.
"""

import contextlib
import csv
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lungseg import flow
from lungseg.core.disk.checked_json import read_checked, write_checked
from lungseg.core.errors import LungsegError
from lungseg.core.fingerprint import digest_of
from lungseg.core.json_file import write_text
from lungseg.core.plan import REUSE, Action
from lungseg.io.annotations.lidc_database import RATINGS
from lungseg.io.annotations.nodule_list import NAME as NODULES
from lungseg.io.annotations.nodule_list import UNANNOTATED, read_nodules
from lungseg.io.results import candidate_list
from lungseg.io.results.plain_names import patients_names, plain_names
from lungseg.io.volumes import volume_file
from lungseg.model.nets import current_net
from lungseg.session.work_folder import Session
from lungseg.steps.pictures_of_scan import write_picture_of_scan

FOLDER = "results"
PICTURES = "pictures"
# Of what each file was made; it is no result itself.
MADE_OF = ".made_of.json"
FILES = (
    "patients.csv", "nodules.csv", "tables.h5", "model.keras", "candidates.csv", "scores.json",
    "froc.png", "reliability.png",
)  # fmt: skip
PATIENT_COLUMNS = ("patient", "scans", "part", "nodules")
NODULE_COLUMNS = (
    "scan", "patient", "label", "x_mm", "y_mm", "z_mm", "voxel_z", "voxel_y", "voxel_x",
    "diameter_mm", "volume_mm3", "share_in_lungs", "readers", "truth", *RATINGS, "side", "third",
    "edge_mm",
)  # fmt: skip
CANDIDATE_COLUMNS = (
    *candidate_list.COLUMNS, "patient", "part", "annotated", *candidate_list.PLACE_COLUMNS,
)  # fmt: skip
_SHOWN = ("resample", "segment-lungs", "annotate-nodules", "reduce-false-positives")

Rows = Iterator[Sequence[Any]]
List = tuple[Sequence[Any], Sequence[str], Callable[[], Rows]]


@dataclass(frozen=True)
class _State:
    """What is done in a work folder, over all its scans: actions by stage and scan."""

    session: Session
    actions: Mapping[tuple[str, str], Action]

    def done(self, stage: str, scan: str = "") -> Action | None:
        action = self.actions.get((stage, scan))
        return action if action and action.do == REUSE else None

    def folder(self, stage: str, scan: str = "") -> Path:
        return self.session.store.folder(stage, self.actions[stage, scan].fingerprint, scan)

    def read(self, stage: str, scan: str = "") -> Path:
        """Folder of an output whose files are to be read."""
        fingerprint = self.actions[stage, scan].fingerprint
        return self.session.store.trusted_folder(stage, fingerprint, scan)

    def file(self, name: str, stage: str, scan: str = "") -> Path:
        """File of an output, to be read."""
        fingerprint = self.actions[stage, scan].fingerprint
        return self.session.store.trusted_file(name, stage, fingerprint, scan)

    def scans_with(self, *stages: str) -> list[str]:
        scans = self.session.all_sources
        return [scan for scan in scans if all(self.done(stage, scan) for stage in stages)]

    def patient(self, scan: str) -> str:
        return self.session.all_sources[scan].patient

    def facts(self, stage: str, scan: str) -> Mapping[str, Any]:
        action = self.done(stage, scan)
        return action.record.facts if action and action.record else {}

    def fingerprints(self, scans: Sequence[str], *stages: str) -> list[list[str]]:
        """What a list over `scans` is made of."""
        return [
            [scan, self.patient(scan)]
            + [found.fingerprint if (found := self.done(s, scan)) else "" for s in stages]
            for scan in scans
        ]


def update_results(session: Session) -> list[str]:
    """Bring ``WORK/results`` up to what is done by now; notes on what is not there, if any.

    A fault here does not undo what the command has done: it is told in a note.
    """
    try:
        # While it lasts, nothing that it reads is removed.
        with session.store.in_use("a run"):
            state = _state_of(session)
            return _update(state, session.work / FOLDER)
    except (LungsegError, OSError) as error:
        return [f"{session.work / FOLDER} is not up to date: {error}"]


def write_pictures(session: Session) -> Iterator[Path]:
    """Write a picture of every scan selected that has none or an older one; all their names."""
    with session.store.in_use("a run"):
        yield from _write_pictures(_state_of(session), session)


def _write_pictures(state: _State, session: Session) -> Iterator[Path]:
    folder = session.work / FOLDER
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    made = _read_made_of(folder)
    for scan, name in _picture_names(state).items():
        if scan not in session.sources or not state.done("resample", scan):
            continue
        now = _pictured(state, scan)
        path = folder / PICTURES / name
        if made.get(f"{PICTURES}/{name}") != {"scan": scan, "stages": now} or not path.is_file():
            write_picture_of_scan({stage: state.read(stage, scan) for stage in now}, path)
            made[f"{PICTURES}/{name}"] = {"scan": scan, "stages": now}
            write_checked(made, folder / MADE_OF)
        yield path


def shown_results(work: Path) -> list[str]:
    """Names of the results that are there, pictures by their number."""
    folder = work / FOLDER
    names = [name for name in FILES if (folder / name).exists()]
    pictures = len(list((folder / PICTURES).glob("*.png")))
    return names + ([f"{PICTURES}/ ({pictures})"] if pictures else [])


def look_in(work: Path) -> Iterator[str]:
    """One line that says where the results lie; none, if there are none."""
    names = shown_results(work)
    if names:
        yield f"look in  {work / FOLDER}: {', '.join(names)}"


def _state_of(session: Session) -> _State:
    # A net that was trained just now is the current one; what was forced is done.
    now = replace(
        session,
        sources=session.all_sources,
        options=replace(session.options, scans=(), force=(), retry=False),
        net=current_net(session.work),
    )
    actions = now.plan([stage.name for stage in flow.FLOW])
    return _State(now, {(action.stage, action.scan): action for action in actions})


def _update(state: _State, folder: Path) -> list[str]:
    folder.mkdir(exist_ok=True)
    before = _read_made_of(folder)
    wanted = _links(state)
    for name, target in wanted.items():
        _point(folder / name, target, state.session.work)
    made: dict[str, Any] = {}
    for name, (of, columns, rows) in _lists(state).items():
        path = folder / name
        made[name] = {"of": digest_of([columns, of])}
        if before.get(name) != made[name] | _stat(path):
            _write_list(columns, rows(), path)
        made[name] |= _stat(path)
    for name in FILES:
        if name not in wanted and name not in made:
            (folder / name).unlink(missing_ok=True)
    pictures, notes = _present_pictures(state, folder, before)
    made |= pictures
    if made != before:
        write_checked(made, folder / MADE_OF)
    return notes


def _links(state: _State) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for stage, names in (
        ("build-tables", ["tables.h5"]),
        ("evaluate", ["scores.json", "froc.png", "reliability.png"]),
    ):
        if state.done(stage):
            found |= {name: state.folder(stage) / name for name in names}
    if state.session.net:
        found["model.keras"] = state.session.net.file
    return {name: file for name, file in found.items() if file.is_file()}


def _point(path: Path, target: Path, work: Path) -> None:
    """Make `path` show `target`: a link, relative within the work folder, or else a copy."""
    real, home = target.resolve(), work.resolve()
    # A work folder may be moved as a whole; what lies outside of it stays where it is.
    to = os.path.relpath(real, home / FOLDER) if real.is_relative_to(home) else str(real)
    if path.is_symlink() and str(path.readlink()) == to:
        return
    if path.is_file() and not path.is_symlink() and _stat(path) == _stat(target):
        return
    partial = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        try:
            partial.symlink_to(to)
        except OSError:
            shutil.copy2(target, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _stat(path: Path) -> dict[str, Any]:
    """Size and time of a file; nothing, if it is not there."""
    with contextlib.suppress(FileNotFoundError):
        found = path.stat()
        return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
    return {}


def _lists(state: _State) -> dict[str, List]:
    """By name: what the list is made of, its columns, and how its rows come about."""
    annotated, predicted = ["ingest", "annotate-nodules"], ["predict", "reduce-false-positives"]
    scans = list(state.session.all_sources)
    split = state.done("split-patients")
    found: dict[str, List] = {}
    if scans:
        made_of = state.fingerprints(scans, "annotate-nodules")
        told = [split.fingerprint if split else "", *made_of]
        found["patients.csv"] = (told, PATIENT_COLUMNS, lambda: _patients(state))
    if with_truth := state.scans_with(*annotated):
        of = state.fingerprints(with_truth, *annotated)
        found["nodules.csv"] = (of, NODULE_COLUMNS, lambda: _nodules(state, with_truth))
    if with_answer := state.scans_with(*predicted):
        of = state.fingerprints(with_answer, *predicted, "locate-candidates", "annotate-nodules")
        found["candidates.csv"] = (of, CANDIDATE_COLUMNS, lambda: _candidates(state, with_answer))
    return found


def _write_list(columns: Sequence[str], rows: Rows, path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(text.getvalue(), path)


def _patients(state: _State) -> Rows:
    part_of: dict[str, str] = {}
    if state.done("split-patients"):
        split = json.loads(state.file("split.json", "split-patients").read_text("utf-8"))
        part_of = {patient: part for part, those in split["parts"].items() for patient in those}
    scans_of: dict[str, list[str]] = {}
    for scan, source in state.session.all_sources.items():
        scans_of.setdefault(source.patient, []).append(scan)
    for patient, scans in sorted(scans_of.items()):
        facts = [state.facts("annotate-nodules", scan) for scan in scans]
        known = [int(f["nodules"]) for f in facts if f and f["truth"] != UNANNOTATED]
        # No count where nobody looked: 0 would be said of scans that were read.
        yield patient, len(scans), part_of.get(patient, ""), sum(known) if known else ""


def _nodules(state: _State, scans: Sequence[str]) -> Rows:
    for scan in scans:
        if not state.facts("annotate-nodules", scan).get("nodules"):
            continue
        _, grid = volume_file.read_geometry(state.folder("ingest", scan) / "ct.h5")
        for n in read_nodules(state.file(NODULES, "annotate-nodules", scan)).nodules:
            voxel = [round(float(k)) for k in grid.to_index(n.centroid_xyz_mm)]
            medians = [f"{n.ratings_median[r]:g}" if r in n.ratings_median else "" for r in RATINGS]
            yield (
                scan, state.patient(scan), n.label, *(f"{mm:.2f}" for mm in n.centroid_xyz_mm),
                *voxel, f"{n.diameter_mm:.2f}", f"{n.volume_mm3:.1f}", f"{n.share_in_lungs:.3f}",
                n.readers, n.truth, *medians, n.side, n.third,
                "" if n.edge_mm is None else f"{n.edge_mm:.1f}",
            )  # fmt: skip


def _candidates(state: _State, scans: Sequence[str]) -> Rows:
    for scan in scans:
        truth = state.facts("annotate-nodules", scan).get("truth")
        annotated = "" if truth is None else str(truth != UNANNOTATED).lower()
        known = state.patient(scan), state.facts("predict", scan).get("part", ""), annotated
        is_located = state.done("locate-candidates", scan)
        stage = "locate-candidates" if is_located else "reduce-false-positives"
        path = state.file(candidate_list.NAME, stage, scan)
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                yield (
                    *(row[column] for column in candidate_list.COLUMNS),
                    *known,
                    *(row.get(column, "") for column in candidate_list.PLACE_COLUMNS),
                )


def _picture_names(state: _State) -> dict[str, str]:
    wanted = {
        scan: patients_names(scan, source.patient)
        for scan, source in state.session.all_sources.items()
    }
    return {scan: f"{name}.png" for scan, name in plain_names(wanted, [".png"]).items()}


def _pictured(state: _State, scan: str) -> dict[str, str]:
    """What a picture of the scan shows by now: the fingerprints of the stages that are done."""
    done = {stage: state.done(stage, scan) for stage in _SHOWN}
    return {stage: action.fingerprint for stage, action in done.items() if action}


def _present_pictures(
    state: _State, folder: Path, before: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The pictures that still show what is so; the others are removed, and that is told."""
    names = {f"{PICTURES}/{name}": scan for scan, name in _picture_names(state).items()}
    present, stale = {}, 0
    for name, made in before.items():
        if not name.startswith(f"{PICTURES}/"):
            continue
        scan = made["scan"]
        same = names.get(name) == scan and all(
            (action := state.actions.get((stage, scan))) and action.fingerprint == fingerprint
            for stage, fingerprint in made["stages"].items()
        )
        if same and (folder / name).is_file():
            present[name] = made
        elif (folder / name).is_file():
            (folder / name).unlink()
            stale += 1
    if not stale:
        return present, []
    what = "picture was" if stale == 1 else "pictures were"
    return present, [
        f"{stale} outdated {what} removed; `lungseg-cli preprocess --pictures` makes new ones"
    ]


def _read_made_of(folder: Path) -> dict[str, Any]:
    try:
        return read_checked(folder / MADE_OF, ()) if (folder / MADE_OF).is_file() else {}
    except (OSError, ValueError):
        # Damaged, or of an earlier release: everything is made anew.
        return {}
