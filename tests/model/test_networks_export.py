"""A SavedModel predicts what the network predicts."""

import os

import numpy as np
import pytest

from lungseg.core.errors import ConfigError
from lungseg.model.networks import NetworkSettings, build
from lungseg.model.networks.export import export_model

TENSORFLOW = os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"


@pytest.fixture
def saved(tmp_path):
    model = build(NetworkSettings(network="unet", height=32, width=32, base_width=4, depth=2))
    model.save(tmp_path / "model.keras")
    return model, tmp_path / "model.keras"


@pytest.mark.skipif(not TENSORFLOW, reason="a SavedModel is TensorFlow's")
def test_the_exported_function_says_the_same(saved, tmp_path):
    import tensorflow as tf

    model, path = saved
    served = tf.saved_model.load(str(export_model(path, tmp_path / "served")))
    for n in (1, 3):
        x = np.random.default_rng(n).random((n, 32, 32, 1), np.float32)
        said = served.serve(x).numpy()
        np.testing.assert_allclose(said, model(x, training=False).numpy(), atol=1e-6)


@pytest.mark.skipif(not TENSORFLOW, reason="a SavedModel is TensorFlow's")
def test_what_cannot_be_exported_is_named(saved, tmp_path):
    _, path = saved
    with pytest.raises(ConfigError, match="is there already; name a folder"):
        export_model(path, tmp_path)
    (tmp_path / "note.txt").write_text("no model")
    with pytest.raises(ConfigError, match=r"note\.txt is not a \.keras file"):
        export_model(tmp_path / "note.txt", tmp_path / "out")


def test_another_backend_is_refused_with_advice(monkeypatch, tmp_path):
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ConfigError, match="Keras runs on jax; set KERAS_BACKEND=tensorflow"):
        export_model(tmp_path / "model.keras", tmp_path / "out")
