"""Fixtures that every room's tests share, and how hypothesis looks for counterexamples."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The first example of a test may import scipy or skimage, so its time says nothing: no deadline.
# The same examples every time where CI is set, so that a build fails for what changed in it alone;
# "random" (`make test-random`) takes fresh ones everywhere.
settings.register_profile("lungseg", deadline=None, derandomize="CI" in os.environ)
settings.register_profile("random", deadline=None, derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lungseg"))

DATA = Path(
    os.environ.get("LUNGSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
).resolve()


HARD = Path(__file__).parent / "hard"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    leave_out_hard_tests(config, items)
    if DATA.is_dir():
        return
    reason = f"NO REAL SCANS: {DATA} is absent; set LUNGSEG_TEST_DATA to the folder of test scans"
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason=reason))


def leave_out_hard_tests(config, items):
    """Mark the tests in tests/hard; keep those that are hard only where ``-m`` names the marker.

    Not by ``-m "not hard"`` in pyproject.toml: any other ``-m`` would take its place.
    """
    hard = [
        item for item in items if item.path.is_relative_to(HARD) or item.get_closest_marker("hard")
    ]
    for item in hard:
        item.add_marker(pytest.mark.hard)
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1200))
    if hard and "hard" not in config.getoption("markexpr"):
        config.hook.pytest_deselected(items=hard)
        items[:] = [item for item in items if item not in hard]


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real scans; tests that use it bear the marker `data`."""
    return DATA
