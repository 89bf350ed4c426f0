"""Settings of a network, checked when they are made, not when the network is built."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import ConfigError

NETWORKS = ("nasnet_gcn_se", "unet", "unetpp")
DECODERS = ("full", "lite")


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Everything that decides a network's layers; the defaults are those of `train`, too.

    Attributes
    ----------
    network
        ``nasnet_gcn_se``, ``unet`` or ``unetpp``.
    height, width
        Pixels of a slice, each a multiple of `step` and at least 32.
    channels
        1, or ``2 * context + 1`` neighbouring slices.
    base_width, depth
        Filters of the first level and number of levels (`unet`, `unetpp`); each level down has
        twice the filters and half the pixels.
    blocks
        Normal cells in each stage of `nasnet_gcn_se`'s encoder; NASNetMobile has 4, and weights
        trained on ImageNet fit 4 alone.
    dropout
        Share of the activations dropped: by `unet` and `unetpp` in their two deepest levels, by
        `nasnet_gcn_se` after each level of its decoder.
    norm_momentum
        Share of the running mean and variance that each training step keeps.
    decoder
        ``full`` or ``lite`` (`nasnet_gcn_se`).
    deep_supervision
        Whether `unetpp` has a head at the end of each step of its top row; the output is then
        their mean.
    slice_head
        Whether there is a second output, the probability that the slice has any foreground.
    encoder
        Name of a network of keras.applications that replaces `unet`'s own encoder.
    encoder_weights
        "" for none, ``imagenet``, or the path of a ``.keras`` file.

    Raises
    ------
    ConfigError
        If a value is not allowed, or the settings contradict each other.
    """

    network: str
    height: int
    width: int
    channels: int = 1
    base_width: int = 64
    depth: int = 5
    blocks: int = 4
    dropout: float = 0.0
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
        if self.encoder and self.network != "unet":
            raise ConfigError(
                f"encoder {self.encoder} was chosen for {self.network}; only unet takes an "
                "encoder of keras.applications",
                setting="network=unet",
            )
        if self.encoder_weights and not self.encoder and self.network != "nasnet_gcn_se":
            raise ConfigError(
                f"encoder_weights {self.encoder_weights} was given for {self.network} without an "
                "encoder to load it into",
                setting=f"encoder to one of {tuple(ENCODER_SCALES)}",
            )
        if self.encoder and self.channels not in (1, 3):
            raise ConfigError(
                f"{self.encoder} takes colours: 1 channel (repeated three times) or 3, not "
                f"{self.channels}",
                setting=("context=0", "context=1"),
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
                f"slices of {self.height} x {self.width} pixels do not fit {self.network}; height "
                f"and width must be multiples of {self.step} and at least 32"
            )

    @property
    def step(self) -> int:
        """What height and width must be multiples of."""
        if self.network == "nasnet_gcn_se":
            return 16
        return 32 if self.encoder else int(2 ** (self.depth - 1))


# Scale and offset from an input of 0..1 to the range that the encoder's ImageNet weights expect.
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
    """Foreground probability ``(n, h, w) float32`` from a network's output.

    Parameters
    ----------
    prediction
        ``(n, h, w, 2)``, or the dictionary of a network with a slice head.
    """
    mask = prediction["mask"] if isinstance(prediction, dict) else prediction
    return np.asarray(mask[..., -1], np.float32)
