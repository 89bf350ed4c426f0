"""U-Net (Ronneberger et al. 2015), padded and batch-normalised, with its own or a borrowed encoder.

With one channel, 64 filters and five levels it has 31,044,354 trainable parameters: those of Wu's
Lung-Segmentation (2018, docs/sources.md), which has a sigmoid for its only class, and 65 for the
second class. The 13,696 running statistics of the normalisation are not counted.
"""

from typing import Any

from lungseg.model.networks.blocks import double_conv, input_of, outputs_of, up_conv
from lungseg.model.networks.encoders import borrowed_levels
from lungseg.model.networks.settings import NetworkSettings

Tensor = Any


def unet(settings: NetworkSettings) -> Any:
    """Build the U-Net of these settings, a `keras.Model`."""
    import keras
    from keras import layers

    image = input_of(settings)
    if settings.encoder:
        finest = double_conv(image, width_of(0, settings), settings, deep=False)
        levels = [finest, *borrowed_levels(image, settings)]
    else:
        levels = own_levels(image, settings)
    x = levels[-1]
    for level in reversed(range(len(levels) - 1)):
        x = up_conv(x, width_of(level, settings), settings)
        x = layers.Concatenate()([levels[level], x])
        x = double_conv(x, width_of(level, settings), settings, deep=is_deep(level, settings))
    return keras.Model(image, outputs_of(x, levels[-1], settings), name="unet")


def own_levels(image: Tensor, settings: NetworkSettings) -> list[Tensor]:
    """The encoder's maps, finest first: each level has half the size and twice the filters."""
    from keras import layers

    levels: list[Tensor] = []
    x = image
    for level in range(settings.depth):
        if level:
            x = layers.MaxPooling2D(2)(x)
        x = double_conv(x, width_of(level, settings), settings, deep=is_deep(level, settings))
        levels.append(x)
    return levels


def width_of(level: int, settings: NetworkSettings) -> int:
    """Filters of a level, the finest being 0."""
    return settings.base_width * int(2**level)


def is_deep(level: int, settings: NetworkSettings) -> bool:
    """Whether the level has dropout: the two deepest, whose maps tell what there is, not where."""
    return level >= settings.depth - 2
