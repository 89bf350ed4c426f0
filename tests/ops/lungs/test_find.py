"""Which air in the body is lung."""

import numpy as np
import pytest

from lungseg.core.errors import ScanError
from lungseg.ops.lungs.find import LungSettings, find_lungs
from lungseg.ops.scores.counts import count
from lungseg.volume import Geometry, Volume
from tests.ops.lungs.lung_shapes import SPACING, ellipsoid, torso

# Room for a belly below the lungs.
DOWN = 24
SHAPE = (64, 60, 90)


def trunk():
    """A torso with a belly: HU, and the lungs, 1 and 2."""
    ct, lungs = torso()
    belly = np.repeat(np.where(lungs == 0, ct, 40)[:1], DOWN, axis=0)
    empty = np.zeros((DOWN, *lungs.shape[1:]), np.uint8)
    return np.concatenate([belly, ct]), np.concatenate([empty, lungs])


def found(ct, **settings):
    return find_lungs(Volume(ct, Geometry(SPACING)), None, LungSettings(**settings)).labels.array


def dice(one, other):
    return count(one, other).dice


@pytest.mark.parametrize(
    ("hu", "radius"), [(-1000, 9), (-700, 7)], ids=["stomach bubble", "faeces"]
)
def test_gas_below_the_lungs_is_none(hu, radius):
    ct, lungs = trunk()
    gas = ellipsoid(SHAPE, (12, 26, 60), (radius,) * 3)
    ct[gas] = hu
    mask = found(ct)
    assert not mask[gas].any()
    assert dice(mask > 0, lungs > 0) > 0.98


def test_a_small_part_beside_the_lungs_is_lung():
    ct, lungs = trunk()
    cut = np.indices(SHAPE)[0] == 54
    ct[cut & (lungs == 1)] = 40
    tip = (lungs == 1) & (np.indices(SHAPE)[0] > 54)
    assert 15 < tip.sum() * 0.027 < 0.1 * (lungs == 1).sum() * 0.027
    assert found(ct)[tip].mean() > 0.95


def test_dense_dependent_lung_is_lung():
    ct, lungs = trunk()
    dense = (lungs > 0) & (np.indices(SHAPE)[1] > 40)
    ct[dense] = -300
    mask = found(ct)
    # It is followed for 12 mm.
    assert (mask > 0)[dense].mean() > 0.5
    assert not (mask > 0)[lungs == 0].sum() > 0.01 * (lungs > 0).sum()


def test_how_little_lung_is_none_can_be_set():
    ct, lungs = trunk()
    ml = (lungs > 0).sum() * 0.027
    with pytest.raises(ScanError, match=rf"no lungs found: \d+ ml .* at least {2 * ml:g} ml"):
        found(ct, smallest_lung_ml=2 * ml)
    assert found(ct, smallest_lung_ml=0.5 * ml).any()
    with pytest.raises(ScanError, match="no lungs found: 0 ml"):
        found(np.where(lungs > 0, np.int16(40), ct), smallest_lung_ml=0.0)


@pytest.mark.parametrize("step_mm", [1.0, 1.7])
def test_blocks_do_not_show_in_the_outline(step_mm):
    # The same trunk on a finer grid, one block of which is several voxels.
    ct, lungs = trunk()
    index = [np.arange(0, n - 0.5, step_mm / 3.0).round().astype(int) for n in SHAPE]
    box = np.ix_(*index)
    mask = find_lungs(Volume(ct[box], Geometry((step_mm,) * 3))).labels.array
    for side in (1, 2):
        assert dice(mask == side, lungs[box] == side) > 0.96


def test_air_between_back_and_couch_is_none():
    ct, lungs = trunk()
    behind = np.zeros(SHAPE, bool)
    behind[30:60, 54:57, 30:60] = True
    ct[:, 50:60, 10:80] = 40
    ct[behind] = -700
    mask = found(ct)
    assert behind.sum() * 0.027 > 60
    assert not mask[behind].any()
    assert dice(mask > 0, lungs > 0) > 0.98
