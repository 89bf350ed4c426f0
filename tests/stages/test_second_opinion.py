"""When segment-lungs asks the lung net, what it does with the answer, and what it tells."""

import numpy as np
import pytest

from lungseg.core.errors import DataError, ScanError
from lungseg.ops.lungs.in_blocks import in_blocks
from lungseg.phantom.cases import case
from lungseg.stages import segment_lungs
from lungseg.stages.segment_lungs import SegmentLungs, lungs_and_region
from tests.commands.bright_net import write_bright_net

ILL = "consolidation-right-lower"


@pytest.fixture
def asked(monkeypatch):
    """Scans that a net is asked about which knows the phantom's lungs."""
    scans = []

    def of(phantom):
        truth = in_blocks(phantom.ct, phantom.lungs).labels
        likely = np.stack([truth == 1, truth == 2]).astype(np.float32)

        def ask(seen, file):
            scans.append(file)
            return likely

        monkeypatch.setattr(segment_lungs, "ask", ask)
        return scans

    return of


@pytest.mark.parametrize(
    ("name", "when", "times"),
    [
        ("sound", "doubt", 0), ("sound", "always", 1),
        (ILL, "doubt", 1), (ILL, "never", 0),
    ],
)  # fmt: skip
def test_the_net_is_asked_where_lung_seems_to_be_missing_or_as_one_says(asked, name, when, times):
    phantom = case(name)
    scans = asked(phantom)
    found, verdict = lungs_and_region(phantom.ct, None, SegmentLungs(second_opinion=when))
    assert len(scans) == times
    assert ("net_added_right_ml" in verdict.facts) == (times == 1)
    if name == "sound":
        assert verdict.reasons == ()
        return
    lobe = phantom.airless.array > 0
    inside = (found.labels.array[lobe] == 1).mean()
    assert inside > 0.95 if times else inside < 0.1
    assert (found.region.array >= (found.labels.array > 0)).all()


def test_what_was_added_is_told_and_the_lobe_no_longer_missing(asked):
    phantom = case(ILL)
    asked(phantom)
    _, verdict = lungs_and_region(phantom.ct, None, SegmentLungs())
    added = [reason for reason in verdict.reasons if reason.startswith("the lung net added about")]
    assert len(added) == 1
    assert "of right lung without air" in added[0]
    assert not [reason for reason in verdict.reasons if "hold no air" in reason]
    assert verdict.facts["right_ml"] == pytest.approx(
        np.count_nonzero(phantom.lungs.array == 1) * phantom.ct.voxel_ml / 1, rel=0.05
    )


def test_method_net_is_the_net_alone(asked):
    phantom = case("sound")
    scans = asked(phantom)
    found, verdict = lungs_and_region(phantom.ct, None, SegmentLungs(method="net"))
    assert len(scans) == 1
    own, truth = found.labels.array > 0, phantom.lungs.array > 0
    assert 2 * (own & truth).sum() / (own.sum() + truth.sum()) > 0.96
    assert verdict.facts["net_added_left_ml"] == 0


def test_method_net_tells_where_a_threshold_sees_other_lung(asked):
    phantom = case(ILL)
    asked(phantom)
    found, verdict = lungs_and_region(
        phantom.ct, None, SegmentLungs(method="net", second_opinion="never")
    )
    assert (found.labels.array[phantom.airless.array > 0] == 1).mean() > 0.9
    told = [reason for reason in verdict.reasons if reason.startswith("the lung net alone sees")]
    assert len(told) == 1
    assert not [reason for reason in verdict.reasons if "added" in reason]


def test_method_net_finds_no_lungs_where_the_net_sees_too_little(monkeypatch):
    phantom = case("sound")
    blocks = in_blocks(phantom.ct, phantom.lungs).labels
    likely = np.zeros((2, *blocks.shape), np.float32)
    likely[0, 20:30, 20:30, 20:30] = 1.0
    monkeypatch.setattr(segment_lungs, "ask", lambda *_: likely)
    with pytest.raises(ScanError, match=r"lung net sees 6\d ml of lung, against at least 150"):
        lungs_and_region(phantom.ct, None, SegmentLungs(method="net"))


def test_a_net_of_ones_own_is_named_and_another_refused(asked, tmp_path):
    phantom = case("sound")
    scans = asked(phantom)
    mine = tmp_path / "mine.keras"
    params = SegmentLungs(second_opinion="always", lung_net=str(mine))
    lungs_and_region(phantom.ct, None, params)
    assert scans == [mine]


def test_a_nodule_net_is_no_lung_net(tmp_path):
    phantom = case("sound")
    params = SegmentLungs(second_opinion="always", lung_net=str(write_bright_net(tmp_path)))
    with pytest.raises(DataError, match="expected a lung net"):
        lungs_and_region(phantom.ct, None, params)
