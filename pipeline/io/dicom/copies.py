"""Copies of slices: which of the files of one instance is read, and which are broken."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lungseg.core.errors import ScanError
from lungseg.io.dicom import header as dh
from lungseg.io.dicom.pixels import read_plane
from lungseg.io.dicom.planes import HuRules, Plane, planes_of
from lungseg.ops.grid.slices import SliceRules
from lungseg.volume import FloatArray, HuArray


@dataclass(frozen=True)
class Readable:
    """Planes of a series, without those of broken files that have an intact copy.

    Attributes
    ----------
    headers
        Headers of the files that are used.
    planes
        Their planes, in the same order.
    instances
        By file: its SOPInstanceUID.
    broken
        What is wrong with each file that is left out.
    """

    headers: list[dh.Header]
    planes: list[Plane]
    instances: dict[Path, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def readable_planes(headers: Sequence[dh.Header], rules: HuRules) -> Readable:
    """Planes of the files; of a broken one that has an intact copy, what is wrong with it.

    A copy is a file of the same instance: one SOPInstanceUID, at one position.

    Raises
    ------
    ScanError
        If a file is broken, or its HU uncertain, and no other is of the same instance.
    """
    found = Readable([], [], {header.path: header.text(dh.SOP_INSTANCE) for header in headers})
    faults: list[tuple[dh.Header, ScanError]] = []
    for header in headers:
        try:
            planes = planes_of(header, rules)
        except ScanError as error:
            # What a setting accepts is no damage.
            if error.settings:
                raise
            faults.append((header, error))
        else:
            found.headers.append(header)
            found.planes.extend(planes)
    intact = {_instance(header) for header in found.headers}
    for header, fault in faults:
        if not header.text(dh.SOP_INSTANCE) or _instance(header) not in intact:
            raise fault
        found.broken.append(_why(fault))
    return found


def _instance(header: dh.Header) -> tuple[str, str]:
    return header.text(dh.SOP_INSTANCE), header.text(dh.POSITION)


def one_of_each(
    found: Readable, coordinates: FloatArray, groups: Sequence[Sequence[int]], rules: SliceRules
) -> tuple[list[int], int]:
    """Which plane is read at each place, and how many equal ones are left out.

    Parameters
    ----------
    found
        The planes; files that turn out to be broken, and have an intact copy, are added to its
        `broken`.
    coordinates
        ``(plane, 3)``: where they lie along the axes of the series.
    groups
        Planes at each place.
    rules
        What is one place.

    Raises
    ------
    ScanError
        If planes at one place have different pixels, or one is broken that is no copy.
    """
    kept, unequal, duplicates = [], [], 0
    for group in groups:
        readable = list(group) if len(group) == 1 else _equal(found, coordinates, group, rules)
        if not readable:
            unequal.append(group)
            continue
        kept.append(readable[0])
        duplicates += len(readable) - 1
    if unequal:
        # Two slices at one place are one if their pixels are equal; else nobody knows which it is.
        group, planes = unequal[0], found.planes
        names = ", ".join(planes[i].name for i in group[:4]) + (", ..." if len(group) > 4 else "")
        raise ScanError(
            f"duplicates: {len(group)} slices with different pixels lie at one place "
            f"({coordinates[group[0], 2]:.2f} mm along the normal): {names}"
            f"{f'; so at {len(unequal)} places' if len(unequal) > 1 else ''}. The series holds "
            "more than one scan (times, phases, reconstructions): split it, or remove the others"
        )
    return kept, duplicates


def _equal(
    found: Readable, coordinates: FloatArray, group: Sequence[int], rules: SliceRules
) -> list[int]:
    """Planes of one place that can be read, if all of them are equal; else none."""
    if np.ptp(coordinates[list(group)], axis=0).max() > rules.position_tolerance_mm:
        return []
    planes = found.planes
    shape = planes[group[0]].rows, planes[group[0]].columns
    readable: list[int] = []
    faults: list[tuple[int, ScanError]] = []
    first: HuArray = np.empty(shape, np.int16)
    other: HuArray = np.empty(shape, np.int16)
    for i in group:
        try:
            read_plane(planes[i], other if readable else first)
        except ScanError as error:
            faults.append((i, error))
            continue
        if readable and not np.array_equal(first, other):
            return []
        readable.append(i)
    intact = {_frame(found, i) for i in readable}
    for i, fault in faults:
        if not _frame(found, i)[0] or _frame(found, i) not in intact:
            raise fault
        found.broken.append(_why(fault))
    return readable


def _frame(found: Readable, i: int) -> tuple[str, int]:
    plane = found.planes[i]
    return found.instances[plane.path], plane.frame


def _why(error: ScanError) -> str:
    # What helps is not needed: the other file is used.
    return str(error).split("; ", maxsplit=1)[0]
