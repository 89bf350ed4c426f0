"""The segmentation networks, built from stock Keras layers by name.

The input is ``(n, height, width, channels) float32`` scaled to 0..1, the output
``(n, height, width, 2)`` probabilities of background and foreground (softmax). With
``slice_head`` the output is a dictionary: ``mask``, as above, and ``slice``, ``(n, 1)``, the
probability that the slice has any foreground. `foreground` takes either.

Only stock layers are used, in functional form, so that a saved model loads with Keras's safe mode
on, without any of this project's code, under every backend of Keras.
"""

import re
from typing import Any

from lungseg.model.networks.settings import NetworkSettings, foreground

__all__ = ["NetworkSettings", "build", "foreground", "mask_heads"]

# The names that `lungseg.model.networks.unetpp` gives them.
HEAD = re.compile(r"mask_\d+")


def build(settings: NetworkSettings) -> Any:
    """Build the network of these settings; its weights are random, or the encoder's from a file.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    ConfigError
        If the encoder's weights cannot be fetched or read, or do not fit.
    """
    if settings.network == "nasnet_gcn_se":
        from lungseg.model.networks.nasnet_gcn_se import nasnet_gcn_se

        return nasnet_gcn_se(settings)
    if settings.network == "unetpp":
        from lungseg.model.networks.unetpp import unetpp

        return unetpp(settings)
    from lungseg.model.networks.unet import unet

    return unet(settings)


def mask_heads(net: Any) -> dict[str, Any]:
    """Outputs ``mask_1``, ``mask_2`` ... of deep supervision's heads; empty without it.

    Parameters
    ----------
    net
        A network that `build` made.
    """
    heads = [layer for layer in net.layers if HEAD.fullmatch(layer.name)]
    return {layer.name: layer.output for layer in heads}
