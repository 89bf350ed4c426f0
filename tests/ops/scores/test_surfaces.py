"""Distances of surfaces: by hand, and against every pair of surface voxels in a loop."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lungseg.ops.scores.surfaces import surface_distance


def surface(mask):
    """Voxels of a mask with a neighbour outside, along an axis."""
    padded = np.pad(mask, 1)
    index = np.argwhere(padded)
    steps = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    return np.array([at for at in index if not all(padded[tuple(at + step)] for step in steps)])


def slow(one, other, spacing):
    apart = cdist(surface(one) * spacing, surface(other) * spacing)
    both = np.concatenate([apart.min(axis=0), apart.min(axis=1)])
    return both.mean(), np.quantile(both, 0.95)


@pytest.mark.parametrize("seed", range(6))
def test_equals_every_pair_of_surface_voxels(seed):
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((14, 16, 18))
    masks = []
    for _ in range(2):
        centre, radius = rng.uniform(5, 10, 3), rng.uniform(2, 5)
        ball = sum((a - c) ** 2 for a, c in zip((z, y, x), centre, strict=True)) < radius**2
        masks.append(ball | (rng.random(ball.shape) < 0.002))
    spacing = tuple(rng.uniform(0.5, 3, 3))
    found = surface_distance(*masks, spacing)
    assert (found.asd_mm, found.hd95_mm) == pytest.approx(slow(*masks, spacing))


def test_a_shift_by_hand():
    one, other = np.zeros((2, 5, 5, 9), bool)
    one[1:4, 1:4, 2], other[1:4, 1:4, 6] = True, True
    found = surface_distance(one, other, (3.0, 3.0, 0.7))
    assert (found.asd_mm, found.hd95_mm) == pytest.approx((2.8, 2.8))
    same = surface_distance(one, one, (3.0, 3.0, 0.7))
    assert (same.asd_mm, same.hd95_mm) == (0.0, 0.0)


def test_an_empty_mask_is_nowhere():
    one, other = np.zeros((2, 2, 2, 2), bool)
    assert np.isnan(surface_distance(one, other, (1.0, 1.0, 1.0)).asd_mm)
    one[0, 0, 0] = True
    assert np.isnan(surface_distance(one, other, (1.0, 1.0, 1.0)).hd95_mm)
