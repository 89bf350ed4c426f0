"""What belongs to a part that is believed: its unsure edge, and corners between it and the lung."""

import numpy as np
import pytest

from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.ops.lungs.opinion.completed import completed

GRID = (4.0, 4.0, 4.0)


@pytest.fixture
def scene():
    """A lung, and beside it a part of six blocks' width that is believed."""
    labels = np.zeros((30, 30, 40), np.uint8)
    labels[:, :, :15] = RIGHT
    hu = np.where(labels > 0, -850, 40).astype(np.int16)
    most = np.zeros(labels.shape, np.float32)
    most[12:18, 12:18, 15:21] = 0.9
    parts = np.where(most > 0.5, np.uint8(RIGHT), np.uint8(0))
    return Blocks(hu, labels, GRID), most, parts


def test_without_likely_surroundings_and_corners_a_part_stays_as_it_is():
    labels = np.zeros((30, 30, 40), np.uint8)
    seen = Blocks(np.full(labels.shape, 40, np.int16), labels, GRID)
    parts = np.zeros_like(labels)
    parts[10:20, 10:20, 10:20] = LEFT
    most = np.where(parts > 0, np.float32(0.9), np.float32(0.2))
    np.testing.assert_array_equal(completed(parts, seen, most, labels == 0), parts)
    none = np.zeros_like(parts)
    assert not completed(none, seen, most, labels == 0).any()


@pytest.mark.parametrize(("likely", "blocks"), [(0.24, 0), (0.26, 2)])
def test_blocks_of_a_quarter_and_more_belong_to_it_as_far_as_two_away(scene, likely, blocks):
    seen, most, parts = scene
    most[14:16, 14:16, 21:30] = likely
    whole = completed(parts, seen, most, seen.labels == 0)
    assert whole[15, 15, 15 : 21 + blocks].all()
    assert not whole[15, 15, 21 + blocks :].any()


def test_corners_between_part_and_lung_are_filled_with_tissue_of_its_side_alone(scene):
    seen, most, parts = scene
    tissue = seen.labels == 0
    # Above and below, beside the lung: a ball of 12 mm cannot enter.
    corner, far = (11, 15, 15), (2, 15, 15)
    assert parts[corner] == 0
    whole = completed(parts, seen, most, tissue)
    assert (whole[corner], whole[far]) == (RIGHT, 0)
    assert not whole[seen.labels > 0].any()
    tissue[corner] = False
    assert completed(parts, seen, most, tissue)[corner] == 0
    # What lies on the other lung makes no corner with this one.
    other = Blocks(seen.hu, np.where(seen.labels > 0, np.uint8(LEFT), np.uint8(0)), GRID)
    assert completed(parts, other, most, other.labels == 0)[corner] == 0
