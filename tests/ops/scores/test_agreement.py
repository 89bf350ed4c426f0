"""How well readings agree."""

import numpy as np
import pytest

from lungseg.io.annotations.lidc_database import read_scans
from lungseg.ops.nodules.patches import Patch, resample_mask
from lungseg.ops.nodules.readings import nodule_masks
from lungseg.ops.scores.agreement import agreement
from lungseg.volume import Geometry

GRID = Geometry((2.0, 1.0, 1.0))


def test_agreement_by_hand():
    whole = np.ones((1, 4, 4), bool)
    half = whole.copy()
    half[:, :, 2:] = False
    found = agreement([Patch(whole, (0, 0, 0)), Patch(half, (0, 0, 0))], GRID)
    assert found.between_readers == pytest.approx((2 * 8 / 24,))
    # Two readers: a voxel that one of them included is in the consensus.
    assert found.with_consensus == pytest.approx((1.0, 2 * 8 / 24))
    assert found.consensus.mask.sum() == 16
    assert found.diameter_mm == pytest.approx((6 * 16 * 2 / np.pi) ** (1 / 3))


@pytest.mark.hard
def test_radiologists_agree_as_published():
    """Every eighth scan of LIDC; `python -m bench.agreement` takes all."""
    pairs, against, balls, volumes = [], [], [], []
    for scan in list(read_scans())[::8]:
        grid = Geometry((scan.slice_spacing_mm, scan.pixel_mm, scan.pixel_mm))
        for members, masks in nodule_masks(
            scan.readings, np.asarray(scan.z_mm), scan.slice_thickness_mm, scan.slice_spacing_mm
        ):
            if len(members) not in {3, 4}:
                continue
            found = agreement(masks, grid)
            pairs += found.between_readers
            against += found.with_consensus
            balls.append(found.ball)
            if len(balls) % 10 == 1:
                moved = resample_mask(found.consensus, grid, Geometry((1.0, 1.0, 1.0)))
                volumes.append(moved.mask.sum() / found.consensus.mask.sum() / grid.voxel_mm3)
    assert len(balls) > 120
    assert np.mean(pairs) == pytest.approx(0.757, abs=0.02)
    assert np.mean(against) == pytest.approx(0.866, abs=0.015)
    assert np.mean(balls) == pytest.approx(0.80, abs=0.015)
    assert np.abs(np.array(volumes) - 1).mean() < 0.01
