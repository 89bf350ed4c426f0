"""Sizes of bodies whose sizes are known."""

import numpy as np
import pytest

from lungseg.ops.nodules.sizes import axes_mm, ball_mm3, equivalent_diameter_mm


def test_sizes_of_known_bodies():
    assert equivalent_diameter_mm(4 / 3 * np.pi * 5**3) == pytest.approx(10.0)
    z, y, x = np.indices((41, 41, 41)) - 20
    egg = (z / 16.0) ** 2 + (y / 8.0) ** 2 + (x / 12.0) ** 2 <= 1
    assert axes_mm(egg, (0.5, 0.5, 0.5)) == pytest.approx((8.0, 16.0), rel=0.02)
    assert axes_mm(np.ones((1, 1, 1), bool), (1.0, 1.0, 1.0)) == pytest.approx(
        (equivalent_diameter_mm(1.0),) * 2
    )


@pytest.mark.parametrize("diameter_mm", [0.5, 3.0, 30.0])
def test_the_ball_of_a_balls_volume_is_that_ball(diameter_mm):
    assert equivalent_diameter_mm(ball_mm3(diameter_mm)) == pytest.approx(diameter_mm, rel=1e-12)
    assert ball_mm3(2.0) == pytest.approx(4.18879, abs=1e-5)
