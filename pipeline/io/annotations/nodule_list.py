"""The list of nodules that `annotate-nodules` leaves beside its masks: nodules.json."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lungseg.core.errors import DamagedOutputError
from lungseg.core.json_file import write_json
from lungseg.volume import Triple

NAME = "nodules.json"

CONTOURS, COORDINATES, NONE, UNANNOTATED = "contours", "coordinates", "none", "unannotated"
"""What is known of a scan's nodules: outlines, positions, that there are none, or nothing."""
# A scan is suspect if less than this share of a nodule lies inside its lungs.
LEAST_IN_LUNGS = 0.9


@dataclass(frozen=True, kw_only=True)
class Nodule:
    """One nodule, as its readers together saw it.

    Sizes and position are those of the 50 % consensus: the voxels that at least half of its
    readers included, on the working grid.

    Attributes
    ----------
    label
        Its value in nodules.h5.
    readers
        Readings of it (of a LIDC scan: up to 4 radiologists; more where two nodules touch).
    truth
        ``"contours"`` or ``"coordinates"``.
    centroid_xyz_mm
        World position, LPS mm.
    diameter_mm
        Diameter of the ball of the same volume.
    min_diameter_mm, max_diameter_mm
        Shortest and longest axis of the ellipsoid with the same second moments; as given in the
        file where truth is coordinates.
    volume_mm3, voxels
        Volume, and voxels of the working grid.
    share_in_lungs
        Part of the voxels that lie in the lung mask, 0 to 1.
    ratings
        Mean of the readers' ratings by name.
    ratings_median
        Median of them: what ratings on a scale of grades are compared by.
    readings
        Names of the readings in their source.
    side, third
        ``right`` or ``left`` lung, and where in its height, ``lower``, ``middle`` or ``upper``;
        empty if no lung is near.
    edge_mm
        Distance to the edge of the lungs, 0 where it is touched, 20 at most; None without a lung.
    """

    label: int
    readers: int
    truth: str
    centroid_xyz_mm: Triple
    diameter_mm: float
    min_diameter_mm: float
    max_diameter_mm: float
    volume_mm3: float
    voxels: int
    share_in_lungs: float
    ratings: Mapping[str, float] = field(default_factory=dict)
    ratings_median: Mapping[str, float] = field(default_factory=dict)
    readings: tuple[str, ...] = ()
    side: str = ""
    third: str = ""
    edge_mm: float | None = None


@dataclass(frozen=True, kw_only=True)
class IgnoredPoint:
    """A place where a detection is neither right nor wrong.

    Attributes
    ----------
    kind
        ``"nodule < 3 mm"``, ``"non-nodule"`` or ``"excluded"``.
    xyz_mm
        World position, LPS mm.
    diameter_mm
        None if unknown.
    key
        Its name in the source.
    """

    kind: str
    xyz_mm: Triple
    diameter_mm: float | None = None
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class NoduleList:
    """What is known of the nodules of one scan.

    Attributes
    ----------
    scan
        SeriesInstanceUID, or the file's stem.
    truth
        ``contours``, ``coordinates``, ``none`` (read, and known to have no nodule of 3 mm or
        more) or ``unannotated`` (nobody is known to have looked for
        nodules: never a negative).
    nodules
        In the order of their labels, most readers first.
    points
        Marks to ignore.
    outside
        Annotations that do not lie within the stack, in words.
    problems
        Rows of the coordinates file that were not used, in words.
    """

    scan: str
    truth: str
    nodules: tuple[Nodule, ...] = ()
    points: tuple[IgnoredPoint, ...] = ()
    outside: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def readers(self) -> dict[int, int]:
        """Readers of each nodule, by label."""
        return {nodule.label: nodule.readers for nodule in self.nodules}

    @property
    def left_out(self) -> tuple[str, ...]:
        """Nodules of which less than `LEAST_IN_LUNGS` lies inside the lungs, in words.

        Shares are rounded down, so that none reads as the least that is enough.
        """
        return tuple(
            f"nodule {n.label} ({n.diameter_mm:.0f} mm, {n.readers} annotators) at "
            f"({', '.join(f'{mm:.0f}' for mm in n.centroid_xyz_mm)}) mm: only "
            f"{math.floor(100 * n.share_in_lungs)} % of it lies inside the lungs"
            for n in self.nodules
            if n.share_in_lungs < LEAST_IN_LUNGS
        )


def write_nodules(nodules: NoduleList, path: Path) -> None:
    """Write the list as JSON, numbers to three decimals."""
    write_json(_rounded(dataclasses.asdict(nodules)), path)


def read_nodules(path: Path) -> NoduleList:
    """Read the list in the file `path`, or in the folder `path`.

    Raises
    ------
    DamagedOutputError
        If it is not such a list.
    """
    file = path / NAME if path.is_dir() else path
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        nodules = tuple(
            Nodule(
                **{**n, "centroid_xyz_mm": _triple(n["centroid_xyz_mm"])}
                | {"readings": tuple(n["readings"])}
            )
            for n in raw["nodules"]
        )
        points = tuple(IgnoredPoint(**{**p, "xyz_mm": _triple(p["xyz_mm"])}) for p in raw["points"])
        return NoduleList(
            scan=str(raw["scan"]),
            truth=str(raw["truth"]),
            nodules=nodules,
            points=points,
            outside=tuple(raw["outside"]),
            problems=tuple(raw["problems"]),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedOutputError(
            f"{file} is not a list of nodules as annotate-nodules writes it ({error}); "
            "it must be made again"
        ) from error


def _triple(values: Any) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return value
