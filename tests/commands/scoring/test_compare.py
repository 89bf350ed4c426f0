"""`compare`: submissions, files of scores and work folders side by side."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.commands.own_scans import ledger
from lungseg.commands.scoring import compared_pictures
from lungseg.commands.scoring.outcomes import ScoredBy, read_results
from lungseg.core.errors import ConfigError
from lungseg.io.volumes import volume_file
from lungseg.volume import Volume
from tests.commands.scoring.submissions import make_submission, write
from tests.io.pictures.picture_files import read_rgb
from tests.stages.test_evaluate import GRID, SHAPE, Set, found

SUBMITTED = ScoredBy(annotations=None, excluded=None, seriesuids=None, max_marks=100)


def told_by(*words, bootstraps=20):
    return CliRunner().invoke(
        main, ["compare", *map(str, words), "--bootstraps", str(bootstraps)], catch_exceptions=False
    )


def document(*words, **how):
    done = told_by(*words, "--json", **how)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def submissions(tmp_path):
    """Two scans with three nodules; A finds two of them, B another pair."""
    write(tmp_path / "N.csv", "diameter_mm", [("a", 0, 0, 0, 8), ("a", 50, 0, 0, 6),
                                               ("b", 0, 0, 0, 10)])  # fmt: skip
    write(tmp_path / "A.csv", "probability", [("a", 0, 0, 0, 0.9), ("a", 50, 0, 0, 0.2),
                                               ("a", 90, 0, 0, 0.5)])  # fmt: skip
    write(tmp_path / "B.csv", "probability", [("a", 0, 0, 0, 0.9), ("b", 1, 0, 0, 0.8)])
    (tmp_path / "S.csv").write_text("a\nb\n")
    return tmp_path, ["--annotations", tmp_path / "N.csv", "--seriesuids", tmp_path / "S.csv"]


def test_submissions_side_by_side_by_hand(submissions):
    folder, truth = submissions
    told = document(folder / "A.csv", folder / "B.csv", *truth)
    assert (told["scans"], told["nodules"]) == (2, 3)
    one, other = told["results"]
    assert (one["name"], one["kind"]) == ("A.csv", "submission")
    assert (one["false_positives_per_scan"], other["false_positives_per_scan"]) == (0.5, 0.0)
    # A hits a third before its false positive at 1/2 a scan, then two thirds.
    assert one["cpm"] == pytest.approx((2 / 3 + 5 * 2 / 3) / 7, abs=1e-6)
    assert other["cpm"] == pytest.approx(2 / 3, abs=1e-6)
    (change,) = told["differences"]
    assert (change["of"], change["from"]) == ("B.csv", "A.csv")
    assert change["cpm"]["value"] == pytest.approx(other["cpm"] - one["cpm"], abs=2e-6)
    assert change["sensitivity"]["value"] == 0.0
    assert "dice" not in one
    rows = [
        (r["scan"], r["diameter_mm"], r["found_by"], r["missed_by"]) for r in told["found_by_some"]
    ]
    assert rows == [("b", 10.0, ["B.csv"], ["A.csv"]), ("a", 6.0, ["A.csv"], ["B.csv"])]
    assert "no result is a work folder, so there are no pictures" in told["notes"]


def test_at_a_rate_what_comes_behind_too_many_false_positives_is_missed(submissions):
    folder, truth = submissions
    told = document(folder / "A.csv", folder / "B.csv", *truth, "--at", "0.25")
    assert [r["scan"] for r in told["found_by_some"]] == ["b"]
    assert told["at_false_positives_per_scan"] == 0.25


def test_the_table_says_it(submissions):
    folder, truth = submissions
    lines = told_by(folder / "A.csv", folder / "B.csv", *truth).output.splitlines()
    assert lines[:3] == ["2 scans, 3 nodules in all results", "  A  A.csv (submission)",
                         "  B  B.csv (submission)"]  # fmt: skip
    assert lines[4].split()[:2] == ["CPM", "0.5714"]
    assert any("found by B.csv; missed by A.csv" in line for line in lines)


def test_three_random_results_are_compared_with_the_first(tmp_path):
    make_submission(tmp_path, 5)
    (tmp_path / "B.csv").write_text((tmp_path / "R.csv").read_text())
    files = [tmp_path / name for name in ("R.csv", "B.csv", "R.csv")]
    told = document(*files, "--annotations", tmp_path / "A.csv", "--excluded", tmp_path / "E.csv")
    assert [one["name"] for one in told["results"]] == [
        f"{f} ({k})" for k, f in enumerate(files, 1)
    ]
    for change in told["differences"]:
        assert change["cpm"] == {"value": 0.0, "interval": [0.0, 0.0]}
    assert told["found_by_some"] == []


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """What `evaluate` wrote of two nets: one finds the first nodule, the other the second."""
    done = {}
    for name, index in (("one", (5, 20, 11)), ("two", (5, 20, 30))):
        data = Set(tmp_path_factory.mktemp(name))
        data.add(
            "P1",
            nodules=[((5, 20, 10), 2, 3), ((5, 20, 30), 1, 3)],
            candidates=[found(index, 0.9)],
            marks=[(slice(3, 8), slice(18, 23), slice(8, 11))],
        )
        data.add("P2", nodules=[((5, 10, 10), 2, 3)], candidates=[found((5, 10, 10), 0.7)])
        _, _, out = data.run(bootstraps=0)
        done[name] = (data, (out / "scores.json").read_text())
    return done


@pytest.fixture
def works(evaluated, tmp_path):
    """Two work folders with these scores."""
    places = []
    for name, (data, scores) in evaluated.items():
        work = tmp_path / f"work-{name}"
        (work / "results").mkdir(parents=True)
        (work / "results" / "scores.json").write_text(scores)
        places.append((work, data))
    return places


def test_work_folders_show_the_nodules_that_one_found(works, monkeypatch):
    (one, data), (two, _) = works
    shown = {scan: dict(folders) for scan, folders in data.scans.items()}
    for folders in shown.values():
        ct = folders["resample"] = data.folder / "ct" / folders["predict"].name
        ct.mkdir(parents=True)
        volume_file.write(Volume(np.full(SHAPE, -800, np.int16), GRID), ct / "ct.h5")
    monkeypatch.setattr(compared_pictures, "_folders", lambda work: shown)
    told = document(one, two)
    rows = told["found_by_some"]
    assert [(r["found_by"], r["missed_by"]) for r in rows] == [
        (["work-one"], ["work-two"]), (["work-two"], ["work-one"]),
    ]  # fmt: skip
    assert [r["picture"] for r in rows] == [
        str(one / "compared" / f"{k}_scan-P1.png") for k in ("01", "02")
    ]
    assert read_rgb(one / "compared" / "01_scan-P1.png").std() > 5
    assert told["results"][0]["kind"] == "work folder"
    assert not [note for note in told["notes"] if "no longer holds" in note]
    assert "dice" in told["results"][0]


def test_folders_whose_outputs_are_gone_are_told_and_named(works):
    told = document(works[0][0], works[1][0])
    assert [r["picture"] for r in told["found_by_some"]] == [None, None]
    assert any("there is no picture of 2 nodules" in note for note in told["notes"])
    assert any("work-one, work-two no longer holds the outputs" in note for note in told["notes"])


def test_files_of_scores_are_compared_alone(works):
    files = [work / "results" / "scores.json" for work, _ in works]
    told = document(*files)
    assert [one["kind"] for one in told["results"]] == ["scores", "scores"]
    assert [one["name"] for one in told["results"]] == [
        f"work-{name}/results/scores.json" for name in ("one", "two")
    ]
    assert len(told["found_by_some"]) == 2


def test_training_patients_are_told(works):
    file = works[0][0] / "results" / "scores.json"
    scores = json.loads(file.read_text()) | {"includes_training_patients": True}
    file.write_text(json.dumps(scores))
    told = document(file, works[1][0])
    assert any("that its net was trained on" in note for note in told["notes"])


def test_other_scans_and_nodules_are_refused_with_what_is_common(submissions, evaluated):
    folder, truth = submissions
    scores = json.loads(evaluated["one"][1])
    scores["outcomes"] = {"a": scores["outcomes"]["scan-P2"]}
    (only,) = scores["outcomes"].values()
    only["nodules"][0]["xyz_mm"] = [0.5, 0.0, 0.0]
    (folder / "C.json").write_text(json.dumps(scores))
    done = told_by(folder / "A.csv", folder / "C.json", *truth)
    assert done.exit_code == 1
    assert "A.csv has 2 scans with 3 nodules, C.json has 1 scan with 1 nodule" in done.stderr
    assert "1 scan and 1 nodule are in all of them" in done.stderr
    told = document(folder / "A.csv", folder / "C.json", *truth, "--common")
    assert (told["scans"], told["nodules"]) == (1, 1)
    assert told["results"][0]["cpm"] == 1.0
    assert told["notes"][0].startswith("compared is what all have: A.csv has 2 scans")
    only["nodules"] = []
    (folder / "C.json").write_text(json.dumps(scores))
    done = told_by(folder / "A.csv", folder / "C.json", *truth, "--common")
    assert "there is no nodule to compare by" in done.stderr


def test_of_a_folder_that_was_handed_out_to_the_work_folder_within_counts(works, tmp_path):
    out = tmp_path / "found"
    (out / "lungseg-work").mkdir(parents=True)
    ledger.note(out, made={"guest": False, "stage": "write-detections", "settings": {}, "net": ""})
    done = told_by(out, works[1][0])
    assert done.exit_code == 2
    told = " ".join(done.stderr.split())
    assert f"`lungseg-cli postprocess --work {out / 'lungseg-work'}` makes it" in told
    (out / "lungseg-work").rmdir()
    (works[0][0]).rename(out / "lungseg-work")
    assert [one["kind"] for one in document(out, works[1][0])["results"]] == ["work folder"] * 2


def test_what_cannot_be_compared_is_refused_by_name(submissions, tmp_path):
    folder, _ = submissions
    with pytest.raises(ConfigError, match="1 result is given; a comparison needs two or more"):
        read_results([folder / "A.csv"], SUBMITTED)
    done = told_by(folder / "A.csv", folder / "B.csv")
    assert done.exit_code == 2
    assert "name the nodules that it is scored by with --annotations" in done.stderr
    (tmp_path / "empty").mkdir()
    for place, message in (("empty", "has no scores.json; `lungseg-cli postprocess"),
                           ("gone.json", "gone.json: there is no such file or folder"),
                           ("gone", "gone: there is no such file or folder")):  # fmt: skip
        done = told_by(folder / place, folder / "B.csv")
        assert (done.exit_code, message in done.stderr) == (2, True), done.stderr
    for text in ("{}", "[1]", "no", '{"outcomes": {"a": {"nodules": 3}}}'):
        (tmp_path / "old.json").write_text(text)
        done = told_by(tmp_path / "old.json", folder / "B.csv")
        assert done.exit_code == 1
        assert "it must be the scores.json of `evaluate`" in done.stderr
