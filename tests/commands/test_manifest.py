"""The manifests: all of LIDC, in seconds, with the published figures."""

import csv
import time
from collections import Counter

import pytest

from lungseg.commands.manifest import write_manifest
from lungseg.io.annotations import lidc_database
from tests.test_architecture import ROOT

# What is in the repository: the tests of figures read it, and others that it is what is written.
LISTED = ROOT / "data_manifests"


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("manifests")
    start = time.process_time()
    counts = write_manifest(out / "new")
    return out / "new", counts, time.process_time() - start


def test_all_of_lidc_is_listed():
    counts = {name: len(rows(LISTED / name)) for name in ("lidc_scans.csv", "lidc_nodules.csv")}
    assert counts == {"lidc_scans.csv": 1018, "lidc_nodules.csv": 2651}


def test_of_every_twelfth_scan_what_is_listed_is_what_is_written(tmp_path, monkeypatch):
    some = list(lidc_database.read_scans())[::12]
    monkeypatch.setattr(lidc_database, "read_scans", lambda _: iter(some))
    counts = write_manifest(tmp_path)
    assert counts["lidc_scans.csv"] == len(some) == 85
    scans = {scan.scan for scan in some}
    for name in counts:
        listed = [row for row in rows(LISTED / name) if row["scan"] in scans]
        assert rows(tmp_path / name) == listed


# Where the other core is as busy, the same work takes up to twice as many CPU seconds.
@pytest.mark.hard
def test_all_of_lidc_in_seconds(written):
    _, _, seconds = written
    assert seconds < 15


def test_nodules_by_reader_are_the_fields_figures():
    nodules = rows(LISTED / "lidc_nodules.csv")
    assert Counter(int(row["readers"]) for row in nodules) == {
        1: 771, 2: 488, 3: 481, 4: 897, 5: 8, 6: 2, 7: 3, 8: 1,
    }  # fmt: skip
    annotations = [name for row in nodules for name in row["annotations"].split()]
    assert len(annotations) == len(set(annotations)) == 6859
    scans = rows(LISTED / "lidc_scans.csv")
    assert sum(row["annotations"] == "0" for row in scans) == 135
    assert len({row["patient"] for row in scans}) == 1010
    assert [row["patient"][-4:] for row in scans if float(row["widest_gap_mm"]) > 30] == ["0514"]


def test_a_nodule_is_where_luna16_has_it():
    (nodule,) = (
        row for row in rows(LISTED / "lidc_nodules.csv") if row["patient"] == "LIDC-IDRI-0314"
    )
    place = [float(nodule[name]) for name in ("x_px", "y_px", "z_mm", "diameter_mm")]
    assert place == pytest.approx([183.76, 243.5, -520.36, 15.49], abs=0.6)
    assert float(nodule["malignancy"]) == pytest.approx((1 + 5 + 4 + 3) / 4)


@pytest.mark.hard
def test_what_is_in_the_repository_is_what_is_written(written):
    out, counts, _ = written
    for name in counts:
        assert (out / name).read_text() == (LISTED / name).read_text()


def test_the_manifests_are_small():
    assert sum(file.stat().st_size for file in LISTED.iterdir()) < 1_500_000


@pytest.mark.data
def test_luna16s_scans_are_counted(tmp_path, data, monkeypatch):
    monkeypatch.setattr("lungseg.io.annotations.lidc_database.read_scans", lambda _: iter(()))
    assert write_manifest(tmp_path, luna16=data / "luna16")["luna16_scans.csv"] == 888
    listed = rows(tmp_path / "luna16_scans.csv")
    assert sum(int(row["nodules"]) for row in listed) == 1186
    written, listed = (where / "luna16_scans.csv" for where in (tmp_path, LISTED))
    assert written.read_text() == listed.read_text()
