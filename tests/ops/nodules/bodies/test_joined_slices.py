"""Regions joined over slices, against a slow search; smoothing along z, against all smoothed."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d, label

from lungseg.ops.nodules.bodies.joined_slices import joined, smoothed_along_z


def joined_slowly(mask, min_overlap):
    """Parts as a set of frozensets of voxels: regions are merged until no two overlap enough."""
    regions = []
    for z, plane in enumerate(mask):
        labels, n = label(plane, np.ones((3, 3)))
        regions += [(z, {tuple(at) for at in np.argwhere(labels == k + 1)}) for k in range(n)]
    group = list(range(len(regions)))
    for a, (z, one) in enumerate(regions):
        for b, (other_z, other) in enumerate(regions):
            enough = len(one & other) >= min_overlap * min(len(one), len(other))
            if other_z - z == 1 and one & other and enough:
                group = [group[a] if g == group[b] else g for g in group]
    parts = {}
    for g, (z, region) in zip(group, regions, strict=True):
        parts.setdefault(g, set()).update((z, *at) for at in region)
    return {frozenset(part) for part in parts.values()}


@pytest.mark.parametrize("min_overlap", [0.01, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_parts_are_those_of_a_slow_search(min_overlap, seed):
    mask = np.random.default_rng(seed).random((6, 9, 10)) < 0.35
    labels = joined(mask, min_overlap)
    assert np.array_equal(labels > 0, mask)
    found = {
        frozenset(map(tuple, np.argwhere(labels == k).tolist())) for k in range(1, labels.max() + 1)
    }
    assert found == joined_slowly(mask, min_overlap)


def test_nothing_is_joined_in_an_empty_mask():
    assert joined(np.zeros((3, 4, 5), bool), 0.5).max() == 0


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5])
def test_what_is_above_the_cut_is_as_if_all_had_been_smoothed(sigma):
    rng = np.random.default_rng(1)
    probability = (65535 * rng.random((12, 8, 9)) ** 6).astype(np.uint16)
    whole = np.rint(gaussian_filter1d(probability.astype(float), sigma, 0, mode="nearest"))
    found = smoothed_along_z(probability, sigma, above=20000)
    cut = whole >= 20000
    assert cut.any()
    assert np.array_equal(found >= 20000, cut)
    np.testing.assert_allclose(found[cut], whole[cut], atol=1)


def test_no_smoothing_is_the_map_itself():
    probability = np.full((2, 2, 2), 7, np.uint16)
    assert smoothed_along_z(probability, 0.0) is probability
