"""Draws: which samples an epoch has, how often each nodule, and where the crops lie."""

import numpy as np
import pytest

from lungseg.model.epochs.draws import Draws, nodule_draws, with_hard_negatives
from lungseg.model.epochs.mining import PLACES, drawn
from lungseg.model.selection import NoduleRows, Selection

# One nodule on a single row, one on twenty.
SOME = Selection(
    np.arange(21),
    np.arange(100, 160),
    (NoduleRows(np.array([0]), (4.0, 5.0)), NoduleRows(np.arange(1, 21), (6.0, 7.0))),
)
AMONG = np.array([(101, 3, 4, 0.9), (102, 5, 6, 0.3)], PLACES)


def test_each_nodule_is_shown_as_often_as_any_other_on_any_of_its_rows():
    rows = nodule_draws(SOME, (1, 0), 1.0, 80).rows
    assert (rows == 0).sum() == 20
    assert ((rows >= 1) & (rows <= 20)).sum() == 20
    assert len(set(rows[(rows >= 1) & (rows <= 20)])) > 8


def test_crops_of_a_nodule_are_around_its_middle_and_others_anywhere():
    draws = nodule_draws(SOME, (1, 0), 1.0, 80)
    assert (draws.centres[draws.rows == 0] == (4, 5)).all()
    assert (draws.centres[(draws.rows > 0) & (draws.rows < 100)] == (6, 7)).all()
    assert np.isnan(draws.centres[draws.rows >= 100]).all()


@pytest.mark.parametrize(
    ("ratio", "samples", "positive", "negative"),
    [(0.5, 0, 2, 1), (0.0, 10, 10, 0), (3.0, 40, 10, 30), (-1.0, 62, 2, 60), (1.0, 400, 200, 200)],
)
def test_the_share_of_negatives_is_as_told(ratio, samples, positive, negative):
    rows = nodule_draws(SOME, (1, 0), ratio, samples).rows
    assert ((rows < 100).sum(), (rows >= 100).sum()) == (positive, negative)


def test_no_negative_comes_again_before_all_have_been():
    rows = nodule_draws(SOME, (1, 0), 1.0, 240).rows
    assert (np.unique(rows[rows >= 100], return_counts=True)[1] == 2).all()


def test_order_is_the_seeds_and_the_epochs_alone_and_mixed():
    one = nodule_draws(SOME, (1, 0), 1.0, 80)
    np.testing.assert_array_equal(one.rows, nodule_draws(SOME, (1, 0), 1.0, 80).rows)
    assert not np.array_equal(one.rows, nodule_draws(SOME, (1, 1), 1.0, 80).rows)
    assert 10 < (one.rows[:40] < 100).sum() < 30


def test_without_negatives_there_are_nodules_alone():
    alone = Selection(SOME.positives, np.empty(0, np.int64), SOME.nodules)
    assert sorted(set(nodule_draws(alone, (1, 0), 1.0, 8).rows > 20)) == [False]


def test_a_share_of_the_negatives_is_replaced_by_mined_places():
    draws = nodule_draws(SOME, (1, 0), 1.0, 80)
    hard = with_hard_negatives(draws, SOME.negatives, AMONG, 0.25, (1, 0))
    changed = ~np.isnan(hard.centres[:, 0]) & (hard.rows >= 100)
    assert changed.sum() == 10
    np.testing.assert_array_equal(hard.rows[~changed], draws.rows[~changed])
    at = {tuple(centre) for centre in hard.centres[changed & (hard.rows == 101)]}
    assert at == {(3.0, 4.0)}
    again = with_hard_negatives(draws, SOME.negatives, AMONG, 0.25, (1, 0))
    np.testing.assert_array_equal(again.rows, hard.rows)
    assert np.isnan(draws.centres[draws.rows >= 100]).all()


def test_without_any_place_or_share_nothing_is_replaced():
    draws = Draws(np.array([100, 101]), np.full((2, 2), np.nan))
    assert with_hard_negatives(draws, SOME.negatives, AMONG[:0], 0.5, (1, 0)) is draws
    assert with_hard_negatives(draws, SOME.negatives, AMONG, 0.0, (1, 0)) is draws


def test_likelier_places_are_drawn_more_often():
    chosen = drawn(AMONG, 4000, np.random.default_rng(1))
    assert (chosen == 0).mean() == pytest.approx(0.75, abs=0.03)


def test_places_are_repeated_only_where_there_are_fewer_than_wanted():
    assert sorted(drawn(AMONG, 2, np.random.default_rng(1))) == [0, 1]
