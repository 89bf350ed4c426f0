"""U-Net's weight map against the paper's formula, worked out by hand."""

import numpy as np
import pytest

from lungseg.ops.samples.border_weights import border_weights


def two_bars(gap):
    mask = np.zeros((9, 20), bool)
    mask[:, 4:6] = mask[:, 6 + gap : 8 + gap] = True
    return mask


@pytest.mark.parametrize("gap", [1, 2, 5])
def test_the_gap_weighs_by_its_width(gap):
    weights = border_weights(two_bars(gap), w0=10, sigma_px=5)
    # Across the gap the distances to the two bars add up to gap + 1 everywhere.
    np.testing.assert_allclose(weights[4, 6 : 6 + gap], 1 + 10 * np.exp(-((gap + 1) ** 2) / 50))


def test_objects_keep_their_class_weight():
    mask = two_bars(3)
    weights = border_weights(mask, background=0.5, foreground=7)
    assert (weights[mask] == 7).all()
    assert weights[0, 19] > 0.5
    assert weights.dtype == np.float32


@pytest.mark.parametrize("objects", [0, 1])
def test_a_ridge_takes_two_objects(objects):
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:4] = objects
    np.testing.assert_array_equal(border_weights(mask), 1)


def test_labels_part_what_touches():
    labels = np.zeros((5, 9), np.uint16)
    labels[:4, :4], labels[:4, 4:] = 1, 2
    assert border_weights(labels)[4, 4] > 5
    np.testing.assert_array_equal(border_weights(labels > 0), 1)


def test_the_nearest_two_of_many_count():
    labels = np.zeros((1, 30), np.uint8)
    labels[0, [2, 6, 20]] = 1, 2, 3
    weights = border_weights(labels, sigma_px=3)
    assert weights[0, 10] == pytest.approx(1 + 10 * np.exp(-((4 + 8) ** 2) / 18), rel=1e-5)
    assert weights[0, 14] == pytest.approx(1 + 10 * np.exp(-((8 + 6) ** 2) / 18), rel=1e-5)


def test_a_volume_is_refused():
    with pytest.raises(ValueError, match=r"one slice \(h, w\); the shape is \(2, 3, 4\)"):
        border_weights(np.zeros((2, 3, 4), bool))
