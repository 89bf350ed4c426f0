"""The lung net learns what is lung, from chance that a seed decides, and goes on when stopped."""

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.model.lung_net import teaching
from lungseg.model.lung_net.network import build
from lungseg.model.lung_net.teaching import (
    HowToTeach,
    loss,
    loss_of_tumours,
    one_of,
    teach,
    teach_tumours,
)
from lungseg.ops.lungs.opinion import examples, painted
from lungseg.ops.lungs.opinion.examples import Chest

NARROW = (4, 4)


def box_chest(value=-850):
    lungs = np.zeros((2, 24, 24, 32), np.float32)
    lungs[0, 4:20, 4:20, 3:14] = lungs[1, 4:20, 4:20, 18:29] = 1
    hu = np.where(lungs.max(axis=0) > 0, value, 40).astype(np.float32)
    return Chest(hu, lungs, (4.0, 4.0, 4.0))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(teaching, "STEPS", 3)
    monkeypatch.setattr(teaching, "WIDTHS", NARROW)
    monkeypatch.setattr(examples, "EDGES", (16, 16, 16))


@pytest.mark.usefixtures("quick", "eager")
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


@pytest.mark.usefixtures("eager")
def test_a_tumour_net_learns_and_the_same_chance_makes_the_same_net(tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "STEPS", 3)
    monkeypatch.setattr(teaching, "TURNED", 2)
    monkeypatch.setattr(teaching, "TUMOUR_WIDTHS", NARROW)
    monkeypatch.setattr(painted, "EDGE", 24)
    told = []
    nets = [
        teach_tumours(
            [box_chest()],
            HowToTeach(2, seed=3),
            tmp_path / name,
            lambda _, of: told.append(of),
        )
        for name in "ab"
    ]
    assert told[1] < told[0]
    assert told[:2] == pytest.approx(told[2:], rel=1e-3)
    assert nets[0].output_shape[-1] == 8
    with pytest.raises(DataError, match="no chest to learn tumours from"):
        teach_tumours([], HowToTeach(1), tmp_path)


def test_the_loss_of_tumours_is_cross_entropy_and_dice_of_what_the_mask_has_not():
    rng = np.random.default_rng(0)
    share, counts, said = (rng.random((1, 4, 5, 6, 8)) for _ in range(3))
    missing = (rng.random(share.shape) > 0.3) * 1.0
    truth = np.concatenate([share, counts, missing], axis=-1).astype(np.float32)
    entropy = -(share * np.log(said) + (1 - share) * np.log(1 - said))
    weights = counts * missing
    dice = (2 * (said * share * weights).sum() + 50) / (((said + share) * weights).sum() + 50)
    expected = 4 * (entropy * counts).sum() / counts.sum() + 1 - dice
    found = float(loss_of_tumours(truth, said.astype(np.float32)))
    assert found == pytest.approx(expected, rel=1e-4)


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
