"""`models teach-lungs`: a lung net of a work folder's sound masks, and whom it has seen."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.commands.nets import teach_lungs as teaching
from lungseg.core.errors import DataError
from lungseg.model.lung_net import network
from lungseg.model.lung_net.opinion import ask
from lungseg.model.lung_net.tumours import ask as ask_of_tumours
from lungseg.model.model_record import read_model_record
from lungseg.ops.lungs.in_blocks import Blocks


@pytest.fixture
def taught(monkeypatch):
    """Whom a net would learn from, without the learning."""
    seen = {}

    def teach(chests, phantoms, how, kept, tell):
        seen.update(chests=list(chests), phantoms=list(phantoms), how=how)
        tell(1, 0.5)
        return network.build((4, 4, 4))

    monkeypatch.setattr(teaching, "teach", teach)
    return seen


def typed(work, out, *more):
    words = ["models", "teach-lungs", "--work", work, "--out", out, "--phantoms", 1, *more]
    done = CliRunner().invoke(main, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_sound_masks_are_learnt_from_and_the_net_knows_whose(preprocessed, tmp_path, taught):
    work, out = tmp_path / "work", tmp_path / "new" / "lungs.keras"
    shutil.copytree(preprocessed, work)
    before = (work / "settings.toml").read_text()
    done = typed(work, out, "--epochs", 2, "--seed", 7)
    assert done.exit_code == 0, done.output
    assert "epoch 1/2  loss 0.500" in done.stderr
    assert (work / "settings.toml").read_text() == before
    record = read_model_record(out)
    n = len(taught["chests"])
    left_out = done.stderr.count("its lung mask is suspect")
    assert n + left_out == 3
    assert n == len(record.train_scans) > 0
    assert f"taught on {n} scans of {len(record.train_patients)} patients" in done.stdout
    assert (record.target, record.params["seed"]) == ("lungs without air", 7)
    assert (taught["how"].epochs, len(taught["phantoms"])) == (2, 1)
    for chest in (*taught["chests"], *taught["phantoms"]):
        # Lung is air, and the right one lies towards the first column.
        right, left = chest.lungs > 0.5
        assert np.median(chest.hu[right]) < -600
        assert np.argwhere(right)[:, 2].mean() < np.argwhere(left)[:, 2].mean()
    # It can be asked.
    seen = Blocks(np.zeros((5, 6, 7), np.int16), np.zeros((5, 6, 7), np.uint8), (4.0, 4.0, 4.0))
    assert ask(seen, out).shape == (2, 5, 6, 7)
    shown = CliRunner().invoke(main, ["models", "show", str(out)])
    assert "lungs without air" in shown.stdout


def test_a_tumour_net_learns_from_the_same_scans_and_says_what_it_is(
    preprocessed, tmp_path, monkeypatch
):
    seen = []

    def teach_tumours(chests, how, kept, tell):
        seen.extend(chests)
        tell(1, 0.5)
        return network.build((4, 4), channels=24, answers=8)

    monkeypatch.setattr(teaching, "teach_tumours", teach_tumours)
    out = tmp_path / "tumours.keras"
    done = typed(preprocessed, out, "--tumours")
    assert done.exit_code == 0, done.output
    record = read_model_record(out)
    # One phantom, as `typed` says.
    assert len(seen) == len(record.train_scans) + 1
    assert f"a tumour net, taught on {len(record.train_scans)} scans" in done.stdout
    assert (record.target, record.classes) == ("tumours beside lungs", ["lung"])
    assert (record.spacing_mm, record.crop_px) == ([2.0] * 3, 80)
    region = np.ones((8, 8, 8), bool)
    blocks = Blocks(np.zeros((8, 8, 8), np.int16), np.zeros((8, 8, 8), np.uint8), (2.0, 2.0, 2.0))
    assert ask_of_tumours(blocks, region, out).shape == (8, 8, 8)
    with pytest.raises(DataError, match="expected a lung net"):
        ask(blocks, out)


def test_patients_that_are_named_are_left_out(preprocessed, tmp_path, taught):
    every = typed(preprocessed, tmp_path / "all.keras")
    assert every.exit_code == 0
    patients = read_model_record(tmp_path / "all.keras").train_patients
    (tmp_path / "who.csv").write_text(f"patient\n{patients[0]}\n")
    few = typed(preprocessed, tmp_path / "few.keras", "--leave-out", tmp_path / "who.csv")
    assert few.exit_code == 0
    assert read_model_record(tmp_path / "few.keras").train_patients == patients[1:]


def test_without_a_sound_mask_and_phantoms_there_is_nothing_to_learn(tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "_sound_scans", lambda *_: iter(()))
    with pytest.raises(DataError, match="no scan has a sound lung mask"):
        teaching.teach_lungs(tmp_path, tmp_path / "out.keras", phantoms=0)
