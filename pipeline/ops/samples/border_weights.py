"""The weight map of the U-Net paper: what lies between two close objects counts most."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from lungseg.volume import F32, MaskArray


def border_weights(
    labels: MaskArray | npt.NDArray[np.integer],
    *,
    w0: float = 10.0,
    sigma_px: float = 5.0,
    background: float = 1.0,
    foreground: float = 1.0,
) -> F32:
    """Weight of each pixel of a slice, after Ronneberger et al. 2015, equation 2.

    ``w(x) = class weight + w0 exp(-(d1 + d2)^2 / (2 sigma^2))``, where d1 and d2 are the
    distances to the nearest and to the second nearest object. The second part is for the
    background alone: an object is at distance 0 from itself, so inside one it would weigh what
    lies near another.

    Parameters
    ----------
    labels
        ``(h, w)``; a number per object, 0 background. A bool mask is split into its connected
        pieces, corners counting as contact.
    w0, sigma_px
        Height of the ridge between two objects and its half-width, px.
    background, foreground
        The class weights.

    Raises
    ------
    ValueError
        If the array is not a single slice.

    Examples
    --------
    The pixel between two objects is 1 px from either: ``1 + 10 exp(-4 / 50)`` = 10.23.

    >>> [round(float(weight), 2) for weight in border_weights(np.array([[1, 0, 2]]))[0]]
    [1.0, 10.23, 1.0]
    """
    if labels.ndim != 2:
        raise ValueError(f"labels must be one slice (h, w); the shape is {labels.shape}")
    if labels.dtype == bool:
        labels, _ = ndimage.label(labels, np.ones((3, 3)))
    weights = np.where(labels > 0, foreground, background).astype(np.float32)
    objects = [number for number in np.unique(labels) if number]
    if len(objects) < 2:
        return weights
    nearest = np.full(labels.shape, np.inf)
    second = np.full(labels.shape, np.inf)
    for number in objects:
        distance = ndimage.distance_transform_edt(labels != number)
        second = np.minimum(second, np.maximum(nearest, distance))
        nearest = np.minimum(nearest, distance)
    ridge = w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma_px**2))
    weights += np.where(labels == 0, ridge, 0).astype(np.float32)
    return weights
