"""The reducer's network, and what it says of stacks.

It sees a candidate's slices as channels (`lungseg.ops.samples.stacks`): seven slices are few, and
convolutions in the plane cost a tenth of those in space.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.model.inference import batches
from lungseg.ops.samples.stacks import EDGE, SLICES
from lungseg.volume import HuArray

# HU that become 0 and 1: from air to what is denser than any soft tissue.
LOW_HU, HIGH_HU = -1000.0, 400.0
WIDTH = 12
# Filters of the four levels, in widths; the last is not the widest, and the file half as large.
LEVELS = (1, 2, 4, 4)
DROPOUT = 0.4

Floats = npt.NDArray[np.float32]


def build(width: int = WIDTH) -> Any:
    """The network of `width` filters in its first level, a `keras.Model`."""
    import keras
    from keras import layers

    image = keras.Input((EDGE, EDGE, SLICES), name="stack")
    x = image
    for level, times in enumerate(LEVELS):
        for _ in range(2 if level else 1):
            x = layers.Conv2D(times * width, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=0.97)(x)
            x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(DROPOUT)(x)
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(x), name="reducer")


def shown(stacks: HuArray | Floats) -> Floats:
    """Stacks ``(n, slice, y, x)`` of HU as the network's input ``(n, y, x, slice)``, 0 to 1."""
    scaled = (stacks.astype(np.float32) - LOW_HU) / (HIGH_HU - LOW_HU)
    return np.ascontiguousarray(np.moveaxis(scaled.clip(0, 1), 1, -1), np.float32)


def opinion(net: Any, stacks: HuArray, batch_size: int = 32) -> Floats:
    """Probability that each stack shows a nodule: the mean over its eight turns and mirrors."""
    x = shown(stacks)
    total = np.zeros(len(x), np.float32)
    for mirrored in (x, x[:, :, ::-1]):
        for quarters in range(4):
            turned = np.ascontiguousarray(np.rot90(mirrored, quarters, (1, 2)))
            for rows, batch in batches(turned, batch_size):
                said = np.asarray(net.predict_on_batch(batch))
                total[rows] += said[: rows.stop - rows.start, 0]
    return total / np.float32(8)
