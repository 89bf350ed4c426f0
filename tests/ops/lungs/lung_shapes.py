"""Small bodies with lungs of known shape, for the tests of the lungs' parts."""

import numpy as np

SPACING = (3.0, 3.0, 3.0)
SHAPE = (40, 60, 90)


def ellipsoid(shape, centre, radii):
    """Voxels within an ellipsoid, all in voxels (z, y, x)."""
    place = np.indices(shape, dtype=float)
    scaled = [(p - c) / r for p, c, r in zip(place, centre, radii, strict=True)]
    return sum(s**2 for s in scaled) <= 1


def torso(shape=SHAPE, lung_hu=-850):
    """HU of an elliptic torso in air, with two lungs; and the lungs, 1 and 2."""
    ct = np.full(shape, -1000, np.int16)
    _, y, x = np.indices(shape)
    ct[((y - 30) / 26) ** 2 + ((x - 45) / 40) ** 2 <= 1] = 40
    lungs = np.zeros(shape, np.uint8)
    lungs[ellipsoid(shape, (20, 30, 26), (16, 18, 14))] = 1
    lungs[ellipsoid(shape, (20, 30, 64), (16, 18, 14))] = 2
    ct[lungs > 0] = lung_hu
    return ct, lungs
