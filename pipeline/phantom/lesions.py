"""Disease of a phantom's lungs: lobes without air, effusions, bullae, emphysema, gas beside them.

Each finding is a description; `paint_*` draw it into a slab of the scan. Lengths are in body
coordinates, mm; depths are positive inside.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from lungseg.phantom.anatomy import Build, diaphragm_height
from lungseg.phantom.organs import BLOOD_HU, CONTRAST_HU, GAS_HU
from lungseg.phantom.shapes import Frame, cover_sparsely, draw_tubes, edge, ellipsoid, join
from lungseg.phantom.vessels import pulmonary_tree
from lungseg.volume import F32, IntArray, Triple

CONSOLIDATED_HU, COLLAPSED_HU, FLUID_HU, WALL_HU = 32.0, 45.0, 12.0, 40.0
# Alveoli destroyed by emphysema, and the air in a bulla.
HOLE_HU, BULLA_HU, SEPTUM_HU = -992.0, -990.0, -420.0
LATTICE, LATTICE_MM = 48, 5.0


@dataclass(frozen=True, kw_only=True)
class Lobe:
    """A lobe without air.

    Attributes
    ----------
    side, lobe
        right or left; upper, middle (right only) or lower.
    collapsed
        The lobe has shrunk to a wedge at its usual place (atelectasis), and the rest of the lung
        fills its room; otherwise it keeps its size (consolidation: pneumonia), with bronchi full
        of air in it, and patches that still hold some air.
    """

    side: str
    lobe: str
    collapsed: bool = False


@dataclass(frozen=True, kw_only=True)
class Effusion:
    """Pleural fluid behind and under a lung; the lung that it presses on has no air.

    Attributes
    ----------
    side
        right or left.
    rise_mm
        How much further forward than a small effusion it reaches.
    pressed_mm
        Thickness of the lung without air in front of it.
    """

    side: str
    rise_mm: float = 0.0
    pressed_mm: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Bulla:
    """A bubble of air in a lung, without vessels, in a thin wall."""

    centre: Triple
    radii: Triple


@dataclass(frozen=True, kw_only=True)
class Emphysema:
    """Holes of some mm all over the lungs, most in the upper part, and less tissue between them.

    Attributes
    ----------
    share
        Share of the lungs' upper part that holes make up.
    """

    share: float = 0.35


@dataclass(frozen=True, kw_only=True)
class Gas:
    """Gas of stomach or colon under a dome of the diaphragm, along the whole of it.

    Attributes
    ----------
    side
        left: the stomach; right: colon between liver and diaphragm.
    wall_mm
        Thickness of diaphragm and bowel wall together.
    """

    side: str
    wall_mm: float = 2.0


@dataclass(frozen=True, kw_only=True)
class Hernia:
    """A hiatal hernia: stomach behind the heart, half full, with the lungs on both sides of it."""

    centre: Triple = (16.0, 28.0, -76.0)
    radii: Triple = (44.0, 30.0, 34.0)
    wall_mm: float = 3.0


@dataclass(frozen=True, kw_only=True)
class ThickVessel:
    """A vessel from the hilum into the lung, thicker than the tree's."""

    start: Triple
    end: Triple
    radius_mm: float = 3.5


Finding = Lobe | Effusion | Bulla | Emphysema | Gas | Hernia | ThickVessel


def lobe_depth(finding: Lobe, x: F32, y: F32, z: F32) -> F32:
    """Depth inside the lobe, or inside what is left of it when it has collapsed, mm."""
    out = -x if finding.side == "right" else x
    if finding.collapsed:
        return _collapsed(finding.lobe, finding.side, out, y, z)
    # The oblique fissure runs from the fifth thoracic vertebra to the front of the diaphragm, the
    # horizontal one forward from it; neither is quite plane.
    bow = np.float32(5.0) * np.sin(out / np.float32(19.0))
    oblique = (z - y + np.float32(20.0) + bow) * np.float32(0.707)
    horizontal = z + np.float32(8.0) - bow * np.float32(0.7)
    if finding.lobe == "lower":
        depth = -oblique
    elif finding.side == "left":
        depth = oblique
    else:
        depth = np.minimum(oblique, horizontal if finding.lobe == "upper" else -horizontal)
    return np.asarray(np.minimum(depth, out))


def _collapsed(lobe: str, side: str, out: F32, y: F32, z: F32) -> F32:
    """Depth in a collapsed lobe; `out` is the distance from the midline."""
    bow = np.float32(4.0) * np.sin(y / np.float32(17.0))
    if lobe == "lower":
        # A triangle beside the spine that widens toward the diaphragm.
        edge_x = np.float32(38.0) - np.float32(0.26) * z + np.float32(0.3) * (y - np.float32(60.0))
        depth = np.minimum(edge_x - bow - out, y - np.float32(18.0))
        depth = np.minimum(depth, np.float32(8.0) - z)
    elif lobe == "middle":
        # A wedge beside the heart, under the horizontal fissure.
        thick = np.float32(15.0) - np.abs(z + np.float32(24.0) + np.float32(0.2) * y + bow)
        depth = np.minimum(thick, np.float32(-4.0) - y)
        depth = np.minimum(depth, np.float32(92.0) - out)
    elif side == "right":
        slope = np.float32(0.42) * (z - np.float32(18.0))
        depth = np.minimum(np.float32(36.0) + slope + bow - out, np.float32(62.0) - y)
        depth = np.minimum(depth, z - np.float32(18.0))
    else:
        # The left upper lobe becomes a sheet behind the front wall, thickest beside the midline.
        medial = np.float32(12.0) * np.exp(-out / np.float32(30.0))
        sheet = np.float32(-56.0) - y + np.float32(0.22) * z + medial
        depth = np.minimum(np.minimum(sheet, z + np.float32(55.0)), np.float32(92.0) - out)
    return np.asarray(np.minimum(depth, out))


def fluid_depth(finding: Effusion, x: F32, y: F32, z: F32) -> F32:
    """Depth inside pleural fluid, mm: behind the lung, rising along the wall, and under it."""
    out = -x if finding.side == "right" else x
    level = np.float32(48.0) + np.float32(0.42) * (z + np.float32(70.0))
    level = np.minimum(level, np.float32(86.0)) - np.float32(finding.rise_mm)
    depth = np.maximum(y - level, np.float32(-116.0) - z + np.float32(0.2) * out)
    return np.asarray(np.minimum(depth, out))


def gas_under_dome(finding: Gas, build: Build, frame: Frame) -> F32:
    """Occupancy of the gas: it follows the dome, and lies on fluid behind."""
    x, y, z = frame.x, frame.y, frame.z
    height, steepness = diaphragm_height(build, x, y)
    sign = -1.0 if finding.side == "right" else 1.0
    depth = (height - z) / steepness - np.float32(finding.wall_mm)
    half = (44.0, 46.0, 52.0) if finding.side == "left" else (26.0, 34.0, 30.0)
    middle = (sign * 72.0, -30.0, build.dome_left_mm - 38.0)
    if finding.side == "right":
        middle = (-74.0, -44.0, build.dome_right_mm - 18.0)
    body = np.zeros(frame.shape, np.float32)
    join(body, ellipsoid(frame, middle, half))
    width = np.maximum(frame.width_z / steepness, np.float32(frame.width_xy))
    np.minimum(body, edge(depth, width), out=body)
    # Gas lies in front in the supine patient.
    level = edge(np.float32(-4.0) - y, frame.width_xy)
    return np.asarray(np.minimum(body, level))


def hernia_parts(finding: Hernia, frame: Frame) -> tuple[F32, F32]:
    """Occupancy of the herniated stomach, and of the gas in it."""
    sac, gas = (np.zeros(frame.shape, np.float32) for _ in range(2))
    join(sac, ellipsoid(frame, finding.centre, finding.radii))
    r = finding.radii
    w = finding.wall_mm
    join(gas, ellipsoid(frame, finding.centre, (r[0] - w, r[1] - w, r[2] - w)))
    level = edge(np.float32(finding.centre[1] + 4.0) - frame.y, frame.width_xy)
    return sac, np.asarray(np.minimum(gas, level))


@lru_cache(maxsize=4)
def _lattice(seed: int) -> F32:
    rng = np.random.default_rng([seed, 7])
    values = rng.standard_normal((LATTICE,) * 3).astype(np.float32)
    values.flags.writeable = False
    return values


def unevenness(seed: int, points_xyz: F32, step_mm: float = LATTICE_MM) -> F32:
    """Smooth random values, sd about 0.6, at body positions ``(3, n)``: the same on any grid."""
    at = np.asarray(points_xyz) / np.float32(step_mm)
    return np.asarray(ndimage.map_coordinates(_lattice(seed), at, order=1, mode="grid-wrap"))


def places(frame: Frame, flat: IntArray) -> F32:
    """Body positions ``(3, n)`` of voxels given by their flat index."""
    index = np.unravel_index(flat, frame.shape)
    found = []
    for values in (frame.x, frame.y, frame.z):
        pick = tuple(
            i if n > 1 else np.zeros_like(i) for i, n in zip(index, values.shape, strict=True)
        )
        found.append(values[pick])
    return np.asarray(np.stack(found), np.float32)


def paint_emphysema(finding: Emphysema, frame: Frame, ct: F32, lung: F32, seed: int) -> None:
    """Paint holes into the lung, before its vessels."""
    at = np.flatnonzero(lung > 0.02)
    points = places(frame, at)
    uneven = unevenness(seed, points) + 0.5 * unevenness(seed + 1, points, 2 * LATTICE_MM)
    above = np.clip((points[2] + np.float32(130.0)) / np.float32(200.0), 0.25, 1.0)
    share = np.clip(np.float32(finding.share) * above, 0.0, 0.95)
    # Quantiles of the unevenness at a thousand places: the holes take the share asked for.
    sample = np.sort(uneven[:: max(1, len(uneven) // 4000)]) if len(uneven) else uneven
    if not len(sample):
        return
    limit = np.interp(1 - share, np.linspace(0, 1, len(sample)), sample)
    hole = np.clip((uneven - limit) / np.float32(0.25) + np.float32(0.5), 0.0, 1.0)
    filled = lung.ravel()[at]
    flat = ct.reshape(-1)
    # What is left of the tissue is stretched.
    flat[at] += filled * (np.float32(-28.0) + hole * (np.float32(HOLE_HU + 28.0) - flat[at]))


def paint_lobe(finding: Lobe, frame: Frame, ct: F32, lung: F32, seed: int) -> F32:
    """Paint a lobe without air; return its occupancy."""
    depth = lobe_depth(finding, frame.x, frame.y, frame.z)
    filled = np.asarray(np.minimum(edge(depth, max(frame.width_xy, frame.width_z)), lung))
    if finding.collapsed:
        cover_sparsely(ct, filled, COLLAPSED_HU)
        return filled
    at = np.flatnonzero(filled > 0)
    points = places(frame, at)
    uneven = unevenness(seed + 2, points, 14.0)
    # Most of it is solid; here and there some air is left, as in pneumonia that spreads.
    air = np.clip((uneven - np.float32(0.55)) * np.float32(900.0), 0.0, 420.0)
    flat = ct.reshape(-1)
    flat[at] += filled.ravel()[at] * (np.float32(CONSOLIDATED_HU) - air - flat[at])
    return filled


def paint_bronchograms(  # noqa: PLR0913, PLR0917 - the body, the grid, and what is on it
    finding: Lobe, build: Build, frame: Frame, ct: F32, lung: F32, seed: int
) -> None:
    """Paint bronchi full of air beside the arteries of a consolidated lobe."""
    if finding.collapsed:
        return
    tree = pulmonary_tree(build, seed)
    middle = ((tree[:, :3] + tree[:, 3:6]) / 2).astype(np.float32)
    inside = lobe_depth(finding, *middle.T) > 8.0
    bronchi = tree[inside & (tree[:, 6] > 1.1)].copy()
    bronchi[:, [0, 3]] += 3.2
    bronchi[:, 6:] *= 0.8
    air = np.zeros(frame.shape, np.float32)
    draw_tubes(frame, air, bronchi)
    cover_sparsely(ct, np.minimum(air, lung), GAS_HU)


def paint_bulla(finding: Bulla, frame: Frame, ct: F32, lung: F32) -> F32:
    """Paint a bulla over vessels and all; return its occupancy with the wall."""
    outer, inner = (np.zeros(frame.shape, np.float32) for _ in range(2))
    join(outer, ellipsoid(frame, finding.centre, finding.radii))
    r = finding.radii
    join(inner, ellipsoid(frame, finding.centre, (r[0] - 1.2, r[1] - 1.2, r[2] - 1.2)))
    outer = np.minimum(outer, lung)
    cover_sparsely(ct, outer, SEPTUM_HU)
    cover_sparsely(ct, np.minimum(inner, lung), BULLA_HU)
    return np.asarray(outer)


def paint_vessel(finding: ThickVessel, frame: Frame, ct: F32, lung: F32, *, contrast: bool) -> F32:
    """Paint a vessel into the lung; return its occupancy."""
    filled = np.zeros(frame.shape, np.float32)
    tube = [[*finding.start, *finding.end, 1.15 * finding.radius_mm, finding.radius_mm]]
    draw_tubes(frame, filled, np.array(tube))
    np.minimum(filled, lung, out=filled)
    cover_sparsely(ct, filled, CONTRAST_HU if contrast else BLOOD_HU)
    return filled
