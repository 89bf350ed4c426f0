"""Padding is known by its value and its place."""

import numpy as np
import pytest

from lungseg.ops.hu.padding import find_padding


def scan(corner_hu, *, size=64, slices=6, noise=20, seed=0):
    """A circle of air and tissue with something in the corners."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size)) - (size - 1) / 2
    radius = np.hypot(y, x)
    plane = np.where(radius < size / 4, 40, -1000)
    stack = plane + rng.normal(0, noise, (slices, size, size))
    stack[:, radius > size / 2] = corner_hu
    return np.rint(stack).astype(np.int16)


@pytest.mark.parametrize("hu", [-3024, -2048, -2000, -1500, -1200, -32768])
def test_any_constant_far_below_air_in_the_corners_is_padding(hu):
    assert find_padding(scan(hu)) == hu


@pytest.mark.parametrize("hu", [-1024, -1000, 0, -1099])
def test_a_constant_that_may_be_air_is_not(hu):
    assert find_padding(scan(hu)) is None


def test_two_constants_are_padding_up_to_the_higher():
    stack = scan(-2000)
    stack[:, :3] = -3024
    assert find_padding(stack) == -2000


def test_noise_in_air_is_not_padding():
    rng = np.random.default_rng(1)
    stack = np.rint(rng.normal(-1000, 90, (6, 64, 64))).astype(np.int16)
    assert stack.min() < -1200
    assert find_padding(stack) is None


def test_noise_clipped_at_a_floor_is_not_padding():
    rng = np.random.default_rng(1)
    stack = np.rint(np.maximum(rng.normal(-1100, 120, (6, 64, 64)), -1150)).astype(np.int16)
    assert find_padding(stack) is None


def test_dark_streaks_inside_the_body_are_not_padding():
    stack = scan(-1000)
    stack[:, 24:40, 24:40] = -2048
    stack[:, 0, 0:8] = -2048
    assert find_padding(stack) is None


def test_single_dark_pixels_at_the_edge_are_not_padding():
    stack = scan(-1000, size=128)
    stack[:, 0, 3] = -2000
    assert find_padding(stack) is None
