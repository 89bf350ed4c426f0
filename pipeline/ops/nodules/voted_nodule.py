"""A nodule on the working grid: how many of its readers hold each voxel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lungseg.ops.nodules.consensus import Labels, Votes, agreed, as_of_four, count_votes
from lungseg.ops.nodules.contours import Reading, rasterise
from lungseg.ops.nodules.patches import Patch, clipped, resample_mask
from lungseg.ops.nodules.sizes import axes_mm
from lungseg.volume import Box, FloatArray, Geometry, Triple

Drawn = npt.NDArray[np.uint16]
MOST_DRAWN = 16
"""Readings of a nodule of which it is known who drew what: the bits of `Drawn`."""


@dataclass(frozen=True, eq=False)
class VotedNodule:
    """One nodule, clipped to the grid it lies on.

    Attributes
    ----------
    votes
        Readers per voxel in the nodule's box; of more than four, see `as_of_four`.
    first_zyx
        Index of the box's voxel ``[0, 0, 0]`` on the grid.
    readers
        Readings of it.
    min_diameter_mm, max_diameter_mm
        As known from elsewhere; None: measure them.
    names, ratings, ratings_median
        The readings' names, and the mean and the median of their ratings.
    drawn
        Who drew each voxel: bit *k* is set where the reading *k* of `names` holds it; None where
        single readings are not known.

    Examples
    --------
    >>> nodule = VotedNodule(np.array([[[1, 2, 2]]], np.uint8), (0, 0, 0), readers=4)
    >>> nodule.consensus.mask.tolist()
    [[[False, True, True]]]
    >>> nodule.centroid_xyz_mm(Geometry((1.0, 1.0, 1.0)))
    (1.5, 0.0, 0.0)
    """

    votes: Votes
    first_zyx: tuple[int, int, int]
    readers: int
    min_diameter_mm: float | None = None
    max_diameter_mm: float | None = None
    names: tuple[str, ...] = ()
    ratings: Mapping[str, float] = field(default_factory=dict)
    ratings_median: Mapping[str, float] = field(default_factory=dict)
    drawn: Drawn | None = None

    @property
    def consensus(self) -> Patch:
        """Voxels that at least half of the readers hold; all that any holds if none are."""
        return Patch(agreed(self.votes, self.readers), self.first_zyx)

    @property
    def box(self) -> Box:
        """Slices of the box on the grid."""
        return self.consensus.box

    def axes_mm(self, geometry: Geometry) -> tuple[float, float]:
        """Shortest and longest diameter, mm."""
        if self.min_diameter_mm is None or self.max_diameter_mm is None:
            return axes_mm(self.consensus.mask, geometry.spacing_mm)
        return self.min_diameter_mm, self.max_diameter_mm

    def centroid_xyz_mm(self, geometry: Geometry) -> Triple:
        """World position of the consensus' centre of mass, mm."""
        inside = self.consensus
        index = np.argwhere(inside.mask).mean(axis=0) + inside.first_zyx
        x, y, z = geometry.to_world(index)
        return float(x), float(y), float(z)


def voted(
    readings: Sequence[Reading],
    z_mm: FloatArray,
    source: Geometry,
    shape: Sequence[int],
    geometry: Geometry,
) -> VotedNodule | None:
    """The nodule that these readings are of, on another grid than they were drawn on.

    Parameters
    ----------
    readings
        Of one nodule; one that lies wholly outside the stack has no vote on it, but counts as a
        reader.
    z_mm, source
        World z of the slices of the stack it was drawn on, and that stack's geometry.
    shape, geometry
        The grid wanted.

    Returns
    -------
    VotedNodule or None
        None if none of it lies on the grid.

    Examples
    --------
    >>> from lungseg.ops.nodules.contours import Contour
    >>> square = np.array([(10, 20), (14, 20), (14, 24), (10, 24)])
    >>> readings = [Reading(key, (Contour(1.0, square),)) for key in ("1", "2")]
    >>> grid, z_mm = Geometry((1.0, 1.0, 1.0)), np.array([0.0, 1.0, 2.0])
    >>> nodule = voted(readings, z_mm, grid, (3, 40, 40), grid)
    >>> nodule.readers, int((nodule.votes == 2).sum()), nodule.first_zyx
    (2, 9, (1, 21, 11))
    """
    drawn = [rasterise(reading, z_mm)[0] for reading in readings]
    moved = {
        k: clipped(resample_mask(patch, source, geometry), shape)
        for k, patch in enumerate(drawn)
        if patch
    }
    inside = {k: patch for k, patch in moved.items() if patch}
    if not inside:
        return None
    votes, first = count_votes(list(inside.values()))
    return VotedNodule(
        as_of_four(votes, len(readings)),
        first,
        len(readings),
        names=tuple(reading.key for reading in readings),
        ratings=mean_ratings(readings),
        ratings_median=median_ratings(readings),
        drawn=_who_drew(inside, first, votes.shape),
    )


def _who_drew(
    patches: Mapping[int, Patch], first_zyx: Sequence[int], shape: Sequence[int]
) -> Drawn:
    drawn = np.zeros(tuple(shape), np.uint16)
    for k, patch in patches.items():
        z, y, x = (a - b for a, b in zip(patch.first_zyx, first_zyx, strict=True))
        if k < MOST_DRAWN:
            drawn[Patch(patch.mask, (z, y, x)).box] |= patch.mask.astype(np.uint16) << k
    return drawn


def mean_ratings(readings: Sequence[Reading]) -> dict[str, float]:
    """Mean of each rating over the readings that have it.

    Examples
    --------
    >>> ratings = [{"malignancy": 2}, {"malignancy": 5}]
    >>> mean_ratings([Reading(str(k), (), given) for k, given in enumerate(ratings)])
    {'malignancy': 3.5}
    """
    return {name: float(np.mean(given)) for name, given in _given(readings).items()}


def median_ratings(readings: Sequence[Reading]) -> dict[str, float]:
    """Median of each rating over the readings that have it; of two in the middle, their mean.

    Examples
    --------
    >>> ratings = [{"malignancy": 1}, {"malignancy": 2}, {"malignancy": 5}]
    >>> median_ratings([Reading(str(k), (), given) for k, given in enumerate(ratings)])
    {'malignancy': 2.0}
    """
    return {name: float(np.median(given)) for name, given in _given(readings).items()}


def _given(readings: Sequence[Reading]) -> dict[str, list[int]]:
    names = dict.fromkeys(name for reading in readings for name in reading.ratings)
    return {name: [r.ratings[name] for r in readings if name in r.ratings] for name in names}


def paint(nodules: Sequence[VotedNodule], shape: Sequence[int]) -> tuple[Votes, Labels]:
    """Votes and labels of all nodules on their grid; labels are 1, 2, ... in their order.

    Where two nodules share a voxel it goes to the one with more votes there, to the first of
    equals: a voxel has one label, and its votes are that nodule's.

    Examples
    --------
    >>> nodules = [
    ...     VotedNodule(np.array([[[1, 1]]], np.uint8), (0, 0, 0), readers=1),
    ...     VotedNodule(np.array([[[3, 3]]], np.uint8), (0, 0, 1), readers=3),
    ... ]
    >>> votes, labels = paint(nodules, (1, 1, 4))
    >>> votes.tolist(), labels.tolist()
    ([[[1, 3, 3, 0]]], [[[1, 2, 2, 0]]])
    """
    votes = np.zeros(tuple(shape), np.uint8)
    labels = np.zeros(tuple(shape), np.uint16)
    for label, nodule in enumerate(nodules, 1):
        more = nodule.votes > votes[nodule.box]
        votes[nodule.box][more] = nodule.votes[more]
        labels[nodule.box][more] = label
    return votes, labels


def paint_drawn(nodules: Sequence[VotedNodule], labels: Labels) -> Drawn:
    """Who drew each voxel: bit *k* for the reading *k* of the nodule that the voxel belongs to.

    Parameters
    ----------
    nodules, labels
        As `paint` took and gave them.

    Examples
    --------
    >>> drawn = np.array([[[1, 3]]], np.uint16)
    >>> nodule = VotedNodule(np.array([[[1, 2]]], np.uint8), (0, 0, 1), 2, drawn=drawn)
    >>> paint_drawn([nodule], np.array([[[0, 1, 1]]], np.uint16)).tolist()
    [[[0, 1, 3]]]
    """
    drawn = np.zeros(labels.shape, np.uint16)
    for label, nodule in enumerate(nodules, 1):
        if nodule.drawn is not None:
            mine = labels[nodule.box] == label
            drawn[nodule.box][mine] = nodule.drawn[mine]
    return drawn
