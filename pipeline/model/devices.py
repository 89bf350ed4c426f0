"""Devices: where the nets run, and all code that is specific to one of Keras's backends."""

import importlib
import itertools
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import ConfigError, DataError

Loss = Callable[[Any, Any], Any]

PRECISIONS = ("none", "auto", "float16", "bfloat16")

# Beginnings of lines that TensorFlow writes whenever it is imported.
_NOTES = (b"WARNING: All log messages before absl", b"I0000 ", b"W0000 ")
# Linux's description of the processors.
_CPU_INFO = Path("/proc/cpuinfo")
# Keras's wrappers for scikit-learn and its drawings do without them where they are not installed.
_NOT_USED = ("sklearn", "matplotlib")
# In the backends' messages when the device's memory is full.
_FULL = ("RESOURCE_EXHAUSTED", "ResourceExhausted", "OOM when allocating", "out of memory")


class DeviceMemoryError(DataError):
    """A net and its batch are too large for the device's memory."""


def quiet_keras() -> None:
    """Import keras without TensorFlow's start-up notes on stderr; other output there stays.

    What Keras imports only for parts of it that are not used here is left out: a quarter of the
    time. It can be imported by others all the same.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow itself turns oneDNN on for newer processors alone: with AVX2 a net predicts in
    # three quarters to four fifths of the time with it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if "keras" in sys.modules:
        return
    absent = [name for name in _NOT_USED if name not in sys.modules]
    for name in absent:
        # As Python marks what it has looked for in vain.
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        _import_quietly()
    finally:
        for name in absent:
            sys.modules.pop(name)


def _import_quietly() -> None:
    # Some notes are written before TensorFlow reads that level, directly to the descriptor.
    sys.stderr.flush()
    descriptor = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            importlib.import_module("keras")
        finally:
            os.dup2(descriptor, 2)
            os.close(descriptor)
            written.seek(0)
            for line in written.read().splitlines(keepends=True):
                if not line.startswith(_NOTES):
                    os.write(2, line)


def backend() -> str:
    """Name of Keras's backend: tensorflow, jax or torch."""
    quiet_keras()
    import keras

    return str(keras.backend.backend())


def packages() -> dict[str, str]:
    """Version of Keras and name of its backend, as a net's record tells them."""
    return {"keras": version("keras"), "backend": backend()}


def use(device: str) -> None:
    """Have this process compute on `device` alone; to be called before Keras is imported.

    All backends look at the same variables of the environment when they start.

    Parameters
    ----------
    device
        ``auto``: a GPU where there is one; ``cpu``; ``gpu``: the GPUs that there are; ``gpu:N``:
        the one of this number, from 0, as nvidia-smi counts them, or of those that
        CUDA_VISIBLE_DEVICES lists.

    Raises
    ------
    ConfigError
        If it is none of these, there is no such GPU, or Keras has started on GPUs already.
    """
    found = re.fullmatch(r"auto|cpu|gpu(?::(\d+))?", device)
    if found is None:
        raise ConfigError(f"device {device}: must be auto, cpu, gpu or gpu:N, N from 0")
    if device == "auto":
        return
    started = "keras" in sys.modules
    if device == "cpu":
        os.environ.update(
            CUDA_VISIBLE_DEVICES="-1",
            HIP_VISIBLE_DEVICES="-1",
            JAX_PLATFORMS="cpu",
            KERAS_TORCH_DEVICE="cpu",
        )
        if started and gpus():
            raise ConfigError("device cpu comes too late: Keras has started on a GPU already")
        return
    if found[1] is not None:
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        os.environ["CUDA_VISIBLE_DEVICES"] = _of_visible(int(found[1]), device)
        if started and len(gpus()) > 1:
            raise ConfigError(f"device {device} comes too late: Keras has started already")
    if not gpus():
        raise ConfigError(
            f"device {device}: {backend()} sees no such GPU; is there one, and its driver, and "
            "was lungseg-cli[gpu] installed? device cpu runs without one"
        )


def _of_visible(number: int, device: str) -> str:
    """What CUDA_VISIBLE_DEVICES must be for the GPU of this number."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return str(number)
    names = [name.strip() for name in listed.split(",") if name.strip()]
    # What comes behind -1 is not seen.
    visible = list(itertools.takewhile(lambda name: name != "-1", names))
    if number >= len(visible):
        raise ConfigError(
            f"device {device}: CUDA_VISIBLE_DEVICES={listed} shows {len(visible)} GPUs, which "
            "are counted from 0"
        )
    return visible[number]


def gpus() -> list[str]:
    """Names of the accelerators that Keras's backend sees."""
    name = backend()
    if name == "jax":
        devices = importlib.import_module("jax").devices()
        return [str(d.device_kind) for d in devices if d.platform != "cpu"]
    if name == "torch":
        cuda = importlib.import_module("torch").cuda
        return [str(cuda.get_device_name(k)) for k in range(cuda.device_count())]
    import tensorflow as tf

    told = tf.config.experimental.get_device_details
    return [str(told(g).get("device_name", g.name)) for g in tf.config.list_physical_devices("GPU")]


def runs_on(count: int = 1) -> str:
    """What nets run on, for a person: the first `count` accelerators (0: all), or the processor."""
    found = gpus()
    used = found[: count or None]
    if not used:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"the CPU, {cores} {'core' if cores == 1 else 'cores'}"
    if len(used) > 1:
        return f"{len(used)} GPUs, {', '.join(dict.fromkeys(used))}"
    return f"the GPU {used[0]}" + (f" (one of {len(found)})" if len(found) > 1 else "")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error`, of any backend, means that a device has no memory left."""
    text = f"{type(error).__name__}: {error}"
    return isinstance(error, MemoryError) or any(sign in text for sign in _FULL)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Keras's global random numbers; Python's and numpy's are restored afterwards."""
    import random

    import keras

    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - to put it back
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


def reseed(key: tuple[int, ...] | None) -> None:
    """Seed, by `key`, the random numbers that are not part of a model's state.

    On PyTorch Keras's dropout uses the library's own; with other backends they are in the model.
    """
    if backend() == "torch" and key is not None:
        seed = np.random.SeedSequence(key).generate_state(1)[0]
        importlib.import_module("torch").manual_seed(int(seed))


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Set Keras's policy for a while: ``float32``, ``mixed_float16`` or ``mixed_bfloat16``."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def policy_of(precision: str) -> str:
    """Keras's policy for one of `PRECISIONS`.

    ``auto`` is the fastest type that is safe on the first accelerator: bfloat16 from NVIDIA's
    compute capability 8 on and on accelerators of others, float16 from 7 on; single precision on a
    CPU, where bfloat16 is three times slower unless it has AMX.
    """
    if precision != "auto":
        return "float32" if precision == "none" else f"mixed_{precision}"
    capability = _capability()
    if capability is None or capability < 7:
        return "float32"
    return "mixed_bfloat16" if capability >= 8 else "mixed_float16"


def policy_to_predict(precision: str) -> str:
    """Keras's policy for one of `PRECISIONS` when a net predicts.

    ``auto`` is bfloat16 where it is faster by far and what it changes has been measured: on a CPU
    that has AMX, with TensorFlow. On a GPU (an H200, with PyTorch) it changed more and was no
    faster. It is never float16, whose largest number a net of others may pass.
    """
    if precision != "auto":
        return policy_of(precision)
    fast = _capability() is None and backend() == "tensorflow" and has_amx()
    return "mixed_bfloat16" if fast else "float32"


def has_amx() -> bool:
    """Whether the processor multiplies matrices of bfloat16 (AMX) and TensorFlow is let use it.

    As Linux tells of the processor; elsewhere it is taken to have none.
    """
    try:
        told = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # Its own kernels, used when it is told to do without oneDNN's, know no AMX.
    return os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0" and "amx_bf16" in told.split()


def _capability() -> float | None:
    """NVIDIA's compute capability of the first accelerator; infinity for others', None without."""
    name = backend()
    if name == "jax":
        device = importlib.import_module("jax").devices()[0]
        if device.platform == "cpu":
            return None
        return float(getattr(device, "compute_capability", "inf"))
    if name == "torch":
        cuda = importlib.import_module("torch").cuda
        if not cuda.is_available():
            return None
        major, minor = cuda.get_device_capability()
        return float(major + minor / 10)
    import tensorflow as tf

    if not (cards := tf.config.list_physical_devices("GPU")):
        return None
    found = tf.config.experimental.get_device_details(cards[0]).get("compute_capability")
    return float(found[0] + found[1] / 10) if found else math.inf


@contextmanager
def spread_over(count: int) -> Iterator[int]:
    """Build and train a model data-parallel on `count` devices (0: all); yields their number.

    Raises
    ------
    ConfigError
        If there are fewer, or the backend cannot do it.
    """
    import keras

    if count == 1:
        yield 1
        return
    name = backend()
    if name == "jax":
        devices = _chosen(keras.distribution.list_devices(), count)
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
        try:
            yield len(devices)
        finally:
            keras.distribution.set_distribution(None)
    elif name == "tensorflow":
        with _mirrored_on_tensorflow(count) as found:
            yield found
    else:
        raise ConfigError(
            f"Keras trains on several devices with its backends tensorflow and jax, not {name}; "
            "choose one by the environment variable KERAS_BACKEND",
            setting="devices=1",
        )


def loss_of_each(loss: Loss, devices: int) -> Loss:
    """The loss of one of several devices, so that the backend's sum over them is the mean.

    TensorFlow's strategy sums the gradients of the devices, and Keras does not divide a loss that
    is one number for a batch; on JAX the loss is that of the whole batch.
    """
    if devices == 1 or backend() != "tensorflow":
        return loss

    def share(y_true: Any, y_pred: Any) -> Any:
        return loss(y_true, y_pred) / devices

    return share


@contextmanager
def _mirrored_on_tensorflow(count: int) -> Iterator[int]:
    import tensorflow as tf

    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    strategy = tf.distribute.MirroredStrategy(_chosen(names, count))
    with strategy.scope():
        yield int(strategy.num_replicas_in_sync)


def _chosen(names: list[Any], count: int) -> list[Any]:
    if count > len(names):
        raise ConfigError(
            f"{count} devices were asked for and there are {len(names)}: {', '.join(names)}",
            setting=f"devices={len(names)}",
        )
    return names[: count or None]
