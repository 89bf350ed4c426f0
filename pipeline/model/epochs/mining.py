"""Mining: places in the training patients' scans that a net takes for nodules, and nobody marked.

In the epochs that follow, some of the crops without a nodule are centred on them: hard negatives.
Only whole scans are searched, since around the slices of a nodule alone nothing is known.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import NO_MASK
from lungseg.model.inference import Floats, predict
from lungseg.model.samples import Rows, Samples, scaled
from lungseg.ops.grid.crop import MULTIPLE, footprint, window_around

# A spot that reaches this probability is a place.
LOWEST_PROBABILITY = 0.3
# Slices on each side of a mark in which a spot may belong to what was marked: a nodule does not end
# where its last outline does.
MARK_REACH = 3
# The net sees multiples of this, so that it is built for few sizes. So is the slice's edge.
STEP_PX = MULTIPLE

PLACES = np.dtype([("row", "i8"), ("y", "f4"), ("x", "f4"), ("probability", "f4")])
Places = npt.NDArray[np.void]
NetOf = Callable[[int, int], object]


def mine(
    net_of: NetOf, samples: Samples, whole_rows: Rows, step: int, batch_size: int = 8
) -> Places:
    """Places of false alarms, records of `PLACES`, in the order of the rows.

    Parameters
    ----------
    net_of
        The net for slices of so many pixels, ``(height, width)``.
    samples
        Makes the net's input.
    whole_rows
        Rows of whole scans that may be searched, ascending.
    step
        Every n-th row of a scan is searched.
    batch_size
        Slices at a time.
    """
    scan_of = samples.tables.slices["scan_row"][whole_rows]
    found = [np.empty(0, PLACES)]
    for scan in np.unique(scan_of):
        rows = whole_rows[scan_of == scan]
        found.append(_of_scan(net_of, samples, rows, step, batch_size))
    return np.concatenate(found)


def false_alarms(probability: Floats, marks: npt.NDArray[np.bool_], lungs: Floats) -> Floats:
    """Peaks ``(n, 3)``, y, x and probability, of the spots that touch lung and no mark.

    Parameters
    ----------
    probability
        ``(y, x)`` of one slice.
    marks
        Pixels that anyone marked, on this slice or near it.
    lungs
        Lung mask.
    """
    spots, count = ndimage.label(probability >= LOWEST_PROBABILITY)
    if not count:
        return np.empty((0, 3), np.float32)
    numbers = np.arange(1, count + 1)
    free = ~ndimage.maximum(marks, spots, numbers).astype(bool)
    free &= ndimage.maximum(lungs > 0, spots, numbers).astype(bool)
    peaks = ndimage.maximum_position(probability, spots, numbers[free])
    return np.array([(y, x, probability[y, x]) for y, x in peaks], np.float32).reshape(-1, 3)


def whole_rows(tables: Tables) -> npt.NDArray[np.bool_]:
    """Whether each row of the table is of a whole scan, not of a window around a nodule."""
    return np.asarray(tables.slices["verdict"] != NO_MASK.encode())


def _of_scan(
    net_of: NetOf, samples: Samples, rows: Rows, step: int, batch_size: int
) -> npt.NDArray[np.void]:
    tables, spec = samples.tables, samples.input_spec
    lungs = tables.read("lungs", rows)
    seen = footprint(lungs)
    if not seen.any():
        return np.empty(0, PLACES)
    (y, x), (height, width) = window_around(seen, margin=0, multiple=STEP_PX)
    box = slice(y, y + height), slice(x, x + width)
    marks = tables.read("votes", rows)[:, *box] > 0
    net = net_of(*marks.shape[1:])
    reach = np.ones(2 * MARK_REACH + 1, bool)[:, np.newaxis, np.newaxis]
    marks = ndimage.binary_dilation(marks, reach) if marks.any() else marks
    places: list[tuple[int, float, float, float]] = []
    searched = np.arange(0, len(rows), step)
    for first in range(0, len(searched), batch_size):
        some = searched[first : first + batch_size]
        images = tables.images(rows[some], spec.context)[:, :, *box]
        hidden = None
        if spec.inside_lungs:
            stacks = tables.neighbours(rows[some], spec.context)
            hidden = tables.read("lungs", stacks.ravel()).reshape(*stacks.shape, *lungs.shape[1:])
            hidden = hidden[:, :, *box]
        probability = predict(net, scaled(images, spec, hidden), batch_size)
        for place, plane in zip(some, probability, strict=True):
            for y, x, p in false_alarms(plane, marks[place], lungs[place][box]).tolist():
                places.append((rows[place], y + box[0].start, x + box[1].start, p))
    return np.array(places, PLACES)


def drawn(
    places: Places | Sequence[object], count: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """`count` of the places, by their probability, repeated only where there are fewer.

    Returns
    -------
    (count,) int
        Positions in `places`.
    """
    probability = np.asarray(places["probability"], np.float64)  # type: ignore[call-overload]
    again = count > len(probability)
    return rng.choice(len(probability), count, replace=again, p=probability / probability.sum())
