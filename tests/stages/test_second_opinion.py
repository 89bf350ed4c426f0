"""When segment-lungs asks the lung net, what it does with the answer, and what it tells."""

from dataclasses import replace

import numpy as np
import pytest

from lungseg.core.errors import DataError, ScanError
from lungseg.ops.lungs.find import find_lungs
from lungseg.ops.lungs.in_blocks import in_blocks
from lungseg.ops.lungs.opinion.added import opinion_of
from lungseg.phantom.cases import case, organ
from lungseg.stages import segment_lungs
from lungseg.stages.segment_lungs import SegmentLungs, lungs_and_region, segment
from lungseg.volume import Geometry, Volume
from tests.commands.bright_net import write_bright_net
from tests.ops.lungs.lung_shapes import ellipsoid

ILL = "consolidation-right-lower"
# Phantoms of voxels that are the lung net's blocks, where no tumour net is asked.
BLOCKS = (4.0, 4.0, 4.0)
# The coarsest that a tumour net is asked of.
FINE = (2.5, 2.5, 2.5)


@pytest.fixture
def asked(monkeypatch):
    """Scans that a net is asked about which knows the phantom's lungs."""
    scans, images = [], []

    def of(phantom):
        truth = in_blocks(phantom.ct, phantom.lungs).labels
        likely = np.stack([truth == 1, truth == 2]).astype(np.float32)

        def ask(seen, file):
            scans.append(file)
            return likely

        def ask_of_the_image(seen, file):
            images.append(file)
            return likely

        monkeypatch.setattr(segment_lungs, "ask", ask)
        monkeypatch.setattr(segment_lungs, "ask_of_the_image", ask_of_the_image)
        return scans, images

    return of


@pytest.mark.parametrize(
    ("name", "when", "times"),
    [
        ("sound", "doubt", 0), ("sound", "always", 1),
        (ILL, "doubt", 1), (ILL, "never", 0),
    ],
)  # fmt: skip
def test_the_net_is_asked_where_lung_seems_to_be_missing_or_as_one_says(asked, name, when, times):
    phantom = case(name, spacing_mm=BLOCKS)
    scans, images = asked(phantom)
    found, verdict = lungs_and_region(phantom.ct, None, SegmentLungs(second_opinion=when))
    assert len(scans) == times
    assert len(images) == (times if name == ILL else 0)
    assert ("net_added_right_ml" in verdict.facts) == (times == 1)
    if name == "sound":
        assert verdict.reasons == ()
        return
    lobe = phantom.airless.array > 0
    inside = (found.labels.array[lobe] == 1).mean()
    assert inside > 0.95 if times else inside < 0.1
    assert (found.region.array >= (found.labels.array > 0)).all()


def with_a_tumour_on_the_heart(phantom, radius_mm=32.0):
    """A ball of 64 mm, half of it in the right lung and half in the mediastinum; 70 ml of lung.

    With a radius of 16 mm it is one of 32 mm; 9 ml of lung, which no rule takes for lung.
    """
    right, step_mm = phantom.lungs.array == 1, phantom.ct.spacing_mm[0]
    z = int(np.median(np.nonzero(right)[0]) + 40 / step_mm)
    y = int(np.median(np.nonzero(right[z])[0]))
    x = np.flatnonzero(right[z, y]).max()
    tumour = ellipsoid(right.shape, (z, y, x), 3 * [radius_mm / step_mm]) & right
    return phantom.ct.like(np.where(tumour, np.int16(40), phantom.ct.array)), tumour


def test_the_net_is_asked_where_something_may_be_a_tumour_and_is_not_taken_for_one(asked):
    phantom = case("sound", spacing_mm=FINE)
    assert find_lungs(phantom.ct).nearly_ml == 0
    ct, tumour = with_a_tumour_on_the_heart(phantom)
    scans, images = asked(phantom)
    before, _ = lungs_and_region(ct, None, SegmentLungs(second_opinion="never"))
    assert before.nearly_ml > 20
    assert not scans
    assert before.region.array[tumour].mean() > 0.99
    found, _ = lungs_and_region(ct, None, SegmentLungs(second_opinion="doubt"))
    assert len(scans) == 1
    assert not images
    assert (found.labels.array[tumour] == 1).mean() > 0.97


@pytest.fixture
def close_up(monkeypatch):
    """Edges of the blocks of each scan that is shown to a tumour net, which sees `what`."""
    edges, what = [], {}

    def ask(seen, region, file):
        edges.append(seen.spacing_mm)
        return what.get("lung", np.zeros(seen.hu.shape)).astype(np.float32)

    monkeypatch.setattr(segment_lungs, "ask_of_tumours", ask)
    return edges, what


def test_a_tumour_that_the_tumour_net_alone_sees_is_lung(close_up, monkeypatch):
    phantom = case("sound", spacing_mm=FINE)
    plain, tumour = with_a_tumour_on_the_heart(phantom, radius_mm=16.0)
    body = (plain.array > 0) & (phantom.lungs.array == 0)
    ct = plain.like(np.where(body, plain.array + np.int16(150), plain.array))
    edges, what = close_up
    monkeypatch.setattr(
        segment_lungs, "ask", lambda seen, _: np.zeros((2, *seen.hu.shape), np.float32)
    )
    without = lungs_and_region(ct, None, SegmentLungs())[0].labels.array
    assert (without[tumour] > 0).mean() < 0.1
    what["lung"] = phantom.lungs.array > 0
    found, verdict = lungs_and_region(ct, None, SegmentLungs())
    assert edges == [FINE] * 2
    labels = found.labels.array
    assert (labels[tumour] == 1).mean() > 0.97
    assert np.array_equal(labels[without > 0], without[without > 0])
    assert found.region.array[labels > 0].all()
    ml = np.count_nonzero(tumour & (without == 0)) * ct.voxel_ml
    # And what of the phantom's own lung the mask has not: some ml at the hilum.
    assert ml * 0.95 < verdict.facts["net_added_right_ml"] < ml + 4
    assert verdict.facts["net_added_left_ml"] < 4
    # Without contrast medium it might as well be a vessel.
    labels, _ = segment(plain, None, SegmentLungs())
    assert (labels.array[tumour] > 0).mean() < 0.1


@pytest.mark.parametrize("known", [True, False])
def test_much_that_lung_encloses_and_the_lung_net_denies_is_taken_out_and_told(
    asked, close_up, known
):
    phantom = case("sound", spacing_mm=FINE)
    right = phantom.lungs.array == 1
    middle = np.argwhere(right).mean(axis=0)
    dome = ellipsoid(right.shape, middle, 3 * [26.0 / FINE[0]]) & right
    ct = phantom.ct.like(np.where(dome, np.int16(50), phantom.ct.array))
    lungs = phantom.lungs.array if known else np.where(dome, 0, phantom.lungs.array)
    asked(replace(phantom, lungs=phantom.lungs.like(lungs)))
    found, verdict = lungs_and_region(ct, None, SegmentLungs())
    told = [reason for reason in verdict.reasons if "out of the mask" in reason]
    ml = np.count_nonzero(dome) * ct.voxel_ml
    if known:
        assert (found.labels.array[dome] > 0).mean() > 0.97
        assert (verdict.facts["net_taken_ml"], told) == (0, [])
        return
    # But for the rim, half a voxel all round, that any mask has: a tenth of a ball of 26 voxels.
    assert (found.labels.array[dome] > 0).mean() < 0.08
    assert verdict.facts["net_taken_ml"] == pytest.approx(ml, rel=0.1)
    assert told == [
        f"the lung net took about {round(verdict.facts['net_taken_ml'], -1):.0f} ml out of the "
        "mask, mostly in the middle on the right, as liver, heart or bowel: look at it"
    ]
    # It may be a tumour all the same.
    assert found.region.array[dome].all()
    air = right & ~dome
    assert (found.labels.array[air] == 1).mean() > 0.97


def test_the_tumour_net_is_not_asked_where_lung_is_missing_nor_of_other_blocks(asked, close_up):
    phantom = case(ILL, spacing_mm=FINE)
    asked(phantom)
    lungs_and_region(phantom.ct, None, SegmentLungs())
    assert not close_up[0]
    sound = case("sound", spacing_mm=FINE)
    asked(sound)
    for when in ("never", "doubt"):
        lungs_and_region(sound.ct, None, SegmentLungs(second_opinion=when))
    assert not close_up[0]


def test_a_tumour_net_of_ones_own_is_named_and_another_refused(tmp_path):
    params = SegmentLungs(tumour_net=str(write_bright_net(tmp_path)))
    with pytest.raises(DataError, match="expected a tumour net"):
        lungs_and_region(case("sound", spacing_mm=FINE).ct, None, params)


def test_a_lobe_that_is_not_seen_in_the_mirror_image_is_not_added(asked, monkeypatch):
    phantom = case(ILL, spacing_mm=BLOCKS)
    asked(phantom)
    monkeypatch.setattr(
        segment_lungs,
        "ask_of_the_image",
        lambda seen, _: np.zeros((2, *seen.hu.shape), np.float32),
    )
    _, verdict = lungs_and_region(phantom.ct, None, SegmentLungs())
    assert verdict.facts["net_added_right_ml"] == 0
    # By method net nothing else is asked.
    _, verdict = lungs_and_region(phantom.ct, None, SegmentLungs(method="net"))
    assert verdict.facts["net_added_right_ml"] > 500


def test_where_no_lung_is_missing_nothing_is_added_outside_of_the_search_region(monkeypatch):
    phantom = case("sound", spacing_mm=BLOCKS)
    seen = in_blocks(phantom.ct, phantom.lungs)
    heart = in_blocks(phantom.ct, phantom.lungs.like(organ(phantom, "heart").view(np.uint8))).labels
    likely = np.stack([seen.labels == 1, (seen.labels == 2) | (heart > 0)]).astype(np.float32)
    assert opinion_of(seen, likely).left_ml > 200
    monkeypatch.setattr(segment_lungs, "ask", lambda *_: likely)
    _, verdict = lungs_and_region(phantom.ct, None, SegmentLungs())
    assert (verdict.facts["net_added_left_ml"], verdict.reasons) == (0, ())


@pytest.fixture
def shown(monkeypatch):
    """Edges of the blocks of each scan that is shown to a net, which sees no lung."""
    edges = []

    def ask(seen, file):
        edges.append(seen.spacing_mm)
        return np.zeros((2, *seen.hu.shape), np.float32)

    monkeypatch.setattr(segment_lungs, "ask", ask)
    return edges


def test_a_net_that_knows_blocks_of_4_mm_is_not_asked_of_others(shown, close_up):
    ct = case("sound", spacing_mm=(3.0, 3.0, 3.0)).ct
    for step_mm in (1.5, 2.5, 5.5):
        other = Volume(ct.array, Geometry((step_mm, step_mm, step_mm)))
        lungs_and_region(other, None, SegmentLungs(smallest_lung_ml=50))
    assert shown == [(4.5, 4.5, 4.5), (5.0, 5.0, 5.0)]
    # In blocks of 1.5 and 2.5 mm, not of 5.5.
    assert close_up[0] == [(1.5, 1.5, 1.5), (2.5, 2.5, 2.5)]


@pytest.mark.parametrize(("slices", "times"), [(40, 1), (39, 0)])
def test_a_scan_of_less_than_160_mm_is_not_shown_to_a_net_that_knows_whole_chests(
    shown, slices, times
):
    ct = case("sound", spacing_mm=BLOCKS).ct
    part = ct.crop((slice(25, 25 + slices), *(slice(0, n) for n in ct.shape[1:])))
    lungs_and_region(part, None, SegmentLungs())
    assert len(shown) == times


def test_what_seems_to_be_missing_and_is_no_lung_to_the_net_is_not_told(close_up, monkeypatch):
    """And the mask is the one that doubt gives: no tumour is looked for beside it."""
    ct = case("collapse-right-upper", spacing_mm=FINE).ct
    before, doubted = lungs_and_region(ct, None, SegmentLungs(second_opinion="never"))
    (reason,) = doubted.reasons
    assert "of the right upper chest hold no air" in reason
    labels = in_blocks(ct, before.labels).labels
    seen = np.stack([labels == 1, labels == 2]).astype(np.float32)
    monkeypatch.setattr(segment_lungs, "ask", lambda *_: seen)
    found, verdict = lungs_and_region(ct, None, SegmentLungs())
    assert verdict.reasons == ()
    assert np.array_equal(found.labels.array, before.labels.array)
    assert close_up[0] == []


def test_what_was_added_is_told_and_the_lobe_no_longer_missing(asked):
    phantom = case(ILL, spacing_mm=BLOCKS)
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
    phantom = case("sound", spacing_mm=BLOCKS)
    scans, _ = asked(phantom)
    found, verdict = lungs_and_region(phantom.ct, None, SegmentLungs(method="net"))
    assert len(scans) == 1
    own, truth = found.labels.array > 0, phantom.lungs.array > 0
    assert 2 * (own & truth).sum() / (own.sum() + truth.sum()) > 0.96
    assert verdict.facts["net_added_left_ml"] == 0


def test_method_net_tells_where_a_threshold_sees_other_lung(asked):
    phantom = case(ILL, spacing_mm=BLOCKS)
    asked(phantom)
    found, verdict = lungs_and_region(
        phantom.ct, None, SegmentLungs(method="net", second_opinion="never")
    )
    assert (found.labels.array[phantom.airless.array > 0] == 1).mean() > 0.9
    told = [reason for reason in verdict.reasons if reason.startswith("the lung net alone sees")]
    assert len(told) == 1
    assert not [reason for reason in verdict.reasons if "added" in reason]


def test_method_net_finds_no_lungs_where_the_net_sees_too_little(monkeypatch):
    phantom = case("sound", spacing_mm=BLOCKS)
    blocks = in_blocks(phantom.ct, phantom.lungs).labels
    likely = np.zeros((2, *blocks.shape), np.float32)
    likely[0, 20:30, 20:30, 20:30] = 1.0
    monkeypatch.setattr(segment_lungs, "ask", lambda *_: likely)
    with pytest.raises(ScanError, match=r"lung net sees 6\d ml of lung, against at least 150"):
        lungs_and_region(phantom.ct, None, SegmentLungs(method="net"))


def test_a_net_of_ones_own_is_named_and_another_refused(asked, tmp_path):
    phantom = case("sound", spacing_mm=BLOCKS)
    scans, _ = asked(phantom)
    mine = tmp_path / "mine.keras"
    params = SegmentLungs(second_opinion="always", lung_net=str(mine))
    lungs_and_region(phantom.ct, None, params)
    assert scans == [mine]


def test_a_nodule_net_is_no_lung_net(tmp_path):
    phantom = case("sound", spacing_mm=BLOCKS)
    params = SegmentLungs(second_opinion="always", lung_net=str(write_bright_net(tmp_path)))
    with pytest.raises(DataError, match="expected a lung net"):
        lungs_and_region(phantom.ct, None, params)
