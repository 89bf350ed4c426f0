"""The segmentation networks, built from stock Keras layers by name.

What goes in is ``(n, height, width, channels) float32`` scaled to 0..1; what comes out is
``(n, height, width, 2)`` probabilities (softmax: background, foreground) with ``classes = 2`` or
``(n, height, width, 1)`` (sigmoid: foreground) with ``classes = 1``. In both the last channel is
the foreground, and `foreground` picks it. With ``slice_head`` the output is a dictionary:
``mask``, as above, and ``slice``, ``(n, 1)``, the probability that the slice holds any foreground.

Only stock layers are used, in functional form, so that a saved model loads with Keras's safe mode
on, without any of this project's code, under every backend of Keras.
"""

import re
from typing import Any

from lungseg.model.networks.settings import NetworkSettings, foreground

__all__ = ["NetworkSettings", "build", "foreground", "mask_heads"]

# `lungseg.model.networks.unetpp` names them so.
HEAD = re.compile(r"mask_\d+")


def build(settings: NetworkSettings) -> Any:
    """Build the network of these settings, with fresh weights or the encoder's of a file.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    ConfigError
        If the encoder's weights cannot be had or do not fit.
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
    """Outputs ``mask_1``, ``mask_2`` ... of the heads whose mean is the mask; often there are none.

    Parameters
    ----------
    net
        A network of `build`'s.
    """
    heads = [layer for layer in net.layers if HEAD.fullmatch(layer.name)]
    return {layer.name: layer.output for layer in heads}
