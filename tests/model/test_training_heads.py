"""TrainingHeads: every head has its own loss, unsure slices are ignored, one net is the result."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lungseg.core.errors import ConfigError
from lungseg.model.checkpoints import resumable
from lungseg.model.dataset import Epoch, Feed, Workers
from lungseg.model.devices import quiet_keras
from lungseg.model.inference import predict
from lungseg.model.losses import loss_named
from lungseg.model.networks import NetworkSettings, build
from lungseg.model.samples import InputSpec, Samples
from lungseg.model.training import train
from lungseg.model.training_heads import TrainingHeads, slice_loss, slice_truth
from lungseg.model.validation import score
from lungseg.ops.samples.augment import Augmentation
from lungseg.stages.train import Train, recipe_of
from tests.hard_cases import hard
from tests.model.recipes import recipe
from tests.model.toy_table import SIZE, toy_scan, toy_table

quiet_keras()
pytestmark = pytest.mark.usefixtures("eager")

UNETPP = NetworkSettings(
    network="unetpp", height=SIZE, width=SIZE, base_width=2, depth=3, deep_supervision=True
)
TWO_HEADED = NetworkSettings(
    network="unet", height=SIZE, width=SIZE, base_width=4, depth=2, slice_head=True,
    norm_momentum=0.8,
)  # fmt: skip
HEADS = TrainingHeads(loss_named("bce"), slice_weight=3.0)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("heads") / "tables.h5"
    return toy_table(path, *(toy_scan(name) for name in "abc"))


def batch():
    """Three slices: with a target, with ignored pixels alone, with nothing."""
    y = np.zeros((3, SIZE, SIZE, 2), np.float32)
    y[..., 1] = 1
    y[0, 4:9, 4:9, 0] = 1
    y[:2, 12:15, 12:15, 1] = 0
    return np.random.default_rng(0).random((3, SIZE, SIZE, 1), np.float32), y


def test_a_slice_with_ignored_pixels_alone_has_weight_0():
    np.testing.assert_array_equal(slice_truth(batch()[1]), [[1, 1], [0, 0], [0, 1]])
    filled_up = np.zeros((1, 4, 4, 2), np.float32)
    np.testing.assert_array_equal(slice_truth(filled_up), [[0, 0]])


def test_the_slice_loss_is_the_cross_entropy_of_the_slices_that_count():
    output = np.array([[0.8], [0.9], [0.25]], np.float32)
    found = float(slice_loss(slice_truth(batch()[1]), output))
    assert found == pytest.approx(-(math.log(0.8) + math.log(0.75)) / 2, rel=1e-5)
    assert float(slice_loss(np.zeros((2, 2), np.float32), output[:2])) == 0


def test_the_loss_of_a_prediction_weighs_the_slice_head():
    _, y = batch()
    p = np.full((3, SIZE, SIZE), 0.25, np.float32)
    mask = np.stack([1 - p, p], -1)
    slices = np.array([[0.8], [0.9], [0.25]], np.float32)
    alone = HEADS.loss_of(y, mask)
    both = HEADS.loss_of(y, {"mask": mask, "slice": slices})
    assert both - alone == pytest.approx(3 * float(slice_loss(slice_truth(y), slices)), rel=1e-4)


def test_a_net_of_one_mask_is_its_own_training_model():
    net = build(replace(TWO_HEADED, slice_head=False))
    assert HEADS.training_model(net) is net
    assert HEADS.compile_settings(net, 1) == {"loss": HEADS.loss}
    y = batch()[1]
    assert HEADS.targets(net, y) is y


@pytest.mark.parametrize("slice_head", [hard(False), True])
def test_every_head_of_a_deeply_supervised_net_has_its_own_loss(slice_head):
    net = build(replace(UNETPP, slice_head=slice_head))
    training_model = HEADS.training_model(net)
    x, y = batch()
    training_model.compile("sgd", **HEADS.compile_settings(training_model, 1))
    total = training_model.test_on_batch(x, HEADS.targets(training_model, y), return_dict=True)[
        "loss"
    ]
    output = training_model.predict_on_batch(x)
    assert set(output) == {"mask_1", "mask_2"} | ({"slice"} if slice_head else set())
    expected = sum(float(HEADS.loss(y, output[f"mask_{j}"])) for j in (1, 2)) / 2
    if slice_head:
        expected += 3 * float(slice_loss(slice_truth(y), output["slice"]))
    assert total == pytest.approx(expected, rel=1e-4)
    assert len(training_model.weights) == len(net.weights)


def test_validation_counts_masks_and_slices(table):
    net = build(TWO_HEADED)
    samples = Samples(table, InputSpec())
    with Workers(samples, 0) as workers:
        found = score(net, Feed(workers, Epoch(np.arange(12), 5)), HEADS)
        x, y = samples.plain(np.arange(12))
    output = net.predict_on_batch(x)
    truth = slice_truth(y)
    assert truth[:, 0].sum() == 6
    hits = (output["slice"][:, 0] >= 0.5) & (truth[:, 0] > 0)
    assert found["slice_sensitivity"] == pytest.approx(hits.sum() / 6)
    marked, target, counted = output["mask"][..., 1] >= 0.5, y[..., 0] > 0, y[..., 1] > 0
    both = (marked & target & counted).sum()
    assert found["dice"] == pytest.approx(2 * both / ((marked & counted).sum() + target.sum()))
    assert found["empty_clean"] == np.mean([not m.any() for m in marked[~target.any((1, 2))]])


@pytest.mark.hard
@pytest.mark.usefixtures("with_graphs", "quick_graphs")
def test_a_two_headed_net_learns_which_slices_hold_something(table, tmp_path):
    how = recipe(
        TWO_HEADED, loss="bce_dice", epochs=1, batch_size=6, learning_rate=2e-2,
        slices_per_epoch=300, schedule="constant", clip_norm=0.0,
    )  # fmt: skip
    still = Augmentation(
        flip_x=0, rotate_degrees=0, shift_px=0, zoom=0, brightness=0, contrast=0, noise=0
    )
    samples = Samples(table, InputSpec(augmentation=still))
    with resumable(tmp_path, "d") as checkpoints:
        done = train(how, samples, (["a", "b"], ["c"]), checkpoints)
    row = done.history[0]
    assert row["val_slice_sensitivity"] == 1
    assert row["val_slice_specificity"] >= 0.6
    x, _ = samples.plain(np.arange(6))
    output = done.best.predict_on_batch(x)
    gated = predict(done.best, x, 4, slice_power=2.0)
    np.testing.assert_allclose(
        gated, output["mask"][..., 1] * output["slice"][:, :, None] ** 2, 1e-4
    )
    np.testing.assert_allclose(predict(done.best, x, 4), output["mask"][..., 1], 1e-4)


def test_a_slice_head_cannot_judge_crops(table):
    params = Train(network="unet", slice_head=True, crop_px=16)
    with pytest.raises(ConfigError, match=r"train\.crop_px = 0"):
        recipe_of(params, Samples(table, InputSpec()).tables)


def test_a_slice_of_which_fewer_than_half_of_the_readers_drew_anything_has_no_target():
    y = np.ones((2, 4, 4, 2), np.float32)
    y[..., 0] = 0
    y[0, 1, 1, 0], y[1, 1, 1, 0] = 0.25, 0.5
    np.testing.assert_array_equal(slice_truth(y), [[0, 1], [1, 1]])
