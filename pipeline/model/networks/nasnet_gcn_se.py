"""NASNetMobile with a decoder of global convolutions and channel attention.

The network of Ghofrani Majelan's MSc thesis (2020, docs/sources.md). At 400 x 400 x 1 it has
22,049,958 parameters, as in the thesis's code. Two things differ, and neither has weights: the
skip connections are the inputs of the encoder's reduction cells, returned by the cells themselves
(the thesis's code counts layers, whose numbers change between versions of Keras), and maps are
upsampled with pixel centres in place (there corner to corner, through 199 pixels, which shifts the
levels against each other).
"""

from dataclasses import dataclass
from typing import Any

from lungseg.model.networks.blocks import (
    conv_norm_relu,
    double_to,
    global_conv,
    input_of,
    norm_relu,
    outputs_of,
    squeeze_excite,
)
from lungseg.model.networks.encoders import load_nasnet
from lungseg.model.networks.nasnet import nasnet_mobile
from lungseg.model.networks.settings import NetworkSettings

Tensor = Any

BOTTOM_WIDTH = 192
BOTTOM_KERNEL, SKIP_KERNEL = 13, 19
SKIP_WIDTHS = (192, 128, 96)
DECODER_WIDTHS = (128, 96, 64)
LAST_WIDTH = 64
LITE_WIDTHS = (256, 128, 64, 16)


def nasnet_gcn_se(settings: NetworkSettings) -> Any:
    """Build the network of these settings, a `keras.Model`."""
    import keras
    from keras import layers

    image = input_of(settings)
    x = image
    if settings.encoder_weights == "imagenet":
        x = layers.Rescaling(2.0, -1.0, name="imagenet_scale")(x)
    encoded = nasnet_mobile(x, settings.norm_momentum, settings.blocks)
    load_nasnet(keras.Model(image, [encoded.bottom, *encoded.skips]), settings)
    decode = lite_decoder if settings.decoder == "lite" else full_decoder
    x = decode(encoded.bottom, encoded.skips, settings)
    x = double_to(x, settings.height // 2, settings.width // 2)
    if settings.decoder == "full":
        x = conv_norm_relu(x, LAST_WIDTH, 3, settings)
    x = double_to(x, settings.height, settings.width)
    outputs = outputs_of(x, encoded.bottom, settings)
    return keras.Model(image, outputs, name="nasnet_gcn_se")


@dataclass(frozen=True)
class Branches:
    """The parallel convolutions of a level, each with another receptive field.

    Attributes
    ----------
    square
        Whether there is an undilated 3x3 convolution.
    dilations
        Dilations of the separable 3x3 convolutions, px.
    global_kernel
        Size of the global convolution, px.
    """

    square: bool
    dilations: tuple[int, ...]
    global_kernel: int


BOTTOM_BRANCHES = Branches(square=True, dilations=(2, 3, 4, 5), global_kernel=BOTTOM_KERNEL)
SKIP_BRANCHES = Branches(square=False, dilations=(3, 6), global_kernel=SKIP_KERNEL)


def full_decoder(x: Tensor, skips: tuple[Tensor, ...], settings: NetworkSettings) -> Tensor:
    """From the bottom to a quarter of the image's size, with attention where two levels join."""
    from keras import layers

    x = parallel(x, BOTTOM_WIDTH, BOTTOM_BRANCHES, settings)
    for skip, skip_width, width in zip(skips, SKIP_WIDTHS, DECODER_WIDTHS, strict=True):
        x = double_to(x, *skip.shape[1:3])
        side = parallel(skip, skip_width, SKIP_BRANCHES, settings)
        x = squeeze_excite(layers.Concatenate()([x, side]))
        x = dropped(conv_norm_relu(x, width, 3, settings), settings)
    return x


def parallel(x: Tensor, width: int, branches: Branches, settings: NetworkSettings) -> Tensor:
    """Parallel convolutions of `x`, with attention over the channels before and after.

    A nodule of 3 mm and a mass of 3 cm need different receptive fields to be distinguished from
    vessels and chest wall.
    """
    from keras import layers

    x = squeeze_excite(x)
    maps = [conv_norm_relu(x, width, 1, settings)]
    if branches.square:
        maps.append(conv_norm_relu(x, width, 3, settings))
    for dilation in branches.dilations:
        dilated = layers.SeparableConv2D(width, 3, padding="same", dilation_rate=dilation)(x)
        maps.append(norm_relu(dilated, settings))
    maps.append(norm_relu(global_conv(x, width, branches.global_kernel), settings))
    x = squeeze_excite(layers.Concatenate()(maps))
    return conv_norm_relu(x, width, 1, settings)


def lite_decoder(x: Tensor, skips: tuple[Tensor, ...], settings: NetworkSettings) -> Tensor:
    """The decoder that the thesis's figure shows: one global convolution in each level, added up.

    256 filters at the bottom, then 128, 64 and 16; before two levels are added, a 1x1 convolution
    brings the coarser one to the finer one's number of filters.
    """
    from keras import layers

    x = norm_relu(global_conv(x, LITE_WIDTHS[0], BOTTOM_KERNEL), settings)
    for skip, width in zip(skips, LITE_WIDTHS[1:], strict=True):
        x = double_to(conv_norm_relu(x, width, 1, settings), *skip.shape[1:3])
        side = norm_relu(global_conv(skip, width, SKIP_KERNEL), settings)
        x = dropped(layers.Add()([x, side]), settings)
    return x


def dropped(x: Tensor, settings: NetworkSettings) -> Tensor:
    """`x` after dropout, if there is any."""
    from keras import layers

    return layers.Dropout(settings.dropout)(x) if settings.dropout else x
