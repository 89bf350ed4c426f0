"""Close-ups for a tumour net to learn from: what is lung, what the mask has, what counts."""

import numpy as np
import pytest

from lungseg.ops.lungs.opinion import painted
from lungseg.ops.lungs.opinion.close_up import unfolded
from lungseg.ops.lungs.opinion.examples import Chest
from lungseg.ops.lungs.opinion.painted import close_up, turned


def chest():
    """Two boxes of lung of 80 x 80 x 60 mm in tissue, in voxels of 2 mm."""
    lungs = np.zeros((2, 60, 60, 100), np.float32)
    lungs[0, 10:50, 10:50, 10:40] = lungs[1, 10:50, 10:50, 60:90] = 1
    hu = np.where(lungs.max(axis=0) > 0, -850, 40).astype(np.float32)
    return Chest(hu, lungs, (2.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def still():
    return turned(chest(), None)


def examples(still, count):
    for seed in range(count):
        one = close_up(still, np.random.default_rng(seed))
        apart = (unfolded(a)[..., 0] for a in (one.lungs, one.counts, one.missing))
        yield unfolded(one.image), *apart


def test_a_chest_is_as_large_after_it_was_turned_and_the_right_lung_stays_right(still):
    by_chance = [turned(chest(), np.random.default_rng(k)) for k in range(5)]
    ml = [float(one.lungs.sum()) / 255 * 0.008 for one in (still, *by_chance)]
    assert ml[0] == pytest.approx(2 * 40 * 40 * 30 * 0.008)
    # A tenth in each length makes a third in volume.
    assert all(0.4 * ml[0] < one < 2.5 * ml[0] for one in ml)
    assert len({round(one) for one in ml}) > 4
    for one in by_chance:
        right, left = one.lungs > 127
        assert np.argwhere(right)[:, 2].max() < np.argwhere(left)[:, 2].min()


def test_blocks_of_the_surface_are_lung_with_tissue_beside(still):
    lung = still.lungs.sum(axis=0, dtype=int) > 127
    assert lung[tuple(still.surface.T)].all()
    assert len(still.surface) == 2 * (40 * 40 * 30 - 38 * 38 * 28)


def test_tumours_are_tissue_that_is_lung_and_that_the_mask_has_not(still):
    missed = []
    for image, lung, counts, missing in examples(still, 20):
        air, mask = image[..., 0], image[..., 2]
        assert np.array_equal(mask > 0.5, missing < 0.5)
        tumour = (lung > 0.5) & (missing > 0) & (counts == painted.MISSED_COUNTS)
        missed.append(tumour.sum() * 0.008)
        if tumour.sum() > 200:
            # Solid, for the most part: -100 HU and more; all is edge of what is small.
            assert np.mean(air[tumour] > 0.8) > 0.7
        # Where lung is air, the mask has it, unless that is a tumour's rim.
        assert np.mean(mask[(lung > 0.99) & (air < -0.5)]) > 0.9
    assert np.mean(np.array(missed) > 0.2) > 0.5
    assert max(missed) > 20


def test_every_fifth_close_up_shows_no_tumour_and_masks_hold_a_part_of_some(still, monkeypatch):
    monkeypatch.setattr(painted, "WET", 0.0)
    none = [not ((lung > 0.5) & (missing > 0)).any() for _, lung, _, missing in examples(still, 30)]
    assert 0.08 < np.mean(none) < 0.45


def test_fluid_is_no_lung(still, monkeypatch):
    monkeypatch.setattr(painted, "WET", 1.0)
    monkeypatch.setattr(painted, "NONE", 1.0)
    seen = 0
    for image, lung, counts, _ in examples(still, 12):
        wet = counts == painted.WET_COUNTS
        seen += wet.sum()
        assert not lung[wet].any()
        assert not image[..., 2][wet].any()
    assert seen > 1000


def test_the_edge_of_an_example_does_not_count_nor_what_the_scan_has_not(still):
    for _, _, counts, _ in examples(still, 5):
        assert not counts[: painted.EDGE_BLIND].any()
        assert not counts[..., -painted.EDGE_BLIND :].any()
        assert counts.any()
    cut = turned(chest(), None)
    cut.seen[:] = False
    assert not any(counts.any() for _, _, counts, _ in examples(cut, 3))


def test_the_same_chance_makes_the_same_example(still):
    one, other = (close_up(still, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.counts, other.counts)
    assert not np.array_equal(one.image, close_up(still, np.random.default_rng(5)).image)
