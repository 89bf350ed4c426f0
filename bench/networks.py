"""Milliseconds a slice takes to predict, and parameters, by network.

    python -m bench.networks [--size 352] [--batch 4] [--repeats 3] [NETWORK ...]

The best of the repeats counts, after one run that compiles: on a shared machine the mean depends on
the other users.
"""

import argparse
import time

import numpy as np

from lungseg.model.devices import quiet_keras
from lungseg.model.networks import NetworkSettings, build, foreground

CASES: dict[str, dict[str, object]] = {
    "nasnet_gcn_se": {"network": "nasnet_gcn_se"},
    "nasnet_gcn_se lite": {"network": "nasnet_gcn_se", "decoder": "lite"},
    "nasnet_gcn_se, 1 block": {"network": "nasnet_gcn_se", "blocks": 1},
    "unet 64": {"network": "unet"},
    "unet 32": {"network": "unet", "base_width": 32},
    "unet 16": {"network": "unet", "base_width": 16},
    "unet MobileNetV2": {"network": "unet", "encoder": "MobileNetV2", "base_width": 16},
    "unetpp 32": {"network": "unetpp", "base_width": 32},
    "unetpp 16": {"network": "unetpp", "base_width": 16},
}


def ms_per_slice(model, images, repeats):
    """Best of `repeats` predictions of the whole batch, by slice."""
    best = float("inf")
    foreground(model.predict_on_batch(images))
    for _ in range(repeats):
        start = time.perf_counter()
        foreground(model.predict_on_batch(images))
        best = min(best, time.perf_counter() - start)
    return 1000 * best / len(images)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(CASES))
    parser.add_argument("--size", type=int, default=352, help="pixels of a slice's side")
    parser.add_argument("--batch", type=int, default=4, help="slices at a time")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    quiet_keras()
    import keras

    side = options.size
    images = np.random.default_rng(0).random((options.batch, side, side, 1), np.float32)
    print(f"{keras.backend.backend()}, {side} x {side}, {options.batch} slices at a time")
    print(f"{'network':24}{'parameters':>12}{'ms/slice':>10}")
    for name in options.networks or CASES:
        model = build(NetworkSettings(height=side, width=side, **CASES[name]))
        ms = ms_per_slice(model, images, options.repeats)
        print(f"{name:24}{model.count_params():12,}{ms:10.1f}", flush=True)


if __name__ == "__main__":
    main()
