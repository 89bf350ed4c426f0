"""Trees of anything under any name: every path is a scan's or told of."""

import shutil

from tests.io.sources.any_tree import grow, unaccounted

TREES, PATHS = 300, 40


def test_every_path_of_a_tree_is_a_scans_or_told_of(tally, rng, tmp_path):
    kind = tally("trees under --src")
    for number in range(TREES):
        root = tmp_path / "tree"
        told = grow(root, rng, PATHS)
        lost = kind.call(f"tree {number}", unaccounted, root, told, tmp_path / "c", seconds=60)
        if lost == 0:
            kind.right()
        elif lost is not None:
            kind.wrong(f"tree {number}: {lost} of {len(told)} paths not told of")
        shutil.rmtree(root)
