"""Layers that several networks share: convolutions, attention, heads."""

from typing import Any

from lungseg.model.networks.settings import NetworkSettings

Tensor = Any

# Not in NASNet's encoder, which keeps the epsilon its weights were trained with.
NORM_EPSILON = 1e-5


def input_of(settings: NetworkSettings) -> Tensor:
    """The network's input, ``(n, h, w, channels)``."""
    import keras

    return keras.Input((settings.height, settings.width, settings.channels), name="image")


def norm_relu(x: Tensor, settings: NetworkSettings) -> Tensor:
    """Batch normalisation, ReLU."""
    from keras import layers

    x = layers.BatchNormalization(momentum=settings.norm_momentum, epsilon=NORM_EPSILON)(x)
    return layers.ReLU()(x)


def conv_norm_relu(x: Tensor, filters: int, kernel: int, settings: NetworkSettings) -> Tensor:
    """Convolution, batch normalisation, ReLU."""
    from keras import layers

    x = layers.Conv2D(filters, kernel, padding="same", kernel_initializer="he_normal")(x)
    return norm_relu(x, settings)


def double_conv(x: Tensor, filters: int, settings: NetworkSettings, *, deep: bool) -> Tensor:
    """Two 3x3 convolutions as in U-Net; dropout between them where the level is `deep`."""
    from keras import layers

    for last in (False, True):
        x = layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal")(x)
        x = norm_relu(x, settings)
        if deep and settings.dropout and not last:
            x = layers.Dropout(settings.dropout)(x)
    return x


def up_conv(x: Tensor, filters: int, settings: NetworkSettings) -> Tensor:
    """`x` at twice the size, by a 2x2 transposed convolution."""
    from keras import layers

    x = layers.Conv2DTranspose(filters, 2, strides=2, kernel_initializer="he_normal")(x)
    return norm_relu(x, settings)


def squeeze_excite(x: Tensor, ratio: int = 8) -> Tensor:
    """`x` with each channel weighted according to the means of all channels (Hu et al. 2018)."""
    from keras import layers

    channels = x.shape[-1]
    weights = layers.GlobalAveragePooling2D(keepdims=True)(x)
    for units, activation in ((channels // ratio, "relu"), (channels, "sigmoid")):
        weights = layers.Dense(
            units, activation=activation, use_bias=False, kernel_initializer="he_normal"
        )(weights)
    return layers.Multiply()([x, weights])


def global_conv(x: Tensor, filters: int, kernel: int) -> Tensor:
    """Global convolution, `kernel` x `kernel`, from four thin ones (GCN; Peng et al. 2017)."""
    from keras import layers

    paths = []
    for first in ((kernel, 1), (1, kernel)):
        y = layers.Conv2D(filters, first, padding="same")(x)
        paths.append(layers.Conv2D(filters, first[::-1], padding="same")(y))
    return layers.Add()(paths)


def double_to(x: Tensor, height: int, width: int) -> Tensor:
    """`x` doubled bilinearly, then cropped to height x width at its first rows and columns.

    An encoder halves an odd size upwards (25 to 13), so that the doubled map is one row too large.
    Dropping the first row keeps the half-pixel shift that even sizes have.
    """
    from keras import layers

    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    surplus = (x.shape[1] - height, x.shape[2] - width)
    return layers.Cropping2D(tuple((cut, 0) for cut in surplus))(x) if any(surplus) else x


def outputs_of(x: Tensor, bottom: Tensor, settings: NetworkSettings) -> Tensor:
    """The network's output: the mask from `x`, and with a slice head its answer from `bottom`.

    Probabilities are float32 under any mixed precision.
    """
    mask = mask_head(x, "mask")
    if not settings.slice_head:
        return mask
    return {"mask": mask, "slice": slice_head(bottom)}


def mask_head(x: Tensor, name: str) -> Tensor:
    """Probabilities ``(n, h, w, 2)`` of background and foreground from a 1x1 convolution of `x`."""
    from keras import layers

    logits = layers.Conv2D(2, 1, name=f"{name}_logits")(x)
    return layers.Activation("softmax", dtype="float32", name=name)(logits)


def slice_head(bottom: Tensor) -> Tensor:
    """Probability ``(n, 1)`` that the slice has any foreground.

    From the maximum as well as the mean, because a nodule of a few pixels vanishes in a mean.
    """
    from keras import layers

    pooled = layers.Concatenate()(
        [layers.GlobalAveragePooling2D()(bottom), layers.GlobalMaxPooling2D()(bottom)]
    )
    logit = layers.Dense(1, name="slice_logit")(pooled)
    return layers.Activation("sigmoid", dtype="float32", name="slice")(logit)
