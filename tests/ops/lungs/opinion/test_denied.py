"""What is taken out of a mask because a net denies it, and what is not."""

import numpy as np
import pytest

from lungseg.ops.lungs.in_blocks import Blocks, in_blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.ops.lungs.opinion.denied import denied, without
from lungseg.volume import Geometry, Volume

MM = (4.0, 4.0, 4.0)


def chest(radius):
    """Two lungs in blocks, and in the right one a ball of tissue that the mask holds."""
    z, y, x = np.ogrid[:30, :30, :60]
    ball = (z - 10) ** 2 + (y - 15) ** 2 + (x - 15) ** 2 < radius**2
    labels = np.zeros((30, 30, 60), np.uint8)
    labels[2:28, 2:28, 4:26], labels[2:28, 2:28, 34:56] = RIGHT, LEFT
    hu = np.where(labels > 0, -850, 40).astype(np.int16)
    hu[ball] = 40
    return Blocks(hu, labels, MM), ball


def answer(seen, ball, unsure):
    """Of a net that knows the lungs; of a share of the ball it is unsure."""
    most = (seen.labels > 0).astype(np.float32) * np.float32(0.95)
    most[ball] = 0.05
    some = np.argwhere(ball)[: round(unsure * ball.sum())]
    most[tuple(some.T)] = 0.35
    return most


@pytest.mark.parametrize(("radius", "taken"), [(6.5, True), (5.2, False)])
def test_what_a_net_denies_is_taken_out_if_it_is_large(radius, taken):
    seen, ball = chest(radius)
    assert (seen.ml(ball) > 60) == taken
    out = denied(seen, answer(seen, ball, 0.0))
    assert np.array_equal(out, ball) if taken else not out.any()


@pytest.mark.parametrize(("unsure", "taken"), [(0.1, True), (0.2, False), (1.0, False)])
def test_what_a_net_is_unsure_of_stays(unsure, taken):
    seen, ball = chest(7.5)
    assert denied(seen, answer(seen, ball, unsure)).any() == taken


def test_a_net_that_does_not_know_the_lungs_is_not_believed():
    seen, ball = chest(7.5)
    most = answer(seen, ball, 0.0)
    most[:, :, 34:40] = 0.3
    assert not denied(seen, most).any()


def test_air_is_never_taken_out():
    seen, ball = chest(7.5)
    seen.hu[ball] = -700
    assert not denied(seen, answer(seen, ball, 0.0)).any()


def test_the_outline_is_that_of_the_tissue_voxel_by_voxel():
    z, y, x = np.ogrid[:80, :80, :80]
    liver = (z - 10) ** 2 + (y - 40) ** 2 + (x - 40) ** 2 < 29**2
    ct = Volume(np.where(liver, 50, -850).astype(np.int16), Geometry((1.0, 1.0, 1.0)))
    labels = ct.like(np.full(ct.shape, RIGHT, np.uint8))
    most = 1 - in_blocks(ct.like(np.where(liver, 1000, 0).astype(np.int16)), labels).hu / 1000
    parts = most < 0.5
    out = without(ct, labels, most.astype(np.float32), parts).array == 0
    assert not out[~liver].any()
    # But for a voxel or two of its rim, where a block holds more lung.
    assert out[liver].mean() > 0.97
    assert labels.array.all()
