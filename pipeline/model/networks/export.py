"""A trained network as a TensorFlow SavedModel, for those who serve it without Keras."""

import zipfile
from pathlib import Path

from lungseg.core.errors import ConfigError


def export_model(model_path: Path, out: Path) -> Path:
    """Write the network in `model_path` as a SavedModel folder and give its path back.

    Its function ``serve`` takes ``(n, h, w, channels) float32``, any n, and gives what the network
    gives. ONNX is not offered: it takes packages (onnx, tf2onnx) that this project does without.

    Raises
    ------
    ConfigError
        If Keras runs on another backend than TensorFlow, `out` is there already, or `model_path`
        is no ``.keras`` file.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"a SavedModel is written by TensorFlow, and Keras runs on {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow (the model file is the same for all)"
        )
    if out.exists():
        raise ConfigError(f"{out} is there already; name a folder that is not")
    if not zipfile.is_zipfile(model_path):
        raise ConfigError(f"{model_path} is not a .keras file; give the model that train wrote")
    model = keras.saving.load_model(model_path, compile=False, safe_mode=True)
    model.export(out, format="tf_saved_model", verbose=False)
    return out
