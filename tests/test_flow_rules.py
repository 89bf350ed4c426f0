"""A work folder never surprises: the rules, each through the command line as a user meets it."""

import json
import shutil

import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.core.store import Store
from lungseg.model.nets import current_net
from lungseg.session.kept import read_kept
from tests.test_flow import PATIENTS, QUICK, lungseg, write_scan


@pytest.fixture
def folder(trained, tree, tmp_path):
    """A work folder with a net and its sources, copied, for a test to change."""
    shutil.copytree(trained, tmp_path / "work")
    shutil.copytree(tree, tmp_path / "src")
    where = ["--src", tmp_path / "src", "--work", tmp_path / "work"]
    lungseg("preprocess", *where, "--quiet", "--jobs", 1)
    return tmp_path / "work", tmp_path / "src"


def run(*arguments):
    return json.loads(lungseg(*arguments, "--json", "--quiet", "--jobs", 1))


def refused(*arguments):
    told = CliRunner().invoke(main, [str(word) for word in arguments])
    assert told.exit_code == 2, told.output
    return " ".join(told.output.split())


def states(summary, stage):
    return {
        scan["patient"]: scan["stages"][stage]["state"]
        for scan in summary["scans"]
        if stage in scan["stages"]
    }


def test_a_new_patient_is_predicted_and_nothing_is_trained_or_predicted_again(folder):
    work, src = folder
    before = current_net(work).file.stat().st_mtime_ns
    write_scan(src, "four", "1.2.826.4", seed=3, nodules=())
    run("preprocess", "--work", work)
    done = run("postprocess", "--work", work)
    assert states(done, "predict") == dict.fromkeys(PATIENTS, "reused") | {"four": "ran"}
    assert "train" not in done["dataset"]
    assert current_net(work).file.stat().st_mtime_ns == before
    assert "1 scan more" in lungseg("postprocess", "--work", work, "--jobs", 1)


def test_an_unannotated_scan_leaves_the_net_valid(folder):
    work, src = folder
    write_scan(src, "four", "1.2.826.4", seed=3, nodules=())
    run("preprocess", "--work", work)
    assert run("build-tables", "--work", work)["dataset"]["build-tables"]["state"] == "ran"
    assert run("train", "--work", work)["dataset"]["train"]["state"] == "reused"


def test_postprocess_without_a_net_names_the_two_ways_to_one(preprocessed, tmp_path):
    shutil.copytree(preprocessed, tmp_path / "w")
    told = refused("postprocess", "--work", tmp_path / "w")
    assert "train one with `lungseg-cli train`, or name one with --model" in told
    assert not (tmp_path / "w" / "dataset").exists()


def test_a_net_of_another_folder_knows_what_it_has_seen(folder, preprocessed, tmp_path):
    work, src = folder
    here = tmp_path / "elsewhere"
    shutil.copytree(preprocessed, here)
    write_scan(src, "four", "1.2.826.4", seed=3, nodules=())
    lungseg("preprocess", "--src", src, "--work", here, "--quiet", "--jobs", 1)
    part = ["--set", "predict.part=test", "--set", "evaluate.part=test"]
    done = run("postprocess", "--work", here, "--model", work, *part)
    seen = [patient for patient, state in states(done, "predict").items() if state == "skipped"]
    assert len(seen) == 2
    assert states(done, "predict")["four"] == "ran"
    assert current_net(here).file == current_net(work).file.resolve()
    assert states(run("postprocess", "--work", here), "predict")["four"] == "reused"


def test_scan_selects_scans_and_never_the_data_set(folder):
    work, _ = folder
    change = ["--set", "find-nodules.max_candidates=7"]
    done = run("postprocess", "--work", work, "--scan", "two", *change)
    assert [scan["patient"] for scan in done["scans"]] == ["two"]
    assert done["dataset"] == {}
    told = lungseg("postprocess", "--work", work, "--scan", "two")
    assert "not run  evaluate: over all scans" in told
    told = refused("train", "--work", work, "--scan", "two")
    assert "train is over all scans of the work folder; leave --scan out" in told
    everyone = run("postprocess", "--work", work)
    assert states(everyone, "find-nodules") == {"one": "ran", "two": "reused", "three": "ran"}


def test_what_is_told_once_holds_until_another_is_told(tree, tmp_path):
    work = tmp_path / "w"
    where = ["--work", work, "--jobs", 1, "--quiet"]
    lungseg("preprocess", "--src", tree, *where, "--preset", "small", "--set",
            "train.epochs=3", *QUICK)  # fmt: skip
    again = run("run", "resample", "--work", work)
    assert set(states(again, "resample").values()) == {"reused"}
    told = json.loads(lungseg("params", "--work", work, "--json"))
    assert (told["train"]["epochs"], told["train"]["crop_px"]) == (3, 96)
    assert told["resample"]["spacing_mm"] == 4.0
    lungseg("preprocess", *where, "--preset", "xray")
    told = json.loads(lungseg("params", "--work", work, "--json"))
    assert (told["train"]["epochs"], told["train"]["crop_px"]) == (3, 0)
    assert (told["train"]["target"], told["resample"]["spacing_mm"]) == ("lungs", 4.0)
    why = lungseg("params", "--work", work, "--why")
    assert "train.epochs = 3  (default 40; set before" in why
    assert "train.target = lungs  (default nodules; preset xray)" in why
    told = CliRunner().invoke(main, ["params", "--work", str(work), "--reset", "train.epochs"])
    assert told.output == "forgotten: train.epochs\n"
    assert json.loads(lungseg("params", "--work", work, "--json"))["train"]["epochs"] == 30
    lungseg("params", "--work", work, "--reset")
    assert lungseg("params", "--work", work, "--why").startswith("all settings are at their")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epochs=0", "epochs must be >= 1"),
        ("annotate-nodules.coordinates=nowhere.csv", "coordinates names nowhere.csv, where"),
    ],
)
def test_what_does_not_validate_or_names_nothing_is_not_kept(tree, tmp_path, setting, message):
    work = tmp_path / "w"
    assert message in refused("preprocess", "--src", tree, "--work", work, "--set", setting)
    assert read_kept(work).values == {}


def test_the_end_of_a_command_says_what_holds(folder):
    work, _ = folder
    told = lungseg("postprocess", "--work", work)
    assert "settings " in told
    assert "resample.spacing_mm=4.0" in told
    assert f"net      {current_net(work).file} (trained here)" in told
    changed = lungseg("postprocess", "--work", work, "--set", "train.epochs=9")
    assert "since it was trained: train.epochs 2 -> 9" in changed


def test_what_removes_outputs_waits_for_running_commands_and_they_for_it(folder):
    work, _ = folder
    with Store(work).in_use("a run"):
        lungseg("postprocess", "--work", work, "--quiet")
        told = refused("postprocess", "--work", work, "--force", "find-nodules")
        assert "a run (process" in told
    with Store(work).alone("prune"):
        assert "prune (process" in refused("postprocess", "--work", work)
