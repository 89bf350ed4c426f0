"""The network of the lung net, and of the net that sees tumours.

A U-Net in three dimensions (Çiçek et al. 2016) on blocks of 4 mm: whether soft tissue is lung
without air, heart or liver is told by the whole chest around it, and that is 100 blocks wide; what
a tumour is, by 100 mm around it.
"""

from typing import Any

WIDTHS = (12, 24, 32, 48, 48)
"""Filters of each level of the lung net."""
TUMOUR_WIDTHS = (16, 24, 32, 32)
"""Filters of each level of the tumour net."""
EPSILON = 1e-3
"""What batch normalisation adds to a variance before it divides by its root."""


def build(
    widths: tuple[int, ...] = WIDTHS,
    precision: str = "float32",
    channels: int = 3,
    answers: int = 2,
) -> Any:
    """The network, a `keras.Model`: ``(n, z, y, x, channels)`` to ``(n, z, y, x, answers)``.

    Parameters
    ----------
    widths
        Filters of each level; edges must be multiples of 2 for each level but the first.
    precision
        Keras' name of the layers' float type.
    channels, answers
        Three windows in, right and left lung out.
    """
    import keras
    from keras import layers

    def convolved(x: Any, filters: int) -> Any:
        x = layers.Conv3D(filters, 3, padding="same", use_bias=False, dtype=precision)(x)
        x = layers.BatchNormalization(momentum=0.95, epsilon=EPSILON, dtype=precision)(x)
        return layers.ReLU(dtype=precision)(x)

    image = keras.Input((None, None, None, channels), name="chest")
    x, levels = image, []
    for level, filters in enumerate(widths):
        if level:
            x = convolved(layers.MaxPooling3D(2, dtype=precision)(x), filters)
        x = convolved(x, filters)
        levels.append(x)
    for filters, beside in zip(widths[-2::-1], levels[-2::-1], strict=True):
        x = layers.UpSampling3D(2, dtype=precision)(x)
        x = convolved(layers.Concatenate(dtype=precision)([x, beside]), filters)
    answer = layers.Conv3D(answers, 1, activation="sigmoid", dtype="float32", name="lungs")(x)
    return keras.Model(image, answer, name="lung_net")
