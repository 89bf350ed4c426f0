"""What of a net's opinion a mask takes, and what is told of it."""

import numpy as np
import pytest

from lungseg.ops.lungs.in_blocks import in_blocks, zoom_of
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.ops.lungs.opinion.added import as_seen, joined, opinion_of
from lungseg.ops.lungs.verdict import Verdict
from lungseg.phantom.cases import case
from lungseg.volume import HU, Geometry, Volume


def known(phantom):
    """The phantom with a threshold's mask, and a net that knows its lungs."""
    held_air = np.where(phantom.airless.array, 0, phantom.lungs.array).astype(np.uint8)
    labels = phantom.lungs.like(held_air)
    seen = in_blocks(phantom.ct, labels)
    truth = in_blocks(phantom.ct, phantom.lungs).labels
    likely = np.stack([truth == RIGHT, truth == LEFT]).astype(np.float32)
    return labels, seen, likely


@pytest.mark.parametrize(
    ("name", "side"), [("consolidation-right-lower", RIGHT), ("consolidation-left-upper", LEFT)]
)
def test_a_lobe_without_air_is_added_on_its_side_and_the_mask_stays(name, side):
    phantom = case(name, spacing_mm=(4.0, 2.0, 2.0))
    labels, seen, likely = known(phantom)
    opinion = opinion_of(seen, likely)
    lobe = phantom.airless.array > 0
    ml = np.count_nonzero(lobe & (labels.array == 0)) * phantom.ct.voxel_ml
    assert opinion.added_ml == pytest.approx(ml, rel=0.1)
    assert (opinion.right_ml == 0) == (side == LEFT)
    whole = joined(
        phantom.ct, labels, likely, opinion.blocks, opinion.edge, zoom_of(phantom.ct)
    ).array
    assert (whole[lobe] == side).mean() > 0.95
    before = labels.array > 0
    assert np.array_equal(whole[before], labels.array[before])
    wrong = (whole > 0) & (phantom.lungs.array == 0)
    assert np.count_nonzero(wrong) < 0.06 * np.count_nonzero(lobe)


@pytest.mark.parametrize(("deep", "inside"), [(True, 1.0), (False, 0.0)])
def test_a_tumours_dead_middle_is_its_own_and_fluid_at_its_side_is_not(deep, inside):
    ct = Volume(np.full((40, 40, 40), 45, HU), Geometry((4.0, 4.0, 4.0)))
    labels = ct.like(np.zeros(ct.shape, np.uint8))
    labels.array[10:30, 10:30, 5:15] = RIGHT
    ct.array[labels.array > 0] = -850
    likely = np.zeros((2, *ct.shape), np.float32)
    likely[0, 8:32, 8:32, 5:36] = 1.0
    ct.array[13:27, 13:27, 18 : 32 if deep else 40] = 10
    opinion = opinion_of(in_blocks(ct, labels), likely)
    assert opinion.blocks[20, 20, 25] == 0
    whole = joined(ct, labels, likely, opinion.blocks, opinion.edge, zoom_of(ct)).array
    assert (whole[18:22, 18:22, 23:27] == RIGHT).mean() == inside


def test_a_rim_a_crumb_and_air_are_not_added():
    ct = Volume(np.full((40, 40, 40), 40, HU), Geometry((4.0, 4.0, 4.0)))
    ct.array[:10] = -1000
    labels = ct.like(np.zeros(ct.shape, np.uint8))
    labels.array[15:25, 10:20, 10:20] = LEFT
    likely = np.zeros((2, *ct.shape), np.float32)
    # One block around the mask, a cube of 8 mm by itself, and air.
    likely[1, 14:26, 9:21, 9:21] = 0.9
    likely[1, 30:32, 30:32, 30:32] = 0.9
    likely[1, :9, 30:, 30:] = 0.9
    seen = in_blocks(ct, labels)
    opinion = opinion_of(seen, likely)
    assert (opinion.added_ml, opinion.against_ml) == (0, 0)
    assert np.array_equal(
        joined(ct, labels, likely, opinion.blocks, opinion.edge, zoom_of(ct)).array, labels.array
    )
    assert opinion.told(Verdict({}, ())).reasons == ()


def a_lung_and_no_opinion():
    ct = Volume(np.full((60, 40, 40), 40, HU), Geometry((4.0, 4.0, 4.0)))
    labels = ct.like(np.zeros(ct.shape, np.uint8))
    labels.array[30:50, 10:30, 10:30] = RIGHT
    return in_blocks(ct, labels), np.zeros((2, *ct.shape), np.float32)


def test_a_part_that_tissue_parts_from_the_lungs_is_not_added():
    seen, likely = a_lung_and_no_opinion()
    likely[0, 20:30, 10:30, 10:30] = likely[0, 5:15, 10:30, 10:30] = 0.9
    opinion = opinion_of(seen, likely)
    assert np.flatnonzero((opinion.blocks > 0).any(axis=(1, 2))).tolist() == list(range(20, 30))
    assert opinion.right_ml == pytest.approx(10 * 20 * 20 * 0.064)


def test_a_part_of_which_the_net_is_nowhere_sure_is_not_added():
    seen, likely = a_lung_and_no_opinion()
    likely[0, 25:30, 12:17, 12:17] = 0.85
    assert opinion_of(seen, likely).right_ml == 0
    # 47 blocks of 0.064 ml are 3 ml, 46 less.
    likely[0, 25:28, 12:16, 12:16] = 0.95
    assert opinion_of(seen, likely).right_ml == pytest.approx(5 * 5 * 5 * 0.064)
    likely[0, 25, 12, 12] = 0.85
    assert opinion_of(seen, likely).right_ml > 7
    likely[0, 25, 12, 13] = 0.85
    assert opinion_of(seen, likely).right_ml == 0


@pytest.mark.parametrize(("missing", "share"), [(False, 0.3), (True, 0.42)])
def test_a_part_over_which_the_net_wavers_is_not_added_however_large(missing, share):
    seen, likely = a_lung_and_no_opinion()
    everywhere = np.ones(seen.hu.shape, bool)
    part = likely[0, 20:30, 10:30, 10:30].reshape(-1)
    part[:] = 0.85
    part[: round(share * len(part))] = 0.95
    likely[0, 20:30, 10:30, 10:30] = part.reshape(10, 20, 20)
    assert opinion_of(seen, likely, everywhere, likely.copy, missing=missing).right_ml > 200
    part[0] = 0.85
    likely[0, 20:30, 10:30, 10:30] = part.reshape(10, 20, 20)
    assert opinion_of(seen, likely, everywhere, likely.copy, missing=missing).right_ml == 0


def test_outside_of_the_region_half_of_a_part_is_seen_in_the_mirror_image():
    seen, likely = a_lung_and_no_opinion()
    likely[0, 20:30, 10:30, 10:30] = 0.95
    image = np.zeros_like(likely)
    for first, ml in ((26, 0), (25, 10 * 20 * 20 * 0.064)):
        # The image's left is the scan's right, and as good.
        image[1, first:30, 10:30, 10:30] = 0.75
        nowhere = np.zeros(seen.hu.shape, bool)
        opinion = opinion_of(seen, likely, nowhere, image.copy, missing=True)
        assert opinion.right_ml == pytest.approx(ml)
    assert opinion_of(seen, likely, nowhere, missing=True).right_ml == 0
    # Where no lung is missing it makes no difference, and nobody asks of the image.
    assert opinion_of(seen, likely, nowhere, lambda: pytest.fail("asked")).right_ml == 0


@pytest.mark.parametrize("missing", [False, True])
def test_what_the_net_is_much_surer_of_in_the_mirror_image_is_no_lung(missing):
    """As an aorta without contrast medium: on the other side there is none."""
    seen, likely = a_lung_and_no_opinion()
    everywhere = np.ones(seen.hu.shape, bool)
    part = np.full(4000, 0.85, np.float32)
    part[:2000] = 0.95
    likely[0, 20:30, 10:30, 10:30] = part.reshape(10, 20, 20)
    for surer, ml in ((1199, 4000 * 0.064), (1201, 0)):
        image = likely.copy()
        part[: 2000 + surer] = 0.95
        image[0, 20:30, 10:30, 10:30] = part.reshape(10, 20, 20)
        opinion = opinion_of(seen, likely, everywhere, image.copy, missing=missing)
        assert opinion.right_ml == pytest.approx(ml)


@pytest.mark.parametrize(
    ("heart", "missing", "added"), [(0.6, False, True), (0.75, False, False), (0.6, True, True)]
)
def test_heart_of_which_the_net_is_less_sure_does_not_cost_the_tumour_it_hangs_on(
    heart, missing, added
):
    """Most of both lies outside of the region, all of the tumour inside."""
    seen, likely = a_lung_and_no_opinion()
    likely[0, 24:30, 10:18, 10:18] = 0.95
    likely[0, 20:30, 18:24, 10:20] = heart
    region = seen.labels > 0
    region[24:30, 10:18, 10:18] = True
    opinion = opinion_of(seen, likely, region, likely.copy, missing=missing)
    blocks = opinion.blocks > 0
    assert blocks[24:30, 10:18, 10:18].all() == added
    assert not blocks[:, 22:].any()


def test_where_a_region_is_told_half_of_a_part_lies_in_it():
    seen, likely = a_lung_and_no_opinion()
    likely[0, 20:30, 10:30, 10:30] = 0.95
    region = seen.labels > 0
    for first, ml in ((26, 0), (25, 10 * 20 * 20 * 0.064)):
        region[first:30, 10:30, 10:30] = True
        assert opinion_of(seen, likely, region).right_ml == pytest.approx(ml)


def test_a_tumours_unsure_edge_is_in_the_mask_where_no_lung_is_missing():
    ct = Volume(np.full((40, 40, 80), 40, HU), Geometry((2.0, 2.0, 2.0)))
    labels = ct.like(np.zeros(ct.shape, np.uint8))
    labels.array[:, :, :30] = RIGHT
    ct.array[labels.array > 0] = -850
    likely = np.zeros((2, 20, 20, 40), np.float32)
    likely[0, :, :, :20], likely[0, :, :, 20:30] = 0.95, 0.3
    seen, everywhere = in_blocks(ct, labels), np.ones((20, 20, 40), bool)
    opinion = opinion_of(seen, likely, everywhere)
    # Of 10 blocks of 0.3 the first two, to their edge; without them the mask ends between the
    # middles of the last block of 0.95 and the first of 0.3.
    assert np.flatnonzero(opinion.blocks[10, 10]).tolist() == list(range(15, 22))
    whole = joined(ct, labels, likely, opinion.blocks, opinion.edge, zoom_of(ct)).array
    assert np.flatnonzero(whole[20, 20])[-1] == 43
    nowhere_else = everywhere.copy()
    nowhere_else[:, :, 20:] = False
    for region, missing in ((nowhere_else, False), (everywhere, True)):
        opinion = opinion_of(seen, likely, region, missing=missing)
        assert opinion.blocks[10, 10].nonzero()[0][-1] == 19


def test_what_the_net_calls_no_lung_is_told_with_its_place():
    _, seen, likely = known(case("sound", spacing_mm=(4.0, 4.0, 4.0)))
    likely[1, : likely.shape[1] // 3] = 0
    opinion = opinion_of(seen, likely)
    assert opinion.added_ml == 0
    (reason,) = opinion.told(Verdict({}, ())).reasons
    assert reason.startswith(
        f"about {round(opinion.against_ml, -1):.0f} ml of the mask are no lung"
    )
    assert reason.endswith("mostly below on the left")
    assert opinion.against_ml > 200


def test_lungs_as_the_net_alone_sees_them_lie_where_they_are():
    phantom = case("sound")
    _, _, likely = known(phantom)
    # A loose piece of 13 ml outside the chest is none.
    likely[0, 2:8, 2:8, 2:8] = 1.0
    seen = as_seen(phantom.ct, likely).array
    assert not seen[:18, :18, :18].any()
    for side in (RIGHT, LEFT):
        one, other = seen == side, phantom.lungs.array == side
        assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.96
