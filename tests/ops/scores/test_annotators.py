"""Nodules of a whole scan beside their annotators, against scikit-learn's Dice on whole arrays."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from lungseg.ops.scores.annotators import score_beside_annotators
from lungseg.volume import Geometry

GRID = Geometry((2.0, 1.0, 1.0))
SHAPE = (8, 20, 40)


def scene(seed):
    """Two nodules of three and four readings; marks on the first, on none, and on both."""
    rng = np.random.default_rng(seed)
    labels, drawn = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint16)
    for label, (first, count) in enumerate([(5, 3), (22, 4)], 1):
        for k in range(count):
            low = rng.integers(0, 3, 3)
            box = tuple(slice(a, a + 4) for a in np.add(low, (1, 6, first)).tolist())
            labels[box] = label
            drawn[box] |= 1 << k
    marks = np.zeros(SHAPE, np.uint16)
    marks[2:6, 7:13, 6:12] = 4
    marks[0:2, 0:3, 35:39] = 2
    return marks, labels, drawn


def dice(one, other, counted):
    return f1_score(one[counted], other[counted])


@pytest.mark.parametrize("seed", range(4))
def test_equals_scikit_learns_dice_on_the_whole_scan(seed):
    marks, labels, drawn = scene(seed)
    found = score_beside_annotators(marks, labels, drawn, {1: 3, 2: 4}, GRID)
    masks = [(labels == 1) & (drawn >> k & 1 == 1) for k in range(3)]
    counted = labels != 2
    expected = [dice(mask, marks == 4, counted) for mask in masks]
    assert found[1].with_annotators == pytest.approx(expected)
    pairs = [dice(masks[a], masks[b], counted) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert found[1].between_annotators == pytest.approx(pairs)
    assert found[1].counts.dice == pytest.approx(dice(sum(masks) >= 2, marks == 4, counted))
    assert found[2].with_annotators == (0.0,) * 4
    assert np.isnan(found[2].surface.asd_mm)


def test_a_mark_on_two_nodules_counts_for_each_without_the_others_voxels():
    _, labels, drawn = scene(0)
    both = np.where(labels > 0, 9, 0).astype(np.uint16)
    found = score_beside_annotators(both, labels, drawn, {1: 3, 2: 4}, GRID)
    for label in (1, 2):
        mine = (labels == label) & (drawn > 0)
        assert found[label].counts.false_positive + found[label].counts.true_positive == mine.sum()


def test_a_reading_that_holds_nothing_here_has_no_agreement():
    marks, labels, drawn = scene(0)
    drawn[labels == 1] &= 0b011
    found = score_beside_annotators(marks, labels, drawn, {1: 3}, GRID)
    assert found[1].annotators == 2
    drawn[labels == 1] = 0
    assert score_beside_annotators(marks, labels, drawn, {1: 3}, GRID) == {}


def test_a_nodule_drawn_in_parts_or_not_on_the_grid_is_left_out():
    marks, labels, drawn = scene(0)
    assert score_beside_annotators(marks, labels, drawn, {1: 5, 3: 2}, GRID) == {}
