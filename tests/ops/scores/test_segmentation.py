"""Agreement of found masks with drawn nodules, on arrays countable by hand."""

import numpy as np
import pytest

from lungseg.ops.nodules.patches import Patch
from lungseg.ops.scores.segmentation import overlap, patch_dice

SHAPE = (6, 20, 20)


def empty():
    return np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint16)


def test_counts_leave_out_what_few_readers_drew():
    marks, votes, labels = empty()
    votes[2, 4:8, 4:8], labels[2, 4:8, 4:8] = 4, 1  # 16 voxels by all
    votes[2, 4:8, 8], labels[2, 4:8, 8] = 1, 1  # 4 by one of the four: ignored
    votes[4, 15:18, 15:18], labels[4, 15:18, 15:18] = 2, 2  # a nodule of two readers: ignored
    marks[2, 4:8, 6:10] = 1  # 8 right, 4 ignored, 4 wrong
    marks[4, 15:18, 15:19] = 2  # 9 ignored, 3 wrong
    found = overlap(marks, votes, labels, {1: 4, 2: 2}, 3, 0.5)
    counts = found.counts()
    assert (counts.true_positive, counts.false_positive, counts.false_negative) == (8, 7, 8)
    assert counts.dice == pytest.approx(16 / 31)
    assert len(found.marked) == 6  # every slice, the empty ones too
    (nodule,) = found.nodules
    assert nodule.label == 1
    assert nodule.dice == pytest.approx(2 * 8 / (16 + 12))
    assert nodule.sensitivity == 0.5


def test_a_lower_bar_takes_more_in():
    marks, votes, labels = empty()
    votes[2, 4:8, 4:8], labels[2, 4:8, 4:8] = 2, 1
    assert not overlap(marks, votes, labels, {1: 2}, 3, 0.5).target.any()
    assert overlap(marks, votes, labels, {1: 2}, 1, 0.5).target.sum() == 16
    votes[2, 4, 4] = 1
    assert overlap(marks, votes, labels, {1: 2}, 1, 1.0).target.sum() == 15


def test_a_nodule_without_a_mask_scores_0_and_stays_in_the_list():
    marks, votes, labels = empty()
    votes[1, 2:4, 2:4], labels[1, 2:4, 2:4] = 3, 7
    marks[5, 10, 10] = 1
    (nodule,) = overlap(marks, votes, labels, {7: 3}, 3, 0.5).nodules
    assert (nodule.label, nodule.dice, nodule.sensitivity) == (7, 0.0, 0.0)


def test_one_mask_over_two_nodules_counts_for_each_without_the_other():
    marks, votes, labels = empty()
    votes[1, 2:4, 2:12] = 3
    labels[1, 2:4, 2:6], labels[1, 2:4, 6:12] = 1, 2
    marks[1, 2:4, 2:12] = 5
    assert [n.dice for n in overlap(marks, votes, labels, {1: 3, 2: 3}, 3, 0.5).nodules] == [1, 1]


def test_a_mask_on_one_nodule_does_not_find_its_neighbour():
    marks, votes, labels = empty()
    votes[1, 2:4, 2:12] = 3
    labels[1, 2:4, 2:6], labels[1, 2:4, 6:12] = 1, 2
    marks[1, 2:4, 6:12] = 5
    missed, found = overlap(marks, votes, labels, {1: 3, 2: 3}, 3, 0.5).nodules
    assert (missed.dice, missed.sensitivity) == (0.0, 0.0)
    assert (found.dice, found.sensitivity) == (1.0, 1.0)


def test_all_slices_are_compared_and_of_them_the_window_of_marks_and_votes():
    marks, votes, labels = empty()
    votes[2, 4:8, 5:7], labels[2, 4:8, 5:7] = 4, 1
    marks[3, 6:12, 6:9] = 1
    assert overlap(marks, votes, labels, {1: 4}, 3, 0.5).marked.shape == (6, 8, 4)


def test_nothing_found_and_nothing_drawn_is_no_error():
    found = overlap(*empty(), {}, 3, 0.5)
    assert found.marked.shape == (6, 1, 1)
    assert found.nodules == ()
    assert found.counts().dice == 1.0


def test_patches_are_compared_where_they_lie():
    one, two = (
        Patch(np.ones((1, 2, 2), bool), (0, 0, 0)),
        Patch(np.ones((1, 2, 2), bool), (0, 1, 1)),
    )
    assert patch_dice(one, two) == 0.25
    assert patch_dice(one, one) == 1.0
