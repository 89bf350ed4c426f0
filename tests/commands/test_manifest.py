"""The manifests: all of LIDC, in seconds, with the published figures."""

import csv
import time
from collections import Counter

import pytest

from lungseg.commands.manifest import write_manifest
from tests.test_architecture import ROOT


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("manifests")
    start = time.process_time()
    counts = write_manifest(out / "new")
    return out / "new", counts, time.process_time() - start


def test_all_of_lidc_is_listed(written):
    _, counts, _ = written
    assert counts == {"lidc_scans.csv": 1018, "lidc_nodules.csv": 2651}


# Where the other core is as busy, the same work takes up to twice as many CPU seconds.
@pytest.mark.hard
def test_all_of_lidc_in_seconds(written):
    _, _, seconds = written
    assert seconds < 15


def test_nodules_by_reader_are_the_fields_figures(written):
    out, _, _ = written
    nodules = rows(out / "lidc_nodules.csv")
    assert Counter(int(row["readers"]) for row in nodules) == {
        1: 771, 2: 488, 3: 481, 4: 897, 5: 8, 6: 2, 7: 3, 8: 1,
    }  # fmt: skip
    annotations = [name for row in nodules for name in row["annotations"].split()]
    assert len(annotations) == len(set(annotations)) == 6859
    scans = rows(out / "lidc_scans.csv")
    assert sum(row["annotations"] == "0" for row in scans) == 135
    assert len({row["patient"] for row in scans}) == 1010
    assert [row["patient"][-4:] for row in scans if float(row["widest_gap_mm"]) > 30] == ["0514"]


def test_a_nodule_is_where_luna16_has_it(written):
    out, _, _ = written
    (nodule,) = (
        row for row in rows(out / "lidc_nodules.csv") if row["patient"] == "LIDC-IDRI-0314"
    )
    place = [float(nodule[name]) for name in ("x_px", "y_px", "z_mm", "diameter_mm")]
    assert place == pytest.approx([183.76, 243.5, -520.36, 15.49], abs=0.6)
    assert float(nodule["malignancy"]) == pytest.approx((1 + 5 + 4 + 3) / 4)


def test_what_is_in_the_repository_is_what_is_written(written):
    out, counts, _ = written
    for name in counts:
        assert (out / name).read_text() == (ROOT / "data_manifests" / name).read_text()
    assert sum(file.stat().st_size for file in (ROOT / "data_manifests").iterdir()) < 1_500_000


@pytest.mark.data
def test_luna16s_scans_are_counted(tmp_path, data, monkeypatch):
    monkeypatch.setattr("lungseg.io.annotations.lidc_database.read_scans", lambda _: iter(()))
    assert write_manifest(tmp_path, luna16=data / "luna16")["luna16_scans.csv"] == 888
    listed = rows(tmp_path / "luna16_scans.csv")
    assert sum(int(row["nodules"]) for row in listed) == 1186
    assert (tmp_path / "luna16_scans.csv").read_text() == (
        ROOT / "data_manifests" / "luna16_scans.csv"
    ).read_text()
