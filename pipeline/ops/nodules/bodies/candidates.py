"""Candidates out of a probability map: connected parts, where they lie, how large, how likely.

A net that sees slices answers slice by slice. Here its answers become bodies: the map may be
smoothed along z, and regions of neighbouring slices are one part where they overlap enough.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.boxes import bounding_box, on_whole, widened
from lungseg.ops.grid.histogram import two_means
from lungseg.ops.grid.morphology import Components
from lungseg.ops.nodules.bodies.joined_slices import joined, smoothed_along_z
from lungseg.ops.nodules.probability import ONE, Probability
from lungseg.ops.nodules.sizes import ball_mm3, equivalent_diameter_mm
from lungseg.volume import Box, FloatArray, Geometry, IndexArray, MaskArray, Triple, Volume

SCORES = ("top", "max", "mean", "slices")
"""Scores of a candidate: the mean of its highest voxels, as many as a ball of `score_mm` has; its
highest voxel; the mean of all its voxels; and the mean of its slices' highest voxels, over the
best slices that make up `score_mm`, a slice that it lacks as 0."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One place that may be a nodule.

    Attributes
    ----------
    xyz_mm
        Centroid weighted with probability, world mm.
    probability
        Its score, as `Search.score` says.
    diameter_mm
        Diameter of the ball of the same volume.
    voxels
        Voxels of its mask; 0 if it is not likely enough to have one.
    """

    xyz_mm: Triple
    probability: float
    diameter_mm: float
    voxels: int


@dataclass(frozen=True, kw_only=True)
class Search:
    """What counts as a candidate.

    Attributes
    ----------
    threshold
        Voxels at least this probable belong to a nodule.
    candidate_threshold
        Parts at least this probable are candidates, even if none of their voxels is above
        `threshold`; those have no mask.
    min_diameter_mm, max_diameter_mm
        Bounds on the diameter of the ball of a part's volume.
    margin_mm
        How far outside the lungs a voxel may lie.
    most
        Only so many are kept, the likeliest.
    smooth_mm
        Standard deviation of the Gaussian along z that the map is smoothed with first; 0: none.
    min_overlap
        Regions of neighbouring slices are joined if they share at least this part of the smaller;
        0: if they touch, over an edge or a corner too.
    score
        How likely a candidate is, one of `SCORES`.
    score_mm
        Diameter of the ball that the voxels of ``top`` fill, and the height of ``slices``.
    """

    threshold: float
    candidate_threshold: float
    min_diameter_mm: float
    max_diameter_mm: float
    margin_mm: float
    most: int
    smooth_mm: float = 0.0
    min_overlap: float = 0.0
    score: str = "top"
    score_mm: float = 3.0


def find_candidates(
    probability: Volume[np.uint16], lungs: npt.NDArray[Any], search: Search
) -> tuple[Volume[np.uint16], list[Candidate]]:
    """Label map and candidates, the likeliest first; label *k* is the mask of the *k*-th.

    The map is cut at the lower threshold into parts connected over faces, edges and corners.
    What is likelier than the upper threshold inside a part is a nodule each, so that a faint
    bridge does not join two; specks of them are dropped beside a nodule of proper size. A part
    without any is one faint candidate.

    The score ``top`` is a mean and not the maximum, because the maximum of many voxels grows with
    their number and one hot voxel says little; and not the mean over the part, because that depends
    on where the map is cut. The others are there to be compared with it.

    Parameters
    ----------
    probability : (z, y, x) uint16
        Probability times 65535.
    lungs : (z, y, x)
        Not 0 inside the lungs.
    search
        What counts.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> probability = Volume(np.zeros((9, 9, 9), np.uint16), Geometry((1.0, 1.0, 1.0)))
    >>> probability.array[3:6, 3:6, 3:6] = ONE
    >>> search = Search(
    ...     threshold=0.5, candidate_threshold=0.1, min_diameter_mm=3, max_diameter_mm=30,
    ...     margin_mm=3, most=10,
    ... )
    >>> labels, (candidate,) = find_candidates(probability, np.ones((9, 9, 9), bool), search)
    >>> candidate.xyz_mm, candidate.probability, candidate.voxels
    ((4.0, 4.0, 4.0), 1.0, 27)
    """
    lower = max(1, np.ceil(min(search.threshold, search.candidate_threshold) * ONE))
    probability = probability.like(
        smoothed_along_z(
            probability.array, search.smooth_mm / probability.spacing_mm[0], above=lower
        )
    )
    labels = np.zeros(probability.shape, np.uint16)
    least = _voxels(search.min_diameter_mm, probability)
    most = _voxels(search.max_diameter_mm, probability)
    found = []
    # An empty map has no parts at any threshold.
    above = probability.like(probability.array >= lower)
    for box, part in _near_lungs(above, lungs, search, least):
        values = np.where(part, probability.array[box], 0)
        for own, masked in _nodules(values, part, search, least):
            if np.count_nonzero(own) > most:
                continue
            found.append((_measured(values, own, masked, box, probability, search), box, own))
    found.sort(key=lambda entry: (-entry[0].probability, entry[0].xyz_mm))
    kept = found[: search.most]
    for label, (candidate, box, own) in enumerate(kept, 1):
        if candidate.voxels:
            labels[box][own] = label
    return probability.like(labels), [candidate for candidate, _, _ in kept]


def two_means_threshold(probability: Probability, lungs: npt.NDArray[Any], floor: float) -> float:
    """Threshold halfway between the two clusters of the probabilities in the lungs, or `floor`.

    On a map in which nothing stands out, the two clusters are both noise and halfway between
    them lies in the middle of it; the floor is what keeps such a map empty.

    Examples
    --------
    >>> lungs = np.ones((1, 1, 3), bool)
    >>> two_means_threshold(np.array([[[0, 0, ONE]]], np.uint16), lungs, floor=0.2)
    0.5
    >>> two_means_threshold(np.array([[[0, 0, 100]]], np.uint16), lungs, floor=0.2)
    0.2
    """
    counts = np.zeros(ONE + 1, np.int64)
    for plane, inside in zip(probability, lungs, strict=True):
        counts += np.bincount(plane[inside != 0], minlength=ONE + 1)
    if np.count_nonzero(counts) < 2:
        return floor
    return max(floor, two_means(counts).threshold / ONE)


def _voxels(diameter_mm: float, on: Volume[Any]) -> float:
    """Voxels in a ball."""
    return ball_mm3(diameter_mm) / on.geometry.voxel_mm3


def _boxes(parts: Components, least: float) -> Iterator[tuple[int, Box]]:
    """Label and box of the parts that are large enough."""
    import cc3d

    found = cc3d.statistics(parts)
    for k in np.flatnonzero(found["voxel_counts"] >= least):
        if k:
            yield int(k), found["bounding_boxes"][k]


def _near_lungs(
    above: Volume[np.bool_], lungs: npt.NDArray[Any], search: Search, least: float
) -> Iterator[tuple[Box, MaskArray]]:
    """Box and voxels of every part that is large enough, in or near the lungs."""
    within = bounding_box(above.array)
    if within is None:
        return
    parts = joined(above.array[within], search.min_overlap)
    for k, inner in _boxes(parts, least):
        box = on_whole(inner, within)
        part = (parts[inner] == k) & _near(lungs, box, search.margin_mm, above.spacing_mm)
        if np.count_nonzero(part) >= least:
            yield box, part


def _near(lungs: npt.NDArray[Any], box: Box, margin_mm: float, spacing_mm: Triple) -> MaskArray:
    """Voxels of the box within `margin_mm` of the lungs."""
    from scipy.ndimage import distance_transform_edt

    inside: MaskArray = lungs[box] != 0
    if inside.all() or margin_mm <= 0:
        return inside
    reach = [int(np.ceil(margin_mm / mm)) for mm in spacing_mm]
    wide = widened(box, reach, lungs.shape)
    outside = lungs[wide] == 0
    if outside.all():
        return inside
    near = distance_transform_edt(outside, sampling=spacing_mm) <= margin_mm
    back = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(box, wide, strict=True))
    return np.asarray(near[back])


def _nodules(
    values: Probability, part: MaskArray, search: Search, least: float
) -> Iterator[tuple[MaskArray, bool]]:
    """Voxels of each candidate in a part, and whether they are its mask."""
    cores = joined(values >= max(1, np.ceil(search.threshold * ONE)), search.min_overlap)
    counts = np.bincount(cores.ravel())[1:]
    if not counts.size:
        yield part, False
        return
    proper = np.flatnonzero(counts >= least) + 1
    for k in proper if proper.size else [int(counts.argmax()) + 1]:
        yield cores == k, True


def _measured(  # noqa: PLR0913, PLR0917
    values: Probability, own: MaskArray, masked: bool, box: Box, on: Volume[Any], search: Search
) -> Candidate:
    where = np.argwhere(own)
    weight = values[own].astype(np.float64) / ONE
    centre = (where * weight[:, None]).sum(axis=0) / weight.sum()
    x, y, z = (float(v) for v in on.geometry.to_world(centre + [s.start for s in box]))
    return Candidate(
        xyz_mm=(x, y, z),
        probability=score_of(weight, where[:, 0], on.geometry, search.score, search.score_mm),
        diameter_mm=equivalent_diameter_mm(weight.size * on.geometry.voxel_mm3),
        voxels=weight.size if masked else 0,
    )


def score_of(
    probability: FloatArray, z_index: IndexArray, grid: Geometry, score: str, score_mm: float = 3.0
) -> float:
    """How likely a candidate is, by the probabilities of its voxels.

    Parameters
    ----------
    probability, z_index : (n,)
        Probability and slice of each of its voxels.
    grid
        The grid they lie on.
    score
        ``max``, ``mean``, ``top`` or ``slices``, see `SCORES`.
    score_mm
        Diameter of the ball whose number of voxels ``top`` takes, and height of the slices that
        ``slices`` takes, mm.

    Examples
    --------
    Five voxels in two slices of 1 mm:

    >>> p, z = np.array([0.9, 0.5, 0.4, 0.6, 0.1]), np.array([0, 0, 0, 1, 1])
    >>> grid = Geometry((1.0, 1.0, 1.0))
    >>> [round(score_of(p, z, grid, name, score_mm=3.0), 3) for name in SCORES]
    [0.5, 0.9, 0.5, 0.5]
    >>> round(score_of(p, z, grid, "top", score_mm=1.5), 3), score_of(p, z, grid, "slices", 2.0)
    (0.75, 0.75)
    """
    if score == "max":
        return float(probability.max())
    if score == "mean":
        return float(probability.mean())
    if score == "slices":
        wanted = max(1, round(score_mm / grid.spacing_mm[0]))
        highest = np.zeros(int(np.ptp(z_index)) + 1)
        np.maximum.at(highest, z_index - z_index.min(), probability)
        # A slice that is missing counts 0: what is seen in one slice alone is rarely a nodule.
        return float(np.sort(highest)[-wanted:].sum() / wanted)
    top = max(1, min(probability.size, int(np.ceil(ball_mm3(score_mm) / grid.voxel_mm3))))
    return float(np.sort(probability)[-top:].mean())
