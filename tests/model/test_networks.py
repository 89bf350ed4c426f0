"""The networks: known sizes, any admitted shape, their outputs, and saving and loading."""

import os

import numpy as np
import pytest

from lungseg.core.errors import ConfigError
from lungseg.model.networks import NetworkSettings, build, foreground
from lungseg.model.networks.encoders import copy_weights, load_nasnet, plain_layers
from tests.hard_cases import hard

# One cell a stage: every kind of layer of the real network, a third of its depth.
SMALL = {
    "nasnet": NetworkSettings(network="nasnet_gcn_se", height=64, width=64, blocks=1),
    "nasnet_lite": NetworkSettings(
        network="nasnet_gcn_se",
        height=32,
        width=48,
        channels=3,
        blocks=1,
        decoder="lite",
        dropout=0.2,
        slice_head=True,
    ),
    "unet": NetworkSettings(
        network="unet", height=64, width=48, base_width=4, depth=3, dropout=0.1
    ),
    "unetpp": NetworkSettings(
        network="unetpp", height=64, width=48, base_width=4, depth=3, deep_supervision=True
    ),
    "unet_two_headed": NetworkSettings(
        network="unet", height=32, width=32, base_width=4, depth=3, slice_head=True
    ),
    "borrowed": NetworkSettings(
        network="unet", height=32, width=64, base_width=4, depth=4, encoder="MobileNetV2"
    ),
}


def images(settings, n=2):
    shape = (n, settings.height, settings.width, settings.channels)
    return np.random.default_rng(3).random(shape, np.float32)


def predicted(model, x):
    """What the model says, without the seconds that Keras's `predict` compiles for."""
    from keras import ops

    output = model(x, training=False)
    if isinstance(output, dict):
        return {name: ops.convert_to_numpy(part) for name, part in output.items()}
    return ops.convert_to_numpy(output)


@pytest.fixture(scope="module")
def answer(small):
    """What the net says of its images."""
    settings, model = small
    return predicted(model, images(settings))


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


# Mean and standard deviation of the foreground, and its value at one voxel, as TensorFlow has them.
KNOWN = {
    "nasnet": (0.50164, 0.0079419, 0.51516),
    "nasnet_lite": (0.60802, 0.12653, 0.66376),
    "unet": (0.70276, 0.10127, 0.75227),
    "unetpp": (0.44418, 0.05076, 0.42712),
    "unet_two_headed": (0.68866, 0.10634, 0.67472),
    "borrowed": (0.50873, 0.022192, 0.49423),
}


def fill(model):
    """Weights that are the same under every backend: from numpy, as wide as their layer asks."""
    rng = np.random.default_rng(11)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:
            fan_in = max(1, int(np.prod(weight.shape[:-1])))
            weight.assign(rng.normal(0, (2 / fan_in) ** 0.5, weight.shape).astype(np.float32))


# Of the two NASNets the lighter one shows what both have.
@pytest.fixture(scope="module", params=[hard(name) if name == "nasnet" else name for name in SMALL])
def small(request):
    model = build(SMALL[request.param])
    fill(model)
    return SMALL[request.param], model


@pytest.mark.hard
def test_nasnet_has_the_parameters_of_the_thesis_at_its_size():
    model = build(NetworkSettings(network="nasnet_gcn_se", height=400, width=400))
    assert model.count_params() == 22_049_958
    assert model.output_shape == (None, 400, 400, 2)
    skips = [model.get_layer(f"skip_{c}").output.shape for c in ("stem_2", "reduce_4", "reduce_8")]
    assert skips == [(None, 100, 100, 44), (None, 50, 50, 176), (None, 25, 25, 352)]
    assert model.get_layer("bottom_relu").output.shape == (None, 13, 13, 1056)


def test_unet_of_64_to_1024_filters_has_31_million_parameters():
    model = build(NetworkSettings(network="unet", height=512, width=512))
    assert trainable(model) == 31_044_354
    assert model.count_params() - trainable(model) == 13_696


def test_width_and_depth_are_settings():
    half = NetworkSettings(network="unet", height=64, width=64, base_width=32, depth=4)
    shallower = build(half)
    assert shallower.get_layer("mask").output.shape == (None, 64, 64, 2)
    assert max(weight.shape[-1] for weight in shallower.trainable_weights) == 256


def test_says_probabilities_of_the_images_size(small, answer):
    settings, output = small[0], answer
    mask = output["mask"] if settings.slice_head else output
    assert mask.shape == (2, settings.height, settings.width, 2)
    assert mask.dtype == np.float32
    assert mask.min() >= 0
    assert mask.max() <= 1
    np.testing.assert_allclose(mask.sum(axis=-1), 1, atol=1e-5)
    if settings.slice_head:
        assert output["slice"].shape == (2, 1)
    marked = foreground(output)
    assert marked.shape == (2, settings.height, settings.width)
    np.testing.assert_array_equal(marked, mask[..., 1])


@pytest.mark.parametrize(
    "small",
    # Hundreds of layers come back as a few do.
    [hard(name) if name.startswith("nasnet") else name for name in SMALL],
    indirect=True,
)
def test_comes_back_from_disk_in_safe_mode(small, answer, tmp_path):
    import keras

    settings, model = small
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    after = predicted(again, images(settings))
    np.testing.assert_allclose(foreground(after), foreground(answer), rtol=0, atol=1e-6)


def test_a_saved_network_needs_none_of_our_code(small):
    _, model = small
    config = str(model.get_config())
    assert "lungseg" not in config
    assert "Lambda" not in config


def test_every_backend_says_the_same(small, answer):
    marked = foreground(answer)
    name = next(name for name, known in SMALL.items() if known is small[0])
    found = (marked.mean(), marked.std(), marked[1, 17, 23])
    np.testing.assert_allclose(found, KNOWN[name], rtol=1e-3)


def test_deep_supervision_is_the_mean_of_the_heads():
    import keras
    from keras import ops

    settings = SMALL["unetpp"]
    model = build(settings)
    heads = keras.Model(model.input, [model.get_layer(f"mask_{j}").output for j in (1, 2)])
    first, second = (ops.convert_to_numpy(head) for head in heads(images(settings)))
    np.testing.assert_allclose(predicted(model, images(settings)), (first + second) / 2, atol=1e-6)


@pytest.mark.hard
@pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND") == "torch",
    reason="Keras refuses its own NASNetMobile under PyTorch",
)
def test_the_encoder_is_keras_own_nasnet_mobile(monkeypatch):
    """ImageNet's loader stands in: its random weights must give its very maps in our encoder."""
    import keras
    from keras import ops

    from lungseg.model.networks import nasnet_gcn_se

    def without_network(input_shape, include_top, weights):
        assert (input_shape, include_top, weights) == ((224, 224, 3), False, "imagenet")
        return theirs

    # 96 pixels halve to odd sizes below, where padding may go wrong.
    theirs = keras.applications.NASNetMobile((96, 64, 3), include_top=False, weights=None)
    monkeypatch.setattr(keras.applications, "NASNetMobile", without_network)
    settings = NetworkSettings(
        network="nasnet_gcn_se",
        height=96,
        width=64,
        channels=3,
        encoder_weights="imagenet",
        decoder="lite",
    )
    ours = nasnet_gcn_se.nasnet_gcn_se(settings)
    x = images(settings)
    taps = [theirs.output] + [
        theirs.get_layer(f"separable_conv_1_pad_reduction_{side}_{cell}").input
        for cell in ("stem_2", "reduce_8")
        for side in ("left1", "right1")
    ]
    bottom, *inputs = (ops.convert_to_numpy(t) for t in keras.Model(theirs.input, taps)(2 * x - 1))
    names = ("bottom_relu", "skip_stem_2", "skip_reduce_8")
    encoder = keras.Model(ours.input, [ours.get_layer(name).output for name in names])
    found = [ops.convert_to_numpy(t) for t in encoder(x)]
    wanted = [bottom, *(np.concatenate(inputs[i : i + 2], axis=-1) for i in (0, 2))]
    for ours_at, theirs_at in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours_at, theirs_at, rtol=1e-4, atol=1e-5 * theirs_at.max())


def assert_same_weights(first, second, *names):
    layers = [{each.name: each for each in plain_layers(model)} for model in (first, second)]
    for name in names:
        for a, b in zip(*(of[name].get_weights() for of in layers), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_borrowed_encoder_starts_from_a_file(tmp_path):
    import keras

    first = keras.applications.MobileNetV2((32, 32, 3), include_top=False, weights=None)
    file = tmp_path / "first.keras"
    first.save(file)
    unet = {"network": "unet", "base_width": 2, "depth": 2, "encoder": "MobileNetV2"}
    second = build(NetworkSettings(height=64, width=32, encoder_weights=str(file), **unet))
    assert_same_weights(first, second, "Conv1", "expanded_conv_depthwise", "block_1_expand")
    # And another from that net, which has no more of the encoder than its depth needs.
    second.save(file)
    third = build(NetworkSettings(height=32, width=32, encoder_weights=str(file), **unet))
    assert_same_weights(second, third, "Conv1", "expanded_conv_depthwise", "block_1_expand")


@pytest.mark.hard
@pytest.mark.parametrize("small", ["nasnet_lite"], indirect=True)
def test_nasnets_encoder_starts_from_a_file(small, tmp_path):
    file = tmp_path / "first.keras"
    small[1].save(file)
    nasnet = {"network": "nasnet_gcn_se", "channels": 3, "blocks": 1}
    second = build(NetworkSettings(height=32, width=32, encoder_weights=str(file), **nasnet))
    assert_same_weights(
        small[1], second,
        "stem_conv1", "separable_conv_2_bn_normal_left5_3", "reduction_conv_1_reduce_2",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"a": 5}, r"of FILE do not fit: layer a has shapes \[\(3, 5\), \(5,\)\] there and needs"),
        ({"b": 4}, r"layer a has no counterpart there and needs \[\(3, 4\), \(4,\)\]"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_change_nothing(theirs, message):
    import keras

    def dense(units):
        layers = [keras.layers.Dense(n, name=name) for name, n in units.items()]
        return keras.Sequential([keras.Input((3,)), *layers])

    ours = dense({"a": 4})
    before = ours.get_weights()
    with pytest.raises(ConfigError, match=message):
        copy_weights(dense(theirs), ours, "FILE")
    np.testing.assert_array_equal(ours.get_weights()[0], before[0])


def test_encoder_weights_that_cannot_be_had_are_named(tmp_path, monkeypatch):
    import keras

    def load(weights, channels=1):
        options = {"network": "nasnet_gcn_se", "height": 32, "width": 32, "channels": channels}
        load_nasnet(None, NetworkSettings(**options, encoder_weights=str(weights)))

    with pytest.raises(ConfigError, match=r"there is no file .*absent\.keras"):
        load(tmp_path / "absent.keras")
    (tmp_path / "odd.keras").write_bytes(b"not a model")
    with pytest.raises(ConfigError, match=r"odd\.keras is not a model that Keras can load"):
        load(tmp_path / "odd.keras")
    with pytest.raises(ConfigError, match="are for 3 channels, not 1"):
        load("imagenet")

    def no_network(**_):
        raise OSError("URL fetch failure")

    monkeypatch.setattr(keras.applications, "NASNetMobile", no_network)
    with pytest.raises(
        ConfigError, match=r"could not fetch ImageNet's weights \(URL fetch failure"
    ):
        load("imagenet", channels=3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"network": "vnet"}, r"network is 'vnet'; it must be one of"),
        ({"decoder": "half"}, r"decoder is 'half'"),
        ({"height": 40}, r"slices of 40 x 64 pixels do not fit unet; .* multiples of 16"),
        ({"height": 16}, r"at least 32"),
        ({"depth": 1}, r"depth must be from 2 to 8"),
        ({"blocks": 0}, r"the others at least 1"),
        ({"dropout": 1.0}, r"dropout 1\.0 must be in \[0, 1\)"),
        ({"encoder": "MobileNetV2", "network": "unetpp"}, r"only unet takes an encoder"),
        (
            {"encoder": "MobileNetV2", "channels": 5},
            r"takes colours: 1 channel \(repeated three times\) or 3, not 5",
        ),
        ({"encoder_weights": "imagenet"}, r"without an encoder to load it into"),
        ({"encoder": "AlexNet"}, r"encoder is 'AlexNet'; it must be one of"),
    ],
)
def test_settings_that_make_no_network_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        NetworkSettings(**{"network": "unet", "height": 64, "width": 64, **wrong})


def test_an_encoder_without_so_coarse_a_map_says_so():
    with pytest.raises(ConfigError, match=r"no map of 1/64 of the image's size"):
        build(
            NetworkSettings(
                network="unet", height=64, width=64, depth=7, base_width=4, encoder="MobileNetV2"
            )
        )


@pytest.mark.parametrize(
    "encoder",
    [
        hard("DenseNet121"),
        hard("EfficientNetB0"),
        "ResNet50V2",
    ],
)
def test_every_encoder_gives_a_map_a_level(encoder):
    settings = NetworkSettings(
        network="unet", height=64, width=96, depth=5, base_width=4, encoder=encoder
    )
    model = build(settings)
    (borrowed,) = (layer for layer in model.layers if layer.name == encoder.lower())
    sizes = [taken.shape[1:3] for taken in borrowed.output]
    assert sizes == [(32, 48), (16, 24), (8, 12), (4, 6)]
    assert model.output_shape == (None, 64, 96, 2)
