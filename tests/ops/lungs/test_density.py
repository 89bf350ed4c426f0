"""Density of the lungs, against answers known by hand and numpy's own percentiles."""

import numpy as np
import pytest

from lungseg.ops.lungs.density import density


def test_figures_of_a_hundred_known_values():
    hu = np.arange(-1000, -900, dtype=np.int16).reshape(4, 5, 5)
    found = density(hu, np.ones(hu.shape, bool))
    assert found.mean_hu == -950.5
    assert (found.p5_hu, found.p50_hu, found.p95_hu) == (-996, -951, -906)
    assert found.share_below_950 == 0.5  # -950 itself is not below


def test_only_voxels_of_the_mask_count():
    hu = np.full((2, 3, 3), 3000, np.int16)
    hu[0, 0] = -960, -900, -840
    found = density(hu, hu < 0)
    assert (found.mean_hu, found.p50_hu, found.share_below_950) == (-900.0, -900, 0.3333)


def test_an_empty_mask_is_refused():
    hu = np.zeros((2, 2, 2), np.int16)
    with pytest.raises(ValueError, match="an empty mask has no density"):
        density(hu, hu > 0)
