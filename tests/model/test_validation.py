"""Validation: what is counted, over all batches, with values worked out by hand."""

import math

import numpy as np
import pytest

from lungseg.model.losses import loss_named
from lungseg.model.training_heads import TrainingHeads
from lungseg.model.validation import score

HEADS = TrainingHeads(loss_named("bce"))


class Net:
    """A net that predicts its input."""

    def predict_on_batch(self, x):
        return np.stack([1 - x[..., 0], x[..., 0]], -1)


def batch(probability, target, weight):
    """A batch of slices of one row of pixels, ``(n, 1, pixels)``."""
    x, *y = (np.asarray(rows, np.float32)[:, np.newaxis] for rows in (probability, target, weight))
    return x[..., np.newaxis], np.stack(y, -1)


def scores(*batches, **settings):
    return score(Net(), list(batches), HEADS, **settings)


def test_slices_that_only_pad_the_last_batch_are_not_scored():
    one = batch([[0.9, 0.9]], [[1, 0]], [[1, 1]])
    empty = batch([[0.9, 0.1]], [[0, 0]], [[1, 1]])
    both = [np.concatenate(parts) for parts in zip(one, empty, strict=True)]
    x, y = batch([[0.9, 0.9]] * 3, [[0, 0]] * 3, [[0, 0]] * 3)
    padded = np.concatenate([both[0], x]), np.concatenate([both[1], y])
    assert scores(padded) == pytest.approx(scores(both), nan_ok=True)
    assert scores(padded)["empty_clean"] == 0


def test_the_loss_is_the_mean_over_slices_not_over_batches():
    right = batch([[0.5, 0.5]] * 3, [[0, 0]] * 3, [[1, 1]] * 3)
    wrong = batch([[0.9, 0.9]], [[0, 0]], [[1, 1]])
    x, y = batch([[0.9, 0.9]] * 2, [[0, 0]] * 2, [[0, 0]] * 2)
    padded = np.concatenate([wrong[0], x]), np.concatenate([wrong[1], y])
    expected = -(3 * math.log(0.5) + math.log(0.1)) / 4
    assert scores(right, padded)["loss"] == pytest.approx(expected, rel=1e-5)


def test_pixels_are_pooled_over_batches_and_ignored_ones_left_out():
    first = batch([[0.9, 0.9, 0.1, 0.9]], [[1, 0, 1, 0]], [[1, 1, 1, 0]])
    second = batch([[0.9, 0.1, 0.1, 0.1]], [[1, 0, 0, 0]], [[1, 1, 1, 1]])
    found = scores(first, second)
    assert found["dice"] == pytest.approx(2 * 2 / (3 + 3))
    assert found["iou"] == pytest.approx(2 / 4)
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["accuracy"] == pytest.approx(5 / 7)
    assert found["slice_dice"] == pytest.approx((2 * 1 / 4 + 1) / 2)
    assert found["slice_iou"] == pytest.approx((1 / 3 + 1) / 2)
    assert math.isnan(found["empty_clean"])


def test_a_pixel_at_the_threshold_is_marked():
    at = batch([[0.5, 0.25]], [[1, 1]], [[1, 1]])
    assert scores(at)["sensitivity"] == 0.5
    assert scores(at, threshold=0.25)["sensitivity"] == 1


def test_of_several_copies_of_a_batch_the_first_is_scored():
    class Mirrored(Net):
        """As a model on two devices, each of which predicts the whole batch."""

        def predict_on_batch(self, x):
            return np.concatenate([super().predict_on_batch(x), np.zeros((*x.shape[:3], 2))])

    one = batch([[0.9, 0.1]], [[1, 0]], [[1, 1]])
    assert score(Mirrored(), [one], HEADS)["dice"] == 1


def test_the_dice_of_a_nodule_is_that_of_all_its_slices_and_each_nodule_counts_once():
    # Two nodules: of the first 2 of 2 pixels and 0 of 1 more, 1 false; of the second none of 1.
    first = batch([[0.9, 0.9, 0.1], [0.1, 0.9, 0.9]], [[1, 1, 0], [1, 0, 0]], [[1, 1, 1]] * 2)
    second = batch([[0.1, 0.9, 0.9]], [[1, 0, 0]], [[1, 0, 0]])
    found = scores(first, second, nodules=np.array([5, 5, 2]))
    assert found["nodule_dice"] == pytest.approx((2 * 2 / (4 + 3) + 0) / 2)
    assert "nodule_dice" not in scores(first)


def test_of_a_soft_target_at_least_half_counts():
    soft = batch([[0.9, 0.9, 0.9]], [[0.5, 0.25, 1]], [[1, 1, 1]])
    assert scores(soft)["precision"] == pytest.approx(2 / 3)
