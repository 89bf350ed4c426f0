"""Phantoms on the grids of real LIDC scans, with the nodules that radiologists drew on them.

The database has a scan's ids, pixel spacing, slice positions and contours, but no images. The
phantom's body is moved and scaled, within the range of real bodies, until every drawn nodule lies
in its lungs; each nodule is then rendered in the shape of its readers' consensus.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lungseg.core.errors import ScanError
from lungseg.io.annotations.lidc_database import LidcScan
from lungseg.ops.nodules.consensus import Votes, agreed, count_votes
from lungseg.ops.nodules.contours import Reading
from lungseg.ops.nodules.readings import nodule_masks
from lungseg.ops.nodules.sizes import equivalent_diameter_mm
from lungseg.phantom.chest import Chest, Phantom
from lungseg.phantom.nodules import places_for
from lungseg.phantom.render import VoxelNodule, render
from lungseg.phantom.vessels import solid_depth
from lungseg.volume import F32, Geometry, IntArray, MaskArray, Triple

PIXELS = 512
TRIES = 4000
CLEAR_MM = 1.5
LUNG_HU = -860.0
# HU for the mean rating of texture: 1 ground glass, 3 part-solid, 5 solid.
_TEXTURE_HU = ((1.0, 2.0, 3.0, 4.0, 5.0), (-600.0, -470.0, -260.0, -60.0, 20.0))
CALCIFIED_HU = 260.0
SOLID_HU, GROUND_GLASS_HU = 20.0, -600.0
SCENE_MARGIN_MM = 30.0
ABSENT_CALCIFICATION = 5.5
READERS_FOR_TRUTH = 3


@dataclass(frozen=True, eq=False)
class DrawnNodule:
    """One nodule of the database, on its scan's grid.

    Attributes
    ----------
    votes
        ``(z, y, x)`` uint8 in its box: readers who included each voxel.
    first_zyx
        Index of the box on the grid.
    readers
        Number of readings.
    hu
        Value it is rendered with.
    """

    votes: Votes
    first_zyx: tuple[int, int, int]
    readers: int
    hu: float

    @property
    def consensus(self) -> MaskArray:
        """Voxels in the box that at least half of its readers included (any reader, if none)."""
        return agreed(self.votes, self.readers)

    def points_zyx(self) -> IntArray:
        """Indices of the consensus' voxels on the scan's grid."""
        return np.asarray(np.argwhere(self.consensus) + np.asarray(self.first_zyx))


@dataclass(frozen=True, eq=False)
class PhantomPlan:
    """What is rendered for one scan of the database.

    Attributes
    ----------
    scan
        The database's record.
    shape, geometry
        Its grid: real spacing and slice positions; the field of view is centred at x = y = 0,
        because the database does not contain its position.
    chest
        The body, placed and scaled.
    nodules
        The nodules that radiologists drew.
    """

    scan: LidcScan
    shape: tuple[int, int, int]
    geometry: Geometry
    chest: Chest
    nodules: tuple[DrawnNodule, ...]

    def render(self) -> Phantom:
        """Scan and truth; label n is the n-th of `nodules`."""
        drawn = [_with_soft_edges(nodule) for nodule in self.nodules]
        return render(self.chest, self.shape, self.geometry, drawn=drawn, halve=True)


def grid_of(scan: LidcScan) -> tuple[tuple[int, int, int], Geometry]:
    """The scan's grid of 512 x 512 pixels.

    Raises
    ------
    ScanError
        If its slices are not evenly spaced.
    """
    step = np.diff(scan.z_mm)
    if len(step) == 0 or np.ptp(step) > 0.02 * scan.slice_spacing_mm:
        raise ScanError(
            f"{scan.patient}: its {len(scan.z_mm)} slice positions are not evenly spaced "
            f"(steps {step.min(initial=0):g} to {step.max(initial=0):g} mm), so no phantom has "
            "this grid; choose another scan"
        )
    corner = round(-scan.pixel_mm * (PIXELS - 1) / 2, 4)
    mean_step = (scan.z_mm[-1] - scan.z_mm[0]) / len(step)
    spacing = (mean_step, scan.pixel_mm, scan.pixel_mm)
    return (len(scan.z_mm), PIXELS, PIXELS), Geometry(spacing, (corner, corner, scan.z_mm[0]))


def drawn_nodules(scan: LidcScan) -> tuple[DrawnNodule, ...]:
    """The nodules of a scan as voxels of its grid, most readers first."""
    z_mm = np.asarray(scan.z_mm)
    found = []
    for readings, masks in nodule_masks(
        scan.readings, z_mm, scan.slice_thickness_mm, scan.slice_spacing_mm
    ):
        if masks:
            votes, first = count_votes(masks)
            found.append(DrawnNodule(votes, first, len(readings), rated_hu(readings)))
    return tuple(found)


def rated_hu(readings: Sequence[Reading]) -> float:
    """HU from the mean ratings of texture, calcification and subtlety (low: faint).

    A nodule that only one or two radiologists drew is made fainter still.
    """

    def mean(name: str, default: float) -> float:
        given = [r.ratings[name] for r in readings if name in r.ratings]
        return float(np.mean(given)) if given else default

    hu = float(np.interp(mean("texture", 5.0), *_TEXTURE_HU))
    if mean("calcification", 6.0) < ABSENT_CALCIFICATION and hu > -100.0:
        hu = CALCIFIED_HU
    strength = float(np.interp(mean("subtlety", 5.0), (1.0, 5.0), (0.75, 1.0)))
    if len(readings) < READERS_FOR_TRUTH:
        strength *= 0.65
    return LUNG_HU + strength * (hu - LUNG_HU)


def plan_phantom(scan: LidcScan, chest: Chest | None = None) -> PhantomPlan:
    """Place and scale a body so that the scan's nodules lie in its lungs.

    Parameters
    ----------
    scan
        Record of the database.
    chest
        The body and its nuisances; its position and scale are determined here.

    Raises
    ------
    ScanError
        If no body fits: the scan's nodules do not all lie in one pair of lungs of this shape, or
        its slices are not evenly spaced.
    """
    shape, geometry = grid_of(scan)
    nodules = drawn_nodules(scan)
    placed, lacking_mm = _fit(chest or Chest(), scan, geometry, nodules)
    if lacking_mm > CLEAR_MM:
        raise ScanError(
            f"{scan.patient}: no body was found whose lungs contain all {len(nodules)} drawn "
            f"nodules; the best leaves one {lacking_mm - CLEAR_MM:.1f} mm outside; choose another "
            "scan"
        )
    return PhantomPlan(scan, shape, geometry, placed, nodules)


def _fit(
    chest: Chest, scan: LidcScan, geometry: Geometry, nodules: Sequence[DrawnNodule]
) -> tuple[Chest, float]:
    """The most typical body whose lungs contain the nodules, and how far the worst point is out."""
    rng = np.random.default_rng([chest.seed, 7])
    length, field = scan.z_mm[-1] - scan.z_mm[0], scan.pixel_mm * PIXELS
    # A usual scan has some 2 cm above the lungs and 4 below, and the body fills its field of view.
    tall = np.clip((length - 60.0) / 299.0, 0.8, 1.15)
    wide = np.clip(0.95 * field / 330.0, 0.85, 1.15)
    likely = np.array([0.0, -8.0, scan.z_mm[-1] - 22.0 - 134.0 * tall, wide, wide, tall])
    spread = np.array([8.0, 10.0, 16.0, 0.05, 0.06, 0.07])
    offsets = rng.normal(size=(TRIES, 6)).clip(-2.2, 2.2)
    offsets[0] = 0.0
    tried = likely + offsets * spread
    shortfall: F32 = np.zeros((TRIES, 1), np.float32)
    if nodules:
        points = np.concatenate([_outermost(n.points_zyx()) for n in nodules])
        world = geometry.to_world(points)
        body = ((world[None] - tried[:, None, :3]) / tried[:, None, 3:]).astype(np.float32)
        shortfall = CLEAR_MM - solid_depth(chest.build, body[..., 0], body[..., 1], body[..., 2])
        shortfall = np.maximum(shortfall, 0.0)
    worst = shortfall.max(axis=1)
    cost = (offsets**2).sum(axis=1) + 40.0 * worst + 1e3 * (worst > CLEAR_MM)
    best = int(np.argmin(cost))
    cx, cy, cz, sx, sy, sz = (float(v) for v in tried[best])
    placed = replace(chest, centre_xyz_mm=(cx, cy, cz), scale_xyz=(sx, sy, sz))
    return placed, float(worst[best])


def _outermost(points: IntArray, directions: int = 48) -> IntArray:
    """The outermost points along many directions: enough to fit a body to."""
    centred = points - points.mean(axis=0)
    ways = np.random.default_rng(0).normal(size=(directions, 3))
    return np.asarray(points[np.unique((centred @ ways.T).argmax(axis=0))])


def _with_soft_edges(nodule: DrawnNodule) -> VoxelNodule:
    """The consensus with soft edges, as in a scanner's images."""
    mask = np.pad(nodule.consensus, ((0, 0), (2, 2), (2, 2)))
    soft = mask.astype(np.float32)
    for axis in (1, 2):
        soft = _smoothed(soft, axis)
    z, y, x = nodule.first_zyx
    return VoxelNodule((z, y - 2, x - 2), soft, mask, nodule.hu)


def _smoothed(values: F32, axis: int) -> F32:
    near = np.roll(values, 1, axis) + np.roll(values, -1, axis)
    return np.float32(0.5) * values + np.float32(0.25) * near


def scene(nodule: DrawnNodule, spacing_mm: Triple, kind: str, seed: int = 0) -> Phantom:
    """A piece of lung with a nodule of one kind in it that has the shape of a LIDC nodule.

    Parameters
    ----------
    nodule
        Its shape; its position in its own scan is not used.
    spacing_mm
        Of the scan it was drawn on, and of the piece.
    kind
        ``isolated``, ``juxtapleural`` (cut by the wall), ``vessel_attached`` or ``ground_glass``.
    seed
        Of the position and the vessels.

    Returns
    -------
    Phantom
        The nodule, with label 1, and three centimetres of chest around it.

    Raises
    ------
    ValueError
        If the lung has no place for a nodule of this kind and size.
    """
    chest = Chest(seed=seed)
    radius = equivalent_diameter_mm(nodule.consensus.sum() * float(np.prod(spacing_mm))) / 2
    places = places_for(chest.build, seed, kind, radius, sunk=0.75)
    if len(places) == 0:
        raise ValueError(f"the lung has no {kind} place for a nodule of {2 * radius:.0f} mm")
    margin = np.ceil(SCENE_MARGIN_MM / np.asarray(spacing_mm)).astype(int)
    shape = nodule.votes.shape + 2 * margin
    centre = np.argwhere(nodule.consensus).mean(axis=0) + margin
    corner = places[0] - (centre * spacing_mm)[::-1]
    hu = GROUND_GLASS_HU if kind == "ground_glass" else SOLID_HU
    first = (int(margin[0]), int(margin[1]), int(margin[2]))
    moved = replace(nodule, first_zyx=first, hu=hu)
    drawn = replace(_with_soft_edges(moved), clip=True)
    z, y, x = (int(n) for n in shape)
    return render(chest, (z, y, x), Geometry(spacing_mm, tuple(corner)), drawn=[drawn])
