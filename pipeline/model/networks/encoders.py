"""Encoders of keras.applications for U-Net, and weights of encoders from files or ImageNet."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError
from lungseg.model.networks.settings import ENCODER_SCALES, NetworkSettings

Tensor = Any
IMAGENET = "imagenet"


def borrowed_levels(image: Tensor, settings: NetworkSettings) -> list[Tensor]:
    """Maps at 1/2, 1/4 ... of `image` from an encoder of keras.applications, finest first.

    The encoder's map of a level is the last one of exactly that size. A single channel is repeated
    three times, so that weights trained on colours fit.
    """
    import keras
    from keras import layers

    scale, offset = ENCODER_SCALES[settings.encoder]
    x = image if settings.channels == 3 else layers.Concatenate()([image] * 3)
    x = layers.Rescaling(scale, offset, name="encoder_scale")(x)
    application = getattr(keras.applications, settings.encoder)
    shape = (settings.height, settings.width, 3)
    if settings.encoder_weights == IMAGENET:
        whole = fetched(application, shape)
    else:
        whole = application(input_shape=shape, include_top=False, weights=None)
    taps = [last_map(whole, settings, 2**level) for level in range(1, settings.depth)]
    used = keras.Model(whole.input, taps, name=settings.encoder.lower())
    if settings.encoder_weights not in {"", IMAGENET}:
        # Of what is used alone: a net made here has no more of its encoder.
        load_weights(used, settings.encoder_weights)
    levels: list[Tensor] = used(x)
    return levels


def last_map(encoder: Any, settings: NetworkSettings, shrink: int) -> Tensor:
    """The last map of `encoder` that is `shrink` times smaller than the image."""
    size = (settings.height // shrink, settings.width // shrink)
    maps = [layer.output for layer in encoder.layers if layer.output.shape[1:3] == size]
    if not maps:
        raise ConfigError(
            f"{settings.encoder} has no map of 1/{shrink} of the image's size",
            setting=f"depth={settings.depth - 1}",
        )
    return maps[-1]


def load_nasnet(encoder: Any, settings: NetworkSettings) -> None:
    """Put the weights that the settings name, if any, into the NASNet `encoder`.

    Raises
    ------
    ConfigError
        If weights of ImageNet are to be loaded for other than three channels or cannot be fetched,
        or the file does not exist, cannot be read or does not fit.
    """
    import keras

    source = settings.encoder_weights
    if source == IMAGENET:
        if settings.channels != 3:
            raise ConfigError(
                f"ImageNet's weights are for 3 channels, not {settings.channels}",
                setting=("context=1", "imagenet=false"),
            )
        copy_weights(fetched(keras.applications.NASNetMobile, (224, 224, 3)), encoder, "ImageNet")
    elif source:
        load_weights(encoder, source)


def fetched(application: Callable[..., Any], shape: tuple[int, int, int]) -> Any:
    """The application without its top, with ImageNet's weights, which Keras downloads once.

    Raises
    ------
    ConfigError
        If they cannot be downloaded.
    """
    try:
        return application(input_shape=shape, include_top=False, weights=IMAGENET)
    except Exception as error:
        # Keras raises plain Exception for a download that failed.
        raise ConfigError(
            f"Keras could not fetch ImageNet's weights ({error}); connect to the network once, or "
            "set encoder_weights to a .keras file with such weights, or leave it empty"
        ) from error


def load_weights(encoder: Any, file: str) -> None:
    """Load the weights of `encoder` from the layers of the same names in a ``.keras`` file.

    Raises
    ------
    ConfigError
        If there is no such file, Keras cannot load it, or its weights do not fit.
    """
    import keras

    from lungseg.model.model_record import check_archive

    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"encoder_weights: there is no file {path}; give an existing .keras file")
    check_archive(path)
    try:
        source = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise ConfigError(
            f"encoder_weights: {path} is not a model that Keras can load ({error}); "
            "give a .keras file"
        ) from error
    copy_weights(source, encoder, file)


def copy_weights(source: Any, encoder: Any, named: str) -> None:
    """Copy every weight of `encoder` from the layer of `source` that has the same name.

    Raises
    ------
    ConfigError
        If a layer is missing in `source` or has other shapes there.
    """
    given = {layer.name: layer for layer in plain_layers(source)}
    for layer in plain_layers(encoder):
        if not layer.weights:
            continue
        wanted = [tuple(weight.shape) for weight in layer.weights]
        found = (
            [tuple(weight.shape) for weight in given[layer.name].weights]
            if layer.name in given
            else None
        )
        if found != wanted:
            raise ConfigError(
                f"the weights of {named} do not fit: layer {layer.name} has "
                f"{'no counterpart' if found is None else f'shapes {found}'} there and needs "
                f"{wanted}; give weights of the same encoder, made with the same channels"
            )
    for layer in plain_layers(encoder):
        if layer.weights:
            layer.set_weights(given[layer.name].get_weights())


def plain_layers(model: Any) -> Iterator[Any]:
    """Every layer of `model`, also those of models nested in it."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from plain_layers(layer)
        else:
            yield layer
