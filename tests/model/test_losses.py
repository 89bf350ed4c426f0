"""The losses: values worked out by hand, ignored voxels, batches without a nodule."""

import numpy as np
import pytest

from lungseg.core.errors import ConfigError
from lungseg.model import losses
from lungseg.ops.samples.border_weights import border_weights

NAMES = tuple(losses.LOSSES)

# Four voxels: a hit, a miss, a false alarm, a rejection, at these foreground probabilities.
TARGET = np.array([1.0, 1.0, 0.0, 0.0], np.float32)
P = np.array([0.8, 0.4, 0.3, 0.1], np.float32)
LOG = np.log([0.8, 0.4, 0.7, 0.9])


def truth(target, weight=1.0):
    target = np.asarray(target, np.float32)
    return np.stack([target, np.broadcast_to(np.float32(weight), target.shape)], -1)[np.newaxis]


def predicted(p):
    p = np.asarray(p, np.float32)
    return np.stack([1 - p, p], -1)[np.newaxis]


def value(name, y_true, y_pred):
    from keras import ops

    loss = losses.loss_named(name)
    return float(ops.convert_to_numpy(loss(ops.array(y_true), ops.array(y_pred))))


def slopes(name, y_true, y_pred, step=1e-3):
    """Change of the loss by a small change of each pixel's logit, within float32's precision."""
    p = y_pred[0, ..., 1]
    logits = np.log(p / (1 - p))
    out = np.zeros(logits.size)
    for i in range(logits.size):
        sides = []
        for sign in (-1, 1):
            moved = logits.copy()
            moved.ravel()[i] += sign * step * 100
            sides.append(value(name, y_true, predicted(1 / (1 + np.exp(-moved)))))
        out[i] = (sides[1] - sides[0]) / (200 * step)
    return out


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bce", -LOG.mean()),
        ("border_weighted", -LOG.mean()),
        # Hits 1.2, marked 1.6, true 2.
        ("dice", 1 - 2 * 1.2 / 3.6),
        ("bce_dice", (-LOG.mean() + 1 - 2.4 / 3.6) / 2),
        # Hits 1.2, false 0.4, missed 0.8.
        ("focal_tversky", (1 - 1.2 / (1.2 + 0.3 * 0.4 + 0.7 * 0.8)) ** 0.75),
        # Both classes have two voxels, so equal weights: 1 - 2 (1.2 + 1.6) / (4 + 4).
        ("gdl_wce", 0.3 - (7 * LOG[:2].sum() + LOG[2:].sum()) / 4),
    ],
)
def test_known_values(name, expected):
    assert value(name, truth([TARGET]), predicted([P])) == pytest.approx(expected, rel=2e-5)


def test_generalised_dice_weighs_a_class_by_its_inverse_square():
    # One true voxel of four: weights 1 and 1/9. Hits 0.8 and 2.2; true 1 and 3; marked 1.6 and 2.4.
    target = truth([[1, 0, 0, 0]])
    above = 0.8 + 2.2 / 9
    below = (1 + 1.6) + (3 + 2.4) / 9
    log = np.log([0.8, 0.6, 0.7, 0.9])
    expected = 1 - 2 * above / below - (7 * log[0] + log[1:].sum()) / 4
    assert value("gdl_wce", target, predicted([P])) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_ignored_voxel_has_no_say(name):
    weight = np.array([[1, 1, 1, 0]], np.float32)
    y_true = truth([TARGET], weight)
    assert value(name, y_true, predicted([P])) == pytest.approx(
        value(name, truth([TARGET[:3]]), predicted([P[:3]])), rel=1e-5
    )
    slope = slopes(name, y_true, predicted([P]))
    assert slope[3] == 0
    assert (slope[:2] < 0).all()
    assert slope[2] > 0


@pytest.mark.parametrize("name", NAMES)
def test_without_a_nodule_the_loss_falls_with_the_probability(name):
    empty = truth(np.zeros((32, 32)))
    low, high = (value(name, empty, predicted(np.full((32, 32), p))) for p in (0.05, 0.5))
    assert 0 <= low < high - 0.1
    assert value(name, empty, predicted(np.zeros((32, 32)))) == pytest.approx(0, abs=1e-5)
    slope = slopes(name, truth([[0, 0, 0, 0]]), predicted([P]))
    assert (slope > 0.01).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_nothing_is_infinite(name, p, target, weight):
    y_true = truth(np.full((4, 4), target), weight)
    assert np.isfinite(value(name, y_true, predicted(np.full((4, 4), p))))


@pytest.mark.parametrize("name", NAMES)
def test_a_right_answer_costs_nothing(name):
    assert value(name, truth([TARGET]), predicted([TARGET])) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_logit_gets_a_finite_gradient(name):
    """Backpropagation itself, through a trained step, on an empty and on a mixed batch."""
    import keras

    for target in (np.zeros((4, 4)), np.eye(4)):
        model = keras.Sequential(
            [keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 1, activation="softmax")]
        )
        model.compile(
            keras.optimizers.SGD(0.1),
            loss=losses.loss_named(name),
            run_eagerly=True,
            jit_compile=False,
        )
        image = np.random.default_rng(2).random((1, 4, 4, 1), np.float32)
        before = model.get_weights()
        model.train_on_batch(image, truth(target))
        for old, new in zip(before, model.get_weights(), strict=True):
            assert np.isfinite(new).all()
            assert (np.abs(new - old) > 1e-5).all()


def test_the_gap_between_two_objects_costs_most():
    mask = np.zeros((21, 21), bool)
    mask[5:16, 3:9] = mask[5:16, 11:17] = True
    weights = border_weights(mask)
    target = mask.astype(np.float32)
    costs = []
    for hole in ((10, 9), (1, 20)):
        p = np.where(mask, 0.9, 0.1).astype(np.float32)
        p[hole] = 0.9
        costs.append(value("border_weighted", truth(target, weights), predicted(p)))
    assert costs[0] > costs[1] * 1.05


def test_a_weight_map_makes_a_batch_cost_more_and_plain_cross_entropy_does_not():
    heavy = truth([TARGET], 3.0)
    light = truth([TARGET])
    ratio = value("border_weighted", heavy, predicted([P])) / value(
        "border_weighted", light, predicted([P])
    )
    assert ratio == pytest.approx(3, rel=1e-5)
    assert value("bce", heavy, predicted([P])) == pytest.approx(
        value("bce", light, predicted([P])), rel=1e-5
    )


def test_an_unknown_loss_is_named():
    with pytest.raises(ConfigError, match=r"no loss 'hinge'; choose one of gdl_wce, dice"):
        losses.loss_named("hinge")


def test_soft_dice_bce_is_the_mean_over_slices_with_a_target_of_their_soft_dice():
    small = truth([[0.5, 0, 0, 0]])[0][np.newaxis]
    large = truth([[1.0, 1, 1, 0.25]])[0][np.newaxis]
    empty = truth([[0.0, 0, 0, 0]])[0][np.newaxis]
    y_true = np.concatenate([small, large, empty])
    p = np.array([[[0.25, 0.25, 0, 0]], [[0.5, 1, 1, 0.25]], [[0.5, 0, 0, 0]]], np.float32)
    y_pred = np.stack([1 - p, p], -1)
    # |x| + |y| = 1.0 and 6.0, |x - y| = 0.5 and 0.5.
    dice = (0.5 / 1.0 + 0.5 / 6.0) / 2
    for factor in (1.0, 5.0):
        loss = losses.loss_named("soft_dice_bce", factor)
        expected = dice + factor * value("bce", y_true, y_pred)
        assert float(loss(y_true, y_pred)) == pytest.approx(expected, rel=1e-5)


def test_soft_dice_bce_is_lowest_where_the_prediction_is_the_share_of_the_readers():
    y_true = truth([[0.5, 0.5, 0.25, 0]])
    best = value("soft_dice_bce", y_true, predicted([[0.5, 0.5, 0.25, 0]]))
    for other in ([1, 1, 0, 0], [0, 0, 0, 0], [0.6, 0.5, 0.25, 0], [0.5, 0.5, 0.25, 0.1]):
        assert value("soft_dice_bce", y_true, predicted([other])) > best + 1e-3
