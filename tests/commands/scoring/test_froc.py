"""`froc`: any submission by LUNA16's rules, against the slow way and by hand."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.commands.scoring.froc import froc
from lungseg.core.errors import DataError
from tests.commands.scoring.slow_luna16 import RATES, slow_scores
from tests.commands.scoring.submissions import make_submission, write
from tests.io.pictures.picture_files import read_rgb


def score(folder, *, excluded="E.csv", seriesuids="S.csv", **how):
    """The JSON of `froc` on the files of a folder."""
    given = {"max_marks": 100, "bootstraps": 0, "plot": None} | how
    told = froc(
        annotations=folder / "A.csv",
        excluded=folder / excluded if excluded else None,
        seriesuids=folder / seriesuids if seriesuids else None,
        results=folder / "R.csv",
        as_json=True,
        **given,
    )
    return json.loads(told)


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_slow_way_on_random_submissions(tmp_path, seed):
    make_submission(tmp_path, seed, scans=(16, 24, 31, 40)[seed % 4])
    most = (100, 20)[seed % 2]
    counts, sensitivity = slow_scores(tmp_path, most)
    told = score(tmp_path, max_marks=most)
    assert {name: told[name] for name in counts} == counts
    assert counts["ignored_double"] > 0
    assert counts["ignored_excluded"] > 0
    assert [float(rate) for rate in told["sensitivity"]] == RATES
    np.testing.assert_allclose(list(told["sensitivity"].values()), sensitivity, atol=1e-6)
    assert told["cpm"] == pytest.approx(np.mean(sensitivity), abs=1e-6)


@pytest.fixture
def by_hand(tmp_path):
    """Four scans: hits at .9 and .6, a false positive at .8, one nodule missed."""
    write(tmp_path / "A.csv", "diameter_mm", [("a", 0, 0, 0, 8), ("a", 50, 0, 0, 6),
                                               ("b", 0, 0, 0, -1)])  # fmt: skip
    write(tmp_path / "E.csv", "diameter_mm", [("b", 30, 0, 0, -1), ("b", 30, 0, 0, "")])
    write(tmp_path / "R.csv", "probability", [("a", 3, 0, 0, 0.9), ("a", -3, 0, 0, 0.7),
          ("a", 20, 0, 0, 0.8), ("b", 4.9, 0, 0, 0.6), ("b", 34.9, 0, 0, 0.95)])  # fmt: skip
    (tmp_path / "S.csv").write_text("seriesuid\na\nb\nc\nd\n")
    return tmp_path


def test_scores_by_hand(by_hand):
    told = score(by_hand, bootstraps=200, plot=by_hand / "new" / "froc.png")
    wanted = {"scans": 4, "candidates": 5, "nodules": 3, "tp": 2, "fp": 1, "fn": 1,
              "ignored_excluded": 1, "ignored_double": 1, "notes": []}  # fmt: skip
    assert {name: told[name] for name in wanted} == wanted
    # One hit before the false positive, the other after it, at a quarter per scan.
    third = pytest.approx(1 / 3, abs=1e-6)
    assert told["sensitivity"]["0.125"] == third
    assert list(told["sensitivity"].values())[1:] == [pytest.approx(2 / 3, abs=1e-6)] * 6
    low, high = told["cpm_interval"]
    assert low < told["cpm"] < high
    assert read_rgb(by_hand / "new" / "froc.png").std() > 5


def test_what_is_not_given_is_said(by_hand):
    told = score(by_hand, excluded=None, seriesuids=None)
    assert (told["scans"], told["fp"], told["ignored_excluded"]) == (2, 2, 0)
    assert told["cpm_interval"] is None
    scans, excluded = told["notes"]
    assert scans.startswith("without --seriesuids all scans that a file names count (2)")
    assert "counts as a false positive" in excluded


def test_results_of_other_scans_than_the_annotated_ones_have_no_score(by_hand):
    """Zero hits and every nodule missed would look like a bad net."""
    text = (by_hand / "R.csv").read_text()
    (by_hand / "R.csv").write_text(text.replace("\na,", "\nx,").replace("\nb,", "\ny,"))
    message = r"none of the 2 scans in R\.csv \(such as x\) is one of the 2 that .* --seriesuids"
    with pytest.raises(DataError, match=message):
        score(by_hand, seriesuids=None)


def test_of_too_many_candidates_those_above_the_first_that_is_too_many_count(by_hand):
    told = score(by_hand, max_marks=2)
    assert (told["candidates"], told["ignored_double"]) == (4, 0)
    assert told["notes"][0].startswith(
        "R.csv: 1 candidate counts nowhere, of 1 scan with more than the 2 like"
    )
    assert score(by_hand, max_marks=0)["candidates"] == 5


def test_rows_of_other_scans_are_counted_and_named(by_hand):
    (by_hand / "S.csv").write_text("a\nc\n")
    told = score(by_hand)
    assert (told["nodules"], told["candidates"], told["scans"]) == (2, 3, 2)
    assert told["notes"] == [
        "1 nodule counts nowhere, of 1 scan not to be scored (b)",
        "R.csv: 2 rows count nowhere, of 1 scan not to be scored (b)",
    ]


def test_findings_that_are_flat_or_twice_there_are_told(by_hand):
    write(by_hand / "A.csv", "diameter_mm", [("a", 0, 0, 0, 0), ("b", 0, 0, 0, 4),
                                             ("b", 0, 0, 0, 4)])  # fmt: skip
    told = score(by_hand)
    assert (told["nodules"], told["tp"]) == (3, 0)
    assert told["notes"] == [
        "nothing can hit 1 nodule with a diameter of 0 mm",
        "1 nodule lies where another one of the scan lies; each of them counts",
    ]


def test_without_a_candidate_everything_is_missed(by_hand):
    write(by_hand / "R.csv", "probability", [])
    told = score(by_hand, bootstraps=5)
    assert (told["cpm"], told["fn"], told["cpm_interval"]) == (0.0, 3, [0.0, 0.0])
    assert told["notes"] == ["R.csv has no candidate"]


def told_by(folder, *more):
    names = {"annotations": "A", "excluded": "E", "seriesuids": "S", "results": "R"}
    files = [part for n, f in names.items() for part in (f"--{n}", str(folder / f"{f}.csv"))]
    return CliRunner().invoke(main, ["froc", *files, "--bootstraps", "20", *more])


def test_the_command_says_it_as_a_table(by_hand):
    done = told_by(by_hand)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0] == "4 scans, 3 nodules, 5 candidates"
    assert lines[1].startswith("2 nodules hit, 1 missed; 1 false positive; 1 further hit on")
    assert lines[3].split()[:2] == ["0.125", "0.3333"]
    assert lines[10].split()[:2] == ["CPM", "0.6190"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("R", "seriesuid,coordX,coordY,coordZ\n", "has no column probability; its first line is"),
        ("R", "x1,2,3\n", r"has no column seriesuid, coordX, coordY, coordZ, probability"),
        ("R", "", r"its first line is \(none\)"),
        ("R", "{p}\na,1,2,3,high\n", "1 of 1 rows cannot be used: R.csv, line 2: probability is "
         "'high', not a number"),
        ("R", "{p}\na,1,2,3,0.1\n\na,1,nan,3,0.5\n", "1 of 2 rows .* R.csv, line 4: coordY is "
         "'nan', not a finite number"),
        ("R", "{p}\na,1,2,3,inf\n", "probability is 'inf', not a finite number"),
        ("R", "{p}\na,1,2\n", "line 2: 3 cells, expected 5"),
        ("R", "{p}\n" + ",1,2,3,1\n" * 5, "5 of 5 rows .* line 2: seriesuid is empty; .*; and 2 "
         "more"),
        ("R", "{p}\ne,1,2,3,0.5\n", r"none of the 1 scans in R.csv \(such as e\) is one of the 4"),
        ("A", "{d}\nz,1,2,3,5\n", r"none of the 1 scans in A.csv \(such as z\) is one of the 4"),
        ("A", "{d}\n", "names no nodule, so there is no score"),
        ("A", "{d}\na,1,2,3,\n", "diameter_mm is '', not a number"),
        ("E", "{d}\na,1,2,3,nan\n", "diameter_mm is 'nan', not a finite number"),
        ("R", "{p}\na,1,2,3," + "9" * 140_000, r"line 2: field larger than .*; expected a CSV"),
        ("S", "a\nb\na\n", "S.csv, line 3: a is already on line 1"),
        ("S", "seriesuid\n", "names no scan"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used_are_named_without_a_traceback(by_hand, file, text, message):
    heads = {"p": "seriesuid,coordX,coordY,coordZ,probability"}
    heads["d"] = heads["p"].replace("probability", "diameter_mm")
    (by_hand / f"{file}.csv").write_text(text.format(**heads))
    done = told_by(by_hand)
    assert done.exit_code == 1
    assert re.search(message, done.stderr.replace("\n", " ")), done.stderr


def test_a_file_that_is_absent_is_named(by_hand):
    (by_hand / "E.csv").unlink()
    done = told_by(by_hand)
    assert done.exit_code == 2
    assert "E.csv is not a file; expected a CSV with the columns seriesuid" in done.stderr


def test_semicolons_tabs_and_capitals_are_read(by_hand):
    wanted = score(by_hand)
    text = (by_hand / "R.csv").read_text()
    (by_hand / "R.csv").write_text(
        text.replace("coordX", "COORDx").replace(",", " ; "), "utf-8-sig"
    )
    assert score(by_hand) == wanted
    (by_hand / "R.csv").write_text(text.replace(",", "\t"))
    assert score(by_hand) == wanted
