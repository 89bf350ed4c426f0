"""Whether numbers that are called HU look like HU: air and soft tissue where they must be."""

import numpy as np

from lungseg.volume import HuArray

PURE_AIR_HU = -1000.0
"""HU of air, by the scale's definition; water is 0."""
_BIN = 10
_SAMPLE = 2_000_000
_MOST_LABELS = 32
OK = "ok"


def hu_check(stack: HuArray, padding_hu: int | None = None) -> str:
    """``ok``, or what looks wrong about the HU of a chest CT.

    HU fixes air at -1000 and water at 0. So the commonest value below -500 must be that of air or
    lung, between -1060 and -500, and the commonest above that of fat, muscle or blood, between -200
    and 200; each side must hold at least 0.5 % of the voxels. A shifted peak means a lost intercept
    or another scale; it is reported, not corrected.

    Parameters
    ----------
    stack
        ``(z, y, x) int16``.
    padding_hu
        Voxels of this value or less are left out.

    Examples
    --------
    >>> ct = np.full((4, 32, 32), 40, np.int16)
    >>> ct[:, :16] = -1000
    >>> hu_check(ct)
    'ok'
    >>> hu_check(ct + np.int16(1024))
    'no air below -500 HU: is the rescale intercept right, is it cropped to tissue?'
    """
    values = _sample(stack)
    if padding_hu is not None:
        values = values[values > padding_hu]
    if not values.size:
        return "there is nothing but padding"
    low, high = int(values.min()), int(values.max())
    if high - low < 100:
        return f"all values lie between {low} and {high}; this is no CT picture, or a mask"
    counts = np.bincount((values.astype(np.int32) + 32768) // _BIN, minlength=6554)
    smooth = np.convolve(counts, np.ones(5) / 5, mode="same")
    centres = np.arange(smooth.size) * _BIN - 32768 + _BIN // 2
    found = []
    dark, bright = centres < -500, centres >= -500
    if smooth[dark].sum() < 0.005 * values.size:
        found.append(
            "no air below -500 HU: is the rescale intercept right, is it cropped to tissue?"
        )
    else:
        peak = int(centres[dark][smooth[dark].argmax()])
        if not -1060 <= peak <= -500:
            found.append(f"air peaks at {peak} HU, not near -1000: is the rescale intercept right?")
    if smooth[bright].sum() < 0.005 * values.size:
        found.append("no tissue above -500 HU")
    else:
        peak = int(centres[bright][smooth[bright].argmax()])
        if not -200 <= peak <= 200:
            found.append(
                f"soft tissue peaks at {peak} HU, not near 0 to 60: is the rescale intercept right?"
            )
    return "; ".join(found) or OK


def look_like_labels(stack: HuArray) -> bool:
    """Whether a volume is a mask or a label map: nothing below 0 and few different values.

    A CT of anything in air has air below 0, and its noise takes hundreds of values.

    Examples
    --------
    >>> look_like_labels(np.array([[[0, 1, 2]]], np.int16))
    True
    >>> look_like_labels(np.array([[[-1000, 40]]], np.int16))
    False
    """
    if not stack.size or stack.min() < 0:
        return False
    return int(np.count_nonzero(np.bincount(stack.ravel()))) <= _MOST_LABELS


def _sample(stack: HuArray) -> HuArray:
    step = max(1, int(np.ceil((stack.size / _SAMPLE) ** (1 / 3))))
    return stack[::step, ::step, ::step].ravel()
