"""Candidates as CSV."""

import math

import pytest

from lungseg.core.errors import DataError
from lungseg.io.results.candidate_list import Detection, read_detections, write_detections


def test_rows_come_back(tmp_path):
    rows = [Detection("1.2", (-57.4391, 131.2325, -520.359), 0.987654, 15.485)]
    write_detections(rows, tmp_path / "c.csv")
    (back,) = read_detections(tmp_path / "c.csv")
    assert back.scan == "1.2"
    assert back.xyz_mm == pytest.approx(rows[0].xyz_mm, abs=1e-3)
    assert (back.probability, back.diameter_mm) == (0.987654, 15.485)


def test_a_luna16_submission_has_no_diameters(tmp_path):
    path = tmp_path / "submission.csv"
    # A spreadsheet puts a mark of byte order before the first column's name.
    path.write_text("seriesuid,coordX,coordY,coordZ,probability\n1.2,1,-2,3e1,0.5\n", "utf-8-sig")
    (row,) = read_detections(path)
    assert row.xyz_mm == (1, -2, 30)
    assert math.isnan(row.diameter_mm)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "seriesuid,coordX,coordY,coordZ\n",
            "has no column probability; expected seriesuid,coordX",
        ),
        ("seriesuid,coordX,coordY,coordZ,probability\na,1,2,x,1\n", "not a list of candidates"),
        ("seriesuid,coordX,coordY,coordZ,probability\na,1,2\n", "not a list of candidates"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, message):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_detections(tmp_path / "c.csv")
