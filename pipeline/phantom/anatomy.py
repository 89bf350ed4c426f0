"""Surfaces of the large parts of a chest: skin, chest cavity, mediastinum, heart, diaphragm.

Everything is in body coordinates, mm: x to the patient's left, y to the back, z to the head; the
origin is in the midline, half-way from front to back, three centimetres below the carina. The
figures are those of a middle-sized adult, supine, arms up, in deep inspiration.

Functions take coordinates of any broadcastable shape and return depths (mm, positive inside), so
that the same anatomy can be rendered on grids and evaluated at single points.
"""

from dataclasses import dataclass

import numpy as np

from lungseg.phantom.shapes import profile
from lungseg.volume import F32

_TRUNK_Z = (-240.0, -100.0, 0.0, 90.0, 128.0, 150.0, 175.0, 200.0, 230.0)
_TRUNK_X = (152.0, 158.0, 161.0, 161.0, 154.0, 136.0, 88.0, 64.0, 62.0)
_TRUNK_Y = (112.0, 119.0, 117.0, 108.0, 96.0, 84.0, 70.0, 62.0, 62.0)
_TRUNK_MIDDLE = (4.0, 3.0, 3.0, 8.0, 14.0, 18.0, 20.0, 20.0, 20.0)

_CAVITY_Z = (-240.0, -130.0, -60.0, 0.0, 50.0, 85.0, 108.0, 122.0, 130.0, 134.0)
_CAVITY_X = (124.0, 131.0, 132.0, 127.0, 115.0, 99.0, 81.0, 64.0, 49.0, 18.0)
_CAVITY_Y = (84.0, 90.0, 91.0, 88.0, 79.0, 64.0, 48.0, 33.0, 19.0, 1.0)
_CAVITY_MIDDLE = (0.0, 0.0, 0.0, 1.0, 5.0, 12.0, 19.0, 24.0, 27.0, 28.0)

# Half width of the mediastinum from front to back: junction line, vessels, oesophagus, vertebra.
_CORE_Y = (-105.0, -82.0, -60.0, -38.0, -12.0, 14.0, 34.0, 48.0, 60.0, 105.0)
_CORE_UPPER = (15.0, 11.0, 16.0, 29.0, 34.0, 32.0, 25.0, 20.0, 22.0, 25.0)
_CORE_LOWER = (22.0, 19.0, 24.0, 30.0, 30.0, 24.0, 17.0, 16.0, 21.0, 25.0)
_CORE_JUNCTION = (10.0, 0.15, 0.15, 16.0, 34.0, 32.0, 25.0, 20.0, 22.0, 25.0)

HEART = ((26.0, -26.0, -56.0), (70.0, 51.0, 54.0))


@dataclass(frozen=True, kw_only=True)
class Build:
    """What differs between bodies in the large parts.

    Attributes
    ----------
    fat_mm
        Thickness of the fat under the skin.
    junction
        The lungs touch in front of the great vessels, a third of a millimetre apart.
    single
        The right lung was removed; the mediastinum fills its space.
    dome_right_mm, dome_left_mm
        Height of the diaphragm's domes in body coordinates.
    """

    fat_mm: float = 14.0
    junction: bool = False
    single: bool = False
    dome_right_mm: float = -72.0
    dome_left_mm: float = -80.0


def _superellipse(x: F32, y: F32, half_x: F32, half_y: F32) -> F32:
    """Depth under a curve between an ellipse and a rounded box, mm."""
    u, v = x / half_x, y / half_y
    u2, v2 = u * u, v * v
    norm = np.sqrt(np.float32(0.45) * (u2 + v2) + np.float32(0.55) * np.sqrt(u2 * u2 + v2 * v2))
    u2 /= half_x * half_x
    v2 = v2 / (half_y * half_y)
    slope = np.sqrt(u2 + v2) + np.float32(1e-4)
    return np.asarray(
        np.minimum((1 - norm) * norm / slope, (1 - norm) * np.maximum(half_x, half_y))
    )


def trunk_depth(x: F32, y: F32, z: F32) -> F32:
    """Depth under the skin, mm; arms not included."""
    middle = profile(z, _TRUNK_Z, _TRUNK_MIDDLE)
    return _superellipse(
        x, y - middle, profile(z, _TRUNK_Z, _TRUNK_X), profile(z, _TRUNK_Z, _TRUNK_Y)
    )


def cavity_depth(x: F32, y: F32, z: F32) -> F32:
    """Depth under the ribs' inner surface, mm, in the axial plane."""
    middle = profile(z, _CAVITY_Z, _CAVITY_MIDDLE)
    depth = _superellipse(
        x, y - middle, profile(z, _CAVITY_Z, _CAVITY_X), profile(z, _CAVITY_Z, _CAVITY_Y)
    )
    return np.asarray(np.minimum(depth, np.float32(134.0) - z))


def core_depth(build: Build, x: F32, y: F32, z: F32) -> F32:
    """Depth inside the mediastinum without the heart, mm."""
    upper = profile(y, _CORE_Y, _CORE_JUNCTION if build.junction else _CORE_UPPER)
    lower = profile(y, _CORE_Y, _CORE_LOWER)
    mix = np.clip((z + np.float32(30.0)) / np.float32(50.0), 0.0, 1.0)
    half = lower + mix * (upper - lower)
    # The upper chest narrows toward the neck, and the mediastinum with it.
    half = half * profile(z, (60.0, 125.0), (1.0, 0.9))
    return np.asarray(half - np.abs(x))


def diaphragm_height(build: Build, x: F32, y: F32) -> tuple[F32, F32]:
    """Height z of the diaphragm's surface, and its steepness: length of the normal with z = 1."""
    right = x < 0
    top = np.where(right, np.float32(build.dome_right_mm), np.float32(build.dome_left_mm))
    u = (np.abs(x) - np.float32(66.0)) / np.float32(68.0)
    v = (y + np.float32(24.0)) / np.float32(96.0)
    drop = np.float32(54.0)
    height = top - drop * (u * u + v * v)
    gx, gy = 2 * drop * u / np.float32(68.0), 2 * drop * v / np.float32(96.0)
    return height.astype(np.float32), np.sqrt(1 + gx * gx + gy * gy)


def heart_depth(x: F32, y: F32, z: F32) -> F32:
    """Depth inside the heart, mm (approximate)."""
    (cx, cy, cz), (rx, ry, rz) = HEART
    dz = z - np.float32(cz)
    u = (x - np.float32(cx) + np.float32(0.30) * dz) / np.float32(rx)
    v = (y - np.float32(cy)) / np.float32(ry)
    w = dz / np.float32(rz)
    norm = np.sqrt(u * u + v * v + w * w)
    slope = np.sqrt((u / rx) ** 2 + (v / ry) ** 2 + (w / rz) ** 2) + np.float32(1e-4)
    return np.asarray((1 - norm) * norm / slope, np.float32)


def lung_depth(build: Build, x: F32, y: F32, z: F32) -> F32:
    """Depth inside the nearest lung, mm (right where x < 0); vessels are not cut out.

    Approximate away from the surface, which is enough to place nodules and vessels by.
    """
    height, steepness = diaphragm_height(build, x, y)
    depth = np.minimum(cavity_depth(x, y, z), (z - height) / steepness)
    depth = np.minimum(depth, -core_depth(build, x, y, z))
    depth = np.minimum(depth, -heart_depth(x, y, z))
    if build.single:
        depth = np.where(x < 0, np.minimum(depth, np.float32(-1.0) + 0 * depth), depth)
    return np.asarray(depth)
