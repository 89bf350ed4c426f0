"""A tumour's part in the chest wall is lung; the wall, the diaphragm and the heart are not."""

import numpy as np
import pytest

from lungseg.ops.lungs.enclosed.wall_side import wall_side
from lungseg.ops.lungs.find import find_lungs
from lungseg.volume import HU, Geometry, Volume
from tests.ops.lungs.lung_shapes import ellipsoid

MM = (2.0, 2.0, 2.0)
SHAPE = (60, 60, 60)
# The lung lies above, in front and to the left of these planes; the chest's middle is at x = 110.
EDGE = 12
MIDDLE_YX = np.tile([30.0, 110.0], (60, 1))


def grown(tumour, *, wall_hu, lung=None, middle_yx=MIDDLE_YX):
    """Where a tumour of 40 HU, joined to a lung, has grown into its surroundings."""
    lung = np.broadcast_to(np.arange(60) >= EDGE, SHAPE) if lung is None else lung
    ct = np.where(lung, -850, wall_hu)
    ct = np.where(tumour, 40, ct).astype(np.int16)
    return wall_side(lung, ~lung, ct, middle_yx, MM)


def ball(centre, radius):
    return ellipsoid(SHAPE, centre, (radius,) * 3)


def test_a_tumour_in_the_wall_s_fat_is_followed_as_deep_as_6_mm():
    tumour = ball((30, 30, 16), 10)
    found = grown(tumour, wall_hu=-90)
    beyond = tumour & (np.arange(60) < EDGE)
    assert not (found & ~beyond).any()
    depth = EDGE - np.argwhere(found)[:, 2]
    assert depth.max() == 3
    assert found[:, :, EDGE - 2 : EDGE][beyond[:, :, EDGE - 2 : EDGE]].mean() > 0.7


def test_behind_fat_and_ribs_nothing_is_followed():
    # A layer of fat, or of bone, of two blocks between the tumour's base and what is dense again.
    for between in (-90, 300):
        wall = np.where(np.arange(60) >= EDGE - 2, between, 40)
        found = grown(ball((30, 30, 22), 10), wall_hu=wall)
        assert not found.any()


def test_a_small_nodule_on_a_dense_wall_is_not_followed():
    assert not grown(ball((30, 30, 14), 4), wall_hu=40).any()


@pytest.mark.parametrize("where", ["diaphragm", "mediastinum"])
def test_below_lies_the_diaphragm_and_inward_the_heart(where):
    planes = {"diaphragm": np.arange(60)[:, None, None], "mediastinum": 59 - np.arange(60)}
    lung = np.broadcast_to(planes[where] >= EDGE, SHAPE)
    centre = {"diaphragm": (16, 30, 30), "mediastinum": (30, 30, 43)}[where]
    tumour = ball(centre, 10)
    found = grown(tumour, wall_hu=40, lung=lung)
    assert np.count_nonzero(found) < 0.01 * np.count_nonzero(tumour & ~lung)


def test_beside_the_spine_nothing_is_followed():
    near = np.tile([30.0, 22.0], (60, 1))
    tumour = ball((30, 30, 16), 10)
    assert not grown(tumour, wall_hu=-90, middle_yx=near).any()


def test_the_mask_of_a_chest_holds_what_has_grown_between_its_ribs():
    shape = (80, 100, 140)
    hu = np.full(shape, -1000, HU)
    hu[ellipsoid(shape, (40, 50, 70), (60, 45, 65))] = -90
    for centre in ((40, 50, 38), (40, 50, 102)):
        hu[ellipsoid(shape, centre, (34, 30, 24))] = -850
    tumour = ellipsoid(shape, (40, 50, 118), (10, 10, 12))
    hu[tumour] = 40
    sound = find_lungs(Volume(np.where(tumour, -90, hu).astype(HU), Geometry(MM)))
    found = find_lungs(Volume(hu, Geometry(MM)))
    lung = found.labels.array > 0
    # All of it within 6 mm of the lung as it would be without the tumour.
    whole = ellipsoid(shape, (40, 50, 102), (34, 30, 24))
    near = ellipsoid(shape, (40, 50, 102), (36, 32, 26)) & tumour
    assert lung[near].mean() > 0.95
    assert np.count_nonzero(lung & ~whole & ~tumour) < 1.1 * np.count_nonzero(
        (sound.labels.array > 0) & ~whole & ~tumour
    )
