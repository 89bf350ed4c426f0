"""Whether numbers that are called HU look like HU: air and soft tissue where they must be."""

import numpy as np

from lungseg.volume import FloatArray, HuArray, IntArray

PURE_AIR_HU = -1000.0
"""HU of air, by the scale's definition; water is 0."""
_BIN = 10
_SAMPLE = 2_000_000
# Noise in air reaches some 100 HU below -1000.
_DEEPEST_AIR_HU = -1100
# Air around the patient: darker than any lung's commonest value, all of one value but for noise.
_HIGHEST_AIR_HU = -940
_NARROW_HU, _NARROW_SHARE, _LEAST_FRAME = 50, 0.7, 0.1
# Lung at the frame (a scan cropped to it) has airways and holes that are darker.
_DARKER_SHARE = 0.001
_MOST_LABELS = 32
OK = "ok"


def hu_check(stack: HuArray, padding_hu: int | None = None) -> str:
    """``ok``, or what looks wrong about the HU of a chest CT.

    HU fixes air at -1000 and water at 0. So the commonest value below -500 must be that of air or
    lung, between -1060 and -500, and the commonest above that of fat, muscle or blood, between -200
    and 200; each side must hold at least 0.5 % of the voxels. A shifted peak means a lost intercept
    or another scale; it is reported, not corrected.

    Padding of -2000 or -3024 takes all values down to there once a scan was interpolated. So where
    tissue is right, what lies below -1100 HU is padding, and does not count. And nothing is emptier
    than the air around the patient: if the slices' frame shows one narrow peak above -940 HU, with
    nothing much darker in the scan, that is air, and all HU are shifted.

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
    >>> hu_check(ct + np.int16(120))
    'the air around the patient is at -880 HU, not near -1000: is the rescale intercept right?'
    """
    values = _sample(stack)
    if padding_hu is not None:
        values = values[values > padding_hu]
    if not values.size:
        return "there is nothing but padding"
    low, high = int(values.min()), int(values.max())
    if high - low < 100:
        return f"all values lie between {low} and {high}; this is no CT picture, or a mask"
    centres, smooth = _histogram(values)
    found = []
    bright = centres >= -500
    tissue = _tissue(centres[bright], smooth[bright], values.size)
    dark = ~bright if tissue else ~bright & (centres > _DEEPEST_AIR_HU)
    if smooth[dark].sum() < 0.005 * values.size:
        found.append(
            "no air below -500 HU: is the rescale intercept right, is it cropped to tissue?"
        )
    else:
        peak = int(centres[dark][smooth[dark].argmax()])
        if not -1060 <= peak <= -500:
            found.append(f"air peaks at {peak} HU, not near -1000: is the rescale intercept right?")
        elif shifted := _air_around(stack, values):
            found.append(shifted)
    return "; ".join([*found, *tissue]) or OK


def _tissue(centres: IntArray, smooth: FloatArray, size: int) -> list[str]:
    if smooth.sum() < 0.005 * size:
        return ["no tissue above -500 HU"]
    peak = int(centres[smooth.argmax()])
    if not -200 <= peak <= 200:
        return [
            f"soft tissue peaks at {peak} HU, not near 0 to 60: is the rescale intercept right?"
        ]
    return []


def _histogram(values: HuArray) -> tuple[IntArray, FloatArray]:
    """Centres of the histogram's bins, HU, and its counts, smoothed."""
    counts = np.bincount((values.astype(np.int32) + 32768) // _BIN, minlength=6554)
    smooth = np.convolve(counts, np.ones(5) / 5, mode="same")
    return np.arange(smooth.size) * _BIN - 32768 + _BIN // 2, smooth


def _air_around(stack: HuArray, values: HuArray) -> str:
    """What is wrong with the air at the frame of the slices; "" if nothing, or none is seen."""
    frame = np.concatenate([stack[:, [0, -1], ::4].ravel(), stack[:, ::4, [0, -1]].ravel()])
    air = frame[(frame > _DEEPEST_AIR_HU) & (frame < -500)]
    if air.size < _LEAST_FRAME * frame.size:
        return ""
    centres, smooth = _histogram(air)
    peak = int(centres[smooth.argmax()])
    narrow = np.abs(air.astype(np.int32) - peak) <= _NARROW_HU
    peak = round(float(np.median(air[narrow]))) if narrow.any() else peak
    darker = (values > _DEEPEST_AIR_HU) & (values < peak - 2 * _NARROW_HU)
    if peak <= _HIGHEST_AIR_HU or narrow.mean() < _NARROW_SHARE or darker.mean() > _DARKER_SHARE:
        return ""
    return (
        f"the air around the patient is at {peak} HU, not near -1000: is the rescale intercept "
        "right?"
    )


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
