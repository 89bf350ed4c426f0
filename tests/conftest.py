"""Fixtures that every room's tests share."""

import os
from pathlib import Path

import pytest

DATA = Path(
    os.environ.get("LUNGSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
).resolve()


def pytest_collection_modifyitems(items):
    if DATA.is_dir():
        return
    reason = f"NO REAL SCANS: {DATA} is absent; set LUNGSEG_TEST_DATA to the folder of test scans"
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real scans; tests that use it bear the marker `data`."""
    return DATA
