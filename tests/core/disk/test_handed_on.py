"""What is handed on in memory: once, to who reads that very file, while a scan is at work."""

import os
from dataclasses import replace

import numpy as np
import pytest

from lungseg.core.disk.handed_on import hand_on, handing_on, taken
from lungseg.core.store import Store
from lungseg.core.worker import ScanTask, Step, run_chain
from lungseg.io.volumes import volume_file
from lungseg.volume import Geometry, Volume
from tests.core.stages import READ, UPPER, Read, Upper

CT = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), Geometry((1.0, 2.0, 3.0)))


@pytest.fixture
def file(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "a.txt").write_text("one")
    return tmp_path / "scratch" / "a.txt"


def test_what_is_handed_on_is_taken_once_also_once_its_folder_is_renamed(file):
    with handing_on():
        hand_on(file, "what it holds")
        moved = file.parent.rename(file.parent.with_name("kept")) / file.name
        assert taken(moved) == "what it holds"
        assert taken(moved) is None


def test_only_the_last_is_held_and_nothing_once_the_scan_is_done(file):
    other = file.with_name("other.txt")
    other.write_text("two")
    with handing_on():
        hand_on(file, 1)
        hand_on(other, 2)
        assert taken(file) is None
    assert taken(other) is None
    hand_on(other, 2)
    assert taken(other) is None
    with handing_on():
        assert taken(other) is None


def test_a_file_that_was_changed_replaced_or_removed_is_another(file):
    with handing_on():
        hand_on(file, 1)
        file.write_text("longer")
        assert taken(file) is None
        hand_on(file, 2)
        file.with_name("new").write_text("LONGER")
        times = file.stat().st_atime_ns, file.stat().st_mtime_ns
        os.utime(file.with_name("new"), ns=times)
        file.with_name("new").replace(file)
        assert taken(file) is None
        hand_on(file, 3)
        file.unlink()
        assert taken(file) is None


def test_a_scans_next_stage_gets_the_very_voxels_and_the_one_after_reads_them(tmp_path):
    seen = []

    def write(_params, _inputs, out):
        volume_file.write(CT, out / "ct.h5", padding_hu=-2000)
        volume_file.write(CT.like(CT.array > 0), out / "mask.h5")
        return {}

    def look(_params, inputs, out):
        seen.append(volume_file.read_hu(inputs["read"] / "ct.h5"))
        assert volume_file.read_attribute(inputs["read"] / "ct.h5", "padding_hu") == -2000
        (out / "seen.txt").write_text("yes")
        return {}

    store = Store(tmp_path)
    inputs = {"read": "r" * 64}
    folders = {"read": store.folder("read", "r" * 64, "a")}
    steps = (
        Step(replace(READ, run=write), Read(), "r" * 64, {}, {}),
        Step(replace(UPPER, run=look), Upper(), "u" * 64, inputs, folders),
        Step(replace(UPPER, run=look), Upper(mark="?"), "v" * 64, inputs, folders),
    )
    results = run_chain(ScanTask(store, "a", "p", steps))
    assert [(r.state, r.error) for r in results] == [("ran", "")] * 3
    assert [volume is CT for volume in seen] == [True, False]
    for volume in seen:
        np.testing.assert_array_equal(volume.array, CT.array)
        assert volume.geometry == CT.geometry


def test_masks_and_what_does_not_lie_in_order_are_read_back(tmp_path):
    upside_down = CT.like(CT.array[::-1])
    with handing_on():
        for name, volume in (("mask", CT.like(CT.array > 0)), ("ct", upside_down)):
            volume_file.write(volume, tmp_path / f"{name}.h5")
            back = volume_file.read(tmp_path / f"{name}.h5")
            assert back is not volume
            np.testing.assert_array_equal(back.array, volume.array)
