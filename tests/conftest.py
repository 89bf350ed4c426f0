"""Fixtures that every room's tests share, and how hypothesis looks for counterexamples."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# A worker, a core: BLAS would take all cores in each. It reads this when numpy is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The first example of a test may import scipy or skimage, so its time says nothing: no deadline.
# The same examples every time where CI is set, so that a build fails for what changed in it alone;
# "random" (`make test-random`) takes fresh ones everywhere.
settings.register_profile("lungseg", deadline=None, derandomize="CI" in os.environ)
settings.register_profile("random", deadline=None, derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lungseg"))

# A shell starts what runs in the background with Ctrl-C ignored; tests that send it are heard.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = Path(
    os.environ.get("LUNGSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
).resolve()


HARD = Path(__file__).parent / "hard"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    leave_out_hard_tests(config, items)
    items.sort(key=_turn)
    if DATA.is_dir():
        return
    reason = f"NO REAL SCANS: {DATA} is absent; set LUNGSEG_TEST_DATA to the folder of test scans"
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason=reason))


def _turn(item) -> int:
    """When a test's turn comes where two processes share them, and steal from each other's end.

    Long ones first, else one process waits in the end for the other's last. Then those of the
    trained folder, which the first process makes and no other has to.
    """
    if item.get_closest_marker("slow"):
        return 0
    return 1 if "preprocessed" in getattr(item, "fixturenames", ()) else 2


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


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """Folder of three patients' scans, one nodule each."""
    from tests.test_flow import PATIENTS, write_scan

    folder = tmp_path_factory.mktemp("src")
    for seed, (patient, series) in enumerate(PATIENTS.items()):
        write_scan(folder, patient, series, seed=seed, nodules=("isolated",))
    return folder


@pytest.fixture(scope="session")
def preprocessed(tree, tmp_path_factory) -> Path:
    """A work folder after `preprocess`, to read or to copy."""
    from tests.test_flow import list_nodules, lungseg, settings

    folder = tmp_path_factory.mktemp("preprocessed")
    nodules = folder / "nodules.csv"
    list_nodules(nodules)
    where = ["--src", tree, "--work", folder, "--set", f"annotate-nodules.coordinates={nodules}"]
    told = json.loads(lungseg("preprocess", *where, "--json", "--jobs", 1, *settings()))
    assert (told["expected"], told["done"], told["failed"]) == (3, 3, 0)
    return folder


@pytest.fixture(scope="session")
def trained(preprocessed, tmp_path_factory) -> Path:
    """The same after all four commands, one patient of each part; to read or to copy."""
    from tests.test_flow import lungseg

    work = tmp_path_factory.mktemp("trained") / "work"
    shutil.copytree(preprocessed, work)
    quiet = ["--work", work, "--jobs", 1, "--quiet"]
    lungseg("build-tables", *quiet)
    lungseg("train", *quiet)
    lungseg("postprocess", *quiet, "--set", "evaluate.allow_training=true")
    return work


@pytest.fixture(scope="session")
def done(trained, tree, tmp_path_factory) -> Path:
    """The same with a second scan of patient two, which nobody annotated; to read or to copy."""
    from tests.test_flow import SECOND, lungseg, write_scan

    folder = tmp_path_factory.mktemp("done")
    shutil.copytree(trained, folder / "work", symlinks=True)
    shutil.copytree(tree, folder / "src")
    write_scan(folder / "src", "two", SECOND, seed=5, nodules=())
    quiet = ["--work", folder / "work", "--jobs", 1, "--quiet"]
    lungseg("preprocess", "--src", folder / "src", *quiet)
    for command in ("build-tables", "train", "postprocess"):
        lungseg(command, *quiet)
    lungseg("prune", "--yes", "--models", "--work", folder / "work")
    return folder / "work"
