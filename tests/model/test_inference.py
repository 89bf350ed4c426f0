"""Inference: batches and tiles."""

import os

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.model import devices, inference
from lungseg.model.devices import DeviceMemoryError, quiet_keras
from lungseg.model.inference import (
    at_precision,
    load_net,
    load_to_predict,
    of_any_size,
    precision_of,
    predict,
    predict_mirrored,
    predict_tiled,
)
from lungseg.model.networks import NetworkSettings, build

pytestmark = pytest.mark.usefixtures("eager")


class Pointwise:
    """A net whose answer at a pixel is that pixel."""

    def __init__(self):
        self.shapes = []

    def predict_on_batch(self, x):
        self.shapes.append(x.shape)
        return np.stack([1 - x[..., 0], x[..., 0]], -1)


class Full:
    def predict_on_batch(self, x):
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")


class Broken:
    def predict_on_batch(self, x):
        raise RuntimeError("a bug")


def picture(*shape):
    return np.random.default_rng(0).random(shape).astype(np.float32)


def test_every_batch_has_one_size_and_nothing_is_lost():
    net, x = Pointwise(), picture(7, 4, 4, 1)
    np.testing.assert_array_equal(predict(net, x, 3), x[..., 0])
    assert net.shapes == [(3, 4, 4, 1)] * 3


@pytest.mark.parametrize(("size", "settings"), [(8, ("batch_size=4",)), (1, ())])
def test_without_memory_the_error_says_which_batch_to_try(size, settings):
    with pytest.raises(
        DeviceMemoryError, match=rf"batch of {size} x 4 x 5 pixels \(slices"
    ) as caught:
        predict(Full(), picture(2, 4, 5, 1), size)
    assert caught.value.settings == settings


def test_other_faults_are_not_called_memory():
    with pytest.raises(RuntimeError, match="a bug"):
        predict(Broken(), picture(2, 4, 4, 1), 8)


@pytest.mark.parametrize("size", [(50, 33), (32, 32), (7, 90), (1, 5), (64, 64), (65, 31)])
@pytest.mark.parametrize("overlap", [0, 8, 15])
def test_tiles_put_a_picture_of_any_size_together_again(size, overlap):
    x = picture(*size, 1)
    found = predict_tiled(lambda tiles: tiles[..., 0], x, 32, overlap, batch_size=3)
    np.testing.assert_allclose(found, x[..., 0], atol=1e-6)


def test_tiles_hide_what_a_net_does_at_its_borders():
    def wrong_at_borders(tiles):
        found = tiles[..., 0].copy()
        found[:, :2] = found[:, -2:] = found[:, :, :2] = found[:, :, -2:] = 9
        return found

    x = np.full((80, 100, 1), 0.5, np.float32)
    assert predict_tiled(wrong_at_borders, x, 32, 0, 8).max() == 9
    assert np.abs(predict_tiled(wrong_at_borders, x, 32, 15, 8) - 0.5).max() < 0.8
    middle = predict_tiled(wrong_at_borders, x, 32, 15, 8)[6:-6, 6:-6]
    assert np.median(middle) == 0.5


def test_an_overlap_of_half_a_tile_is_refused():
    with pytest.raises(ValueError, match="below half of tile 32"):
        predict_tiled(lambda tiles: tiles[..., 0], picture(40, 40, 1), 32, 16, 8)


def test_a_missing_and_a_broken_net_are_named(tmp_path):
    with pytest.raises(DataError, match="there is no net"):
        load_net(tmp_path / "model.keras")
    (tmp_path / "model.keras").write_text("not a net")
    with pytest.raises(DataError, match="cannot be loaded as a net"):
        load_net(tmp_path / "model.keras")


def test_a_net_is_loaded_once_until_its_file_changes(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(
        "keras.saving.load_model", lambda path, **_: loaded.append(path) or object()
    )
    inference._load_net.cache_clear()
    path = tmp_path / "model.keras"
    path.write_text("one")
    assert load_net(path) is load_net(path)
    os.utime(path, ns=(1, 1))
    load_net(path)
    assert len(loaded) == 2


def test_a_net_of_any_size_has_the_same_weights_and_takes_other_sizes():
    quiet_keras()
    net = build(NetworkSettings(network="unet", height=32, width=32, base_width=4, depth=3))
    free = of_any_size(net)
    x = np.random.default_rng(0).random((2, 32, 32, 1), np.float32)
    assert np.array_equal(predict(free, x, 2), predict(net, x, 2))
    assert predict(free, np.zeros((1, 64, 48, 1), np.float32), 2).shape == (1, 64, 48)
    assert of_any_size(net) is free


def test_a_net_with_bilinear_upsampling_keeps_its_size():
    quiet_keras()
    import keras

    net = keras.Sequential(
        [keras.Input((32, 32, 1)), keras.layers.UpSampling2D(1, interpolation="bilinear")]
    )
    assert of_any_size(net) is None


def test_what_is_no_net_of_keras_keeps_its_size():
    assert of_any_size(object()) is None


def test_mirrors_are_undone_before_the_mean():
    class Left:
        """Answers with the pixel to the right: a shift that mirrors turn round."""

        def predict_on_batch(self, x):
            shifted = np.roll(x[..., 0], -1, axis=2)
            return np.stack([1 - shifted, shifted], -1)

    x = np.zeros((1, 3, 5, 1), np.float32)
    x[0, 1, 2] = 1.0
    found = predict_mirrored(Left(), x, 1)
    assert found[0, 1].tolist() == [0, 0.5, 0, 0.5, 0]
    assert found.sum() == 1


def test_at_a_lower_precision_the_probabilities_are_nearly_the_same_and_float32():
    settings = NetworkSettings(network="unet", height=32, width=32, base_width=4, depth=2)
    net, x = build(settings), picture(2, 32, 32, 1)
    lower = at_precision(net, "bfloat16")
    before, after = predict(net, x, 2), predict(lower, x, 2)
    assert 1e-6 < np.abs(before - after).max() < 0.02
    assert lower.output.dtype == "float32"
    assert {variable.dtype for variable in lower.weights} == {"float32"}
    assert at_precision(net, "none") is net
    assert at_precision(Pointwise, "bfloat16") is Pointwise


@pytest.fixture
def saved(tmp_path):
    quiet_keras()
    net = build(NetworkSettings(network="unet", height=32, width=32, base_width=4, depth=2))
    net.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def test_a_net_to_predict_is_light_and_made_once(saved):
    x = picture(2, 32, 32, 1)
    light, net = load_to_predict(saved), load_net(saved)
    kinds = [{type(layer).__name__ for layer in each.layers} for each in (net, light)]
    assert kinds[0] - kinds[1] == {"BatchNormalization"}
    np.testing.assert_allclose(predict(light, x, 2), predict(net, x, 2), atol=1e-5)
    assert load_to_predict(saved) is light
    assert of_any_size(light) is of_any_size(load_to_predict(saved))


@pytest.mark.parametrize(("amx", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_auto_computes_as_the_machine_is_best_at(saved, monkeypatch, amx, precision):
    monkeypatch.setattr(devices, "_capability", lambda: None)
    monkeypatch.setattr(devices, "backend", lambda: "tensorflow")
    monkeypatch.setattr(devices, "has_amx", lambda: amx)
    net = load_to_predict(saved, "auto")
    assert precision_of(net) == precision
    assert precision_of(of_any_size(net)) == precision
    assert load_to_predict(saved, "auto") is net
    assert precision_of(load_to_predict(saved, "none")) == "float32"


def test_what_is_no_net_of_keras_computes_in_single_precision():
    assert precision_of(Pointwise()) == "float32"
