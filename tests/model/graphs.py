"""Whether Keras makes graphs for tests, and how: for a few small steps, graphs cost most."""

from contextlib import contextmanager

import pytest

from lungseg.model.devices import backend, quiet_keras


@contextmanager
def eagerly(eager=True):
    """Let Keras compute step by step, or not; PyTorch always does, and JAX is slow at it."""
    quiet_keras()
    import keras

    with pytest.MonkeyPatch.context() as patch:
        if backend() == "tensorflow":
            patch.setattr(keras.Model, "run_eagerly", property(lambda _: eager, lambda *_: None))
        yield


@contextmanager
def graphs_as_they_are():
    """TensorFlow's rewriting of graphs costs more than two hundred small steps save."""
    if backend() != "tensorflow":
        yield
        return
    quiet_keras()
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
