"""A trained net without its batch normalisation, which the convolutions before it take over.

What batch normalisation does to a channel is, once training is over, one factor and one addend.
The convolution before it can have both in its kernel and its bias (Jacob et al. 2018, "Quantization
and training of neural networks for efficient integer-arithmetic-only inference"): the same answers
to a few units of the last place, without the pass through memory that a layer of its own costs.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

# Axis of the kernel that counts the channels put out, in layers whose last kernel is of that kind.
_OUT_AXIS = {
    "Conv1D": -1,
    "Conv2D": -1,
    "Conv3D": -1,
    "SeparableConv1D": -1,
    "SeparableConv2D": -1,
    "Conv1DTranspose": -2,
    "Conv2DTranspose": -2,
    "Conv3DTranspose": -2,
}
# Their channels put out are the channels taken in times the multiplier: both last axes.
_DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")
_NORMALISATION = "BatchNormalization"


@dataclass(frozen=True)
class _Call:
    """One use of a layer: the names of the layers it takes from, and whether that is all."""

    sources: tuple[str, ...]
    plain: bool


@lru_cache(maxsize=2)
def folded(net: Any) -> Any:
    """The same net with each batch normalisation folded into the convolution before it.

    That is done where the convolution's answer goes nowhere else and is not bent by an activation;
    all other layers stay as they are, and so does a net that is not of Keras's functional kind or
    in which there is nothing to fold: that one itself is given back.

    Parameters
    ----------
    net
        A trained `keras.Model`; it is left as it is.

    Returns
    -------
    keras.Model
        For prediction only, with layers of the same names and weights of its own.
    """
    import keras

    pairs = _pairs(net)
    if not pairs:
        return net
    dropped = set(pairs.values())

    def copied(layer: Any) -> Any:
        config = bare_config(layer)
        if layer.name in pairs:
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    def called(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in dropped else layer(*args, **kwargs)

    clone = keras.models.clone_model(net, clone_function=copied, call_function=called)
    # Inputs, which have none, may be called otherwise in a clone.
    for layer in (each for each in clone.layers if each.weights):
        own = net.get_layer(layer.name)
        after = pairs.get(layer.name)
        layer.set_weights(_joined(own, net.get_layer(after)) if after else own.get_weights())
    return clone


def bare_config(layer: Any) -> dict[str, Any]:
    """Configuration of a layer's copy that is given its weights: to draw them would be in vain."""
    config: dict[str, Any] = layer.get_config()
    return config | {name: "zeros" for name in config if name.endswith("_initializer")}


def _pairs(net: Any) -> dict[str, str]:
    """Each convolution that can be folded, and the normalisation that goes into it, by name."""
    import keras

    config = net.get_config() if isinstance(net, keras.Model) else {}
    if "output_layers" not in config:
        return {}
    calls = {
        one["name"]: [_call(node) for node in one["inbound_nodes"]] for one in config["layers"]
    }
    uses = Counter(_sources(config["output_layers"]))
    for mine in calls.values():
        for call in mine:
            uses.update(call.sources)
    found = {}
    for name, mine in calls.items():
        layer = net.get_layer(name)
        if type(layer).__name__ != _NORMALISATION or len(mine) != 1 or not mine[0].plain:
            continue
        (source,) = mine[0].sources
        before = net.get_layer(source)
        # One that is called twice is used twice, too.
        if uses[source] == 1 and _can_take(before, layer):
            found[source] = name
    return found


def _can_take(before: Any, normalisation: Any) -> bool:
    kind = type(before).__name__
    if kind not in {*_OUT_AXIS, *_DEPTHWISE} or before.data_format != "channels_last":
        return False
    linear = getattr(before.activation, "__name__", "") == "linear"
    last = normalisation.axis in {-1, len(before.output.shape) - 1}
    # A kernel that is kept in another way (quantised, of low rank) is not ours to change.
    kernels = 2 if kind.startswith("Separable") else 1
    return linear and last and len(before.get_weights()) == kernels + before.use_bias


def _joined(before: Any, normalisation: Any) -> list[Array]:
    """Weights of the convolution that does both, in the order of `set_weights`."""
    factor, addend = _affine(normalisation)
    weights = [np.asarray(each, np.float64) for each in before.get_weights()]
    bias = weights.pop() if before.use_bias else 0.0
    kernel = weights.pop()
    if type(before).__name__ in _DEPTHWISE:
        kernel *= factor.reshape(kernel.shape[-2:])
    else:
        kernel *= np.expand_dims(factor, -1) if _OUT_AXIS[type(before).__name__] == -2 else factor
    return [each.astype(np.float32) for each in (*weights, kernel, bias * factor + addend)]


def _affine(normalisation: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What it multiplies each channel with, and what it adds then (Ioffe and Szegedy 2015)."""
    weights = [np.asarray(each, np.float64) for each in normalisation.get_weights()]
    mean, variance = weights[-2:]
    factor = 1 / np.sqrt(variance + normalisation.epsilon)
    if normalisation.scale:
        factor *= weights[0]
    addend = -mean * factor
    if normalisation.center:
        addend += weights[-3]
    return factor, addend


def _call(node: dict[str, Any]) -> _Call:
    sources = tuple(_sources(node))
    others = [value for value in node["kwargs"].values() if value is not None]
    return _Call(sources, plain=len(sources) == 1 and len(node["args"]) == 1 and not others)


def _sources(saved: Any) -> Iterator[str]:
    """Names of the layers that gave the tensors in what Keras saves: name, use, place."""
    if isinstance(saved, dict):
        for each in saved.values():
            yield from _sources(each)
    elif isinstance(saved, list | tuple):
        if saved and isinstance(saved[0], str):
            yield saved[0]
            return
        for each in saved:
            yield from _sources(each)
