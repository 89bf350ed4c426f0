"""How well radiologists agree over all of LIDC, and what a position and a volume alone give.

    python -m bench.agreement [--json]

For every nodule that three or four radiologists drew: Dice of each two readings, of each reading
against the 50 % consensus of all, and of a ball of the consensus' position and volume (and a disc
of its diameter on the centre slice). No model can be expected to agree better with one reader than
the readers agree with each other; no mask should agree worse than the ball. All figures are 3-D but
the disc's, on the scan's own grid; means are over pairs, over readings, over nodules.
"""

import argparse
import json
import time

import numpy as np

from lungseg.io.annotations import lidc_database
from lungseg.ops.nodules.patches import Patch, resample_mask
from lungseg.ops.nodules.readings import nodule_masks
from lungseg.ops.scores.agreement import agreement
from lungseg.ops.scores.counts import count
from lungseg.volume import Geometry

EXPECTED = {"reader against reader": 0.757, "reader against consensus": 0.866}
WITHIN = 0.01


def measure() -> dict[str, float]:
    """The figures, over all nodules that three or four radiologists drew."""
    pairs: list[float] = []
    against: list[float] = []
    sphere: list[float] = []
    disc: list[float] = []
    kept: list[float] = []
    for scan in lidc_database.read_scans():
        grid = Geometry((scan.slice_spacing_mm, scan.pixel_mm, scan.pixel_mm))
        for members, masks in nodule_masks(
            scan.readings, np.asarray(scan.z_mm), scan.slice_thickness_mm, scan.slice_spacing_mm
        ):
            if len(members) not in {3, 4}:
                continue
            found = agreement(masks, grid)
            pairs += found.between_readers
            against += found.with_consensus
            sphere.append(found.ball)
            disc.append(_disc(found.consensus, found.diameter_mm / scan.pixel_mm))
            if len(sphere) % 10 == 1:
                moved = resample_mask(found.consensus, grid, Geometry((1.0, 1.0, 1.0)))
                volume = found.consensus.mask.sum() * grid.voxel_mm3
                kept.append(float(moved.mask.sum() / volume))
    return {
        "nodules": float(len(sphere)),
        "reader against reader": float(np.mean(pairs)),
        "reader against consensus": float(np.mean(against)),
        "ball of equal volume against consensus": float(np.mean(sphere)),
        "disc of that diameter on the centre slice": float(np.mean(disc)),
        "volume kept on the 1 mm grid, mean": float(np.mean(kept)),
        "volume kept on the 1 mm grid, mean error": float(np.mean(np.abs(np.array(kept) - 1))),
    }


def _disc(nodule: Patch, diameter_px: float) -> float:
    """2-D Dice, on the slice of the nodule's centre, of a disc of the ball's diameter."""
    middle = round(float(np.argwhere(nodule.mask)[:, 0].mean()))
    inside = np.pad(nodule.mask[middle], max(nodule.mask.shape))
    if not inside.any():
        return 0.0
    rows, columns = np.indices(inside.shape)
    row, column = np.argwhere(inside).mean(axis=0)
    disc = (rows - row) ** 2 + (columns - column) ** 2 <= (diameter_px / 2) ** 2
    return count(disc, inside).dice


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    start = time.perf_counter()
    figures = measure()
    figures["seconds"] = time.perf_counter() - start
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            note = f"  (expected {EXPECTED[name]} within {WITHIN})" if name in EXPECTED else ""
            print(f"{name:45} {value:10.4f}{note}")
    off = [name for name, value in EXPECTED.items() if abs(figures[name] - value) > WITHIN]
    if off:
        raise SystemExit(f"not as expected: {', '.join(off)}")


if __name__ == "__main__":
    main()
