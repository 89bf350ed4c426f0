"""A ball from a position and a diameter."""

import numpy as np
import pytest

from lungseg.ops.nodules.sphere import ball
from lungseg.volume import Geometry

GRIDS = [
    Geometry((1.0, 1.0, 1.0), (-10.0, -10.0, -10.0)),
    Geometry((2.5, 0.7, 0.7), (20.0, 20.0, 20.0), (-1, 0, 0, 0, -1, 0, 0, 0, 1)),
    Geometry((1.25, 0.6, 0.8), (1.0, 2.0, 3.0), (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1)),
]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("diameter_mm", [3.0, 7.5, 21.0])
def test_it_has_the_balls_volume_and_place(grid, diameter_mm):
    centre = (2.3, -4.1, 6.7)
    patch = ball(centre, diameter_mm, grid)
    volume = patch.mask.sum() * grid.voxel_mm3
    assert abs(volume - np.pi / 6 * diameter_mm**3) <= grid.voxel_mm3 / 2 + 1e-9
    world = grid.to_world(np.argwhere(patch.mask) + patch.first_zyx)
    away = np.linalg.norm(world - centre, axis=1)
    assert away.max() < diameter_mm / 2 + max(grid.spacing_mm)
    assert np.linalg.norm(world.mean(axis=0) - centre) < max(grid.spacing_mm) / 2


def test_it_is_never_empty():
    assert ball((0.0, 0.0, 0.0), 0.1, GRIDS[0]).mask.sum() == 1


def test_no_diameter_is_an_error():
    with pytest.raises(ValueError, match="diameter above 0 mm, not -1"):
        ball((0.0, 0.0, 0.0), -1.0, GRIDS[0])
