"""Pictures at another size."""

import numpy as np
import pytest

from lungseg.ops.grid.picture_size import placed, resized, resized_mask


def test_shrinking_averages_and_keeps_thin_lines():
    grey = np.zeros((256, 256), np.float32)
    grey[:, 100] = 255
    small = resized(grey, (32, 32))
    assert small.shape == (32, 32)
    np.testing.assert_allclose(small.mean(), grey.mean(), rtol=0.02)
    assert (small.max(axis=1) > 10).all()
    assert resized(grey, (256, 256)) is grey


def test_enlarging_is_linear_between_the_centres_of_pixels():
    line = np.array([[0.0, 8.0]], np.float32)
    np.testing.assert_allclose(resized(line, (1, 8)), [[0, 0, 1, 3, 5, 7, 8, 8]])


def test_a_mask_keeps_its_share_of_the_whole():
    mask = np.zeros((30, 50), bool)
    mask[6:15, 20:30] = True
    small, large = resized_mask(mask, (10, 25)), resized_mask(mask, (60, 150))
    assert (small.sum(), large.sum()) == (3 * 5, 18 * 30)
    assert large[12:30, 60:90].all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((100, 200), ((32, 64), (16, 0))),
        ((200, 100), ((64, 32), (0, 16))),
        ((64, 64), ((64, 64), (0, 0))),
        ((1, 1000), ((1, 64), (31, 0))),
    ],
)
def test_a_picture_keeps_its_shape_in_the_middle_of_the_square(shape, expected):
    assert placed(shape, 64, "pad") == expected
    assert placed(shape, 64, "stretch") == ((64, 64), (0, 0))
