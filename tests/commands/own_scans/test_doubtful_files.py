"""Scans whose files leave a doubt are suspect, however good their masks look."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.io.dicom.write import SeriesHeader, write_series
from lungseg.phantom.small_chest import chest

FILL = ["--set", "ingest.fill_missing_slices=true"]
RULES = ["--jobs", "1", "--set", "segment-lungs.second_opinion=never"]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A scan of which three slices are gone, and one whose HU are 70 too high."""
    src = tmp_path_factory.mktemp("scans")
    phantom = chest((6.0, 4.0, 4.0), seed=1, z_range_mm=(-90.0, 90.0))
    header = SeriesHeader(patient="gap", study="1.2.9", series="1.2.826.51")
    files = write_series(phantom.ct, src / "gap", header)
    for path in files[14:17]:
        path.unlink()
    header = SeriesHeader(patient="high", study="1.3.9", series="1.2.826.52")
    high = phantom.ct.like((phantom.ct.array + 70).astype(np.int16))
    write_series(high, src / "high", header)
    return src


def run(*words):
    return CliRunner().invoke(main, [*map(str, words), *FILL, *RULES])


def test_interpolated_slices_and_doubtful_hu_are_in_table_and_on_the_screen(scans, tmp_path):
    done = run("lungs", scans, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    with (tmp_path / "lungs.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["patient"]: row for row in csv.DictReader(file)}
    gap = "3 slices are missing and interpolated, no image: 24 mm between "
    high = "HU are doubtful: the air around the patient is at -930 HU"
    for patient, doubt in (("gap", gap), ("high", high)):
        assert rows[patient]["verdict"] == "suspect"
        assert doubt in rows[patient]["reasons"]
        assert done.output.count(doubt) == 1


def test_preprocess_notes_them(scans, tmp_path):
    done = run("preprocess", "--src", scans, "--work", tmp_path)
    assert done.exit_code == 0, done.output
    assert "ingest: 3 slices are missing and interpolated, no image: 24 mm" in done.output
    assert "ingest: HU are doubtful: the air around the patient is at -930 HU" in done.output
