"""Slices table: windows around nodules as rows of the table, beside whole scans or alone.

Windows of one series that overlap are joined, so that a place is shown once and with all its
nodules; each group of them is a scan of the table. What lies outside the windows is unknown there.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import DataError
from lungseg.core.fingerprint import digest_of
from lungseg.io.annotations.nodule_list import CONTOURS
from lungseg.io.annotations.nodule_slices import INDEX, SlicesOnDisk, find_nodule_slices
from lungseg.io.annotations.stretched_slices import (
    TakenAs,
    find_stretched_slices,
    has_stretched_slices,
)
from lungseg.io.tables.schema import NO_MASK, NODULES, UNKNOWN_HU
from lungseg.io.tables.writer import ScanRows
from lungseg.ops.nodules.consensus import agreed
from lungseg.ops.nodules.sizes import equivalent_diameter_mm
from lungseg.ops.nodules.voted_nodule import VotedNodule, paint
from lungseg.ops.nodules.windows import (
    NoduleSlices,
    WorkingWindow,
    joined,
    on_working_grid,
    overlapping,
    pixels_needed,
)
from lungseg.steps.row_areas import Target, row_areas
from lungseg.volume import Geometry

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SliceGroup:
    """Windows of one series that overlap: a scan of the table.

    Attributes
    ----------
    scan, patient
        Its id: the series, and ``#`` with the first nodule's name if that alone does not tell it.
    nodules
        What it is read from.
    fingerprint
        Digest of all that.
    """

    scan: str
    patient: str
    nodules: tuple[SlicesOnDisk, ...]
    fingerprint: str

    def made_for(self, size: int, spacing_mm: float, clip: tuple[int, int]) -> "SliceGroup":
        """The same, and its fingerprint tells how its rows are made: see `group_rows`."""
        return replace(self, fingerprint=digest_of([self.fingerprint, size, spacing_mm, *clip]))

    def pixels(self, spacing_mm: float) -> int:
        """Edge of the square that holds it on the working grid, pixels."""
        places = [nodule.place for nodule in self.nodules]
        return pixels_needed(places, self.nodules[0].pixel_mm, spacing_mm)


def find_groups(
    folder: Path, taken_as: TakenAs | None, whole: Collection[str] = ()
) -> tuple[list[SliceGroup], list[str]]:
    """Groups of a folder of nodule slices by patient, and what was left out, in words.

    Parameters
    ----------
    folder
        In either layout, see `lungseg.io.annotations.nodule_slices`, `stretched_slices`.
    taken_as
        What stretched slices are taken for; None refuses them.
    whole
        Ids of whole scans in the same table.

    Raises
    ------
    DataError
        If it is in neither layout, or in the one without HU and that is not allowed, or if it
        has no nodule that can be read.
    """
    if (folder / INDEX).is_file():
        found = find_nodule_slices(folder)
    elif not has_stretched_slices(folder):
        raise DataError(
            f"{folder} holds no nodule slices: there is neither {INDEX} nor "
            "PATIENT/nodule-0/images in it"
        )
    elif taken_as is None:
        raise DataError(
            f"{folder} holds no HU: its grey values are stretched slice by slice, each by its own "
            "darkest and brightest pixel, and neither place nor spacing is told",
            setting="stretched_slices=true to take them all the same, as HU from "
            "stretched_low_hu to stretched_high_hu",
        )
    else:
        found = find_stretched_slices(folder, taken_as)
    if not found.nodules:
        why = f": {found.left_out[0]}" if found.left_out else ""
        raise DataError(f"no nodule in {folder} can be read{why}")
    by_series: dict[str, list[SlicesOnDisk]] = {}
    for nodule in found.nodules:
        by_series.setdefault(nodule.series, []).append(nodule)
    left_out = list(found.left_out)
    groups: list[SliceGroup] = []
    for nodules in by_series.values():
        groups += _groups(_of_one_scan(nodules, left_out), whole)
    return sorted(groups, key=lambda group: (group.patient, group.scan)), left_out


def _of_one_scan(nodules: Sequence[SlicesOnDisk], left_out: list[str]) -> list[SlicesOnDisk]:
    first, kept = nodules[0], []
    for each in nodules:
        if (each.patient, each.pixel_mm) == (first.patient, first.pixel_mm):
            kept.append(each)
            continue
        left_out.append(
            f"{each.patient} nodule {each.nodule}: its series {each.series} has pixels of "
            f"{first.pixel_mm:g} mm and is of patient {first.patient} by other lines, here of "
            f"{each.pixel_mm:g} mm and of {each.patient}"
        )
    return kept


def _groups(nodules: Sequence[SlicesOnDisk], whole: Collection[str]) -> list[SliceGroup]:
    found = overlapping([nodule.place for nodule in nodules])
    alone = len(found) == 1 and nodules[0].series not in whole
    groups = []
    for members in found:
        group = tuple(nodules[k] for k in members)
        name = group[0].series if alone else f"{group[0].series}#{group[0].nodule}"
        digest = digest_of([nodule.digest() for nodule in group])
        groups.append(SliceGroup(name, group[0].patient, group, digest))
    return groups


def group_rows(
    group: SliceGroup, size: int, spacing_mm: float, clip: tuple[int, int], target: Target
) -> ScanRows:
    """Rows of one group, in the middle of squares of `size` voxels.

    Parameters
    ----------
    group
        As `find_groups` found it.
    size
        At least `SliceGroup.pixels`.
    spacing_mm
        Of the working grid, along all axes.
    clip
        HU to which the table's images are clipped.
    target
        What counts as nodule in ``target_mm2``.

    Raises
    ------
    DataError
        If a nodule is no longer as it was found.
    """
    windows = [nodule.read() for nodule in group.nodules]
    canvas = joined(windows)
    working = on_working_grid(canvas, spacing_mm, size)
    pairs = zip(windows, working.nodules, strict=True)
    drawn = [(window, nodule) for window, nodule in pairs if nodule is not None]
    if len(drawn) < len(windows):
        # Drawn on the window's outermost pixels alone, which no voxel of the working grid hits.
        log.warning("%s: %d nodules lie on no voxel", group.scan, len(windows) - len(drawn))
    shown = [nodule for _, nodule in drawn]
    votes, labels = paint(shown, working.hu.shape)
    image = np.where(working.known, working.hu.clip(*clip), UNKNOWN_HU).astype(np.int16)
    arrays: dict[str, npt.NDArray[Any]] = {
        "image": image,
        "lungs": working.known.astype(np.uint8),
        "votes": votes,
        "nodule": labels,
    }
    readers = {label: nodule.readers for label, nodule in enumerate(shown, 1)}
    return ScanRows(
        scan=group.scan,
        patient=group.patient,
        fingerprint=group.fingerprint,
        # Where a window lies in its slice is known, where the slice lies in the world only in z.
        geometry=Geometry((spacing_mm,) * 3, (np.nan, np.nan, float(canvas.z_mm[0]))),
        shape_zyx=(int(working.z_index[-1]) + 1, size, size),
        corner_zyx=(0, 0, 0),
        truth=CONTOURS,
        verdict=NO_MASK,
        z_index=working.z_index,
        arrays=arrays,
        areas=row_areas(arrays, readers, spacing_mm**2, target),
        nodules=_records(drawn, working, float(canvas.z_mm[0]), spacing_mm),
    )


def _records(
    drawn: Sequence[tuple[NoduleSlices, VotedNodule]],
    working: WorkingWindow,
    first_z_mm: float,
    spacing_mm: float,
) -> npt.NDArray[np.void]:
    records = np.zeros(len(drawn), NODULES)
    for label, (record, (window, nodule)) in enumerate(zip(records, drawn, strict=True), 1):
        inside = nodule.consensus
        planes = inside.mask.sum(axis=(1, 2))
        rows = inside.first_zyx[0] + np.arange(len(planes))
        z_index = float((planes * working.z_index[rows]).sum() / planes.sum())
        record["label"] = label
        record["readers"] = nodule.readers
        record["voxels"] = planes.sum()
        record["diameter_mm"] = equivalent_diameter_mm(_native_mm3(window))
        record["centroid_xyz_mm"] = (np.nan, np.nan, first_z_mm + z_index * spacing_mm)
    return records


def _native_mm3(window: NoduleSlices) -> float:
    """Volume of the consensus as it was drawn, its outermost slices with their whole thickness."""
    area_mm2 = np.count_nonzero(agreed(window.votes, len(window.masks))) * window.pixel_mm**2
    gaps = np.diff(window.z_mm)
    if not gaps.size:
        # How thick it is cannot be told: taken for the middle of a ball.
        return float(4 / 3 * np.pi * (area_mm2 / np.pi) ** 1.5)
    return float(area_mm2 * np.median(gaps))
