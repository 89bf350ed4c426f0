"""Augmentation: one warp, against the slow obvious ways and against what must not change."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from lungseg.ops.samples.augment import Augmentation, Draw, draw, shade
from lungseg.ops.samples.warp import warp

EVERYTHING = Augmentation(
    flip_x=0.5,
    flip_y=0.5,
    rotate_degrees=15,
    shift_px=5,
    zoom=0.2,
    pad_px=4,
    elastic_px=3,
    brightness=0.1,
    contrast=0.2,
    noise=0.1,
    invert=0.5,
    gamma=0.5,
)


def slice_of(size=(40, 56), channels=1, seed=0):
    return np.random.default_rng(seed).normal(0, 300, (channels, *size)).astype(np.int16)


def smooth_slice(size=(40, 56)):
    noise = np.random.default_rng(1).normal(0, 300, size)
    return ndimage.gaussian_filter(noise, 3)[None].astype(np.float32)


def disc(size, centre, radius):
    y, x = np.indices((size, size))
    return (((y - centre[0]) ** 2 + (x - centre[1]) ** 2) <= radius**2).astype(np.uint8)


def test_no_change_is_exactly_no_change():
    image = slice_of(channels=3)
    labels = (image[0] > 0).astype(np.uint8)
    warped, chosen = warp(Draw(), image, labels, outside=-1000)
    np.testing.assert_array_equal(warped, image)
    np.testing.assert_array_equal(chosen, labels)


@pytest.mark.parametrize(("change", "axis"), [(Draw(flip_y=True), 1), (Draw(flip_x=True), 2)])
def test_a_flip_is_numpys_flip(change, axis):
    image = slice_of()
    labels = (image[0] > 0).astype(np.uint8)
    warped, chosen = warp(change, image, labels, outside=0)
    np.testing.assert_allclose(warped, np.flip(image, axis), atol=0.05)
    np.testing.assert_array_equal(chosen, np.flip(labels, axis - 1))


def test_a_shift_moves_the_content_and_brings_in_the_outside():
    image = slice_of()
    warped, chosen = warp(
        Draw(shift_px=(3, -2)), image, np.ones((40, 56), np.uint8), outside=-1000, outside_label=2
    )
    np.testing.assert_allclose(warped[0, 3:, :-2], image[0, :-3, 2:], atol=0.05)
    assert (warped[0, :3] == -1000).all()
    assert (warped[0, :, -2:] == -1000).all()
    assert (chosen[:3] == 2).all()
    assert (chosen[3:, :-2] == 1).all()


def test_equals_scipy_for_rotation_zoom_padding_and_shift_in_one():
    image = smooth_slice()
    change = Draw(degrees=9, zoom=1.15, shift_px=(2.5, -1.5), pad_px=(3, 5, 2, 6))
    turn = np.deg2rad(9)
    scale = np.array([(40 + 8) / 40, (56 + 8) / 56]) / 1.15
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale
    middle = np.array([19.5, 27.5])
    offset = middle - matrix @ (middle + np.array([2.5, -1.5])) + np.array([1.0, 2.0])
    expected = ndimage.affine_transform(image[0], matrix, offset, order=1, cval=7.0)
    warped, _ = warp(change, image, None, outside=7.0)
    inner = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(warped[0][inner], expected[inner], atol=0.05)


def test_elastic_is_the_bicubic_field_through_the_nodes():
    image = smooth_slice((41, 41))
    nodes = np.random.default_rng(3).normal(0, 3, (2, 3, 3))
    change = Draw(elastic_px=tuple(tuple(tuple(row) for row in axis) for axis in nodes))
    # a natural cubic spline through three nodes, by solving for its one inner second derivative
    field = [slow_bicubic(axis, 41) for axis in nodes]
    y, x = np.indices((41, 41))
    expected = ndimage.map_coordinates(
        image[0], [y + field[0], x + field[1]], order=1, cval=0.0, mode="grid-constant"
    )
    warped, _ = warp(change, image, None, outside=0.0)
    np.testing.assert_allclose(warped[0], expected, atol=0.02)
    for axis in range(2):
        np.testing.assert_allclose(field[axis][::20, ::20], nodes[axis], atol=1e-9)


def slow_bicubic(nodes, length):
    def line(values):
        bend = 1.5 * (values[0] - 2 * values[1] + values[2])
        result = []
        for t in np.linspace(0, 2, length):
            left, part = (0, t) if t <= 1 else (1, 2 - t)
            ends = (values[0], values[1]) if left == 0 else (values[2], values[1])
            straight = ends[0] * (1 - part) + ends[1] * part
            result.append(straight + bend * (part**3 - part) / 6)
        return np.array(result)

    rows = np.array([line(row) for row in nodes])
    return np.array([line(column) for column in rows.T]).T


def test_a_small_disc_keeps_its_area_under_rotation():
    rng = np.random.default_rng(5)
    amounts = Augmentation(rotate_degrees=6)
    before = after = 0
    for _ in range(200):
        labels = disc(64, rng.uniform(20, 44, 2), 2)
        _, chosen = warp(draw(amounts, rng), labels[None], labels, outside=0)
        before += labels.sum()
        after += chosen.sum()
    assert 0.97 <= after / before <= 1.03


@pytest.mark.parametrize(("part", "pixels"), [(0.4, 0), (0.6, 1), (-0.6, -1)])
def test_a_label_is_the_nearest_pixels(part, pixels):
    labels = disc(64, (30, 30), 6)
    _, chosen = warp(Draw(shift_px=(part, part)), labels[None], labels, outside=0)
    np.testing.assert_array_equal(chosen, np.roll(labels, (pixels, pixels), (0, 1)))


def test_zoom_enlarges():
    labels = disc(64, (31.5, 31.5), 8)
    _, chosen = warp(Draw(zoom=1.5), labels[None], labels, outside=0)
    assert chosen.sum() / labels.sum() == pytest.approx(2.25, rel=0.05)


def test_a_window_shows_the_place_it_names():
    image = slice_of((64, 64))
    labels = disc(64, (40, 12), 3)
    warped, chosen = warp(Draw(), image, labels, outside=0, window=(39.5, 15.5, 16, 24))
    np.testing.assert_array_equal(warped[0], image[0, 32:48, 4:28])
    np.testing.assert_array_equal(chosen, labels[32:48, 4:28])


def test_a_window_turns_about_its_own_centre():
    labels = disc(64, (40, 12), 3)
    change = Draw(degrees=90)
    _, chosen = warp(change, labels[None], labels, outside=0, window=(40, 12, 15, 15))
    np.testing.assert_array_equal(chosen, np.rot90(labels[33:48, 5:20]))


@given(seed=st.integers(0, 2**32), channels=st.integers(1, 3))
def test_nothing_new_comes_out_of_a_warp(seed, channels):
    rng = np.random.default_rng(seed)
    image = slice_of((24, 33), channels, seed)
    labels = rng.choice(np.array([0, 1, 2], np.uint8), (24, 33))
    warped, chosen = warp(draw(EVERYTHING, rng), image, labels, outside=-1000)
    assert warped.shape == image.shape
    assert warped.dtype == np.float32
    assert warped.min() >= min(-1000, image.min()) - 0.01
    assert warped.max() <= image.max() + 0.01
    assert set(np.unique(chosen)) <= {0, 1, 2}


def test_the_same_seed_draws_the_same():
    first, second = (draw(EVERYTHING, np.random.default_rng(9)) for _ in range(2))
    assert first == second
    assert first != draw(EVERYTHING, np.random.default_rng(10))


def test_switching_one_change_off_leaves_the_others():
    whole = draw(EVERYTHING, np.random.default_rng(9))
    still = draw(dataclasses.replace(EVERYTHING, elastic_px=0), np.random.default_rng(9))
    assert still == dataclasses.replace(whole, elastic_px=())


def test_amounts_of_nothing_draw_no_change():
    drawn = draw(Augmentation(), np.random.default_rng(0))
    assert dataclasses.replace(drawn, noise_seed=0) == Draw()


@given(st.integers(0, 2**32))
def test_draws_stay_within_their_amounts(seed):
    drawn = draw(EVERYTHING, np.random.default_rng(seed))
    assert abs(drawn.degrees) <= 15
    assert max(map(abs, drawn.shift_px)) <= 5
    assert 1 / 1.2 <= drawn.zoom <= 1.2
    assert 0 <= min(drawn.pad_px) <= max(drawn.pad_px) <= 4
    assert abs(drawn.brightness) <= 0.1
    assert 1 / 1.2 <= drawn.contrast <= 1.2
    assert 0 <= drawn.noise <= 0.1
    assert 1 / 1.5 <= drawn.gamma <= 1.5


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_quarter_turn_is_numpys_and_keeps_every_pixel(quarters):
    image = slice_of((40, 40))
    labels = (image[0] > 0).astype(np.uint8)
    warped, chosen = warp(Draw(degrees=90.0 * quarters), image, labels, outside=0)
    np.testing.assert_allclose(warped, np.rot90(image, -quarters, (1, 2)), atol=0.1)
    np.testing.assert_array_equal(chosen, np.rot90(labels, -quarters))


def test_quarter_turns_come_as_often_as_told_each_like_the_others():
    rng = np.random.default_rng(4)
    turns = [draw(Augmentation(quarter_turns=0.6), rng).degrees for _ in range(3000)]
    shares = {degrees: turns.count(degrees) / 3000 for degrees in set(turns)}
    assert shares == pytest.approx({0.0: 0.4, 90.0: 0.2, 180.0: 0.2, 270.0: 0.2}, abs=0.03)


def test_a_rotation_is_added_to_a_quarter_turn():
    amounts = Augmentation(quarter_turns=1.0, rotate_degrees=6.0)
    drawn = [draw(amounts, np.random.default_rng(seed)).degrees for seed in range(100)]
    assert all(84 <= degrees <= 276 for degrees in drawn)
    assert len(set(drawn)) == 100


def test_negatives_come_as_often_as_told():
    rng = np.random.default_rng(4)
    inverted = [draw(Augmentation(invert=0.3), rng).invert for _ in range(3000)]
    assert np.mean(inverted) == pytest.approx(0.3, abs=0.03)


def test_gamma_leaves_black_and_white_and_darkens_or_lightens_between():
    image = np.array([[[0.0, 0.5, 1.0]]], np.float32)
    shaded = [shade(Draw(gamma=gamma), image.copy()) for gamma in (2.0, 0.5)]
    np.testing.assert_allclose(shaded, [[[[0, 0.25, 1]]], [[[0, 0.70710678, 1]]]], atol=1e-6)


def test_a_negative_is_made_before_its_exposure_and_contrast():
    image = np.array([[[0.25]]], np.float32)
    change = Draw(invert=True, gamma=2.0, contrast=2.0, brightness=0.1)
    np.testing.assert_allclose(shade(change, image), (0.75**2 - 0.5) * 2 + 0.5 + 0.1, atol=1e-6)


def test_gamma_of_a_hair_below_0_is_a_number():
    assert shade(Draw(gamma=0.7), np.array([[[-1e-7]]], np.float32)).tolist() == [[[0.0]]]


def test_elastic_displacements_have_the_sd_asked_for():
    rng = np.random.default_rng(0)
    nodes = [draw(Augmentation(elastic_px=10), rng).elastic_px for _ in range(200)]
    assert np.std(nodes) == pytest.approx(10, rel=0.05)


def test_shade_turns_contrast_about_the_middle_and_shifts():
    image = np.array([[[0.0, 0.5, 1.0]]], np.float32)
    np.testing.assert_allclose(
        shade(Draw(contrast=1.2, brightness=0.1), image), [[[0.0, 0.6, 1.2]]], atol=1e-6
    )


def test_noise_has_its_sd_and_its_seed():
    flat = np.zeros((1, 64, 64), np.float32)
    first, second = (shade(Draw(noise=0.1, noise_seed=4), flat.copy()) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.std() == pytest.approx(0.1, rel=0.05)
    assert not np.array_equal(first, shade(Draw(noise=0.1, noise_seed=5), flat.copy()))


def test_a_slice_larger_than_a_block_is_one_picture():
    image = np.tile(np.arange(400, dtype=np.float32), (400, 1))[None]
    warped, _ = warp(Draw(shift_px=(0.5, 0.5)), image, None, outside=0)
    np.testing.assert_allclose(warped[0, 1:, 1:], image[0, 1:, 1:] - 0.5, atol=1e-3)


def test_a_blur_is_binomial_and_sharpening_its_opposite():
    image = np.zeros((2, 5, 5), np.float32)
    image[1, 2, 2] = 16
    blurred = shade(Draw(sharpness=-1.0), image.copy())
    np.testing.assert_allclose(blurred[1, 1:4, 1:4], np.outer([1, 2, 1], [1, 2, 1]))
    assert not blurred[0].any()
    sharper = shade(Draw(sharpness=0.5), image.copy())
    np.testing.assert_allclose(sharper, image + (image - blurred) / 2, atol=1e-6)
    flat = np.full((1, 4, 4), 0.5, np.float32)
    np.testing.assert_allclose(shade(Draw(sharpness=-0.7), flat.copy()), flat, atol=1e-6)


def test_sharpness_and_hidden_neighbours_are_within_what_is_asked_for():
    rng = np.random.default_rng(0)
    changes = [draw(Augmentation(sharpness=0.5, context_dropout=0.25), rng) for _ in range(400)]
    amounts = np.array([change.sharpness for change in changes])
    assert -0.5 <= amounts.min() < -0.45 < 0.45 < amounts.max() <= 0.5
    shown = np.array([change.context for change in changes])
    assert (shown < 1).mean() == pytest.approx(0.25, abs=0.04)
    assert shown.min() >= 0
    # Each side by itself.
    assert (shown < 1).all(axis=1).mean() == pytest.approx(0.0625, abs=0.03)
    assert draw(Augmentation(), rng).context == (1.0, 1.0)
