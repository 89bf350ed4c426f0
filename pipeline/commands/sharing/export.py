"""Export: what is known of scans, as files that others read: volumes, DICOM objects, markups."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from lungseg.commands.sharing.objects import write_object
from lungseg.commands.sharing.wanted import OBJECTS, Exports, Wanted
from lungseg.core.errors import ConfigError, LungsegError
from lungseg.io.results.plain_names import plain_names
from lungseg.io.volumes import formats
from lungseg.io.volumes.headers import SUFFIXES
from lungseg.session.work_folder import Session

T = TypeVar("T")


@dataclass(frozen=True)
class Exported:
    """What became of an export of many scans, in lines for a person."""

    lines: tuple[str, ...] = ()
    failed: int = 0
    files: Mapping[str, str] = field(default_factory=dict)


def export(session: Session, wanted: Wanted, out: Path) -> str:
    """Write what is wanted of the session's one scan to `out`; return a line that says what it is.

    The ending of `out` is its form. Labels are carried to the source grid by their volume, values
    by linear interpolation; a CT on the source grid is what the files state, voxel for voxel.

    Raises
    ------
    ConfigError
        If the format is not known, more than one scan is meant, or the file is there already.
    DataError
        If the volume has not been made yet, cannot be, or nobody annotated the scan.
    ScanError
        If the scan has no DICOM images to refer to, for a DICOM object of it.
    """
    session.check_scans()
    wanted.check_form(out.name)
    if len(session.sources) != 1:
        raise ConfigError(
            f"--scan names {len(session.sources)} scans, expected one: {', '.join(session.sources)}"
            "; with --all and a folder as --out every scan is written"
        )
    if out.exists() and not wanted.force:
        raise ConfigError(f"--out {out} is there already; --force overwrites it")
    (scan,) = session.sources
    return _write(Exports(session, wanted), scan, out)


def export_all(session: Session, wanted: Wanted, out: Path, ending: str) -> Exported:
    """Write what is wanted of every scan into the folder `out`, named by patient and scan.

    A scan of which it cannot be written is named with the reason, and the others are written.

    Raises
    ------
    ConfigError
        If the format is not known, or `out` is a file.
    """
    session.check_scans()
    if f".{ending}" not in {*SUFFIXES, *OBJECTS}:
        raise ConfigError(f"--format {ending}: expected one of {', '.join((*SUFFIXES, *OBJECTS))}")
    wanted.check_form(f".{ending}")
    if out.is_file() or out.name.endswith((*SUFFIXES, *OBJECTS)):
        raise ConfigError(f"--out {out}: with --all it is the folder for the files")
    exports = Exports(session, wanted)
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
            lines.append(_write(exports, scan, path))
            files[scan] = str(path)
        except (LungsegError, OSError) as error:
            failed += 1
            lines.append(f"failed   {scan} ({session.sources[scan].patient}): {error}")
    told = f"; {there} were there already and are as they were, --force overwrites" if there else ""
    lines.append(f"{len(files)} written to {out}, {failed} failed{told}")
    return Exported(tuple(lines), failed, files)


def _write(exports: Exports, scan: str, out: Path) -> str:
    session, wanted = exports.session, exports.wanted
    what = f"{wanted.in_words(session)} of {scan} ({session.sources[scan].patient})"
    ending = next((end for end in OBJECTS if out.name.endswith(end)), "")
    if ending:
        told = _whole(out, lambda path: write_object(exports, scan, path, ending))
        return f"{out}  {what}: {told}"
    volume = exports.volume(scan)
    if wanted.what == "target":
        volume = volume.like((volume.array > 0).astype(np.uint8))
    if out.name.endswith((".mhd", ".nhdr")):
        # Its voxels lie beside it, in a file that it names.
        out.parent.mkdir(parents=True, exist_ok=True)
        formats.write_volume(volume, out)
    else:
        _whole(out, lambda path: formats.write_volume(volume, path))
    size = " x ".join(str(n) for n in volume.shape)
    step = " x ".join(f"{mm:g}" for mm in volume.spacing_mm)
    # A target may be empty though people drew nodules: too few drew each.
    empty = "" if volume.array.any() else "; nothing is marked in it"
    return f"{out}  {what} on the {wanted.grid} grid: {size} voxels (z, y, x) of {step} mm{empty}"


def _whole(out: Path, write: Callable[[Path], T]) -> T:
    """What `write` gives, after it wrote a file that is then at `out`, whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; it names `out`, and no file that the user does not know of.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{uuid.uuid4().hex[:8]}-{out.name[-100:]}")
    try:
        told = write(partial)
        partial.replace(out)
    except OSError as error:
        if error.errno is None or str(error.filename) != str(partial):
            raise
        raise OSError(error.errno, error.strerror, str(out)) from error
    finally:
        partial.unlink(missing_ok=True)
    return told
