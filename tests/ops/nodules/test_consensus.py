"""Votes of readers, and what is nodule by them."""

import numpy as np
import pytest

from lungseg.ops.nodules.consensus import (
    agreed,
    as_of_four,
    consensus,
    count_votes,
    vote_shares,
    votes_needed,
)
from lungseg.ops.nodules.patches import Patch


def test_votes_are_counted_in_the_box_of_all():
    one, two = (
        Patch(np.ones((1, 2, 2), bool), (0, 0, 0)),
        Patch(np.ones((1, 2, 2), bool), (0, 1, 1)),
    )
    votes, first = count_votes([one, two])
    assert first == (0, 0, 0)
    assert votes.tolist() == [[[1, 1, 0], [1, 2, 1], [0, 1, 1]]]
    assert votes.dtype == np.uint8


@pytest.mark.parametrize(
    ("readers", "level", "needed"),
    [(1, 0.5, 1), (2, 0.5, 1), (3, 0.5, 2), (4, 0.5, 2), (8, 0.5, 2), (4, 1.0, 4), (3, 0.0, 1)],
)
def test_half_of_those_who_drew_it(readers, level, needed):
    assert votes_needed(readers, level) == needed


def test_consensus_is_target_the_rest_of_the_votes_is_ignored():
    votes = np.array([[[0, 1, 2, 3, 4, 1, 2]]], np.uint8)
    labels = np.array([[[0, 1, 1, 1, 1, 2, 2]]], np.uint16)
    target, ignore = consensus(votes, labels, {1: 4, 2: 2})
    assert target.tolist() == [[[False, False, True, True, True, False, False]]]
    assert ignore.tolist() == [[[False, True, False, False, False, True, True]]]
    target, _ = consensus(votes, labels, {1: 4, 2: 2}, min_readers=1, level=1.0)
    assert target.tolist() == [[[False, False, False, False, True, False, True]]]
    # a label that the list does not know is no truth
    target, ignore = consensus(votes, labels, {2: 2}, min_readers=2)
    assert target.tolist() == [[[False, False, False, False, False, True, True]]]
    assert (target | ignore).tolist() == [[[False, True, True, True, True, True, True]]]
    empty, _ = consensus(np.zeros((1, 2, 2), np.uint8), np.zeros((1, 2, 2), np.uint16), {})
    assert not empty.any()


def test_where_no_voxel_has_half_of_the_readers_all_that_anyone_drew_is_nodule():
    votes = np.array([[0, 1, 2], [3, 1, 0]], np.uint8)
    assert agreed(votes, 4).tolist() == [[False, False, True], [True, False, False]]
    assert agreed(votes.clip(0, 1), 4).tolist() == [[False, True, True], [True, True, False]]
    assert not agreed(np.zeros((2, 2), np.uint8), 4).any()


def test_shares_are_of_a_nodules_own_readers_and_never_above_1():
    votes = np.array([[1, 2, 3], [1, 5, 1]], np.uint8)
    labels = np.array([[1, 1, 1], [2, 3, 0]], np.uint16)
    share, ignore = vote_shares(votes, labels, {1: 3, 2: 1, 3: 6}, min_readers=2)
    np.testing.assert_allclose(share, [[1 / 3, 2 / 3, 1], [0, 1, 0]])
    assert ignore.tolist() == [[False] * 3, [True, False, True]]


@pytest.mark.parametrize("readers", [5, 6, 9, 20])
def test_of_more_than_four_readers_half_is_half_of_those_who_share_a_voxel(readers):
    votes = np.arange(readers + 1, dtype=np.uint8)
    half = votes >= readers / 2
    assert agreed(votes, readers).tolist() == half.tolist()
    stored = as_of_four(votes, readers)
    assert stored.tolist() == as_of_four(stored, readers).tolist()
    assert stored.astype(bool).tolist() == votes.astype(bool).tolist()
    assert (stored >= votes_needed(readers)).tolist() == half.tolist()
    assert (stored >= votes_needed(readers, 1.0)).tolist() == (votes == readers).tolist()
    # A nodule that LIDC's four readers drew in so many parts.
    assert agreed(votes[:5], readers).tolist() == [False, False, True, True, True]
    assert as_of_four(np.array([5, 2], np.uint8), 8).tolist() == [5, 2]
