"""The vessels of a lung: a tree that grows from the hilum to points all over the lung.

The points are split again and again across their longest extent; each part is supplied by a branch
that goes part of the way to its centre. The radius follows the number of points supplied (Murray's
law with an exponent near 2.8), so that the tree tapers as a real one does.
"""

from functools import lru_cache

import numpy as np

from lungseg.phantom.anatomy import Build, lung_depth
from lungseg.phantom.organs import GREAT_VESSELS, MAIN_BRONCHI, PULMONARY_VEINS, WALL_MM, widened
from lungseg.volume import F32, FloatArray

HILUM = {"right": (-38.0, 8.0, -4.0), "left": (40.0, 12.0, -2.0)}
THINNEST_MM, GROWTH = 0.62, 0.36


@lru_cache(maxsize=32)
def pulmonary_tree(build: Build, seed: int, points: int = 420) -> FloatArray:
    """Tubes ``(n, 8)`` of the vessels of both lungs, in body coordinates."""
    rng = np.random.default_rng([seed, 1])
    rows: list[tuple[float, ...]] = []
    for side, hilum in HILUM.items():
        served = inside_lung(build, rng, points, side, deeper_mm=4.0)
        if len(served):
            _grow(np.asarray(hilum), served, rng, rows)
    tree = np.array(rows).reshape(-1, 8)
    tree.flags.writeable = False
    return tree


def solid_depth(build: Build, x: F32, y: F32, z: F32) -> F32:
    """Depth inside the nearest lung, mm; great vessels and main bronchi are not lung."""
    depth = lung_depth(build, x, y, z)
    bronchi = widened(MAIN_BRONCHI, WALL_MM)
    for tube in np.concatenate([GREAT_VESSELS, PULMONARY_VEINS, bronchi]).astype(np.float32):
        (sx, sy, sz), axis = tube[:3], tube[3:6] - tube[:3]
        dx, dy, dz = x - sx, y - sy, z - sz
        along = np.clip((dx * axis[0] + dy * axis[1] + dz * axis[2]) / (axis @ axis), 0.0, 1.0)
        dx, dy, dz = dx - along * axis[0], dy - along * axis[1], dz - along * axis[2]
        radius = tube[6] + along * (tube[7] - tube[6])
        depth = np.minimum(depth, np.sqrt(dx * dx + dy * dy + dz * dz) - radius)
    return np.asarray(depth)


def inside_lung(
    build: Build, rng: np.random.Generator, count: int, side: str, deeper_mm: float
) -> FloatArray:
    """Up to `count` random points of a lung, at least `deeper_mm` from its surface."""
    low = np.array([-135.0 if side == "right" else 5.0, -95.0, -165.0])
    tried = low + rng.random((6 * count, 3)) * np.array([130.0, 190.0, 300.0])
    x, y, z = tried.astype(np.float32).T
    return np.asarray(tried[solid_depth(build, x, y, z) > deeper_mm][:count])


def _grow(
    start: FloatArray,
    served: FloatArray,
    rng: np.random.Generator,
    rows: list[tuple[float, ...]],
) -> None:
    waiting = [(start, served, THINNEST_MM * len(served) ** GROWTH)]
    while waiting:
        at, points, radius = waiting.pop()
        if len(points) == 1:
            rows.append((*at, *points[0], radius, 0.8 * THINNEST_MM))
            continue
        middle = points.mean(axis=0)
        away = np.linalg.norm(middle - at)
        fork = at + rng.uniform(0.35, 0.6) * (middle - at) + rng.normal(0, 0.05 * away, 3)
        narrowed = THINNEST_MM * len(points) ** GROWTH
        rows.append((*at, *fork, radius, narrowed))
        _, _, axes = np.linalg.svd(points - middle, full_matrices=False)
        order = np.argsort((points - middle) @ axes[0])
        # Unequal halves make a main stem with side branches.
        cut = int(np.clip(round(len(points) * rng.uniform(0.3, 0.7)), 1, len(points) - 1))
        waiting.extend(
            (fork, points[half], THINNEST_MM * len(half) ** GROWTH)
            for half in (order[:cut], order[cut:])
        )
