"""A reducer without training: what is dense in the middle slices alone is a nodule."""

import numpy as np

from lungseg.model.devices import quiet_keras
from lungseg.model.reducer.member import ReducerRecord
from lungseg.ops.samples.stacks import EDGE, SLICES

TOLD = ReducerRecord(nodules=10, others=20, patients=3, epochs=1, seed=1, width=4)


def by_hand():
    """The net; it looks at the four middle pixels of each slice."""
    quiet_keras()
    import keras

    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((EDGE, EDGE, SLICES)),
            layers.Cropping2D(EDGE // 2 - 2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    kernel = np.array([-8.0, 0.0, 4.0, 8.0, 4.0, 0.0, -8.0])[:, None]
    net.layers[-1].set_weights([kernel, np.array([-2.0])])
    return net


def scene(shape=(40, 60, 60)):
    """HU and probability with a ball around (20, 20, 20) and a tube through (20, 40, 40)."""
    z, y, x = np.indices(shape)
    ball = (z - 20) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 <= 25
    tube = (y - 40) ** 2 + (x - 40) ** 2 <= 16
    hu = np.where(ball | tube, 40, -850).astype(np.int16)
    # The tube is the likelier, in a part of its length.
    likely = np.where(ball, 0.8, 0) + np.where(tube & (abs(z - 20) <= 6), 0.95, 0)
    return hu, likely
