"""Chests made ill to teach a net: what changes, and that the lungs' place is known."""

import numpy as np
import pytest

from lungseg.ops.lungs.opinion import illness
from lungseg.ops.lungs.opinion.examples import EDGES, Chest, example
from lungseg.ops.lungs.opinion.illness import IllChest, made_ill
from lungseg.phantom.by_chance import chests
from lungseg.phantom.by_chance.chests import SPACING_MM, chest_by_chance


def sound_chest():
    lungs = np.zeros((2, 50, 50, 70), np.float32)
    lungs[0, 5:45, 8:42, 6:32] = lungs[1, 5:45, 8:42, 38:64] = 1
    hu = np.where(lungs.max(axis=0) > 0, -850, 40).astype(np.float32)
    return IllChest(hu, lungs, np.ones(hu.shape, np.float32))


def only(monkeypatch, name):
    for one in ("SOLID", "WET", "MASSES", "GAS"):
        monkeypatch.setattr(illness, one, float(one == name))


@pytest.mark.parametrize("seed", range(6))
def test_a_lobe_without_air_stays_lung_and_no_other_tissue_changes(monkeypatch, seed):
    only(monkeypatch, "SOLID")
    monkeypatch.setattr(illness, "SOLID_LUNG", 1.0)
    sound = sound_chest()
    ill = made_ill(sound, np.random.default_rng(seed))
    assert np.array_equal(ill.lungs, sound.lungs)
    outside = sound.lungs.max(axis=0) == 0
    assert np.array_equal(ill.hu[outside], sound.hu[outside])
    assert (ill.hu[~outside] > -100).any()


@pytest.mark.parametrize("seed", range(6))
def test_fluid_is_no_lung_and_as_dense_as_water(monkeypatch, seed):
    only(monkeypatch, "WET")
    monkeypatch.setattr(illness, "WET_LUNG", 1.0)
    sound = sound_chest()
    ill = made_ill(sound, np.random.default_rng(seed))
    gone = sound.lungs.max(axis=0) - ill.lungs.max(axis=0)
    assert (gone >= 0).all()
    assert gone.sum() > 0
    fluid = gone > 0.99
    if fluid.any():
        assert -25 < ill.hu[fluid].mean() < 40


@pytest.mark.parametrize("seed", range(6))
def test_tumours_stay_lung_count_twice_and_do_not_count_outside(monkeypatch, seed):
    only(monkeypatch, "MASSES")
    sound = sound_chest()
    ill = made_ill(sound, np.random.default_rng(seed))
    assert np.array_equal(ill.lungs, sound.lungs)
    inside = sound.lungs.max(axis=0) > 0
    solid = inside & (ill.hu > -100)
    assert solid.any()
    assert (ill.counts[solid] == 2).all()
    assert (ill.counts[inside & (ill.hu == sound.hu)] == 1).mean() > 0.99
    assert not (ill.counts[~inside] > 1).any()
    assert np.array_equal(ill.hu[~inside], sound.hu[~inside])


@pytest.mark.parametrize("seed", range(3))
def test_gas_is_no_lung_and_no_lung_lies_below_it(monkeypatch, seed):
    only(monkeypatch, "GAS")
    sound = sound_chest()
    # A belly below.
    deep = np.concatenate([np.full((30, 50, 70), 40, np.float32), sound.hu])
    lungs = np.concatenate([np.zeros((2, 30, 50, 70), np.float32), sound.lungs], axis=1)
    chest = IllChest(deep, lungs, np.ones(deep.shape, np.float32))
    ill = made_ill(chest, np.random.default_rng(seed))
    changed = ill.hu != chest.hu
    assert ill.hu[changed].min() < -800
    lung = lungs.max(axis=0) > 0
    assert not (changed & (np.cumsum(lung, axis=0) > 0)).any()
    assert np.array_equal(ill.lungs, lungs)


def test_a_child_sized_lung_is_left_alone(monkeypatch):
    only(monkeypatch, "SOLID")
    lungs = np.zeros((2, 20, 20, 20), np.float32)
    lungs[0, 5:10, 5:10, 5:10] = 1
    hu = np.where(lungs[0] > 0, -850, 40).astype(np.float32)
    chest = IllChest(hu, lungs, np.ones(hu.shape, np.float32))
    assert np.array_equal(made_ill(chest, np.random.default_rng(0)).hu, hu)


def test_an_example_holds_the_lungs_volume_and_depends_on_chance_alone():
    phantom = chest_by_chance(3)
    lungs = np.stack([phantom.lungs.array == side for side in (1, 2)]).astype(np.float32)
    chest = Chest(phantom.ct.array.astype(np.float32), lungs, SPACING_MM)
    one, again = (example(chest, np.random.default_rng(5), sound=1.0) for _ in range(2))
    assert np.array_equal(one.image, again.image)
    assert one.image.shape == (*EDGES, 3)
    # Blocks of 4 mm hold what voxels of 2.5 mm do, but for stretching by a quarter or less.
    ml, seen_ml = lungs.sum() * 2.5**3 / 1000, one.lungs.sum() * 64 / 1000
    assert 0.5 * ml < seen_ml < 1.8 * ml
    # Right is right: towards the first column.
    right, left = (np.argwhere(one.lungs[..., k] > 0.5)[:, 2].mean() for k in range(2))
    assert right < left


def test_phantoms_of_chance_differ_in_illness(monkeypatch):
    # What they are described as; to render them takes its time.
    monkeypatch.setattr(chests, "render", lambda described, *_: described)
    findings = [chest_by_chance(seed) for seed in range(4)]
    assert len({(len(one.nodules), len(one.findings), one.contrast) for one in findings}) > 1
