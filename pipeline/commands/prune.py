"""Prune: name or remove the outputs that the present settings and scans do not use."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from lungseg import flow
from lungseg.commands.results import FOLDER, update_results
from lungseg.core.errors import DataError
from lungseg.core.plan import Action, why_stale
from lungseg.core.record import NAME, Record, read_record
from lungseg.core.shown import many
from lungseg.model.nets import current_net
from lungseg.session.work_folder import Session

# What took hours to make, or is what it was all for.
KEPT = ("train", "evaluate")
RESUME = ".resume-*"
_KEPT = "net, score or unfinished training", "nets, scores or unfinished trainings"


@dataclass(frozen=True)
class Unused:
    """An output that a run with the present settings and scans would not use.

    Attributes
    ----------
    stage, scan, patient
        What made it and of whom it is; no scan: it is of the whole data set.
    what
        The output, in words.
    why
        What made it another one than that of now.
    made
        When it was complete; to the minute.
    size
        Bytes.
    is_model
        True for a net, a score, and where a training run has got to.
    """

    stage: str
    scan: str
    patient: str
    what: str
    why: str
    made: str
    size: int
    folder: Path
    is_model: bool

    def as_text(self) -> str:
        """For a person: a line of what it is, and one of where it lies."""
        return (
            f"{self.size / 1e6:8.1f} MB  {self.made}  {self.what}: {self.why}\n{'':13}{self.folder}"
        )

    def as_dict(self) -> dict[str, object]:
        """For machines."""
        return {**asdict(self), "folder": str(self.folder)}


@dataclass(frozen=True)
class Pruned:
    """What is not used, and what of it is removed."""

    removable: tuple[Unused, ...]
    kept: tuple[Unused, ...]
    really: bool

    def as_text(self) -> str:
        """For a person."""
        lines = [one.as_text() for one in self.removable]
        freed = sum(one.size for one in self.removable)
        verb = "freed" if self.really else "would be freed; --yes removes them"
        lines.append(f"{many(len(self.removable), 'output')}, {freed / 1e6:.1f} MB {verb}")
        if self.kept:
            size = sum(one.size for one in self.kept)
            lines.append(
                f"kept, though not in use: {many(len(self.kept), *_KEPT)} ({size / 1e6:.1f} MB); "
                "--models takes them too"
            )
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """For machines."""
        return {
            "removed": self.really,
            "outputs": [one.as_dict() for one in self.removable],
            "kept": [one.as_dict() for one in self.kept],
            "bytes": sum(one.size for one in self.removable),
        }


def prune(
    session: Session, *, really: bool, models: bool = False, others: Sequence[Session] = ()
) -> Pruned:
    """Name, and if `really` remove, every output that a run with these settings would not reuse.

    Outputs of scans that the last ``--src`` did not name are among them. Nets and scores are left
    out unless `models` is true, and the current net is in any case. What `others`, sessions of the
    same folder, would reuse stays.

    Raises
    ------
    ConfigError
        If there are no scans here, or it is to remove something while another command is at work.
    """
    session.check_scans()
    with session.store.alone("prune") if really else contextlib.nullcontext():
        unused = list(_unused(session, others))
        removable = tuple(one for one in unused if models or not one.is_model)
        if really:
            for one in removable:
                _remove(one, session.work)
            session.store.sweep()
    # A hand-out's work folder has none.
    if really and (session.work / FOLDER).is_dir():
        update_results(session)
    return Pruned(removable, tuple(one for one in unused if one not in removable), really)


def _unused(session: Session, others: Sequence[Session]) -> Iterator[Unused]:
    stages = [stage.name for stage in flow.FLOW]
    actions = {(a.stage, a.scan): a for a in session.plan(stages)}
    used = {
        session.store.folder(a.stage, a.fingerprint, a.scan)
        for planned in (actions.values(), *(other.plan(stages) for other in others))
        for a in planned
    }
    net = current_net(session.work)
    if net:
        used |= {
            folder for folder in session.work.glob("dataset/train/*") if _holds(folder, net.file)
        }
    for pattern in (f"scans/*/*/*/{NAME}", f"dataset/*/*/{NAME}"):
        for file in sorted(session.work.glob(pattern)):
            if file.parent not in used:
                yield _told(file.parent, session, actions)
    for folder in sorted(session.work.glob(f"dataset/train/{RESUME}")):
        when = max((f.stat().st_mtime for f in folder.iterdir()), default=folder.stat().st_mtime)
        yield Unused(
            "train", "", "", "checkpoints of a training run", "it did not come to its end",
            f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M}", _size(folder), folder,
            is_model=True,
        )  # fmt: skip


def _holds(folder: Path, file: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _told(folder: Path, session: Session, actions: Mapping[tuple[str, str], Action]) -> Unused:
    try:
        record = read_record(folder)
    except DataError:
        record = Record(stage=folder.parent.name, version=0, fingerprint="")
    action = actions.get((record.stage, record.scan))
    if not record.fingerprint:
        why = "its record is damaged"
    elif action is None:
        why = (
            "its scan is not among those of now"
            if record.scan
            else f"there is no stage {record.stage} now"
        )
    else:
        stage = next(stage for stage in flow.FLOW if stage.name == record.stage)
        params = session.settings[stage.name]
        why = why_stale(record, stage, params, action.inputs) or "another one is used now"
    whose = f" of {record.patient} ...{record.scan[-20:]}" if record.scan else ""
    return Unused(
        stage=record.stage,
        scan=record.scan,
        patient=record.patient,
        what=record.stage + whose,
        why=why,
        made=record.finished[:16].replace("T", " "),
        size=_size(folder),
        folder=folder,
        is_model=folder.parent.parent.name == "dataset" and folder.parent.name in KEPT,
    )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _remove(one: Unused, work: Path) -> None:
    # Renamed first: a half-deleted output must not look complete.
    doomed = one.folder.with_name(f".{one.folder.name.lstrip('.')}.partial")
    one.folder.rename(doomed)
    shutil.rmtree(doomed)
    for parent in one.folder.parents:
        if parent in {work, work / "scans", work / "dataset"}:
            break
        with contextlib.suppress(OSError):
            parent.rmdir()
