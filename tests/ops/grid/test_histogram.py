"""The exact 2-means of a histogram, against trying everything and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lungseg.ops.grid.histogram import hu_counts, two_means

COUNTS = arrays(np.int64, st.integers(2, 40), elements=st.integers(0, 30)).filter(
    lambda counts: np.count_nonzero(counts) >= 2
)


def within(values):
    return ((values - values.mean()) ** 2).sum()


@given(COUNTS, st.integers(-1024, 100))
def test_no_cut_is_better(counts, first):
    values = np.repeat(np.arange(len(counts)) + float(first), counts)
    found = two_means(counts, first)
    low = values[values <= found.threshold]
    high = values[values > found.threshold]
    assert found.low == pytest.approx(low.mean())
    assert found.high == pytest.approx(high.mean())
    best = min(
        within(values[values <= cut]) + within(values[values > cut])
        for cut in values[:-1]
        if cut < values.max()
    )
    assert within(low) + within(high) == pytest.approx(best, abs=1e-6)


def test_equals_scikit_learn_on_what_a_chest_looks_like():
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(3)
    hu = np.concatenate(
        [rng.normal(-1000, 12, 4000), rng.normal(-850, 60, 3000), rng.normal(40, 50, 5000)]
    )
    hu = np.clip(np.round(hu), -1024, 400).astype(np.int16)
    oracle = KMeans(2, n_init=5, random_state=0).fit(hu[:, None].astype(float))
    low, high = np.sort(oracle.cluster_centers_.ravel())
    found = two_means(hu_counts(hu.reshape(1, 60, 200), -1024, 400), -1024)
    assert found.low == pytest.approx(low, abs=0.5)
    assert found.high == pytest.approx(high, abs=0.5)
    assert found.threshold == pytest.approx((low + high) / 2, abs=0.4)


def test_counts_fold_what_lies_beyond_the_bounds_into_them():
    ct = np.array([[[-3024, -1024, -1023]], [[400, 3071, 0]]], np.int16)
    counts = hu_counts(ct, -1024, 400)
    assert counts.sum() == ct.size
    assert (counts[0], counts[1], counts[1024], counts[-1]) == (2, 1, 1, 2)


def test_padding_has_no_say():
    rng = np.random.default_rng(0)
    ct = rng.integers(-900, 100, (4, 8, 8)).astype(np.int16)
    inside = rng.random(ct.shape) < 0.5
    padded = np.where(inside, ct, np.int16(-1024))
    np.testing.assert_array_equal(
        hu_counts(padded, -1024, 400, inside), hu_counts(ct, -1024, 400, inside)
    )
    assert hu_counts(padded, -1024, 400, inside).sum() == inside.sum()


def test_one_value_has_no_two_means():
    with pytest.raises(ValueError, match="two different values; the histogram has 1"):
        two_means(np.array([0, 7, 0]))


def test_bounds_the_wrong_way_round_are_named():
    with pytest.raises(ValueError, match="lowest_hu 5 is above highest_hu 4"):
        hu_counts(np.zeros((1, 1, 1), np.int16), 5, 4)
