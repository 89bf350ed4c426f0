"""Where the outline of a lung lies, in mm, whatever the grid and the blur."""

import numpy as np
import pytest
from scipy import ndimage

from lungseg.ops.grid.blocks import Zoom, block_mean
from lungseg.ops.lungs.outline import CoarseLungs, outlined

EDGE = -400


def slab(step_mm, blur_mm, wall_mm=20.2):
    """HU along x: lung (-850) up to `wall_mm`, tissue (50) beyond, blurred."""
    x = np.arange(0, 40, step_mm)
    hu = np.where(np.arange(0, 40, 0.02) < wall_mm, -850.0, 50.0)
    hu = ndimage.gaussian_filter1d(hu, blur_mm / 0.02, mode="nearest")[(x / 0.02).astype(int)]
    ct = np.round(np.broadcast_to(hu, (8, 8, len(x)))).astype(np.int16)
    dark = block_mean(ct, (2, 2, 2)) < EDGE
    lungs = CoarseLungs(dark=dark, closed=dark.astype(np.uint8), airways=np.zeros_like(dark))
    return ct, lungs, Zoom(ct.shape, (2, 2, 2)), wall_mm


@pytest.mark.parametrize("blur_mm", [0.4, 0.8, 1.6])
@pytest.mark.parametrize("step_mm", [0.7, 1.0])
@pytest.mark.parametrize("rim_mm", [0.0, 0.8])
def test_the_last_voxel_is_the_last_within_the_rim_of_the_wall(step_mm, blur_mm, rim_mm):
    ct, lungs, zoom, wall_mm = slab(step_mm, blur_mm)
    labels = outlined(ct, lungs, zoom, EDGE, rim_mm, (step_mm,) * 3)
    reach_mm = (np.flatnonzero(labels[4, 4])[-1] + 0.5) * step_mm
    # Where lung ends lies half-way between two voxels' centres.
    assert reach_mm == pytest.approx(wall_mm + rim_mm, abs=0.75 * step_mm)
    assert (labels[4, 4, : int(wall_mm / step_mm)] == 1).all()


def test_airways_are_left_out_and_added_blocks_taken_whole():
    ct, lungs, zoom, _ = slab(1.0, 0.5)
    airways = np.zeros_like(lungs.dark)
    airways[2, 2, 4] = True
    closed = lungs.closed.copy()
    closed[2, 2, 12] = 2
    changed = CoarseLungs(dark=lungs.dark, closed=closed, airways=airways)
    labels = outlined(ct, changed, zoom, EDGE, 0.8, (1.0, 1.0, 1.0))
    assert (labels[4:6, 4:6, 8:10] == 0).all()
    assert (labels[4:6, 4:6, 24:26] == 2).all()
    assert (ct[4:6, 4:6, 24:26] > 0).all()


def test_dense_lung_at_the_wall_is_followed_a_step_farther_than_blur():
    ct, lungs, zoom, _ = slab(1.0, 0.4)
    hazy = ct.copy()
    hazy[:, 3:5, 21:23] = [-390, -370]
    plain = outlined(ct, lungs, zoom, EDGE, 0.8, (1.0, 1.0, 1.0))
    found = outlined(hazy, lungs, zoom, EDGE, 0.8, (1.0, 1.0, 1.0))
    assert found[4, 3:5].sum() > plain[4, 3:5].sum()
    np.testing.assert_array_equal(found[:, 0], plain[:, 0])


def test_no_lung_has_no_outline():
    ct, lungs, zoom, _ = slab(1.0, 0.4)
    empty = CoarseLungs(
        dark=np.zeros_like(lungs.dark),
        closed=np.zeros_like(lungs.closed),
        airways=lungs.airways,
    )
    assert not outlined(ct, empty, zoom, EDGE, 0.8, (1.0, 1.0, 1.0)).any()
