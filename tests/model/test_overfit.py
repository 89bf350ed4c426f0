"""Every network can overfit two slices, also with its running statistics."""

import numpy as np
import pytest

from lungseg.model.losses import loss_named
from lungseg.model.networks import NetworkSettings, build, foreground
from lungseg.model.training_heads import TrainingHeads
from lungseg.ops.scores.counts import count
from tests.hard_cases import hard


@pytest.fixture
def two_slices():
    """Noise with a brighter disc each, and their targets."""
    rows, columns = np.mgrid[:64, :64]
    discs = [(rows - y) ** 2 + (columns - x) ** 2 < r**2 for y, x, r in ((20, 30, 6), (40, 16, 8))]
    target = np.stack(discs).astype(np.float32)
    noise = np.random.default_rng(0).normal(0.2, 0.1, target.shape)
    image = (noise + target / 2).astype(np.float32)[..., np.newaxis]
    return image, np.stack([target, np.ones_like(target)], axis=-1)


NASNET = {"network": "nasnet_gcn_se", "blocks": 1}
PLUSPLUS = {"network": "unetpp", "deep_supervision": True}
SLICE_HEAD = {"network": "unet", "slice_head": True}


@pytest.mark.slow
@pytest.mark.usefixtures("quick_graphs")
@pytest.mark.parametrize(
    ("special", "loss", "rate"),
    [
        # Half a minute, most of it for the graph of its 525 layers.
        hard(NASNET, "gdl_wce", 0.02),
        ({"network": "unet", "depth": 2}, "bce_dice", 0.1),
        # Their parts are held one by one in test_networks and test_training_heads.
        hard(PLUSPLUS, "gdl_wce", 0.05),
        hard(SLICE_HEAD, "bce_dice", 0.1),
    ],
    ids=["nasnet_gcn_se", "unet", "unetpp", "unet with a slice head"],
)
def test_it_can_overfit_two_slices(two_slices, special, loss, rate):
    import keras

    image, truth = two_slices
    output = trained_on(image, truth, special, loss, rate, steps=25)(image, training=False)
    if special.get("slice_head"):
        assert keras.ops.convert_to_numpy(output["slice"]).min() > 0.9
        output = {"mask": keras.ops.convert_to_numpy(output["mask"])}
    else:
        output = keras.ops.convert_to_numpy(output)
    assert count(foreground(output) >= 0.5, truth[..., 0] > 0).dice > 0.95


@pytest.mark.hard
def test_nasnet_with_the_lite_decoder_learns_two_slices_in_five_steps(two_slices):
    """Without a graph: so few steps cost less than making one."""
    import keras

    image, truth = two_slices
    lite = {**NASNET, "decoder": "lite"}
    model = trained_on(image, truth, lite, "gdl_wce", 0.05, steps=5, run_eagerly=True)
    output = keras.ops.convert_to_numpy(model(image, training=False))
    assert count(foreground(output) >= 0.5, truth[..., 0] > 0).dice > 0.8


def trained_on(image, truth, special, loss, rate, *, steps, run_eagerly=False):
    import keras

    keras.utils.set_random_seed(1)
    settings = {"base_width": 8, "depth": 3, "norm_momentum": 0.5, **special}
    model = build(NetworkSettings(height=64, width=64, **settings))
    heads = TrainingHeads(loss_named(loss))
    training_model = heads.training_model(model)
    training_model.compile(
        keras.optimizers.SGD(rate, momentum=0.9),
        jit_compile=keras.backend.backend() == "jax" and not run_eagerly,
        run_eagerly=run_eagerly,
        **heads.compile_settings(training_model, 1),
    )
    for _ in range(steps):
        training_model.train_on_batch(image, heads.targets(training_model, truth))
    return model
