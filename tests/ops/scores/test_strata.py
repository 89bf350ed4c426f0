"""Detection by groups, by hand and against the scores of scans that hold one group alone."""

import numpy as np
import pytest

from lungseg.ops.scores.detection import ScoredCandidates, bootstrap, hits, interval
from lungseg.ops.scores.strata import strata

GROUPS = (("small", "any"), ("large", "any"), ())


def scans_of(seed, n=10):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        nodules = [(tuple(rng.uniform(0, 40, 3)), 12.0) for _ in range(rng.integers(0, 5))]
        groups = [GROUPS[k] for k in rng.integers(0, 3, len(nodules))]
        yield hits(rng.uniform(0, 40, (60, 3)), rng.random(60), nodules), groups


@pytest.mark.parametrize("seed", range(3))
def test_a_group_is_scored_as_if_its_nodules_were_all_there_are(seed):
    scans, groups = zip(*scans_of(seed), strict=True)
    told = strata(scans, {"by_kind": groups}, rounds=20, seed=1)["by_kind"]
    assert list(told) == ["any", "large", "small"]
    every = sum(len(of) for of in groups)
    assert told["large"]["nodules"] + told["small"]["nodules"] < every
    for name, group in told.items():
        counted = [[name in of for of in scan] for scan in groups]
        found = sum(int((s.best[c] >= 0).sum()) for s, c in zip(scans, counted, strict=True))
        assert group["hits"] == found
        assert group["sensitivity"] == pytest.approx(found / sum(map(sum, counted)))
    whole = strata(scans, {"all": [[("a",) for _ in of] for of in groups]}, 20, 1)["all"]["a"]
    marks = ScoredCandidates(scans)
    assert whole["cpm"] == marks.froc().cpm
    assert whole["cpm_interval"] == interval(bootstrap(marks, 20, 1).mean(axis=1))


def test_hits_on_other_groups_are_no_false_positives():
    scan = hits([(0, 0, 0), (50, 0, 0), (90, 0, 0)], [0.9, 0.8, 0.7],
                [((0, 0, 0), 8.0), ((50, 0, 0), 8.0)])  # fmt: skip
    told = strata([scan], {"by_size": [[("large",), ("small",)]]}, 0, 1)["by_size"]["small"]
    assert told["sensitivity_at"]["0.125"] == 1.0
    assert (told["cpm"], told["cpm_interval"]) == (1.0, None)
