"""Export: one volume of one scan, on the chosen grid, as a file for other programs."""

from dataclasses import dataclass
from pathlib import Path

from lungseg.core.errors import ConfigError, DataError
from lungseg.core.plan import REUSE
from lungseg.io.volumes import formats, volume_file
from lungseg.io.volumes.headers import SUFFIXES
from lungseg.ops.grid.resample import labels_to_grid, to_grid
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
    "votes": CachedVolume("annotate-nodules", "votes.h5", labels=True),
    "nodules": CachedVolume("annotate-nodules", "nodules.h5", labels=True),
    "probability": CachedVolume("predict", "probability.h5", labels=False),
    "detections": CachedVolume("find-nodules", "nodules.h5", labels=True),
}
SOURCE = {
    "ct": CachedVolume("ingest", "ct.h5", labels=False),
    "detections": CachedVolume("find-nodules", "nodules_source.h5", labels=True),
}


def export(session: Session, what: str, grid: str, out: Path) -> str:
    """Write one volume of the session's one scan to `out`; return a line that describes it.

    Labels are resampled to the source grid with their volume kept, other values by linear
    interpolation; the CT on the source grid is ingest's, not resampled.

    Raises
    ------
    ConfigError
        If the format is unknown, or not exactly one scan is selected.
    DataError
        If the volume has not been made yet.
    """
    if not out.name.endswith(tuple(SUFFIXES)):
        raise ConfigError(f"--out {out.name}: expected a name that ends in {', '.join(SUFFIXES)}")
    if len(session.sources) != 1:
        raise ConfigError(
            f"--scan names {len(session.sources)} scans, expected one: {', '.join(session.sources)}"
        )
    (scan,) = session.sources
    volume = _on_grid(session, scan, what, grid)
    out.parent.mkdir(parents=True, exist_ok=True)
    formats.write_volume(volume, out)
    size = " x ".join(str(n) for n in volume.shape)
    step = " x ".join(f"{mm:g}" for mm in volume.spacing_mm)
    return f"{out}  {what} of {scan} on the {grid} grid: {size} voxels (z, y, x) of {step} mm"


def _on_grid(session: Session, scan: str, what: str, grid: str) -> AnyVolume:
    if grid == "source" and what in SOURCE:
        return volume_file.read(_path(session, scan, SOURCE[what]))
    cached = WORKING[what]
    volume = volume_file.read(_path(session, scan, cached))
    if what == "probability":
        volume = volume.like(from_stored(volume.array))
    if grid == "working":
        return volume
    shape, geometry = volume_file.read_geometry(_path(session, scan, SOURCE["ct"]))
    if cached.labels:
        return labels_to_grid(volume, shape, geometry)
    return to_grid(volume, shape, geometry)


def _path(session: Session, scan: str, cached: CachedVolume) -> Path:
    action = next(
        a for a in session.plan([cached.stage]) if (a.stage, a.scan) == (cached.stage, scan)
    )
    if action.do != REUSE:
        raise DataError(
            f"{cached.stage} is not done for {scan} with these settings ({action.why}); "
            f"`lungseg-cli run {cached.stage}` makes it"
        )
    return session.store.folder(cached.stage, action.fingerprint, scan) / cached.file
