"""Scores of nodules: by hand, by scikit-learn's Dice and by scipy's bootstrap."""

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import f1_score

from lungseg.ops.scores.counts import Counts
from lungseg.ops.scores.groups import EDGES_MM, SIZES_MM, TEXTURES, groups_of
from lungseg.ops.scores.nodules import (
    NODULE_DEFINITIONS,
    STATISTICS,
    NoduleScore,
    draws_of_patients,
    score_nodule,
    summary,
)

UNIT = (1.0, 1.0, 1.0)


def line(*pixels, n=8):
    mask = np.zeros((1, 1, n), bool)
    mask[0, 0, list(pixels)] = True
    return mask


def score(dice=0.5, with_annotators=(0.5,), between=(0.8,), diameter_mm=7.0, voxels=10):
    """A score of which half of what is found is right, with this Dice's counts."""
    both = round(dice * voxels)
    return NoduleScore(
        counts=Counts(both, voxels - both, voxels - both, 0), touching=dice,
        with_annotators=with_annotators, between_annotators=between,
        annotators_with_consensus=(0.9,) * len(with_annotators), diameter_mm=diameter_mm,
    )  # fmt: skip


def test_a_nodule_of_four_annotators_by_hand():
    masks = np.stack([line(1, 2, 3), line(2, 3), line(2, 3, 4), line(3, 4)])
    # Consensus: 2 (three votes), 3 (four), 4 (two).
    found = score_nodule(line(3, 4, 5), masks, UNIT)
    assert found.counts == Counts(2, 1, 1, 4)
    assert found.counts.dice == pytest.approx(4 / 6)
    assert found.with_annotators == pytest.approx((2 / 6, 2 / 5, 4 / 6, 4 / 5))
    assert found.between_annotators == pytest.approx((4 / 5, 4 / 6, 2 / 5, 4 / 5, 2 / 4, 4 / 5))
    assert found.annotators_with_consensus == pytest.approx((4 / 6, 4 / 5, 1.0, 4 / 5))
    assert found.annotators == 4
    # A single slice: a disc of three pixels.
    assert found.diameter_mm == pytest.approx(2 * np.sqrt(3 / np.pi))


def test_the_diameter_is_that_of_the_ball_of_the_consensus():
    masks = np.zeros((2, 4, 5, 6), bool)
    masks[:, 1:3, 1:4, 1:5] = True
    found = score_nodule(masks[0], masks, (2.5, 0.8, 0.8))
    mm3 = 2 * 3 * 4 * 2.5 * 0.8 * 0.8
    assert found.diameter_mm == pytest.approx((6 * mm3 / np.pi) ** (1 / 3))


def test_all_that_is_found_counts_and_touching_counts_only_what_meets_the_consensus():
    masks = np.stack([line(1, 2), line(1, 2)])
    found = score_nodule(line(2, 6, 7), masks, UNIT)
    assert found.counts.dice == pytest.approx(2 / 5)
    assert found.touching == pytest.approx(2 / 3)
    assert score_nodule(line(6), masks, UNIT).touching == 0.0


def test_what_is_ignored_counts_nowhere():
    masks = np.stack([line(1, 2), line(1, 2)])
    found = score_nodule(line(1, 2, 6), masks, UNIT, ignored=line(6))
    assert found.counts.dice == 1.0
    assert found.with_annotators == (1.0, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_dice_is_scikit_learns_f1(seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((3, 4, 6, 6)) < 0.4
    found = rng.random((4, 6, 6)) < 0.4
    ours = score_nodule(found, masks, UNIT)
    consensus = masks.sum(axis=0) >= 2
    assert ours.counts.dice == pytest.approx(f1_score(consensus.ravel(), found.ravel()))
    expected = [f1_score(mask.ravel(), found.ravel()) for mask in masks]
    assert ours.with_annotators == pytest.approx(expected)
    against = [f1_score(consensus.ravel(), mask.ravel()) for mask in masks]
    assert ours.annotators_with_consensus == pytest.approx(against)


def test_the_summary_by_hand():
    scores = [
        score(0.8, (0.7, 0.9), (0.75,), 5.0, voxels=10),
        score(0.0, (0.0, 0.0, 0.0), (0.9, 0.6, 0.9), 6.0, voxels=30),
        score(0.6, (0.5, 0.5), (0.7,), 20.0, voxels=100),
    ]
    found = summary(scores, ["a", "a", "b"], [1.0, 3.0, float("nan")], rounds=0)
    values = {name: told["value"] for name, told in found["all"].items() if name in STATISTICS}
    values = {name: value for name, value in values.items() if "_mm" not in name}
    assert values == pytest.approx(
        {
            "dice": 1.4 / 3, "dice_median": 0.6, "dice_pooled": 68 / 140, "dice_touching": 1.4 / 3,
            "found": 2 / 3, "sensitivity": 1.4 / 3, "precision": 68 / 140, "volume_ratio": 1.0,
            "with_annotators": 1.3 / 3, "annotators_with_annotators": 2.25 / 3,
            "annotators_with_consensus": 0.9, "fifth_reader": (0.05 - 0.8 - 0.2) / 3,
        }
    )  # fmt: skip
    assert (found["all"]["nodules"], found["all"]["patients"]) == (3, 2)
    sizes = {name: group["dice"]["value"] for name, group in found["by_size"].items()}
    assert sizes == {"below 6 mm": 0.8, "6 to 8 mm": 0.0, "8 mm and more": 0.6,
                     "15 mm and more": 0.6}  # fmt: skip
    readers = {name: group["nodules"] for name, group in found["by_annotators"].items()}
    assert readers == {"2": 2, "3": 1}
    assert list(found["by_texture"]) == ["ground-glass", "part-solid"]


def test_a_nodule_of_one_annotator_has_no_agreement_and_leaves_that_of_the_others():
    alone = score(0.5, (0.5,), ())
    found = summary([alone, score(between=(0.7,))], ["a", "b"], [5.0, 5.0], rounds=3)["all"]
    assert found["annotators_with_annotators"]["value"] == 0.7
    assert found["dice"]["value"] == 0.5


def test_patients_are_drawn_with_all_their_nodules():
    patients = np.array(["b", "a", "b", "c", "b"])
    for times in draws_of_patients(patients, rounds=50, seed=3):
        assert times[0] == times[2] == times[4]
        assert times[0] + times[1] + times[3] == 3


def test_intervals_are_those_of_scipys_bootstrap():
    rng = np.random.default_rng(0)
    dice = rng.beta(6, 2, 150).round(1)
    scores = [score(d) for d in dice]
    found = summary(scores, [f"p{k}" for k in range(150)], [5.0] * 150, rounds=3000)["all"]["dice"]
    theirs = bootstrap((dice,), np.mean, n_resamples=3000, method="percentile", rng=1)
    assert found["interval"] == pytest.approx(tuple(theirs.confidence_interval), abs=0.003)


def test_intervals_over_patients_are_wider_where_their_nodules_are_alike():
    dice = np.repeat(np.linspace(0.2, 0.9, 12).round(1), 10)
    scores = [score(d) for d in dice]
    alone = summary(scores, [str(k) for k in range(120)], [5.0] * 120, rounds=300)
    alike = summary(scores, [str(k // 10) for k in range(120)], [5.0] * 120, rounds=300)
    width = [np.diff(found["all"]["dice"]["interval"])[0] for found in (alone, alike)]
    assert width[1] > 2.5 * width[0]


def test_of_one_patient_there_is_no_interval():
    score = score_nodule(np.ones((1, 1, 2), bool), np.ones((1, 1, 1, 2), bool), (1.0, 1.0, 1.0))
    for patients, interval in ((["a", "a"], None), (["a", "b"], (1.0, 1.0))):
        assert summary([score, score], patients, [5.0, 5.0], 9)["all"]["dice"] == {
            "value": 1.0,
            "interval": interval,
        }


def test_the_same_seed_gives_the_same_interval():
    scores = [score(d) for d in np.linspace(0, 1, 20).round(1)]
    names = [str(k) for k in range(20)]
    one, same, other = (summary(scores, names, [5.0] * 20, 50, s)["all"]["dice"] for s in (1, 1, 2))
    assert one == same
    assert one["interval"] != other["interval"]


@pytest.mark.parametrize(
    ("value", "groups", "name"),
    [
        (5.99, SIZES_MM, ("below 6 mm",)), (6.0, SIZES_MM, ("6 to 8 mm",)),
        (8.0, SIZES_MM, ("8 mm and more", "8 to 15 mm")),
        (15.0, SIZES_MM, ("8 mm and more", "15 mm and more")),
        (2.0, TEXTURES, ("ground-glass",)), (2.5, TEXTURES, ("part-solid",)),
        (4.0, TEXTURES, ("solid",)), (float("nan"), TEXTURES, ()),
        (1.99, EDGES_MM, ("juxtapleural (below 2 mm)",)), (20.0, EDGES_MM, ("10 mm and more",)),
    ],
)  # fmt: skip
def test_groups_begin_with_their_lower_bound(value, groups, name):
    assert groups_of(value, groups) == name


def test_every_statistic_is_defined_in_words():
    told = {name.removesuffix("_median").removesuffix("_pooled") for name in STATISTICS}
    assert told <= set(NODULE_DEFINITIONS)


def test_surfaces_lie_apart_from_the_consensus_the_annotators_and_one_another_by_hand():
    masks = np.stack([line(2), line(4)])
    found = score_nodule(line(3, 4), masks, (1.0, 1.0, 0.5))
    # Half of two annotators is one: the consensus holds both their voxels.
    assert found.surface.asd_mm == pytest.approx(0.25)
    assert [d.asd_mm for d in found.surface_with_annotators] == pytest.approx([2 / 3, 1 / 6])
    assert [d.hd95_mm for d in found.surface_between_annotators] == [1.0]
    told = summary([found, score_nodule(line(), masks, UNIT)], ["a", "b"], [5.0, 5.0], rounds=3)
    assert told["all"]["asd_mm"]["value"] == pytest.approx(0.25)
    assert told["all"]["asd_mm_between_annotators"]["value"] == pytest.approx(1.5)
    assert told["by_found"]["found"]["asd_mm_between_annotators"]["value"] == pytest.approx(1.0)
    assert np.isnan(told["by_found"]["missed"]["asd_mm"]["value"])


def test_a_median_of_an_even_number_is_the_mean_of_the_two_in_the_middle():
    scores = [score(dice) for dice in (0.8, 0.1, 0.6, 0.2)]
    told = summary(scores, list("abcd"), [5.0] * 4, rounds=0)["all"]
    assert told["dice_median"]["value"] == pytest.approx(0.4)


def test_further_groups_are_told_in_their_order():
    sides = [("right",), ("left",), ()]
    told = summary([score(), score(0.7), score()], list("abc"), [5.0] * 3, 0, more={"side": sides})
    assert list(told["side"]) == ["left", "right"]
    assert told["side"]["left"]["dice"]["value"] == pytest.approx(0.7)
