"""Large bodies brought back from a small scan: where they lie, and what is left as it was."""

import numpy as np
import pytest

from lungseg.ops.grid.blocks import block_mean
from lungseg.ops.nodules.bodies.seen_from_afar import add_large


def ball(shape, centre, radius):
    z, y, x = np.indices(shape)
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2


def small_of(mask, n):
    """Share of each block that the mask fills."""
    return block_mean((mask * 1000).astype(np.int16), (n, n, n)).astype(np.float32) / 1000


@pytest.mark.parametrize(("n", "radius"), [(2, 9.0), (2, 14.5), (4, 19.0)])
def test_a_ball_seen_small_comes_back_where_it_was(n, radius):
    # An odd shape, so that the last blocks are cut short.
    mask = ball((47, 51, 53), (23.0, 26.0, 24.0), radius)
    found = np.zeros(mask.shape, np.float32)
    assert add_large(found, small_of(mask, n), (n, n, n)) == 1
    back = found >= 0.5
    assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.96
    middle = np.argwhere(back).mean(axis=0) - np.argwhere(mask).mean(axis=0)
    assert np.abs(middle).max() < 0.15


def test_a_body_cut_by_the_end_of_the_scan_reaches_the_last_voxel():
    mask = ball((31, 40, 40), (30.0, 20.0, 20.0), 12.0)
    found = np.zeros(mask.shape, np.float32)
    add_large(found, small_of(mask, 2), (2, 2, 2))
    assert (found[30] >= 0.5).sum() == pytest.approx(mask[30].sum(), rel=0.05)


def test_small_bodies_and_faint_ones_are_left_to_the_scan_itself():
    mask = ball((40, 40, 40), (20.0, 20.0, 20.0), 5.0)
    found = np.zeros(mask.shape, np.float32)
    assert add_large(found, small_of(mask, 2), (2, 2, 2)) == 0
    large = ball((40, 40, 40), (20.0, 20.0, 20.0), 15.0)
    assert add_large(found, 0.49 * small_of(large, 2), (2, 2, 2)) == 0
    assert not found.any()


def test_what_was_found_at_full_size_stays_if_it_is_likelier():
    mask = ball((40, 40, 40), (20.0, 20.0, 20.0), 10.0)
    found = np.zeros(mask.shape, np.float32)
    found[20, 20, 20], found[2, 2, 2] = 0.97, 0.3
    add_large(found, np.float32(0.8) * small_of(mask, 2), (2, 2, 2))
    assert found[20, 20, 20] == np.float32(0.97)
    assert found[2, 2, 2] == np.float32(0.3)
    assert found[20, 20, 22] == np.float32(0.8)


def test_a_small_neighbour_in_the_box_of_a_large_body_is_not_brought_along():
    mask = ball((48, 48, 48), (20.0, 20.0, 20.0), 15.0)
    small = small_of(mask, 2)
    # In the corner of the ball's box, and touching no block of it.
    small[3, 3, 3] = 1.0
    found = np.zeros(mask.shape, np.float32)
    assert add_large(found, small, (2, 2, 2)) == 1
    assert not found[6:8, 6:8, 6:8].any()
