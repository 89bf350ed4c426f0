"""Lung without air is told with its side and volume, and sound lungs are not doubted."""

import re

import numpy as np
import pytest

from lungseg.ops.lungs.airless.mirror import mirror_plane
from lungseg.ops.lungs.airless.missing import (
    LUNG_SHARE,
    TOO_MUCH,
    airless_doubts,
    missing_lung,
)
from lungseg.ops.lungs.in_blocks import Blocks, in_blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.phantom.cases import case
from lungseg.phantom.small_chest import chest

MM = (4.0, 4.0, 4.0)


def with_lungs_that_hold_air(phantom):
    """The phantom with the mask that a threshold would give: air and vessels, no airless lung."""
    labels = np.where(phantom.airless.array, 0, phantom.lungs.array).astype(np.uint8)
    return in_blocks(phantom.ct, phantom.lungs.like(labels))


@pytest.mark.parametrize(
    ("name", "told", "most_ml"),
    [
        ("consolidation-right-lower", "right middle", 1220),
        ("consolidation-right-middle", "right middle", 380),
        ("consolidation-left-upper", "left upper", 1340),
        ("collapse-right-upper", "right upper", 350),
        ("collapse-left-lower", "left lower", 300),
        ("effusion-right-small", "right lower", 600),
    ],
)
def test_a_lobe_without_air_and_fluid_are_told(name, told, most_ml):
    (reason,) = airless_doubts(with_lungs_that_hold_air(case(name, spacing_mm=MM)))
    ml, where = re.match(r"about (\d+) ml of the (\w+ \w+) chest hold no air", reason).groups()
    assert where == told
    assert 0.4 * most_ml < int(ml) <= most_ml


@pytest.mark.parametrize("name", ["sound", "hernia-5", "giant-bulla"])
def test_sound_lungs_are_not_doubted(name):
    phantom = case(name, spacing_mm=MM)
    assert airless_doubts(in_blocks(phantom.ct, phantom.lungs)) == []


def turned_chest(degrees):
    """A sound chest of another shape, turned about an oblique axis."""
    phantom = chest((4.0, 4.0, 4.0), nodules=(), tilt_deg=degrees)
    return in_blocks(phantom.ct, phantom.lungs)


def test_a_crooked_patient_is_not_doubted_and_the_mirror_is_turned_with_the_chest():
    seen = turned_chest(8.0)
    assert airless_doubts(seen) == []
    straight, turned = (
        mirror_plane(one.hu, one.labels > 0, one.spacing_mm) for one in (turned_chest(0.0), seen)
    )
    degrees = np.rad2deg(np.arccos(straight.normal @ turned.normal))
    assert 5.0 < degrees < 11.0


def box_of_lungs():
    """Two lungs before a row of ribs, with 8 mm of pleura and muscle between."""
    labels = np.zeros((50, 50, 90), np.uint8)
    labels[5:45, 10:40, 15:40], labels[5:45, 10:40, 50:75] = RIGHT, LEFT
    ct = np.where(labels > 0, -850, 40).astype(np.int16)
    ct[::4, 42:44, 10:80] = 400
    return ct, labels


def test_fluid_behind_both_lungs_is_told_by_the_ribs():
    ct, labels = box_of_lungs()
    assert airless_doubts(Blocks(ct, labels, MM)) == []
    labels[5:25, 30:40] = 0
    ct[5:25, 30:40] = np.where(ct[5:25, 30:40] < 0, 10, ct[5:25, 30:40])
    told = airless_doubts(Blocks(ct, labels, MM))
    assert [re.search(r"(right|left) lower", one)[1] for one in told] == ["right", "left"]


def test_air_that_is_left_out_is_no_lung_without_air():
    ct, labels = box_of_lungs()
    labels[5:25, :, :45] = 0
    right, _ = missing_lung(Blocks(ct, labels, MM))
    assert right.ml == 0


def without_a_lobe(soft_hu=55):
    """The right lung's base is soft tissue, as a liver that stands high is, or a solid lobe."""
    ct, labels = box_of_lungs()
    missing = np.zeros(ct.shape, bool)
    missing[5:17, 10:32, 15:40] = True
    ct[missing], labels[missing] = soft_hu, 0
    return Blocks(ct, labels, MM), missing


def test_what_a_net_calls_another_organ_is_not_told_and_what_it_calls_lung_is():
    seen, missing = without_a_lobe()
    right, left = missing_lung(seen)
    assert right.is_doubtful
    assert right.score < TOO_MUCH
    assert right.lung_share == 1
    assert not left.is_doubtful
    liver = (seen.labels > 0).astype(np.float32)
    lobe = liver + np.float32(0.25) * missing
    assert airless_doubts(seen, liver) == []
    assert airless_doubts(seen, lobe) == airless_doubts(seen) != []


def test_what_is_as_dense_as_fluid_is_told_though_a_net_sees_no_lung():
    seen, _ = without_a_lobe(soft_hu=12)
    no_lung = (seen.labels > 0).astype(np.float32)
    assert airless_doubts(seen, no_lung) == airless_doubts(seen) != []


def test_much_is_told_whatever_a_net_says():
    ct, labels = box_of_lungs()
    ct[5:30, 10:40, 15:40] = 55
    labels[5:30, 10:40, 15:40] = 0
    seen = Blocks(ct, labels, MM)
    right, _ = missing_lung(seen, (labels > 0).astype(np.float32))
    assert right.lung_share < LUNG_SHARE
    assert right.score > TOO_MUCH
    assert right.is_doubtful


@pytest.mark.parametrize("height", [0, 12])
def test_one_lung_and_a_thin_stack_are_left_to_others(height):
    ct, labels = box_of_lungs()
    if height:
        labels[5 + height :] = 0
    else:
        labels[labels == LEFT] = 0
    assert missing_lung(Blocks(ct, labels, MM)) == ()
