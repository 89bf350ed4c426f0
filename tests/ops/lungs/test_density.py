"""Density of the lungs, against answers known by hand and numpy's own percentiles."""

import numpy as np
import pytest

from lungseg.ops.lungs.density import air_share, density


def test_figures_of_a_hundred_known_values():
    hu = np.arange(-1000, -900, dtype=np.int16).reshape(4, 5, 5)
    found = density(hu, np.ones(hu.shape, bool))
    assert found.mean_hu == -950.5
    assert (found.p5_hu, found.p15_hu) == (-996, -986)
    assert (found.p50_hu, found.p95_hu) == (-951, -906)
    assert found.share_below_950 == 0.5  # -950 itself is not below


def test_only_voxels_of_the_mask_count():
    hu = np.full((2, 3, 3), 3000, np.int16)
    hu[0, 0] = -960, -900, -840
    found = density(hu, hu < 0)
    assert (found.mean_hu, found.p50_hu, found.share_below_950) == (-900.0, -900, 0.3333)


def test_lung_without_air_is_counted_above_250():
    hu = np.array([[[-900, -251, -250, -249, 40]]], np.int16)
    assert density(hu, hu < 1000).share_above_250 == 0.4


def test_gas_is_the_share_that_is_not_tissue_and_noise_adds_none():
    assert air_share(np.array([-1000, -500, 0, 200], np.int16)) == 0.375
    noisy = np.rint(np.random.default_rng(0).normal(-1000, 40, 20_000)).astype(np.int16)
    assert air_share(noisy) == pytest.approx(1.0, abs=0.001)
    assert air_share(noisy[:0]) == 0.0


def test_an_empty_mask_is_refused():
    hu = np.zeros((2, 2, 2), np.int16)
    with pytest.raises(ValueError, match="an empty mask has no density"):
        density(hu, hu > 0)
