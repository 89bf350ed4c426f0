"""NASNetMobile with a decoder of global convolutions and channel attention.

The network of Ghofrani Majelan's MSc thesis (2020, docs/sources.md). At 400 x 400 x 1 it has
22,049,958 parameters, as in the thesis's code. Two things differ, and neither has weights: the
skip connections start at the inputs of the encoder's reduction cells, returned by the cells
themselves (the thesis's code counts layers, whose numbers change between versions of Keras), and
maps are upsampled with pixel centres in place (there corner to corner, through 199 pixels, which
shifts the levels against each other).
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
class Views:
    """At which ranges a level is looked at, side by side.

    Attributes
    ----------
    squares
        Whether there is an undilated 3x3 convolution.
    dilations
        Of the separable 3x3 convolutions, px.
    strip
        Length of the global convolution's strips, px.
    """

    squares: bool
    dilations: tuple[int, ...]
    strip: int


BOTTOM_VIEWS = Views(squares=True, dilations=(2, 3, 4, 5), strip=BOTTOM_KERNEL)
SKIP_VIEWS = Views(squares=False, dilations=(3, 6), strip=SKIP_KERNEL)


def full_decoder(x: Tensor, skips: tuple[Tensor, ...], settings: NetworkSettings) -> Tensor:
    """From the bottom up to a quarter of the image: attention over every join of two levels."""
    from keras import layers

    x = branches(x, BOTTOM_WIDTH, BOTTOM_VIEWS, settings)
    for skip, skip_width, width in zip(skips, SKIP_WIDTHS, DECODER_WIDTHS, strict=True):
        x = double_to(x, *skip.shape[1:3])
        side = branches(skip, skip_width, SKIP_VIEWS, settings)
        x = squeeze_excite(layers.Concatenate()([x, side]))
        x = dropped(conv_norm_relu(x, width, 3, settings), settings)
    return x


def branches(x: Tensor, width: int, views: Views, settings: NetworkSettings) -> Tensor:
    """`x` seen at many ranges side by side, with attention before and after to choose among them.

    A nodule of 3 mm and a mass of 3 cm are told from vessel and wall at different ranges.
    """
    from keras import layers

    x = squeeze_excite(x)
    seen = [conv_norm_relu(x, width, 1, settings)]
    if views.squares:
        seen.append(conv_norm_relu(x, width, 3, settings))
    for dilation in views.dilations:
        square = layers.SeparableConv2D(width, 3, padding="same", dilation_rate=dilation)(x)
        seen.append(norm_relu(square, settings))
    seen.append(norm_relu(global_conv(x, width, views.strip), settings))
    x = squeeze_excite(layers.Concatenate()(seen))
    return conv_norm_relu(x, width, 1, settings)


def lite_decoder(x: Tensor, skips: tuple[Tensor, ...], settings: NetworkSettings) -> Tensor:
    """The decoder of the thesis's figure: a plain global convolution a level, summed on the way up.

    256 filters at the bottom, then 128, 64 and 16; the sum of two levels has the coarser one's map
    brought to the finer one's filters by a 1x1 convolution.
    """
    from keras import layers

    x = norm_relu(global_conv(x, LITE_WIDTHS[0], BOTTOM_KERNEL), settings)
    for skip, width in zip(skips, LITE_WIDTHS[1:], strict=True):
        x = double_to(conv_norm_relu(x, width, 1, settings), *skip.shape[1:3])
        side = norm_relu(global_conv(skip, width, SKIP_KERNEL), settings)
        x = dropped(layers.Add()([x, side]), settings)
    return x


def dropped(x: Tensor, settings: NetworkSettings) -> Tensor:
    """`x` with drop-out, where it is asked for."""
    from keras import layers

    return layers.Dropout(settings.dropout)(x) if settings.dropout else x
