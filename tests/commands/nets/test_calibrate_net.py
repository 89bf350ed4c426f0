"""models calibrate: a curve of scores.json goes into a copy of the net."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.commands.nets.calibrate_net import calibrate_net
from lungseg.core.errors import ConfigError, DataError
from lungseg.model.inference import load_net
from lungseg.model.model_record import read_model_record
from tests.commands.bright_net import write_bright_net

CURVE = {
    "method": "platt", "score": [0.0, 1.0], "probability": [0.0, 0.7], "settings": {"score": "top"},
    "parts": ["validation"], "scans": 4, "candidates": 60, "hits": 9, "net_sha256": "0a",
}  # fmt: skip


@pytest.fixture
def net(tmp_path):
    return write_bright_net(tmp_path / "net")


def scores(folder, **changes):
    told = {"includes_training_patients": False, "calibration": {"fitted": CURVE}} | changes
    path = folder / "scores.json"
    path.write_text(json.dumps(told))
    return path


def test_the_copy_has_the_curve_and_answers_as_before(net, tmp_path):
    before, out = net.read_bytes(), tmp_path / "new" / "calibrated.keras"
    words = ["models", "calibrate", str(net), str(scores(tmp_path)), "--out", str(out)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "on 60 candidates, 9 of them nodules, in 4 scans of validation patients" in done.output
    assert net.read_bytes() == before
    assert read_model_record(net).calibration == {}
    assert read_model_record(out).calibration == CURVE
    x = np.random.default_rng(0).random((1, 96, 96, 1), np.float32)
    answers = [load_net(file).predict_on_batch(x) for file in (net, out)]
    assert np.array_equal(*answers)
    # A second curve takes the place of the first.
    calibrate_net(str(out), scores(tmp_path), tmp_path / "again.keras")
    assert (tmp_path / "again.keras").read_bytes() == out.read_bytes()


@pytest.mark.parametrize(("name", "own", "other"), [("threshold", 0.5, 0.4), ("sure", 0.0, 0.8)])
def test_what_is_found_is_the_nets_own_rule_unless_another_is_given(
    net, tmp_path, name, own, other
):
    calibrate_net(str(net), scores(tmp_path), tmp_path / "same.keras")
    assert getattr(read_model_record(tmp_path / "same.keras"), name) == own
    words = ["models", "calibrate", str(net), str(scores(tmp_path)), f"--{name}", str(other)]
    assert CliRunner().invoke(main, [*words, "--out", str(tmp_path / "low.keras")]).exit_code == 0
    assert getattr(read_model_record(tmp_path / "low.keras"), name) == other


def test_a_net_is_not_changed_in_its_place(net, tmp_path):
    with pytest.raises(ConfigError, match="is the net itself"):
        calibrate_net(str(net), scores(tmp_path), net)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"includes_training_patients": True}, "of patients that the net was trained on"),
        ({"calibration": None}, "too few hits or false positives"),
        ({"calibration": {"fitted": None}}, "too few hits or false positives"),
        ({"calibration": {"ece": 1}}, "is no scores.json of this version's evaluate"),
    ],
)
def test_what_tells_no_curve_is_refused(net, tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        calibrate_net(str(net), scores(tmp_path, **changes), tmp_path / "out.keras")
    assert not (tmp_path / "out.keras").exists()
