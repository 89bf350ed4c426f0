"""The lung net learns what is lung, from chance that a seed decides, and goes on when stopped."""

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.model.lung_net import teaching
from lungseg.model.lung_net.network import build
from lungseg.model.lung_net.teaching import HowToTeach, loss, one_of, teach
from lungseg.ops.lungs.opinion import examples
from lungseg.ops.lungs.opinion.examples import Chest

NARROW = (4, 4, 4)


def box_chest(value=-850):
    lungs = np.zeros((2, 60, 60, 80), np.float32)
    lungs[0, 10:50, 10:50, 8:36] = lungs[1, 10:50, 10:50, 44:72] = 1
    hu = np.where(lungs.max(axis=0) > 0, value, 40).astype(np.float32)
    return Chest(hu, lungs, (4.0, 4.0, 4.0))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(teaching, "STEPS", 2)
    monkeypatch.setattr(teaching, "WIDTHS", NARROW)
    monkeypatch.setattr(examples, "EDGES", (16, 16, 16))


@pytest.mark.usefixtures("quick")
def test_a_run_that_was_stopped_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    chests = [box_chest()]
    unbroken = teach(chests, [], HowToTeach(2, seed=3), tmp_path / "unbroken")
    assert not (tmp_path / "unbroken").exists()

    def stop(_epoch, _loss):
        raise KeyboardInterrupt

    kept = tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt):
        teach(chests, [], HowToTeach(2, seed=3), kept, stop)
    told = []
    going_on = teach(chests, [], HowToTeach(2, seed=3), kept, lambda *at: told.append(at[0]))
    assert told == [2]
    for one, other in zip(unbroken.get_weights(), going_on.get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-5)


def test_without_a_chest_nothing_is_taught(tmp_path):
    with pytest.raises(DataError, match="no chest to learn lungs from"):
        teach([], [], HowToTeach(1), tmp_path)


def test_the_loss_is_cross_entropy_and_dice_of_what_counts():
    rng = np.random.default_rng(0)
    share, counts = rng.random((1, 4, 5, 6, 2)), (rng.random((1, 4, 5, 6, 1)) > 0.3) * 1.0
    said = rng.random((1, 4, 5, 6, 2))
    truth = np.concatenate([share, counts], axis=-1)
    entropy = -(share * np.log(said) + (1 - share) * np.log(1 - said))
    mean = (entropy * counts).sum() / (2 * counts.sum())
    dice = [
        (2 * (said * share * counts)[..., k].sum() + 100)
        / (((said + share) * counts)[..., k].sum() + 100)
        for k in range(2)
    ]
    expected = 4 * mean + 1 - np.mean(dice)
    found = float(loss(truth.astype(np.float32), said.astype(np.float32)))
    assert found == pytest.approx(expected, rel=1e-4)
    # What does not count may be anything.
    other = np.where(counts > 0, said, 0.5)
    assert float(loss(truth.astype(np.float32), other.astype(np.float32))) == pytest.approx(
        found, rel=1e-5
    )


def test_phantoms_and_real_chests_are_drawn_as_often_as_they_should(monkeypatch):
    drawn = []
    monkeypatch.setattr(teaching, "example", lambda *of: drawn.append((of[0], of[2])))
    real, phantom = box_chest(), box_chest()
    rng = np.random.default_rng(1)
    for _ in range(200):
        one_of([real], [phantom], rng)
    assert {(chest is real, sound) for chest, sound in drawn} == {(True, 0.2), (False, 0.65)}
    assert 0.2 < np.mean([chest is phantom for chest, _ in drawn]) < 0.4


def test_it_is_saved_in_single_precision():
    net = build(NARROW, "mixed_bfloat16")
    assert {weight.dtype for weight in net.get_weights()} == {np.dtype(np.float32)}
    assert net.layers[-1].compute_dtype == "float32"
