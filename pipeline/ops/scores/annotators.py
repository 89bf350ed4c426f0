"""Each nodule of a whole scan beside its single annotators, who drew the same one."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from lungseg.ops.nodules.consensus import MOST_READERS, Labels, agreed
from lungseg.ops.scores.nodules import NoduleScore, score_nodule
from lungseg.volume import Geometry


def score_beside_annotators(
    marks: npt.NDArray[np.uint16],
    labels: Labels,
    drawn: npt.NDArray[np.uint16],
    readings: Mapping[int, int],
    grid: Geometry,
) -> dict[int, NoduleScore]:
    """Scores of the nodules of which it is known who drew what, by label.

    What is found of a nodule are all masks that touch its consensus. A nodule of more readings
    than LIDC had radiologists is left out: some of them drew it in parts.

    Parameters
    ----------
    marks, labels : (z, y, x)
        Found masks by label; drawn nodules by label.
    drawn : (z, y, x)
        Who drew each voxel: bit *k* for the reading *k* of the voxel's nodule.
    readings
        How many readings each nodule has that is scored, by label.
    grid
        Of the arrays.

    Examples
    --------
    >>> marks = np.array([[[0, 7, 7, 0]]], np.uint16)
    >>> drawn = np.array([[[1, 3, 2, 0]]], np.uint16)
    >>> labels = (drawn > 0).astype(np.uint16)
    >>> found = score_beside_annotators(marks, labels, drawn, {1: 2}, Geometry((1.0, 1.0, 1.0)))
    >>> found[1].with_annotators, found[1].between_annotators, found[1].counts.dice
    ((0.5, 1.0), (0.5,), 0.8)
    """
    from scipy.ndimage import find_objects

    boxes, mark_boxes = find_objects(labels), find_objects(marks)
    scores = {}
    for label, count in readings.items():
        box = boxes[label - 1] if label <= len(boxes) else None
        if box is None or count > MOST_READERS:
            continue
        masks = _masks(labels[box] == label, drawn[box], count)
        if not len(masks):
            continue
        touching = np.unique(marks[box][agreed(masks.sum(axis=0, dtype=np.uint8), len(masks))])
        touching = touching[touching > 0]
        window = _hull([box, *(mark_boxes[mark - 1] for mark in touching)])
        mine = labels[window] == label
        scores[label] = score_nodule(
            np.isin(marks[window], touching),
            _masks(mine, drawn[window], count),
            grid.spacing_mm,
            (labels[window] > 0) & ~mine,
        )
    return scores


def _masks(
    mine: npt.NDArray[np.bool_], drawn: npt.NDArray[np.uint16], count: int
) -> npt.NDArray[np.bool_]:
    """What each reading holds ``(k, z, y, x)``; one that holds nothing here is left out."""
    masks = np.array([mine & ((drawn >> k & 1) > 0) for k in range(count)])
    return masks[masks.any(axis=(1, 2, 3))] if count else masks


def _hull(boxes: list[tuple[slice, ...]]) -> tuple[slice, ...]:
    return tuple(
        slice(min(part.start for part in axis), max(part.stop for part in axis))
        for axis in zip(*boxes, strict=True)
    )
