"""Every path of a tree of anything is a scan's or told of; a thousand such trees in hard."""

import numpy as np

from tests.io.sources.any_tree import grow, unaccounted


def test_every_path_is_a_scans_or_told_of(tmp_path):
    rng = np.random.default_rng(1)
    for number in range(8):
        root = tmp_path / f"tree{number}"
        told = grow(root, rng, 30)
        for _ in "ab":  # the second look is by what was kept of the first
            assert unaccounted(root, told, tmp_path / "c") == 0, number
