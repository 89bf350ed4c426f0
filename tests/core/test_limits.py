"""Limits: more than there is gets refused by name, in words, and is not remembered."""

import os

import psutil
import pytest

from lungseg.core import limits
from lungseg.core.errors import LimitError
from lungseg.core.limits import MEMORY_VARIABLE, check_memory, memory_left, memory_limit

GIB = 1 << 30


@pytest.fixture
def without_group(monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "_OF_PROCESS", tmp_path / "none")
    monkeypatch.delenv(MEMORY_VARIABLE, raising=False)


@pytest.mark.usefixtures("without_group")
def test_more_than_the_machine_has_is_refused_with_both_sizes():
    check_memory(psutil.virtual_memory().available / 4, "a grid")
    with pytest.raises(
        LimitError, match=r"a grid of 9 voxels needs 1048576\.0 GiB of memory, and .* GiB is left; "
        "take a machine with more memory, or fewer --jobs"
    ):  # fmt: skip
        check_memory(GIB << 20, "a grid of 9 voxels")


@pytest.mark.usefixtures("without_group")
def test_what_was_allowed_counts_less_what_the_process_has(monkeypatch):
    own = psutil.Process().memory_info().rss
    with memory_limit(own + GIB // 2):
        check_memory(GIB // 8, "a small grid")
        with pytest.raises(
            LimitError, match=r"a grid needs 1\.0 GiB .* with --memory-limit\n"
        ) as told:
            check_memory(GIB, "a grid", setting="spacing_mm=2 for a coarser one")
        assert told.value.advised("resample").endswith(
            "set resample.spacing_mm=2 for a coarser one"
        )
    assert MEMORY_VARIABLE not in os.environ
    monkeypatch.setenv(MEMORY_VARIABLE, "7")
    with memory_limit(None):
        assert memory_left()[0] > 7
    assert os.environ[MEMORY_VARIABLE] == "7"
    assert memory_left() == (0, "give each process more with --memory-limit")


def test_the_tightest_control_group_counts_and_pages_of_files_are_free(monkeypatch, tmp_path):
    inner = tmp_path / "cgroup" / "job" / "step"
    inner.mkdir(parents=True)
    groups = [(inner, "max", 10, 5), (inner.parent, "5000", 3000, 700)]
    for folder, most, taken, pages in (*groups, (tmp_path / "cgroup", "9000", 0, 0)):
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{taken}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {pages}\n")
    (tmp_path / "self").write_text("5:cpu:/other\n0::/job/step\n")
    monkeypatch.setattr(limits, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "_OF_PROCESS", tmp_path / "self")
    assert memory_left() == (2700, "give the container or job more memory, or take fewer --jobs")
