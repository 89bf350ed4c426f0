"""Half precision: half the bytes, the same probabilities, and a file that Keras reads by itself."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from lungseg.model.devices import quiet_keras
from lungseg.model.inference import load_net, predict
from lungseg.model.model_record import read_model_record, write_model_record
from lungseg.model.networks import NetworkSettings, build
from lungseg.model.shipping.half_precision import (
    MOST_SPARED,
    SOME_SPARED,
    largest_difference,
    write_half,
)
from tests.commands.bright_net import RECORD

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, eager):
    """A small U-Net after one step of Adam: its file has the state of an optimiser."""
    quiet_keras()
    import keras

    folder = tmp_path_factory.mktemp("net")
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(3)
    net = build(
        NetworkSettings(network="unet", height=32, width=32, channels=1, base_width=64, depth=2)
    )
    net.compile("adam", "mse")
    net.train_on_batch(rng.random((2, 32, 32, 1)), rng.random((2, 32, 32, 2)))
    net.save(folder / "model.keras")
    write_model_record(RECORD, folder)
    return folder / "model.keras"


def weights_in(file):
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as weights:
        weights.visititems(
            lambda name, item: arrays.update({name: item[()]} if hasattr(item, "shape") else {})
        )
    return arrays


def test_the_file_has_half_the_bytes_and_nearly_the_same_probabilities(trained, tmp_path):
    write_half(trained, tmp_path / "half.keras")
    of_weights = sum(
        array.nbytes for name, array in weights_in(trained).items() if "optimizer" not in name
    )
    assert (tmp_path / "half.keras").stat().st_size < 0.6 * of_weights
    assert 0 < largest_difference(trained, tmp_path / "half.keras") < 0.002
    x = np.random.default_rng(5).random((2, 32, 32, 1), np.float32)
    before, after = (predict(load_net(f), x, 2) for f in (trained, tmp_path / "half.keras"))
    np.testing.assert_allclose(before, after, atol=0.002)


def test_large_kernels_are_float16_and_what_is_small_stays_as_it_is(trained, tmp_path):
    write_half(trained, tmp_path / "half.keras")
    before, after = weights_in(trained), weights_in(tmp_path / "half.keras")
    kept = {name for name in before if not name.startswith("optimizer")}
    assert {array.dtype for array in after.values()} >= {np.dtype("float16"), np.dtype("float32")}
    assert kept == set(after)
    for name in kept:
        if before[name].size > 1 << 15:
            assert after[name].dtype == np.float16
            np.testing.assert_allclose(after[name], before[name], rtol=1e-3, atol=1e-7)
        else:
            assert after[name].dtype == before[name].dtype
            np.testing.assert_array_equal(after[name], before[name])


@pytest.mark.parametrize(
    ("sparing", "sizes"),
    [
        (MOST_SPARED, {9 * 128 * 128: 4, 9 * 128 * 256: 5}),
        (SOME_SPARED, {9 * 128 * 128: 3, 9 * 128 * 256: 4, 9 * 256 * 256: 5}),
    ],
)
def test_larger_kernels_do_without_as_many_bits_as_they_are_told_to(tmp_path, sparing, sizes):
    import keras
    from keras import layers

    image = keras.Input((4, 4, 128))
    x = layers.Conv2D(128, 3, padding="same", name="larger")(image)
    x = layers.Conv2D(256, 3, padding="same", name="still_larger")(x)
    x = layers.Conv2D(256, 3, padding="same", name="largest")(x)
    keras.Model(image, x).save(tmp_path / "net.keras")
    write_half(tmp_path / "net.keras", tmp_path / "half.keras", sparing)
    before, after = (weights_in(tmp_path / f"{name}.keras") for name in ("net", "half"))
    for size, spared in sizes.items():
        (name,) = (each for each in before if before[each].size == size)
        normal = np.abs(after[name]) >= 2**-14
        assert not (after[name].view(np.uint16)[normal] & (2**spared - 1)).any()
        error = np.abs(after[name].astype(np.float64) - before[name])
        assert (error <= 2.0 ** (spared - 11) * np.abs(before[name]) + 1e-6).all()
        # Rounded, not cut off: as often up as down.
        assert abs((np.abs(after[name]) > np.abs(before[name])).mean() - 0.5) < 0.02


def test_no_optimiser_is_left_and_the_record_is(trained, tmp_path):
    assert any(name.startswith("optimizer") for name in weights_in(trained))
    write_half(trained, tmp_path / "half.keras")
    assert not any(name.startswith("optimizer") for name in weights_in(tmp_path / "half.keras"))
    with zipfile.ZipFile(tmp_path / "half.keras") as archive:
        assert json.loads(archive.read("config.json"))["compile_config"] is None
    assert read_model_record(tmp_path / "half.keras") == RECORD


def test_it_computes_in_single_precision(trained, tmp_path):
    write_half(trained, tmp_path / "half.keras")
    net = load_net(tmp_path / "half.keras")
    assert {variable.dtype for variable in net.weights} == {"float32"}
    assert net.dtype_policy.name == "float32"


def test_the_same_net_gives_the_same_bytes(trained, tmp_path):
    for name in ("one", "two"):
        write_half(trained, tmp_path / f"{name}.keras")
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()


def test_a_changed_weight_shows_as_a_difference(trained, tmp_path):
    net = load_net(trained)
    weights = net.get_weights()
    # The last bias is of two channels; the softmax sees their difference alone.
    net.set_weights([*weights[:-1], weights[-1] + np.array([0.5, 0.0], np.float32)])
    net.save(tmp_path / "other.keras")
    net.set_weights(weights)
    assert largest_difference(trained, tmp_path / "other.keras") > 0.05


def test_a_net_of_three_dimensions_and_any_size_is_compared_too(tmp_path):
    from lungseg.model.lung_net.network import build as lung_net

    quiet_keras()
    import keras

    keras.utils.set_random_seed(1)
    net = lung_net((4, 48))
    net.save(tmp_path / "whole.keras")
    write_half(tmp_path / "whole.keras", tmp_path / "half.keras")
    assert 0 < largest_difference(tmp_path / "whole.keras", tmp_path / "half.keras", 1) < 0.002
    changed = [weight * 1.1 for weight in net.get_weights()]
    net.set_weights(changed)
    net.save(tmp_path / "other.keras")
    assert largest_difference(tmp_path / "whole.keras", tmp_path / "other.keras", 1) > 0.002
