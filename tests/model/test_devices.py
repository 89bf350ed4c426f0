"""Devices: data-parallel training equals training on one; impossible requests are refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lungseg.core.errors import ConfigError
from lungseg.model import devices
from lungseg.model.devices import dtype_policy, is_out_of_memory, seeded, spread_over

# In a process of its own: what a backend starts with cannot be taken back. Virtual devices must be
# declared before it starts, GPUs hidden.
STARTED = """
import os, sys
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
from lungseg.model import devices
devices.use("cpu")
assert "keras" not in sys.modules
print(os.environ["CUDA_VISIBLE_DEVICES"], os.environ["JAX_PLATFORMS"],
      os.environ["KERAS_TORCH_DEVICE"], devices.gpus(), devices.runs_on())
from lungseg.model.devices import backend, loss_of_each, quiet_keras, seeded, spread_over
if backend() == "torch":
    sys.exit()
quiet_keras()
assert "keras" in sys.modules and not {"sklearn", "matplotlib"} & set(sys.modules)
import keras, matplotlib, numpy as np
if backend() == "tensorflow":
    import tensorflow as tf
    both = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], both)
from lungseg.model.losses import loss_named
x = np.random.default_rng(0).random((8, 8, 8, 1)).astype("float32")
y = np.stack([x[..., 0] > 0.5, np.ones(x.shape[:3])], -1).astype("float32")

class Once(keras.utils.PyDataset):
    def __len__(self):
        return 1
    def __getitem__(self, index):
        return x, y

for wanted in (1, 0):
    with spread_over(wanted) as count, seeded(0):
        image = keras.Input((8, 8, 1))
        net = keras.Model(image, keras.layers.Conv2D(2, 3, activation="softmax")(image))
        net.compile(keras.optimizers.SGD(0.1), loss_of_each(loss_named("bce"), count))
        y = y[:, :6, :6] if y.shape[1] == 8 else y
        loss = net.fit(Once(), verbose=0, shuffle=False).history["loss"][0]
        print(count, round(loss, 5), *np.round(net.get_weights()[0].ravel(), 5))
"""


spreads = pytest.mark.skipif(
    devices.backend() == "torch", reason="Keras spreads nothing on PyTorch"
)


@pytest.fixture(scope="module")
def started():
    """What is told by a process that uses the CPU, and then two devices: lines."""
    ran = subprocess.run(
        [sys.executable, "-c", STARTED],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    return ran.stdout.splitlines()


@spreads
def test_two_devices_take_the_step_that_one_takes(started):
    one, two = (line.split() for line in started[-2:])
    assert (one[0], two[0]) == ("1", "2")
    assert [float(v) for v in two[1:]] == pytest.approx([float(v) for v in one[1:]], abs=1e-4)


@pytest.mark.parametrize(
    ("precision", "capability", "policy"),
    [
        ("none", 9.0, "float32"),
        ("bfloat16", None, "mixed_bfloat16"),
        ("auto", None, "float32"),
        ("auto", 6.1, "float32"),
        ("auto", 7.5, "mixed_float16"),
        ("auto", 8.0, "mixed_bfloat16"),
        ("auto", float("inf"), "mixed_bfloat16"),
    ],
)
def test_auto_is_what_the_accelerator_is_best_at(monkeypatch, precision, capability, policy):
    monkeypatch.setattr(devices, "_capability", lambda: capability)
    assert devices.policy_of(precision) == policy


@pytest.mark.skipif(devices.backend() != "tensorflow", reason="asked of TensorFlow")
def test_the_capability_is_asked_of_the_backend(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])
    assert devices.policy_of("auto") == "float32"
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["a card"])
    details = {"compute_capability": (9, 0)}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: details)
    assert devices.policy_of("auto") == "mixed_bfloat16"


@pytest.mark.parametrize(
    ("precision", "capability", "amx", "policy"),
    [
        ("none", 9.0, True, "float32"),
        ("none", None, True, "float32"),
        ("bfloat16", None, False, "mixed_bfloat16"),
        ("auto", None, True, "mixed_bfloat16"),
        ("auto", None, False, "float32"),
        ("auto", 6.1, True, "float32"),
        ("auto", 7.5, True, "float32"),
        ("auto", 9.0, True, "float32"),
        ("auto", float("inf"), False, "float32"),
    ],
)
def test_auto_predicts_in_bfloat16_where_that_is_fast(
    monkeypatch, precision, capability, amx, policy
):
    monkeypatch.setattr(devices, "_capability", lambda: capability)
    monkeypatch.setattr(devices, "has_amx", lambda: amx)
    monkeypatch.setattr(devices, "backend", lambda: "tensorflow")
    assert devices.policy_to_predict(precision) == policy


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_amx_counts_with_tensorflow_alone(monkeypatch, name):
    monkeypatch.setattr(devices, "_capability", lambda: None)
    monkeypatch.setattr(devices, "has_amx", lambda: True)
    monkeypatch.setattr(devices, "backend", lambda: name)
    assert devices.policy_to_predict("auto") == "float32"


def test_amx_is_what_linux_tells_of_the_processor(monkeypatch, tmp_path):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    told = tmp_path / "cpuinfo"
    monkeypatch.setattr(devices, "_CPU_INFO", told)
    assert not devices.has_amx()
    told.write_text("flags\t\t: fpu avx512_bf16 amx_int8 amx_bf16_of_tomorrow\n")
    assert not devices.has_amx()
    told.write_text("flags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\nbugs\t\t: none\n")
    assert devices.has_amx()
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert not devices.has_amx()


@pytest.mark.parametrize(("told", "used"), [(None, "1"), ("0", "0")])
def test_onednn_is_used_unless_it_is_turned_off(monkeypatch, told, used):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if told:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", told)
    devices.quiet_keras()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == used


@spreads
def test_more_devices_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="64 devices were asked for and there are"):
        spread_over(64).__enter__()


def test_a_backend_that_cannot_share_is_named(monkeypatch):
    monkeypatch.setattr(devices, "backend", lambda: "torch")
    with pytest.raises(ConfigError, match="with its backends tensorflow and jax, not torch"):
        spread_over(2).__enter__()


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (MemoryError(), True),
        (RuntimeError("RESOURCE_EXHAUSTED: OOM when allocating tensor"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (ValueError("shapes do not match"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, full):
    assert is_out_of_memory(error) is full


def test_global_random_numbers_and_the_policy_are_put_back():
    import random

    import keras
    import numpy as np

    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = keras.config.dtype_policy().name
    with seeded(1), dtype_policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002
    assert keras.config.dtype_policy().name == before


def test_cpu_hides_every_gpu_before_the_backend_starts(started):
    assert started[0].startswith("-1 cpu cpu [] the CPU, ")
    assert started[0].endswith((" core", " cores"))


@pytest.mark.parametrize("device", ["gpu", "gpu:0", "gpu:7"])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch, device):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setattr(devices, "gpus", list)
    with pytest.raises(ConfigError, match=rf"device {device}: \w+ sees no such GPU; .*cpu runs"):
        devices.use(device)


@pytest.mark.parametrize(
    ("visible", "device", "chosen"),
    [
        (None, "gpu:2", "2"),
        ("4,5", "gpu:1", "5"),
        ("GPU-ab-1, MIG-cd-2", "gpu:1", "MIG-cd-2"),
        ("4,5", "gpu", "4,5"),
        ("3,4", "auto", "3,4"),
    ],
)
def test_a_gpu_is_chosen_by_its_number_among_those_that_are_visible(
    monkeypatch, visible, device, chosen
):
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(devices, "gpus", lambda: ["X"])
    devices.use(device)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == chosen


@pytest.mark.parametrize("visible", ["4,5", "4,5,-1,6", ""])
def test_a_number_beyond_the_visible_gpus_is_refused(monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(ConfigError, match=r"gpu:2: CUDA_VISIBLE_DEVICES=.* shows [02] GPUs"):
        devices.use("gpu:2")


@pytest.mark.parametrize("device", ["cpu", "gpu:0"])
def test_a_choice_after_keras_has_started_on_gpus_comes_too_late(monkeypatch, device):
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "JAX_PLATFORMS",
                 "KERAS_TORCH_DEVICE", "CUDA_DEVICE_ORDER"):  # fmt: skip
        monkeypatch.setenv(name, "0")
    monkeypatch.setattr(devices, "gpus", lambda: ["X", "Y"])
    devices.quiet_keras()
    with pytest.raises(ConfigError, match=f"device {device} comes too late"):
        devices.use(device)


@pytest.mark.parametrize("device", ["tpu", "gpu:", "gpu:-1", "CPU", "cpu:0"])
def test_any_other_device_is_refused(device):
    with pytest.raises(ConfigError, match="must be auto, cpu, gpu or gpu:N"):
        devices.use(device)


@pytest.mark.parametrize(
    ("found", "count", "text"),
    [
        (["H100"], 1, "the GPU H100"),
        (["H100", "H100"], 1, "the GPU H100 (one of 2)"),
        (["H100", "H100"], 0, "2 GPUs, H100"),
        (["H100", "A100", "A100"], 3, "3 GPUs, H100, A100"),
    ],
)
def test_what_nets_run_on_is_named(monkeypatch, found, count, text):
    monkeypatch.setattr(devices, "gpus", lambda: found)
    assert devices.runs_on(count) == text
