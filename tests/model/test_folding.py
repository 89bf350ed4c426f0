"""Folding: a net without its batch normalisation answers as it did with it."""

import numpy as np
import pytest

from lungseg.model.devices import quiet_keras
from lungseg.model.networks import NetworkSettings, build
from lungseg.model.networks.folding import folded
from tests.hard_cases import hard

NETS = {
    "unet": NetworkSettings(network="unet", height=32, width=48, base_width=4, depth=3),
    "unet_two_headed": NetworkSettings(
        network="unet", height=32, width=32, channels=3, base_width=4, depth=2, slice_head=True
    ),
    "unetpp": NetworkSettings(
        network="unetpp", height=32, width=32, base_width=4, depth=3, deep_supervision=True
    ),
    "nasnet": NetworkSettings(network="nasnet_gcn_se", height=32, width=32, blocks=1),
}
# In NASNet some follow a sum of two branches, or pictures that were pooled.
LEFT = {"unet": 0, "unet_two_headed": 0, "unetpp": 0, "nasnet": 8}


def keras_():
    quiet_keras()
    import keras

    return keras


@pytest.fixture(name="keras")
def _keras():
    return keras_()


def normalisations(net):
    return [each for each in net.layers if type(each).__name__ == "BatchNormalization"]


def lived_in(net, seed=0):
    """The net with statistics and factors as training leaves them: no channel like another."""
    rng = np.random.default_rng(seed)
    for each in normalisations(net):
        n = each.moving_mean.shape[0]
        weights = [rng.uniform(0.5, 1.5, n)] * each.scale + [rng.normal(0, 0.3, n)] * each.center
        weights += [rng.normal(0, 0.3, n), rng.uniform(0.3, 2, n)]
        each.set_weights([one.astype(np.float32) for one in weights])
    return net


def answers(net, x):
    found = net(x, training=False)
    parts = found if isinstance(found, dict) else {"": found}
    return {name: keras_().ops.convert_to_numpy(part) for name, part in parts.items()}


def largest_difference(net, other, shape):
    x = np.random.default_rng(1).random(shape, np.float32)
    one, two = answers(net, x), answers(other, x)
    assert one.keys() == two.keys()
    assert max(part.std() for part in one.values()) > 1e-3, "a net that says nothing"
    return max(np.abs(one[name] - two[name]).max() for name in one)


@pytest.mark.parametrize(
    "name",
    [hard(one) if one == "nasnet" else one for one in NETS],
)
def test_a_folded_net_answers_as_it_did(name):
    net = lived_in(build(NETS[name]))
    before = [weights.copy() for weights in net.get_weights()]
    light = folded(net)
    assert largest_difference(net, light, (2, *net.inputs[0].shape[1:])) < 1e-5
    assert len(normalisations(light)) == LEFT[name] < len(normalisations(net)) / 4
    assert all(map(np.array_equal, before, net.get_weights())), "the net itself was changed"
    assert folded(net) is light


def followed(kind, settings, how, shape=(8, 8, 6)):
    layers, image = keras_().layers, keras_().Input(shape)
    x = getattr(layers, kind)(**settings)(image)
    return lived_in(keras_().Model(image, layers.BatchNormalization(**how)(x)))


WITH_BIAS = {"bias_initializer": "normal"}
WITHOUT = {"use_bias": False}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Conv2D", {"filters": 4, "kernel_size": 3, **WITHOUT}),
        ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": 2, **WITH_BIAS}),
        ("Conv2D", {"filters": 6, "kernel_size": 3, "dilation_rate": 2, **WITH_BIAS}),
        ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, **WITH_BIAS}),
        ("Conv2DTranspose", {"filters": 4, "kernel_size": 2, "strides": 2, **WITHOUT}),
        ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "depth_multiplier": 2, **WITH_BIAS}),
        ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 3, **WITH_BIAS}),
        ("DepthwiseConv2D", {"kernel_size": 3, **WITHOUT}),
    ],
    ids=str,
)
@pytest.mark.parametrize("how", [{}, {"scale": False, "epsilon": 0.1}, {"center": False}], ids=str)
def test_each_kind_of_convolution_takes_it_over(kind, settings, how):
    net = followed(kind, settings, how)
    light = folded(net)
    assert not normalisations(light)
    assert light.count_params() < net.count_params()
    assert largest_difference(net, light, (2, 8, 8, 6)) < 1e-5


def test_convolutions_in_space_take_it_over():
    net = followed("Conv3D", {"filters": 4, "kernel_size": 3}, {}, shape=(6, 6, 6, 2))
    assert not normalisations(folded(net))
    assert largest_difference(net, folded(net), (1, 6, 6, 6, 2)) < 1e-5


def feeding_two(layers, image):
    x = layers.Conv2D(4, 3, padding="same")(image)
    return layers.Add()([layers.BatchNormalization()(x), x])


def given_out_too(layers, image):
    x = layers.Conv2D(4, 3, padding="same")(image)
    return {"raw": x, "even": layers.BatchNormalization()(x)}


def used_twice(layers, image):
    shared = layers.Conv2D(6, 3, padding="same")
    return layers.BatchNormalization()(shared(shared(image)))


def bent(layers, image):
    return layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(image))


def not_beside(layers, image):
    return layers.BatchNormalization()(layers.ReLU()(layers.Conv2D(4, 3)(image)))


def of_rows(layers, image):
    return layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3)(image))


def of_the_batch(layers, image):
    return layers.BatchNormalization()(layers.Conv2D(4, 3)(image), training=True)


def twice_the_same(layers, image):
    even = layers.BatchNormalization()
    return layers.Add()([even(layers.Conv2D(4, 3)(image)), even(layers.Conv2D(4, 3)(image))])


@pytest.mark.parametrize(
    "kept",
    [feeding_two, given_out_too, used_twice, bent, not_beside, of_rows, of_the_batch,
     twice_the_same],
)  # fmt: skip
def test_what_cannot_be_folded_stays_as_it_is(kept, keras):
    image = keras.Input((8, 8, 6))
    net = keras.Model(image, kept(keras.layers, image))
    assert folded(net) is net


def test_of_a_net_that_is_folded_in_part_the_rest_stays(keras):
    layers = keras.layers
    image, other = keras.Input((8, 8, 6), name="image"), keras.Input((8, 8, 4), name="other")
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(image))
    both = layers.Concatenate()([x, layers.BatchNormalization()(other)])
    net = lived_in(keras.Model({"image": image, "other": other}, feeding_two(layers, both)))
    light = folded(net)
    assert len(normalisations(net)) == 3
    assert len(normalisations(light)) == 2
    rng = np.random.default_rng(2)
    x = {"image": rng.random((1, 8, 8, 6)), "other": rng.random((1, 8, 8, 4))}
    np.testing.assert_allclose(answers(light, x)[""], answers(net, x)[""], atol=1e-5)


def test_what_is_no_functional_net_stays_as_it_is(keras):
    layers = keras.layers
    one_after_another = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.BatchNormalization()]
    )
    for net in (one_after_another, object()):
        assert folded(net) is net
