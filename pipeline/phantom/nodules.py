"""Nodules of every kind, and positions in the lung where each kind occurs."""

from dataclasses import dataclass

import numpy as np

from lungseg.phantom.anatomy import Build
from lungseg.phantom.shapes import Frame, draw_tubes, edge
from lungseg.phantom.vessels import inside_lung, pulmonary_tree, solid_depth
from lungseg.volume import F32, Box, FloatArray, Triple

# Diameter (mm) and HU of each kind; a part-solid nodule has a solid core half as wide.
KINDS: dict[str, tuple[float, float]] = {
    "isolated": (10.0, 25.0),
    "juxtapleural": (14.0, 30.0),
    "vessel_attached": (9.0, 30.0),
    "ground_glass": (16.0, -580.0),
    "part_solid": (16.0, -560.0),
    "spiculated": (19.0, 35.0),
}
APART_MM = 30.0


@dataclass(frozen=True)
class PhantomNodule:
    """Description of one nodule of a phantom: a kind of `KINDS`, its centre in body coordinates."""

    kind: str
    centre: Triple
    diameter_mm: float
    hu: float


def place(
    build: Build, kinds: tuple[str, ...], seed: int, z_range_mm: tuple[float, float]
) -> tuple[PhantomNodule, ...]:
    """A nodule of each of `kinds`, at least 3 cm apart, between two heights; seeded.

    Raises
    ------
    ValueError
        If there is no room for one, or a kind is unknown.
    """
    placed: list[PhantomNodule] = []
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"no nodule of kind {kind!r}; there are {', '.join(KINDS)}")
        diameter, hu = KINDS[kind]
        places = places_for(build, seed, kind, diameter / 2)
        reach = diameter / 2 + 4.0
        room = (places[:, 2] > z_range_mm[0] + reach) & (places[:, 2] < z_range_mm[1] - reach)
        for other in placed:
            room &= np.linalg.norm(places - other.centre, axis=1) > APART_MM
        if not room.any():
            raise ValueError(f"no room for a {kind} nodule between z = {z_range_mm} mm")
        x, y, z = places[int(np.flatnonzero(room)[0])]
        placed.append(PhantomNodule(kind, (float(x), float(y), float(z)), diameter, hu))
    return tuple(placed)


def places_for(build: Build, seed: int, kind: str, radius: float, sunk: float = 0.35) -> FloatArray:
    """Body positions, in random order, where a nodule of this kind and radius (mm) may lie.

    `sunk` is the depth under the pleura of a juxtapleural nodule's centre, as a share of its
    radius: below 1 the wall cuts it.
    """
    rng = np.random.default_rng([seed, 2, round(radius * 100)])
    tree = pulmonary_tree(build, seed)
    if kind == "vessel_attached":
        thick = tree[(tree[:, 6] > 1.2) & (tree[:, 6] < 2.4)]
        middle = (thick[:, :3] + thick[:, 3:6]) / 2
        aside = rng.normal(size=middle.shape)
        along = thick[:, 3:6] - thick[:, :3]
        aside -= along * ((aside * along).sum(1) / (along * along).sum(1))[:, None]
        aside *= ((0.9 * radius + thick[:, 6]) / np.linalg.norm(aside, axis=1))[:, None]
        return np.asarray(rng.permutation((middle + aside)[_depth(build, middle) > 12.0]))
    sides = [s for s in ("right", "left") if not (build.single and s == "right")]
    spread = 4000 if kind == "juxtapleural" else 1500
    points = rng.permutation(
        np.concatenate([inside_lung(build, rng, spread, s, deeper_mm=0.0) for s in sides])
    )
    depth = _depth(build, points)
    if kind == "juxtapleural":
        # On the costal pleura, not on the mediastinal or the diaphragmatic one.
        wall = (np.abs(depth - sunk * radius) < 0.15 * radius) & (np.abs(points[:, 0]) > 85.0)
        return np.asarray(points[wall & (points[:, 2] < 80.0)])
    deep = points[depth > radius + 8.0][:200]
    ends = np.concatenate([tree[:, :3], (tree[:, :3] + tree[:, 3:6]) / 2, tree[:, 3:6]])
    thickness = np.tile(tree[:, 6], 3)
    gap = np.linalg.norm(deep[:, None] - ends[None], axis=2) - thickness
    near = np.where(thickness > 1.0, gap, gap + radius).min(axis=1)
    return np.asarray(deep[near > radius + 1.5])


def _depth(build: Build, points: FloatArray) -> F32:
    x, y, z = points.astype(np.float32).T
    return solid_depth(build, x, y, z)


def occupancy(frame: Frame, nodule: PhantomNodule, seed: int) -> tuple[Box, F32, F32] | None:
    """Box of a nodule, its occupancy, and that of its spicules or solid core (else zeros)."""
    rng = np.random.default_rng([seed, 3, *(int(abs(c) * 10) for c in nodule.centre)])
    radius = nodule.diameter_mm / 2
    reach = 2.1 * radius + max(frame.width_xy, frame.width_z)
    centre = np.asarray(nodule.centre)
    box = frame.box(centre - reach, centre + reach)
    if box is None:
        return None
    x, y, z = (c - np.float32(o) for c, o in zip(frame.part(box), nodule.centre, strict=True))
    distance = np.sqrt(x * x + y * y + z * z)
    bumps = _bumps(rng, x, y, z, distance)
    width = frame.blur(x, y, z, distance)
    if nodule.kind in {"ground_glass", "part_solid"}:
        width = np.maximum(width, np.float32(2.5))
    surface = np.float32(radius) * (1 + bumps)
    body = edge(surface - distance, width)
    extra = np.zeros(body.shape, np.float32)
    if nodule.kind == "part_solid":
        extra = edge(np.float32(0.5) * surface - distance, frame.blur(x, y, z, distance))
    elif nodule.kind == "spiculated":
        shape = (body.shape[0], body.shape[1], body.shape[2])
        inner = Frame(
            shape, x, y, z, frame.matrix, frame.matrix @ _first(box) + frame.origin - centre
        )
        ways = rng.normal(size=(14, 3))
        ways /= np.linalg.norm(ways, axis=1)[:, None]
        tips = ways * (radius * rng.uniform(1.4, 1.95, 14))[:, None]
        taper = np.column_stack([np.full(14, 1.3), np.full(14, 0.4)])
        draw_tubes(inner, extra, np.column_stack([ways * radius * 0.8, tips, taper]))
    return box, body, extra


def _first(box: Box) -> FloatArray:
    return np.array([box[2].start, box[1].start, box[0].start], float)


def _bumps(rng: np.random.Generator, x: F32, y: F32, z: F32, distance: F32) -> F32:
    """Relative change of the radius over the sphere: real nodules are not balls."""
    safe = np.maximum(distance, np.float32(0.1))
    nx, ny, nz = x / safe, y / safe, z / safe
    a = rng.normal(0.0, 1.0, 8).astype(np.float32)
    second = a[0] * nx * ny + a[1] * ny * nz + a[2] * nz * nx + a[3] * (nx * nx - ny * ny)
    third = a[4] * nx * ny * nz + a[5] * nx * (ny * ny - nz * nz) + a[6] * ny * (nz * nz - nx * nx)
    uneven = np.float32(0.13) * second + np.float32(0.16) * third
    return np.asarray(np.clip(uneven, -0.25, 0.25))
