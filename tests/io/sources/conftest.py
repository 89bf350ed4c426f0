"""A folder of scans, and the look into it with a cache beside it."""

import pytest

from lungseg.io.sources.index import find_scans


@pytest.fixture
def tree(tmp_path):
    return tmp_path / "tree"


@pytest.fixture
def look(tree, tmp_path):
    def look(*roots):
        return find_scans(list(roots) or [tree], tmp_path / "headers.cache")

    return look
