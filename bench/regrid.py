"""Which rule resamples a reading on thick slices to the 1 mm grid best.

    python -m bench.regrid

Of readings on slices of 0.8 mm or less, slices are left out until about 2.5 mm apart; these are
resampled to 1 mm by each rule and compared with the original, resampled by the nearest voxel. By
size: above and below the volume of a 6 mm ball.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from lungseg.io.annotations import lidc_database
from lungseg.ops.nodules.contours import rasterise
from lungseg.ops.nodules.patches import Patch, resample_mask
from lungseg.ops.nodules.sizes import ball_mm3
from lungseg.ops.scores.segmentation import patch_dice
from lungseg.volume import Geometry

THIN_MM, THICK_MM = 0.8, 2.5
SMALL_MM3 = ball_mm3(6.0)
RULES = ("volume kept (ours)", "linear, half or more", "nearest")


@dataclass
class Outcome:
    """What one rule made of one reading."""

    volume_error: float
    dice: float
    lost: bool


def sampled(patch: Patch, source: Geometry, target: Geometry, order: int) -> Patch:
    """The mask at the new voxels' centres: nearest (0), or linear and half or more (1)."""
    padded = np.pad(patch.mask, 1).astype(np.float32)
    first = np.asarray(patch.first_zyx) - 1
    corners = np.array([np.zeros(3), padded.shape]) + first
    reach = np.sort(target.to_index(source.to_world(corners)), axis=0)
    low = np.floor(reach[0]).astype(int) - 1
    shape = np.ceil(reach[1]).astype(int) + 1 - low
    index = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3) + low
    where = source.to_index(target.to_world(index)) - first
    mask = map_coordinates(padded, where.T, order=order) >= 0.5
    z, y, x = low.tolist()
    return Patch(mask.reshape(shape), (z, y, x))


def main() -> None:
    rng = np.random.default_rng(0)
    outcomes: dict[tuple[str, bool], list[Outcome]] = defaultdict(list)
    for scan in lidc_database.read_scans():
        if scan.slice_spacing_mm > THIN_MM:
            continue
        step = round(THICK_MM / scan.slice_spacing_mm)
        thin = Geometry((scan.slice_spacing_mm, scan.pixel_mm, scan.pixel_mm))
        for reading in scan.readings:
            whole, _ = rasterise(reading, np.asarray(scan.z_mm))
            start = int(rng.integers(step))
            if not whole or not whole.mask[start::step].any():
                continue
            first = whole.first_zyx[0] + start
            thick = Geometry((scan.slice_spacing_mm * step, *thin.spacing_mm[1:]))
            thick = thick.moved((first / step, 0, 0))
            kept = Patch(whole.mask[start::step], (0, *whole.first_zyx[1:]))
            target = Geometry((1.0, 1.0, 1.0), tuple(rng.uniform(0, 1, 3)))
            reference = sampled(whole, thin, target, 0)
            if not reference.mask.any():
                continue
            volume = kept.mask.sum() * thick.voxel_mm3
            moved = (
                resample_mask(kept, thick, target),
                sampled(kept, thick, target, 1),
                sampled(kept, thick, target, 0),
            )
            small = bool(whole.mask.sum() * thin.voxel_mm3 < SMALL_MM3)
            for rule, patch in zip(RULES, moved, strict=True):
                error = abs(patch.mask.sum() / volume - 1)
                outcomes[rule, small].append(
                    Outcome(float(error), patch_dice(patch, reference), not patch.mask.any())
                )
    for (rule, small), found in sorted(outcomes.items(), key=lambda item: item[0][1]):
        print(
            f"{'below' if small else 'above'} 6 mm, {len(found):4} readings, {rule:20}: "
            f"volume off by {np.mean([o.volume_error for o in found]):6.1%}, "
            f"Dice {np.mean([o.dice for o in found]):.3f}, "
            f"lost {sum(o.lost for o in found)}"
        )


if __name__ == "__main__":
    main()
