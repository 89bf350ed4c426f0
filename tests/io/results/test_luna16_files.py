"""LUNA16's files: what stands in them comes back by scan, in its order."""

import numpy as np

from lungseg.io.results.luna16_files import read_findings, read_scans, read_submission

ROWS = "\nb, 1, 2.5, -3e1, 0.25\n\na,4,5,6,1\nb,7,8,9,0.5\n"


def test_candidates_come_by_scan_in_the_order_of_the_file(tmp_path):
    (tmp_path / "r.csv").write_text("seriesuid,coordX,coordY,coordZ,probability" + ROWS)
    found = read_submission(tmp_path / "r.csv")
    assert list(found) == ["b", "a"]
    assert found["b"].xyz_mm.tolist() == [[1, 2.5, -30], [7, 8, 9]]
    assert found["b"].probability.tolist() == [0.25, 0.5]
    assert found["a"].xyz_mm.tolist() == [[4, 5, 6]]


def test_columns_may_stand_in_any_order_among_others(tmp_path):
    (tmp_path / "r.csv").write_text(
        "id;coordz;COORDY;coordX;probability;seriesuid\n9;3;2;1;0.5;a\n"
    )
    assert read_submission(tmp_path / "r.csv")["a"].xyz_mm.tolist() == [[1, 2, 3]]


def test_findings_keep_their_diameters_and_an_empty_one_is_none(tmp_path):
    head = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"
    (tmp_path / "e.csv").write_text(head + "a,1,2,3,-1\na,4,5,6,\nb,7,8,9,0\n")
    found = read_findings(tmp_path / "e.csv", unknown_size=True)
    assert found == {"a": [((1, 2, 3), -1.0), ((4, 5, 6), None)], "b": [((7, 8, 9), 0.0)]}


def test_a_submission_without_rows_has_no_scan(tmp_path):
    (tmp_path / "r.csv").write_text("seriesuid,coordX,coordY,coordZ,probability\n")
    assert read_submission(tmp_path / "r.csv") == {}


def test_scans_are_listed_in_their_order_with_or_without_a_header(tmp_path):
    for head in ("", "seriesuid\n", "SeriesUID,patient\n"):
        (tmp_path / "s.csv").write_text(head + "b\n\na,x\n", "utf-8-sig")
        assert read_scans(tmp_path / "s.csv") == ["b", "a"]


def test_many_rows_are_all_there(tmp_path):
    rng = np.random.default_rng(1)
    rows = np.round(rng.uniform(-100, 100, (3000, 3)), 3)
    lines = [f"s{k % 7},{x},{y},{z},{k}" for k, (x, y, z) in enumerate(rows.tolist())]
    (tmp_path / "r.csv").write_text(
        "seriesuid,coordX,coordY,coordZ,probability\n" + "\n".join(lines)
    )
    found = read_submission(tmp_path / "r.csv")
    for k in range(7):
        np.testing.assert_array_equal(found[f"s{k}"].xyz_mm, rows[k::7])
        np.testing.assert_array_equal(found[f"s{k}"].probability, np.arange(k, 3000, 7))
