"""What a network is made from, checked when it is written down, not when it is built."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import ConfigError

NETWORKS = ("nasnet_gcn_se", "unet", "unetpp")
DECODERS = ("full", "lite")


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Everything that decides a network's layers.

    Attributes
    ----------
    network
        ``nasnet_gcn_se``, ``unet`` or ``unetpp``.
    height, width
        Pixels of a slice, each a multiple of `step` and at least 32.
    channels
        1, or ``2 * context + 1`` neighbouring slices.
    classes
        2 for a softmax over background and foreground, 1 for a sigmoid.
    base_width, depth
        Filters of the first level and number of levels (`unet`, `unetpp`); each level down has
        twice the filters and half the pixels.
    blocks
        Cells a stage of `nasnet_gcn_se`'s encoder; NASNetMobile has 4, and ImageNet's weights are
        for 4.
    dropout
        Share of the activations dropped in the two deepest levels.
    batch_norm
        Whether each convolution of `unet` and `unetpp` is followed by batch normalisation.
    norm_momentum
        Share of the running mean and variance that each training step keeps.
    decoder
        ``full`` or ``lite`` (`nasnet_gcn_se`).
    deep_supervision
        Whether the output is the mean of a head on each row end of `unetpp`.
    slice_head
        Whether a second output says how likely the slice holds any foreground.
    encoder
        Name of a network of keras.applications that takes the place of `unet`'s own encoder.
    encoder_weights
        "" for none, ``imagenet``, or the path of a ``.keras`` or ``.h5`` file.

    Raises
    ------
    ConfigError
        If a value is not one the networks know, or the settings do not go together.
    """

    network: str
    height: int
    width: int
    channels: int = 1
    classes: int = 2
    base_width: int = 64
    depth: int = 5
    blocks: int = 4
    dropout: float = 0.0
    batch_norm: bool = True
    norm_momentum: float = 0.99
    decoder: str = "full"
    deep_supervision: bool = False
    slice_head: bool = False
    encoder: str = ""
    encoder_weights: str = ""

    def __post_init__(self) -> None:
        _one_of("network", self.network, NETWORKS)
        _one_of("decoder", self.decoder, DECODERS)
        _one_of("encoder", self.encoder, ("", *ENCODER_SCALES))
        _one_of("classes", self.classes, (1, 2))
        if self.encoder and self.network != "unet":
            raise ConfigError(
                f"encoder {self.encoder} was asked of {self.network}; only unet takes an encoder "
                "of keras.applications: leave encoder empty or set network to unet"
            )
        if self.encoder_weights and not self.encoder and self.network != "nasnet_gcn_se":
            raise ConfigError(
                f"encoder_weights {self.encoder_weights} was given for {self.network} without an "
                f"encoder to load it into; set encoder to one of {', '.join(ENCODER_SCALES)}"
            )
        if self.encoder and self.channels not in (1, 3):
            raise ConfigError(
                f"{self.encoder} sees three colours; it takes 1 channel (given thrice) or 3, not "
                f"{self.channels}: set the context to 0 or 1"
            )
        if min(self.channels, self.base_width, self.blocks) < 1 or not 2 <= self.depth <= 8:
            raise ConfigError(
                f"channels {self.channels}, base_width {self.base_width}, blocks {self.blocks}, "
                f"depth {self.depth}: depth must be from 2 to 8 and the others at least 1"
            )
        if not (0 <= self.dropout < 1 and 0 < self.norm_momentum < 1):
            raise ConfigError(
                f"dropout {self.dropout} must be in [0, 1) and norm_momentum "
                f"{self.norm_momentum} in (0, 1)"
            )
        if any(px < 32 or px % self.step for px in (self.height, self.width)):
            raise ConfigError(
                f"slices of {self.height} x {self.width} do not fit {self.network}; height and "
                f"width must be multiples of {self.step} and at least 32"
            )

    @property
    def step(self) -> int:
        """What height and width must be multiples of."""
        if self.network == "nasnet_gcn_se":
            return 16
        return 32 if self.encoder else int(2 ** (self.depth - 1))


# What takes an input of 0..1 to the range that the encoder's ImageNet weights were trained on.
ENCODER_SCALES: dict[str, tuple[Any, Any]] = {
    "DenseNet121": (
        [1 / 0.229, 1 / 0.224, 1 / 0.225],
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
    ),
    "EfficientNetB0": (255.0, 0.0),
    "MobileNetV2": (2.0, -1.0),
    "ResNet50V2": (2.0, -1.0),
}


def _one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}; it must be one of {known}")


def foreground(prediction: Any) -> npt.NDArray[np.float32]:
    """Foreground probability ``(n, h, w) float32`` of what a network predicted.

    Parameters
    ----------
    prediction
        Output of ``predict``: ``(n, h, w, 1 or 2)``, or the dictionary of a two-headed network.
    """
    mask = prediction["mask"] if isinstance(prediction, dict) else prediction
    return np.asarray(mask[..., -1], np.float32)
