"""Export: volumes of scans, on the grid one wants, as files that others read."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import ConfigError, DataError, LungsegError
from lungseg.core.plan import FAILED, REUSE, SKIPPED, Action
from lungseg.io.annotations.nodule_list import UNANNOTATED, read_nodules
from lungseg.io.results.plain_names import plain_names
from lungseg.io.volumes import formats, volume_file
from lungseg.io.volumes.headers import SUFFIXES
from lungseg.ops.grid.resample import labels_to_grid, to_grid
from lungseg.ops.nodules.consensus import consensus
from lungseg.ops.nodules.probability import from_stored
from lungseg.session.work_folder import Session
from lungseg.volume import AnyVolume


@dataclass(frozen=True)
class CachedVolume:
    """Which stage writes a volume, into which file, and whether its values are labels."""

    stage: str
    file: str
    labels: bool


WORKING = {
    "ct": CachedVolume("resample", "ct.h5", labels=False),
    "lungs": CachedVolume("segment-lungs", "lungs.h5", labels=True),
    "region": CachedVolume("segment-lungs", "region.h5", labels=True),
    "votes": CachedVolume("annotate-nodules", "votes.h5", labels=True),
    "nodules": CachedVolume("annotate-nodules", "nodules.h5", labels=True),
    "target": CachedVolume("annotate-nodules", "nodules.h5", labels=True),
    "probability": CachedVolume("predict", "probability.h5", labels=False),
    "detections": CachedVolume("find-nodules", "nodules.h5", labels=True),
}
SOURCE = {
    "ct": CachedVolume("ingest", "ct.h5", labels=False),
    "detections": CachedVolume("find-nodules", "nodules_source.h5", labels=True),
}
# What nobody can know of a scan that nobody annotated.
TRUTH = ("votes", "nodules", "target")


@dataclass(frozen=True)
class Wanted:
    """What is exported.

    Attributes
    ----------
    what
        A key of `WORKING`.
    grid
        ``source``, the scan's own, or ``working``.
    force
        Overwrite files that are there.
    min_readers, consensus_level
        Of the target; None: those of `evaluate`, by which detections are scored.
    """

    what: str
    grid: str = "source"
    force: bool = False
    min_readers: int | None = None
    consensus_level: float | None = None

    def __post_init__(self) -> None:
        given = (self.min_readers, self.consensus_level)
        if self.what != "target" and any(value is not None for value in given):
            raise ConfigError(
                f"--min-readers and --consensus-level make the target, and --what is {self.what}"
            )

    def settings(self, session: Session) -> Any:
        """The settings of `evaluate`, with what was told here."""
        told = {
            name: value
            for name in ("min_readers", "consensus_level")
            if (value := getattr(self, name)) is not None
        }
        return replace(session.settings["evaluate"], **told)

    def in_words(self, session: Session) -> str:
        """What it is, with the settings that make it."""
        if self.what != "target":
            return self.what
        made = self.settings(session)
        of = "told here" if self._told else "those of evaluate"
        level = f"consensus_level {made.consensus_level:g}"
        return f"target (min_readers {made.min_readers}, {level}, {of})"

    @property
    def _told(self) -> bool:
        return self.min_readers is not None or self.consensus_level is not None


@dataclass(frozen=True)
class Exported:
    """What became of an export of many scans, in lines for a person."""

    lines: tuple[str, ...] = ()
    failed: int = 0
    files: Mapping[str, str] = field(default_factory=dict)


def export(session: Session, wanted: Wanted, out: Path) -> str:
    """Write one volume of the session's one scan to `out`; return a line that says what it is.

    Labels are carried to the source grid by their volume, values by linear interpolation; a CT
    on the source grid is what the files state, voxel for voxel.

    Raises
    ------
    ConfigError
        If the format is not known, more than one scan is meant, or the file is there already.
    DataError
        If the volume has not been made yet, cannot be, or nobody annotated the scan.
    """
    session.check_scans()
    if not out.name.endswith(tuple(SUFFIXES)):
        raise ConfigError(f"--out {out.name}: expected a name that ends in {', '.join(SUFFIXES)}")
    if len(session.sources) != 1:
        raise ConfigError(
            f"--scan names {len(session.sources)} scans, expected one: {', '.join(session.sources)}"
            "; with --all and a folder as --out every scan is written"
        )
    if out.exists() and not wanted.force:
        raise ConfigError(f"--out {out} is there already; --force overwrites it")
    (scan,) = session.sources
    return _write(session, _actions(session, wanted), wanted, scan, out)


def export_all(session: Session, wanted: Wanted, out: Path, ending: str) -> Exported:
    """Write one volume of every scan into the folder `out`, named by patient and scan.

    A scan of which it cannot be written is named with the reason, and the others are written.

    Raises
    ------
    ConfigError
        If the format is not known, or `out` is a file.
    """
    session.check_scans()
    if f".{ending}" not in SUFFIXES:
        raise ConfigError(f"--format {ending}: expected one of {', '.join(SUFFIXES)}")
    if out.is_file() or out.name.endswith(tuple(SUFFIXES)):
        raise ConfigError(f"--out {out}: with --all it is the folder for the files")
    actions = _actions(session, wanted)
    behind = f"_{wanted.what}.{ending}"
    wishes = {
        scan: [scan if scan == source.patient else f"{source.patient}_{scan}"]
        for scan, source in session.sources.items()
    }
    lines, files, there, failed = [], {}, 0, 0
    for scan, name in plain_names(wishes, [behind]).items():
        path = out / f"{name}{behind}"
        if path.exists() and not wanted.force:
            there += 1
            continue
        try:
            lines.append(_write(session, actions, wanted, scan, path))
            files[scan] = str(path)
        except (LungsegError, OSError) as error:
            failed += 1
            lines.append(f"failed   {scan} ({session.sources[scan].patient}): {error}")
    told = f"; {there} were there already and are as they were, --force overwrites" if there else ""
    lines.append(f"{len(files)} written to {out}, {failed} failed{told}")
    return Exported(tuple(lines), failed, files)


def _write(
    session: Session,
    actions: Mapping[tuple[str, str], Action],
    wanted: Wanted,
    scan: str,
    out: Path,
) -> str:
    volume = _on_grid(session, actions, wanted, scan)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.name.endswith(".mhd"):
        # Its voxels lie beside it, in a file that it names.
        formats.write_volume(volume, out)
    else:
        partial = out.with_name(f".{uuid.uuid4().hex[:8]}-{out.name[-100:]}")
        try:
            formats.write_volume(volume, partial)
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)
    size = " x ".join(str(n) for n in volume.shape)
    step = " x ".join(f"{mm:g}" for mm in volume.spacing_mm)
    patient = session.sources[scan].patient
    return (
        f"{out}  {wanted.in_words(session)} of {scan} ({patient}) on the {wanted.grid} grid: "
        f"{size} voxels (z, y, x) of {step} mm"
    )


def _on_grid(
    session: Session, actions: Mapping[tuple[str, str], Action], wanted: Wanted, scan: str
) -> AnyVolume:
    what = wanted.what
    cached = SOURCE[what] if wanted.grid == "source" and what in SOURCE else WORKING[what]
    folder = _folder(session, actions, cached.stage, scan, what)
    if what in TRUTH and read_nodules(folder).truth == UNANNOTATED:
        raise DataError(
            f"nobody annotated {scan}, so it has no truth to export: an empty mask would say that "
            "there is no nodule"
        )
    volume = volume_file.read(folder / cached.file)
    if what == "target":
        volume = _agreed(volume, folder, wanted.settings(session))
    if what == "probability":
        volume = volume.like(from_stored(volume.array))
    if wanted.grid == "source" and cached is WORKING[what]:
        source = _folder(session, actions, "ingest", scan, what) / SOURCE["ct"].file
        shape, geometry = volume_file.read_geometry(source)
        carry = labels_to_grid if cached.labels else to_grid
        volume = carry(volume, shape, geometry)
    if what == "target":
        volume = volume.like((volume.array > 0).astype(np.uint8))
    return volume


def _agreed(labels: AnyVolume, folder: Path, made: Any) -> AnyVolume:
    """Labels where enough readers of a nodule that enough readers drew agree."""
    votes = volume_file.read(folder / WORKING["votes"].file).array
    readers = read_nodules(folder).readers
    target, _ = consensus(votes, labels.array, readers, made.min_readers, made.consensus_level)
    return labels.like(labels.array * target)


def _actions(session: Session, wanted: Wanted) -> dict[tuple[str, str], Action]:
    stages = {cached[wanted.what].stage for cached in (WORKING, SOURCE) if wanted.what in cached}
    return {(a.stage, a.scan): a for a in session.plan(sorted(stages | {"ingest"}))}


def _folder(
    session: Session,
    actions: Mapping[tuple[str, str], Action],
    stage: str,
    scan: str,
    what: str,
) -> Path:
    action = actions[stage, scan]
    if action.do == REUSE:
        return session.store.trusted_folder(stage, action.fingerprint, scan)
    if action.do in {SKIPPED, FAILED}:
        raise DataError(
            f"{scan} has no {what}, it was {action.do}: {action.why}; then "
            f"`lungseg-cli run {stage}` makes it"
        )
    raise DataError(
        f"{stage} is not done for {scan} with these settings ({action.why}); "
        f"`lungseg-cli run {stage}` makes it"
    )
