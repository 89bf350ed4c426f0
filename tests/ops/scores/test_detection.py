"""Detection scores, against hand-made cases and a slow version of LUNA16's rules."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from lungseg.ops.scores.detection import (
    RATES,
    ScoredCandidates,
    bootstrap,
    draws_of_scans,
    hits,
    interval,
    radius_mm,
)
from lungseg.ops.scores.detection_scores import detection_scores


def test_a_hit_is_nearer_than_the_radius_and_not_as_near():
    at = [[4.999, 0, 0], [5, 0, 0], [0, 5.001, 0]]
    found = hits(at, [0.5, 0.9, 0.8], [((0, 0, 0), 10.0)])
    assert found.best.tolist() == [0]
    assert found.probability.tolist() == [0.5]
    assert sorted(found.false) == [0.8, 0.9]


@pytest.mark.parametrize("diameter", [-1.0, None, float("nan")])
def test_an_unknown_diameter_means_ten_millimetres(diameter):
    assert radius_mm(diameter) == 5.0
    assert radius_mm(0.0) == 0.0


def test_the_likeliest_of_several_hits_counts_and_the_others_are_dropped():
    found = hits([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [0.2, 0.7, 0.4], [((0, 0, 0), 10.0)])
    assert found.best.tolist() == [1]
    assert found.duplicates == 2
    assert found.false.size == 0


def test_a_candidate_on_a_finding_to_ignore_is_dropped_unless_it_hits_a_nodule():
    at = [[0, 0, 0], [20, 0, 0], [40, 0, 0]]
    ignore = [((1, 0, 0), 10.0), ((20, 0, 0), None), ((21, 0, 0), None)]
    found = hits(at, [0.5, 0.6, 0.7], [((0, 0, 0), 6.0)], ignore)
    assert found.best.tolist() == [0]
    assert found.ignored == 1
    assert found.false.tolist() == [0.7]


def test_duplicates_of_all_nodules_are_counted():
    at = [[0, 0, 0], [1, 0, 0], [2, 0, 0], [50, 0, 0], [51, 0, 0]]
    found = hits(at, [0.5] * 5, [((0, 0, 0), 10.0), ((50, 0, 0), 10.0)])
    assert found.duplicates == 3


def test_a_finding_to_ignore_reaches_as_far_as_its_own_radius():
    at = [[1, 0, 0], [3, 0, 0], [7, 0, 0]]
    found = hits(at, [0.5, 0.6, 0.7], [], [((0, 0, 0), 4.0)])
    assert (found.ignored, found.false.tolist()) == (1, [0.6, 0.7])
    found = hits(at, [0.5, 0.6, 0.7], [], [((0, 0, 0), 16.0)])
    assert (found.ignored, found.false.tolist()) == (3, [])


def test_two_nodules_may_share_a_candidate():
    found = hits([[0, 0, 0]], [0.5], [((-1, 0, 0), 8.0), ((1, 0, 0), 8.0)])
    assert found.best.tolist() == [0, 0]


def test_no_candidates_miss_every_nodule():
    found = hits([], [], [((0, 0, 0), 10.0)])
    assert found.best.tolist() == [-1]
    assert np.isnan(found.probability).all()
    curve = ScoredCandidates([found, found]).froc()
    assert curve.at().tolist() == [0.0] * 7
    assert curve.cpm == 0.0


def test_of_one_scan_there_are_no_draws_and_no_interval():
    one = hits([[0, 0, 0]], [0.5], [((0, 0, 0), 8.0)])
    told = [
        detection_scores(scans, marks.froc(), bootstrap(marks, 20, 1), None)
        for scans in ([one], [one, one])
        for marks in [ScoredCandidates(scans)]
    ]
    assert [scores["cpm_interval"] for scores in told] == [None, (1.0, 1.0)]
    assert set(told[0]["sensitivity_at_interval"].values()) == {None}
    assert [scores["draws"] for scores in told] == [0, 20]


def test_without_nodules_or_scans_there_is_no_sensitivity():
    assert np.isnan(ScoredCandidates([hits([[0, 0, 0]], [0.5], [])]).froc().cpm)
    assert np.isnan(ScoredCandidates([]).froc().cpm)
    assert interval(bootstrap(ScoredCandidates([]), 3, 0)) is None


def test_curve_by_hand():
    # Two scans, three nodules (one missed), hits at .9 and .6, false positives at .8, .6, .1.
    one = hits([[0, 0, 0], [50, 0, 0]], [0.9, 0.8], [((0, 0, 0), 6.0), ((90, 0, 0), 6.0)])
    two = hits([[0, 0, 0], [50, 0, 0], [70, 0, 0]], [0.6, 0.6, 0.1], [((0, 0, 0), 6.0)])
    curve = ScoredCandidates([one, two]).froc()
    assert curve.threshold.tolist() == [np.inf, 0.9, 0.8, 0.6, 0.1]
    assert curve.fp_per_scan.tolist() == [0, 0, 0.5, 1.0, 1.5]
    np.testing.assert_allclose(curve.sensitivity, np.array([0, 1, 1, 2, 2]) / 3)
    expected = np.array([1, 1, 1, 2, 2, 2, 2]) / 3
    np.testing.assert_allclose(curve.at(), expected)
    assert curve.cpm == pytest.approx(expected.mean())
    assert curve.at([0.75])[0] == pytest.approx(0.5)  # half-way between two points


def slow_cpm(scans):
    """LUNA16's script in spirit: lists, a loop over pairs, scikit-learn's ROC, interpolation."""
    truth, probability, missed = [], [], 0
    for nodules, ignore, candidates in scans:
        left = dict(enumerate(candidates))
        for (x, y, z), diameter in nodules:
            near = [
                (p, k)
                for k, ((a, b, c), p) in enumerate(candidates)
                if (a - x) ** 2 + (b - y) ** 2 + (c - z) ** 2
                < ((10 if diameter < 0 else diameter) / 2) ** 2
            ]
            for _, k in near:
                left.pop(k, None)
            if near:
                truth.append(1)
                probability.append(max(near)[0])
            else:
                missed += 1
        for (a, b, c), p in left.values():
            if not any(
                (a - x) ** 2 + (b - y) ** 2 + (c - z) ** 2
                < ((10 if diameter < 0 else diameter) / 2) ** 2
                for (x, y, z), diameter in ignore
            ):
                truth.append(0)
                probability.append(p)
    found = sum(truth)
    fpr, tpr, _ = roc_curve(truth, probability)
    per_scan = fpr * (len(truth) - found) / len(scans)
    return np.interp(RATES, per_scan, tpr * found / (found + missed)).mean()


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_slow_version_of_the_rules(seed):
    rng = np.random.default_rng(seed)

    def findings(n):
        return [(tuple(rng.uniform(0, 40, 3)), float(rng.choice([-1, 4, 8, 15]))) for _ in range(n)]

    scans = []
    for _ in range(12):
        candidates = [
            (tuple(rng.uniform(0, 40, 3)), float(np.round(rng.random(), 2)))
            for _ in range(rng.integers(0, 60))
        ]
        scans.append((findings(rng.integers(0, 4)), findings(rng.integers(0, 4)), candidates))
    ours = ScoredCandidates(
        [hits([xyz for xyz, _ in c], [p for _, p in c], nodules, i) for nodules, i, c in scans]
    )
    assert ours.froc().cpm == pytest.approx(slow_cpm(scans))


def test_the_bootstrap_is_repeatable_and_covers_the_score():
    rng = np.random.default_rng(3)
    scans = []
    for _ in range(40):
        at = [[0, 0, 0]] * int(rng.random() < 0.7) + [[50, 0, 0]] * 3
        scans.append(hits(at, rng.random(len(at)), [((0, 0, 0), 8.0)]))
    marks = ScoredCandidates(scans)
    drawn = bootstrap(marks, 300, seed=1).mean(axis=1)
    np.testing.assert_array_equal(drawn, bootstrap(marks, 300, seed=1).mean(axis=1))
    assert (drawn != bootstrap(marks, 300, seed=2).mean(axis=1)).any()
    low, high = interval(drawn)
    assert low < marks.froc().cpm < high
    assert 0.05 < high - low < 0.5
    # A scan drawn twice counts twice, with its nodules.
    twice = ScoredCandidates([scans[0], scans[0], scans[1]]).froc()
    weighted = ScoredCandidates([scans[0], scans[1]]).froc(np.array([2, 1]))
    np.testing.assert_allclose(weighted.at(), twice.at())


def test_where_the_curve_rises_at_a_rate_the_last_bit_is_that_of_the_slow_way():
    """7 of 25 false positives times 25 are a bit more than 7, so 1/8 of 56 scans is just missed."""
    apart = [(50.0 * k, 0.0, 0.0) for k in range(26)]
    p = [*np.linspace(0.9, 0.8, 7), 0.7, *np.linspace(0.6, 0.1, 18)]
    nodule = (apart[7], 8.0)
    scans = [([nodule], [], list(zip(apart, p, strict=True))), *[([], [], [])] * 55]
    found = ScoredCandidates([hits(apart, p, [nodule]), *[hits([], [], [])] * 55]).froc()
    assert found.at([0.125, 0.25]).tolist() == [0.0, 1.0]
    assert found.cpm == slow_cpm(scans)


def test_draws_read_no_other_curve_than_the_whole_one():
    # One scan has nearly all false positives: draws of it and draws without it both occur.
    scans = [hits([[0, 0, 0]], [0.5], [((0, 0, 0), 8.0)])] * 3
    scans.append(hits([[90, 0, 0]] * 200, np.linspace(0, 1, 200), [((0, 0, 0), 8.0)]))
    scans.append(hits([[90, 0, 0]] * 20, np.linspace(0, 1, 20), []))
    marks = ScoredCandidates(scans)
    expected = [marks.froc(weight).at() for weight in draws_of_scans(5, 40, seed=2)]
    np.testing.assert_array_equal(bootstrap(marks, 40, seed=2), expected)
    curve = marks.froc(up_to=8.0)
    assert len(curve.threshold) < len(marks.froc().threshold)


def test_every_scan_can_be_drawn():
    with_nodule = hits([[0, 0, 0]], [0.9], [((0, 0, 0), 8.0)])
    without = hits([[0, 0, 0]], [0.8], [])
    for place in range(3):
        scans = [without] * 3
        scans[place] = with_nodule
        # Only draws that hold the scan with the nodule have a sensitivity.
        drawn = bootstrap(ScoredCandidates(scans), 60, seed=4, rates=(8.0,))
        assert 0 < np.isnan(drawn).sum() < 60


def test_the_interval_leaves_out_as_much_on_either_side():
    assert interval(np.linspace(0, 1, 1001)) == pytest.approx((0.025, 0.975))
    assert interval(np.linspace(0, 1, 1001), level=0.8) == pytest.approx((0.1, 0.9))


def test_draws_without_nodules_are_left_out_of_the_interval():
    assert interval(np.array([np.nan, 0.5, 0.5])) == (0.5, 0.5)
