"""What a reducer learns from: candidates of whole scans, and slices around nodules.

Of scans come what the net takes for nodules and is none, and the few nodules there are. Slices
around nodules have hundreds of nodules and nearly nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.record import read_record
from lungseg.io.annotations.nodule_list import UNANNOTATED, read_nodules
from lungseg.io.annotations.nodule_slices import SlicesOnDisk
from lungseg.io.results.candidate_list import NAME, read_detections
from lungseg.io.volumes import volume_file
from lungseg.model.model_record import ModelRecord
from lungseg.model.reducer.teaching import WIDE, Examples
from lungseg.ops.hu.padding import AIR_HU
from lungseg.ops.nodules.voted_nodule import VotedNodule
from lungseg.ops.nodules.windows import overlapping
from lungseg.ops.samples.stacks import SLICES, stack
from lungseg.ops.scores.detection import radius_mm
from lungseg.steps.predict_window import LikelyWindow, likely_window
from lungseg.volume import F32, FloatArray, HuArray, MaskArray

# Readers of LIDC: a nodule that all of them drew is taught as certain.
ALL_READERS = 4
# Voxels less likely than this are no candidate.
LIKELY = 0.1
# A candidate in a window is no nodule only so far from everything that anybody drew, mm: the
# nodules of some annotators are not among the windows.
AWAY_MM = 8.0
# The smallest candidate: a ball of 3 mm, voxels.
SMALLEST = 14
# Of one window, the likeliest candidates that are no nodules.
MOST_OF_A_WINDOW = 6


def examples_of_scan(folders: Mapping[str, Path], min_readers: int = 3) -> Examples | None:
    """Candidates of a scan, hits and false ones, and the nodules that were missed; None if unread.

    A candidate on a nodule of fewer readers than `min_readers`, on a small nodule or on an excluded
    place is left out; one on what readers marked as no nodule is none.

    Parameters
    ----------
    folders
        Of `resample`, `annotate-nodules`, `predict` and `find-nodules`.
    min_readers
        Readers who must have drawn a nodule for it to be one.
    """
    truth = read_nodules(folders["annotate-nodules"])
    if truth.truth == UNANNOTATED:
        return None
    record = read_record(folders["find-nodules"])
    found = read_detections(folders["find-nodules"] / NAME)
    ct = volume_file.read_hu(folders["resample"] / "ct.h5")
    probability = volume_file.read(folders["predict"] / "probability.h5").array
    places = [np.asarray(one.xyz_mm) for one in found]
    target = np.zeros(len(found), np.float32)
    for point in truth.points:
        if point.kind != "non-nodule":
            target[_near(places, point.xyz_mm, point.diameter_mm)] = np.nan
    missed: list[tuple[FloatArray, float]] = []
    for nodule in truth.nodules:
        near = _near(places, nodule.centroid_xyz_mm, nodule.diameter_mm)
        taught = min(1.0, nodule.readers / ALL_READERS)
        certain = nodule.readers >= min_readers
        target[near] = taught if certain else np.nan
        if certain and not near.any():
            missed.append((np.asarray(nodule.centroid_xyz_mm), taught))
    shown = [*zip(places, target.tolist(), strict=True), *missed]
    chosen = [(place, value) for place, value in shown if not np.isnan(value)]
    stacks = [
        stack(ct.array, probability, ct.geometry.to_index(place), WIDE) for place, _ in chosen
    ]
    return Examples(
        np.stack(stacks) if stacks else np.empty((0, SLICES, WIDE, WIDE), np.int16),
        np.asarray([value for _, value in chosen], np.float32),
        (record.patient,),
        (record.scan,),
    )


def _near(places: Sequence[FloatArray], xyz_mm: Sequence[float], mm: float | None) -> MaskArray:
    away = [float(np.linalg.norm(place - np.asarray(xyz_mm))) for place in places]
    near: MaskArray = np.asarray(away) < radius_mm(mm)
    return near


def examples_of_slices(
    nodules: Sequence[SlicesOnDisk], net: Any, record: ModelRecord
) -> Iterator[Examples]:
    """Nodules of slices around them, and what the net takes for one there; scan by scan.

    Parameters
    ----------
    nodules
        As `lungseg.io.annotations.nodule_slices` finds them.
    net, record
        The net whose candidates they are.
    """

    def scan_of(one: SlicesOnDisk) -> tuple[str, str]:
        return one.patient, one.series

    for (patient, series), group in groupby(sorted(nodules, key=scan_of), key=scan_of):
        found = list(group)
        windows = [one.read() for one in found]
        for together in overlapping([one.place for one in found]):
            likely = likely_window([windows[k] for k in together], net, record)
            hu, target = _of_window(likely)
            if len(target):
                yield Examples(hu, target, (patient,), (series,))


def _of_window(likely: LikelyWindow) -> tuple[HuArray, F32]:
    working = likely.working
    hu = np.where(working.known, working.hu, np.int16(AIR_HU))
    probability = np.where(working.known, likely.probability, 0)
    rows = np.arange(len(working.z_index))
    runs = np.split(rows, np.flatnonzero(np.diff(working.z_index) > 1) + 1)
    stacks, target = [], []
    places = [(n, min(1.0, n.readers / ALL_READERS)) for n in working.nodules if n is not None]
    centres = [(_place(nodule, probability), taught) for nodule, taught in places]
    centres += [(place, 0.0) for place in _others(likely, probability)]
    for place, taught in centres:
        middle = int(np.clip(round(float(place[0])), 0, len(rows) - 1))
        run = next(run for run in runs if run[0] <= middle <= run[-1])
        part = slice(int(run[0]), int(run[-1]) + 1)
        inside = (middle - part.start, place[1], place[2])
        stacks.append(stack(hu[part], probability[part], inside, WIDE))
        target.append(taught)
    empty = np.empty((0, SLICES, WIDE, WIDE), np.int16)
    return np.stack(stacks) if stacks else empty, np.asarray(target, np.float32)


def _place(nodule: VotedNodule, probability: F32) -> FloatArray:
    """Where a candidate of this nodule would lie: half way from its middle to the likeliest."""
    inside = nodule.consensus
    middle: FloatArray = np.argwhere(inside.mask).mean(axis=0) + inside.first_zyx
    part = probability[inside.box]
    if part.max(initial=0) < LIKELY:
        return middle
    top = np.asarray(np.unravel_index(int(part.argmax()), part.shape)) + inside.first_zyx
    half: FloatArray = (middle + top) / 2
    return half


def _others(likely: LikelyWindow, probability: F32) -> list[FloatArray]:
    """Centres of the likeliest candidates of a window that lie away from everything drawn."""
    from scipy import ndimage

    drawn = np.zeros(probability.shape, bool)
    for nodule in likely.working.nodules:
        if nodule is not None:
            first = nodule.first_zyx
            box = tuple(slice(f, f + n) for f, n in zip(first, nodule.votes.shape, strict=True))
            drawn[box] |= nodule.votes > 0
    if not drawn.any():
        return []
    away = ndimage.distance_transform_edt(~drawn)
    labels, n = ndimage.label(probability >= LIKELY)
    numbers = np.arange(1, n + 1)
    highest = np.asarray(ndimage.maximum(probability, labels, numbers))
    sizes = np.asarray(ndimage.sum_labels(labels > 0, labels, numbers))
    nearest = np.asarray(ndimage.minimum(away, labels, numbers))
    likeliest = np.argsort(-highest, kind="stable")[:MOST_OF_A_WINDOW]
    chosen = [k for k in likeliest if nearest[k] >= AWAY_MM and sizes[k] >= SMALLEST]
    return [np.asarray(ndimage.center_of_mass(labels == k + 1)) for k in chosen]
