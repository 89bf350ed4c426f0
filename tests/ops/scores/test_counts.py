"""Scores of whole sets: laws, values by hand, empty slices."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from sklearn import metrics as oracle

from lungseg.ops.scores.counts import Counts, Tally, count, slice_counts

SLICES = arrays(bool, (3, 4, 5))


def test_values_by_hand():
    counts = Counts(true_positive=6, false_positive=2, false_negative=4, true_negative=88)
    assert counts.dice == pytest.approx(12 / 18)
    assert counts.iou == pytest.approx(6 / 12)
    assert counts.sensitivity == pytest.approx(0.6)
    assert counts.precision == pytest.approx(0.75)
    assert counts.specificity == pytest.approx(88 / 90)
    assert counts.accuracy == pytest.approx(0.94)


@given(SLICES, SLICES)
def test_agrees_with_scikit_learn(marked, target):
    counts, flat = count(marked, target), (target.ravel(), marked.ravel())
    assert counts.accuracy == pytest.approx(oracle.accuracy_score(*flat))
    assert counts.dice == pytest.approx(oracle.f1_score(*flat, zero_division=1.0))
    assert counts.iou == pytest.approx(oracle.jaccard_score(*flat, zero_division=1.0))
    recall = oracle.recall_score(*flat, zero_division=np.nan)
    assert counts.sensitivity == pytest.approx(recall, nan_ok=True)


@given(SLICES, SLICES, SLICES)
def test_pooling_does_not_depend_on_the_batches(marked, target, counted):
    whole, parts = Tally(), Tally()
    whole.add(marked, target, counted)
    for i in range(3):
        parts.add(marked[i : i + 1], target[i : i + 1], counted[i : i + 1])
    assert whole.pooled() == parts.pooled() == count(marked, target, counted)
    assert whole.scores() == parts.scores()
    np.testing.assert_array_equal(whole.table.sum(axis=1), counted.sum(axis=(1, 2)))


@given(SLICES, SLICES, SLICES)
def test_an_ignored_voxel_may_hold_anything(marked, target, counted):
    other = count(marked ^ ~counted, target ^ ~counted, counted)
    assert count(marked, target, counted) == other


def test_slices_with_and_without_truth_are_averaged_separately():
    target = np.zeros((4, 2, 2), bool)
    marked = np.zeros((4, 2, 2), bool)
    target[0, 0] = marked[0, :, 0] = True  # 1 hit, 1 false, 1 missed
    target[1] = True  # missed
    marked[2, 0, 0] = True  # a false alarm in an empty slice; the last is empty and clean
    tally = Tally()
    tally.add(marked, target)
    slices = tally.per_slice()
    assert (slices.slices, slices.empty) == (4, 2)
    assert slices.dice == pytest.approx((0.5 + 0) / 2)
    assert slices.iou == pytest.approx((1 / 3 + 0) / 2)
    assert slices.dice_with_empty == pytest.approx((0.5 + 0 + 0 + 1) / 4)
    assert slices.iou_with_empty == pytest.approx((1 / 3 + 0 + 0 + 1) / 4)
    assert (slices.empty_clean, slices.found) == (0.5, 0.5)
    assert tally.pooled() == Counts(1, 2, 5, 8)


def test_a_slice_whose_truth_is_ignored_counts_as_empty():
    target = np.array([[[True, False]]])
    tally = Tally()
    tally.add(target, target, ~target)
    assert tally.per_slice().empty == 1
    assert tally.per_slice().empty_clean == 1


def test_scores_that_ask_about_nothing_are_undefined():
    nothing = count(np.zeros((2, 2), bool), np.zeros((2, 2), bool))
    assert (nothing.dice, nothing.iou, nothing.accuracy) == (1, 1, 1)
    assert math.isnan(nothing.sensitivity)
    assert math.isnan(nothing.precision)
    scores = Tally().scores()
    assert scores["pooled"]["accuracy"] is None
    assert scores["per_slice"]["dice"] is None
    assert scores["per_slice"]["slices"] == 0


def test_scores_for_a_file_hold_counts_and_means():
    tally = Tally()
    tally.add(np.array([[True, True, False, False]]), np.array([[True, False, True, False]]))
    scores = tally.scores()
    assert scores["pooled"] == {
        "dice": 0.5,
        "iou": pytest.approx(1 / 3),
        "sensitivity": 0.5,
        "precision": 0.5,
        "specificity": 0.5,
        "accuracy": 0.5,
    }
    assert scores["voxels"] == {
        "true_positive": 1,
        "false_positive": 1,
        "false_negative": 1,
        "true_negative": 1,
    }
    assert scores["per_slice"]["dice"] == 0.5


def test_counts_add():
    assert Counts(1, 2, 3, 4) + Counts(1, 1, 1, 1) == Counts(2, 3, 4, 5)


def test_shapes_that_differ_are_refused():
    two, three = np.zeros((1, 2), bool), np.zeros((1, 3), bool)
    for shapes_differ in ((two, three), (two, two, three), (three, three, two)):
        with pytest.raises(ValueError, match=r"differ in shape: \[\(1, 2\), \(1, 3\)\]"):
            slice_counts(*shapes_differ)
