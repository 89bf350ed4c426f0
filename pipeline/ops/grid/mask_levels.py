"""Masks as pictures: which of their grey values or colours are lung, and when that is not certain.

Masks come as 0/1, 0/255 and 0/any value, with soft edges, with the noise of JPEG, in colours and
as labels (left lung, right lung, trachea). The first kinds can be read without a question; of
labels a program cannot know which are lung, and half of the brightest value loses every other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from lungseg.core.errors import DataError
from lungseg.volume import F32, MaskArray

AUTO, NONZERO = "auto", "nonzero"
# Pictures of so few values hold labels, or soft edges of one; of more, shades or noise.
FEW = 16
# Parts of an edge are thinner than this, pixels: a square of this size does not fit into them.
EDGE_PX = {"few": 3, "many": 5}
# Share of the brightest value below which noise is background, and (from 1) above which it is not.
NOISE = 1 / 8
# A colour of a picture of many differs by no more than this from the others, of 1.
HUE = 0.15
NAMED_AT_MOST = 8
_COLOUR = re.compile(r"#([0-9a-f]{6})")
_RANGE = re.compile(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?")


class UncertainLevelsError(DataError):
    """A mask has several labels and nobody said which are lung.

    Parameters
    ----------
    message, setting
        As of any error.
    labels
        The values, other than 0, that may be lung.

    Examples
    --------
    >>> UncertainLevelsError("two labels", labels=[3, 4], setting="mask_levels=3,4").labels
    (3.0, 4.0)
    """

    def __init__(self, message: str, *, labels: Sequence[float], setting: str) -> None:
        super().__init__(message, setting=setting)
        self.labels = tuple(float(label) for label in labels)


@dataclass(frozen=True)
class Levels:
    """Which values of a mask are lung.

    Attributes
    ----------
    text
        As it was told: ``auto``, ``nonzero``, or values, ranges and colours, e.g. ``127,255``,
        ``128-255`` or ``#ff0000``.
    ranges
        Grey values, from and to, ends included.
    colours
        Colours as red * 65536 + green * 256 + blue.

    Examples
    --------
    >>> Levels().is_told, Levels("nonzero").is_told
    (False, True)
    """

    text: str = AUTO
    ranges: tuple[tuple[float, float], ...] = ()
    colours: tuple[int, ...] = ()

    @property
    def is_told(self) -> bool:
        """Whether a person said which values are lung."""
        return self.text != AUTO


def levels_of(text: str) -> Levels:
    """Which values are lung, from the words of a setting.

    Raises
    ------
    DataError
        If it is none of the forms.

    Examples
    --------
    >>> levels_of("3, 128-255").ranges
    ((3.0, 3.0), (128.0, 255.0))
    >>> levels_of("#0000ff").colours
    (255,)
    """
    plain = text.strip().lower()
    if plain in {AUTO, NONZERO}:
        return Levels(plain)
    ranges, colours = [], []
    for word in plain.split(","):
        colour, values = _COLOUR.fullmatch(word.strip()), _RANGE.fullmatch(word.strip())
        if colour:
            colours.append(int(colour[1], 16))
        elif values and float(values[1]) <= float(values[2] or values[1]):
            ranges.append((float(values[1]), float(values[2] or values[1])))
        else:
            raise DataError(
                f"{text!r} does not say which values of a mask are lung: {word.strip()!r} is "
                f"neither a value (255), a range (128-255) nor a colour (#ff0000); {AUTO} and "
                f"{NONZERO} stand alone"
            )
    return Levels(plain, tuple(ranges), tuple(colours))


def lung_share(values: npt.NDArray[Any], levels: Levels, *, coloured: bool = False) -> F32:
    """Share of lung of each pixel ``(y, x)``, 0 to 1: on soft edges it lies between.

    Parameters
    ----------
    values
        Grey values, or colours as red * 65536 + green * 256 + blue.
    levels
        Which of them are lung.
    coloured
        Whether they are colours.

    Raises
    ------
    UncertainLevelsError
        If that was not told and is not certain: several labels, colours, or no value 0.

    Examples
    --------
    >>> lung_share(np.array([[0, 128]]), Levels()).tolist()
    [[0.0, 1.0]]
    >>> lung_share(np.array([[0, 127, 255]]), levels_of("127,255")).tolist()
    [[0.0, 1.0, 1.0]]
    """
    if levels.text == NONZERO:
        return np.asarray(values != 0, np.float32)
    if levels.is_told:
        # A grey has a colour's name, too: #ffffff is 255.
        names = levels.colours if coloured else [c & 255 for c in levels.colours if not c % 65793]
        inside = np.isin(values, names)
        grey = _grey_of_colours(values) if coloured else values
        for low, high in levels.ranges:
            inside |= (grey >= low) & (grey <= high)
        return np.asarray(inside, np.float32)
    found, counts = _counted(values)
    if len(found) > FEW:
        grey = _of_one_hue(values) if coloured else values
        return _shades(grey.astype(np.float32), coloured=coloured)
    if len(found) == 1:
        return np.asarray(values != 0, np.float32)
    labels = {v for v in found[found > 0] if _is_thick(values == v, "few")}
    # What is thin is an edge; of a mask that is all thin its commonest value is what is meant.
    labels |= {found[-1]} if not coloured else set()
    labels = labels or {found[found > 0][np.argmax(counts[found > 0])]}
    if found[0] != 0 or len(labels) > 1:
        raise UncertainLevelsError(
            _told(found, counts, coloured=coloured),
            labels=sorted(labels),
            setting=_advice(sorted(labels), coloured),
        )
    if coloured:
        return _brightness(values)
    return np.asarray(values / found[-1], np.float32)


def border_share(mask: MaskArray) -> float:
    """Share of the pixels along the border of a mask ``(y, x)`` that are set.

    Examples
    --------
    >>> border_share(np.array([[True, True, True], [False, True, False], [False, False, False]]))
    0.375
    """
    border = np.ones(mask.shape, bool)
    border[1:-1, 1:-1] = False
    return float(mask[border].mean())


def _counted(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The values that occur, ascending, and how often."""
    if values.dtype.kind in "ui" and values.size and int(values.max()) < 1 << 16:
        counts = np.bincount(values.ravel())
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(values, return_counts=True)


def _named(found: npt.NDArray[Any], counts: npt.NDArray[Any], *, coloured: bool) -> str:
    order = np.argsort(-counts, kind="stable")[:NAMED_AT_MOST]
    words = [
        f"{_name(found[k], coloured)} ({100 * counts[k] / counts.sum():.3g} %)"
        for k in sorted(order)
    ]
    more = f" and {len(found) - len(order)} more" if len(found) > len(order) else ""
    return ", ".join(words) + more


def _name(value: Any, coloured: bool) -> str:
    return f"#{int(value):06x}" if coloured else f"{float(value):g}"


def _told(found: npt.NDArray[Any], counts: npt.NDArray[Any], *, coloured: bool) -> str:
    what = "colours" if coloured else "values"
    return (
        f"the mask has the {what} {_named(found, counts, coloured=coloured)}, and which of them "
        "are lung is not certain; expected 0 and one other"
    )


def _advice(labels: Sequence[Any], coloured: bool) -> str:
    names = [_name(v, coloured) for v in labels][:NAMED_AT_MOST]
    return f"mask_levels to those that are lung, e.g. mask_levels={','.join(names)}"


def _shades(grey: F32, *, coloured: bool) -> F32:
    brightest = float(grey.max())
    between = (grey > NOISE * brightest) & (grey < (1 - NOISE) * brightest)
    if float(grey.min()) > NOISE * brightest or _is_thick(between, "many"):
        found, counts = _counted(grey)
        upper = f"{brightest / 2:.0f}-{brightest:.0f}"
        raise UncertainLevelsError(
            _told(found, counts, coloured=False)
            + (" (of the brightest channel)" if coloured else "")
            + "; soft edges and the noise of JPEG are allowed, whole areas between are not",
            labels=(brightest,),
            setting=f"mask_levels to the range that is lung, e.g. mask_levels={upper}",
        )
    return np.asarray(grey / brightest, np.float32)


def _is_thick(region: MaskArray, how: str) -> bool:
    edge = EDGE_PX[how]
    return bool(ndimage.binary_erosion(region, np.ones((edge, edge), bool)).any())


def _channels(colours: npt.NDArray[Any]) -> F32:
    whole = colours.astype(np.int64)
    return np.stack([whole >> 16, whole >> 8 & 255, whole & 255], axis=-1).astype(np.float32)


def _brightness(colours: npt.NDArray[Any]) -> F32:
    brightest = _channels(colours).max(axis=-1)
    return np.asarray(brightest / brightest.max(), np.float32)


def _grey_of_colours(colours: npt.NDArray[Any]) -> F32:
    """The grey of each colour that has one: of equal channels; -1 of the others."""
    channels = _channels(colours)
    equal = (channels == channels[..., :1]).all(axis=-1)
    return np.where(equal, channels[..., 0], np.float32(-1))


def _of_one_hue(colours: npt.NDArray[Any]) -> F32:
    """Brightness of a picture whose bright pixels all have one hue."""
    channels = _channels(colours)
    brightest = channels.max(axis=-1)
    bright = channels[brightest > brightest.max() / 2]
    shades = bright / bright.max(axis=-1, keepdims=True)
    if np.abs(shades - np.median(shades, axis=0)).mean(axis=0).max() > HUE:
        found, counts = _counted(colours)
        raise UncertainLevelsError(
            _told(found, counts, coloured=True),
            labels=(),
            setting=f"mask_levels={NONZERO} if all are lung",
        )
    return np.asarray(brightest, np.float32)
