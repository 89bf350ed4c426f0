"""Keras's metrics against `lungseg.ops.scores.counts`, on the same voxels."""

import numpy as np
import pytest

from lungseg.core.errors import ConfigError
from lungseg.model import metrics
from lungseg.ops.scores.counts import Counts, Tally


def batch(rng, n, share):
    target = rng.random((n, 9, 7)) < share
    weight = np.where(rng.random((n, 9, 7)) < 0.1, 0, rng.uniform(0.5, 3, (n, 9, 7)))
    p = rng.random((n, 9, 7), np.float32)
    return p, np.stack([target, weight], -1).astype(np.float32)


def results(found):
    from keras import ops

    return {metric.name: float(ops.convert_to_numpy(metric.result())) for metric in found}


def everywhere(target, shape):
    """The same target in every voxel, all counted."""
    return np.stack([np.full(shape, target, np.float32), np.ones(shape, np.float32)], -1)


@pytest.mark.parametrize("classes", [1, 2])
def test_pooled_over_batches_they_equal_the_numpy_scores(classes):
    rng = np.random.default_rng(5)
    found, tally = metrics.make(threshold=0.7), Tally()
    for n, share in ((4, 0.0), (3, 0.2), (1, 0.6)):
        p, truth = batch(rng, n, share)
        said = p[..., None] if classes == 1 else np.stack([1 - p, p], -1)
        for metric in found:
            metric.update_state(truth, said)
        tally.add(p >= np.float32(0.7), truth[..., 0] > 0, truth[..., 1] > 0)
    for name, score in results(found).items():
        assert score == pytest.approx(getattr(tally.pooled(), name), rel=1e-6)


def test_reset_forgets():
    (dice,) = metrics.make(("dice",))
    p, truth = batch(np.random.default_rng(1), 2, 0.5)
    dice.update_state(truth, p[..., None])
    dice.reset_state()
    assert results([dice]) == {"dice": 1.0}


def test_nothing_there_and_nothing_marked():
    found = metrics.make()
    for metric in found:
        metric.update_state(everywhere(0, (1, 4, 4)), np.zeros((1, 4, 4, 1), np.float32))
    score = results(found)
    assert (score["dice"], score["iou"], score["accuracy"]) == (1, 1, 1)
    assert np.isnan(score["sensitivity"])


def test_counts_past_float32s_digits_are_exact():
    """A float32 that has reached 2^24 no longer grows by 1."""
    (dice,) = metrics.make(("dice",))
    dice.high.assign(np.array([8192, 0, 0, 0], np.float32))
    for _ in range(3):
        dice.update_state(everywhere(1, (1, 1, 1)), np.ones((1, 1, 1, 1), np.float32))
    high, low = (float(part[0]) for part in (dice.high, dice.low))
    assert int(high) * metrics.BASE + int(low) == 8192 * 4096 + 3


def test_a_metric_is_made_again_from_its_config():
    (iou,) = metrics.make(("iou",), threshold=0.3)
    again = type(iou).from_config(iou.get_config())
    assert (again.name, again.score, again.threshold) == ("iou", "iou", 0.3)


def test_an_unknown_score_is_named():
    with pytest.raises(ConfigError, match=r"no score hausdorff; choose from dice"):
        metrics.make(("dice", "hausdorff"))


def test_every_score_is_one_of_the_numpy_side():
    assert all(isinstance(getattr(Counts, name), property) for name in metrics.SCORES)
