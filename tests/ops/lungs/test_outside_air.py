"""Air inside the patient is separated from the air around it."""

import numpy as np
import pytest

from lungseg.ops.lungs.outside_air import separate_body_air
from tests.ops.lungs.lung_shapes import SPACING, torso

THRESHOLD = -450


def test_lungs_are_inside_and_the_room_is_outside():
    ct, lungs = torso()
    air = separate_body_air(ct, THRESHOLD, SPACING)
    np.testing.assert_array_equal(air.inside, lungs > 0)
    assert air.air_hu == -1000


def test_air_under_a_table_and_in_it_is_outside():
    ct, lungs = torso()
    ct[:, 57, 5:85] = -300
    ct[:, 59, 5:85] = -300
    ct[:, 58, 5] = ct[:, 58, 84] = -300
    air = separate_body_air(ct, THRESHOLD, SPACING)
    np.testing.assert_array_equal(air.inside, lungs > 0)


@pytest.mark.parametrize("columns", [slice(26, 90), slice(0, 64)])
def test_a_lung_cut_by_the_picture_s_border_stays(columns):
    ct, lungs = torso()
    air = separate_body_air(ct[:, :, columns], THRESHOLD, SPACING)
    cut = lungs[:, :, columns] > 0
    # Slices where hardly anything of the cut lung is left may lose that.
    assert air.inside[cut].mean() > 0.98
    assert not air.inside[~cut].any()


def test_a_lung_cut_by_the_field_of_view_stays():
    ct, lungs = torso()
    view = np.zeros(ct.shape, bool)
    view[:, :, 24:66] = True
    ct[~view] = -1024
    air = separate_body_air(ct, THRESHOLD, SPACING, view)
    seen = (lungs > 0) & view
    assert air.inside[seen].mean() > 0.98
    assert not air.inside[~seen].any()


def test_a_trachea_open_at_the_top_stays_inside_the_body():
    ct, lungs = torso()
    ct[20:, 28:32, 43:48] = -1000
    air = separate_body_air(ct, THRESHOLD, SPACING)
    assert air.inside[lungs > 0].all()
    assert air.inside[-1, 30, 45]


def test_a_hole_in_the_chest_wall_does_not_lose_the_lung():
    ct, lungs = torso()
    ct[18:22, 30, :26] = -1000
    air = separate_body_air(ct, THRESHOLD, SPACING)
    assert air.inside[lungs > 0].mean() > 0.97
    assert not air.inside[:, :, :8].any()


def test_scans_without_air_at_their_frame_have_the_air_of_physics():
    ct, lungs = torso()
    ct[lungs == 0] = 40
    air = separate_body_air(ct, THRESHOLD, SPACING)
    assert air.air_hu == -1000
    np.testing.assert_array_equal(air.inside, lungs > 0)
