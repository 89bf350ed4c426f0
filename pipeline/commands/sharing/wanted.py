"""Wanted: what is exported, where it lies in the cache, and the volume itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError, DataError
from lungseg.core.plan import FAILED, REUSE, SKIPPED, Action
from lungseg.io.annotations.nodule_list import UNANNOTATED, NoduleList, read_nodules
from lungseg.io.standards.objects import MARKUPS, SEG, SR
from lungseg.io.volumes import volume_file
from lungseg.io.volumes.headers import SUFFIXES
from lungseg.ops.grid.resample import labels_to_grid, to_grid
from lungseg.ops.nodules.consensus import consensus
from lungseg.ops.nodules.probability import from_stored
from lungseg.session.work_folder import Session
from lungseg.volume import AnyVolume, Geometry, Shape


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
    "detections": CachedVolume("reduce-false-positives", "nodules.h5", labels=True),
}
SOURCE = {
    "ct": CachedVolume("ingest", "ct.h5", labels=False),
    "detections": CachedVolume("reduce-false-positives", "nodules_source.h5", labels=True),
}
# What nobody can know of a scan that nobody annotated.
TRUTH = ("votes", "nodules", "target", "readings")
# What each of the objects other than volumes can hold.
OBJECTS = {
    SEG: ("lungs", "nodules", "target", "readings", "probability", "detections"),
    SR: ("detections",),
    MARKUPS: ("detections",),
}


@dataclass(frozen=True)
class Wanted:
    """What is exported.

    Attributes
    ----------
    what
        A key of `WORKING`, or ``readings``: what each annotator drew.
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

    def check_form(self, name: str) -> None:
        """See that a file whose name ends like `name` can hold it.

        Raises
        ------
        ConfigError
            If it is no known form, or does not hold such a thing.
        """
        ending = next((end for end in OBJECTS if name.endswith(end)), "")
        if ending and self.what not in OBJECTS[ending]:
            known = ", ".join(OBJECTS[ending])
            raise ConfigError(
                f"{ending} holds {known}, and --what is {self.what}; take another --what, or "
                f"{', '.join(SUFFIXES)}"
            )
        if ending and self.grid != "source":
            raise ConfigError(
                f"--grid {self.grid}: a {ending} lies on the scan's own images; leave --grid out"
            )
        if not ending and not name.endswith(tuple(SUFFIXES)):
            raise ConfigError(
                f"{name}: expected a name that ends in {', '.join((*SUFFIXES, *OBJECTS))}"
            )
        if not ending and self.what == "readings":
            raise ConfigError(
                "--what readings: what several annotators drew overlaps, and a volume has one "
                f"label a voxel; take a name that ends in {SEG}"
            )

    @property
    def _told(self) -> bool:
        return self.min_readers is not None or self.consensus_level is not None


@dataclass(frozen=True)
class Exports:
    """What is exported from a work folder."""

    session: Session
    wanted: Wanted

    @cached_property
    def actions(self) -> Mapping[tuple[str, str], Action]:
        """What is done, and what is not, by stage and scan."""
        what = self.wanted.what
        stages = {cached[what].stage for cached in (WORKING, SOURCE) if what in cached}
        if what in TRUTH:
            stages.add("annotate-nodules")
        if what == "detections":
            stages.add("locate-candidates")
        return {(a.stage, a.scan): a for a in self.session.plan(sorted(stages | {"ingest"}))}

    def folder(self, stage: str, scan: str) -> Path:
        """Where a stage's output on a scan lies.

        Raises
        ------
        DataError
            If there is none.
        """
        action = self.actions[stage, scan]
        if action.do == REUSE:
            return self.session.store.trusted_folder(stage, action.fingerprint, scan)
        if action.do in {SKIPPED, FAILED}:
            raise DataError(
                f"{scan} has no {self.wanted.what}, it was {action.do}: {action.why}; then "
                f"`lungseg-cli run {stage}` makes it"
            )
        raise DataError(
            f"{stage} is not done for {scan} with these settings ({action.why}); "
            f"`lungseg-cli run {stage}` makes it"
        )

    def listed(self, scan: str) -> NoduleList:
        """The nodules that people marked on a scan.

        Raises
        ------
        DataError
            If nobody annotated it.
        """
        found = read_nodules(self.folder("annotate-nodules", scan))
        if found.truth == UNANNOTATED:
            raise DataError(
                f"nobody annotated {scan}, so it has no truth to export: an empty mask would say "
                "that there is no nodule"
            )
        return found

    def volume(self, scan: str) -> AnyVolume:
        """The volume, on the grid that is wanted.

        Raises
        ------
        DataError
            If it has not been made yet, cannot be, or nobody annotated the scan.
        """
        what, grid = self.wanted.what, self.wanted.grid
        cached = SOURCE[what] if grid == "source" and what in SOURCE else WORKING[what]
        folder = self.folder(cached.stage, scan)
        if what in TRUTH:
            self.listed(scan)
        volume = volume_file.read(folder / cached.file)
        if what == "target":
            volume = _agreed(volume, folder, self.wanted.settings(self.session))
        if what == "probability":
            volume = volume.like(from_stored(volume.array))
        if grid == "source" and cached is WORKING[what]:
            shape, geometry = self.source_grid(scan)
            carry = labels_to_grid if cached.labels else to_grid
            volume = carry(volume, shape, geometry)
        return volume

    def source_grid(self, scan: str) -> tuple[Shape, Geometry]:
        """Shape and geometry of the scan's own grid."""
        return volume_file.read_geometry(self.folder("ingest", scan) / SOURCE["ct"].file)


def _agreed(labels: AnyVolume, folder: Path, made: Any) -> AnyVolume:
    """Labels where enough readers of a nodule that enough readers drew agree."""
    votes = volume_file.read(folder / WORKING["votes"].file).array
    readers = read_nodules(folder).readers
    target, _ = consensus(votes, labels.array, readers, made.min_readers, made.consensus_level)
    return labels.like(labels.array * target)
