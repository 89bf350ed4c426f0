"""U-Net++ (Zhou et al. 2018): U-Net whose skips are nested, dense rows of convolutions.

Node (i, j) is level i after j steps up; its input is every earlier node of its row and the
enlarged node (i + 1, j - 1) below. With deep supervision each node (0, j) has a head, ``mask_j``,
and the output is the mean of their probabilities; `lungseg.model.training_heads` gives each its
own loss.
"""

from typing import Any

from lungseg.model.networks.blocks import (
    double_conv,
    input_of,
    mask_head,
    outputs_of,
    slice_head,
    up_conv,
)
from lungseg.model.networks.settings import NetworkSettings
from lungseg.model.networks.unet import is_deep, own_levels, width_of

Tensor = Any


def unetpp(settings: NetworkSettings) -> Any:
    """Build the U-Net++ of these settings, a `keras.Model`."""
    import keras
    from keras import layers

    image = input_of(settings)
    rows: list[list[Tensor]] = [[level] for level in own_levels(image, settings)]
    bottom = rows[-1][0]
    for step in range(1, settings.depth):
        for level in range(settings.depth - step):
            filters = width_of(level, settings)
            below = up_conv(rows[level + 1][step - 1], filters, settings)
            x = layers.Concatenate()([*rows[level], below])
            rows[level].append(double_conv(x, filters, settings, deep=is_deep(level, settings)))
    ends = rows[0][1:]
    if not settings.deep_supervision or len(ends) < 2:
        outputs = outputs_of(ends[-1], bottom, settings)
    else:
        heads = [mask_head(x, f"mask_{j}") for j, x in enumerate(ends, 1)]
        mask = layers.Average(dtype="float32", name="mask")(heads)
        outputs = {"mask": mask, "slice": slice_head(bottom)} if settings.slice_head else mask
    return keras.Model(image, outputs, name="unetpp")
