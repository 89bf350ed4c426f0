"""How well radiologists agree over all of LIDC: the ceiling of any model, and the floor of a mask.

    python -m bench.agreement [--json]

For every nodule that three or four radiologists drew: Dice of each two readings, of each reading
against the 50 % consensus of all, and of what position and volume alone give (a ball, and a disc of
its diameter on the centre slice). All 3-D but the disc, on the scan's own grid; means over pairs,
over readings, over nodules.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from lungseg.io.annotations import lidc_database
from lungseg.ops.nodules.clusters import (
    cluster,
    count_votes,
    dice,
    equivalent_diameter_mm,
    resample_mask,
    votes_needed,
)
from lungseg.ops.nodules.contours import Patch, rasterise
from lungseg.ops.nodules.sphere import ball
from lungseg.volume import Geometry

EXPECTED = {"reader against reader": 0.757, "reader against consensus": 0.866}
WITHIN = 0.01


def nodules(every: int = 1) -> Iterator[tuple[lidc_database.LidcScan, list[Patch]]]:
    """Masks of the readings of each nodule with three or four, on the scan's own grid."""
    for scan in list(lidc_database.read_scans())[::every]:
        z_mm = np.asarray(scan.z_mm)
        for group in cluster(scan.readings, scan.slice_thickness_mm, scan.slice_spacing_mm):
            if len(group) in {3, 4}:
                drawn = [rasterise(scan.readings[k], z_mm)[0] for k in group]
                yield scan, [patch for patch in drawn if patch]


def measure(every: int = 1) -> dict[str, float]:
    """The figures, over every so many-th scan."""
    pairs: list[float] = []
    against: list[float] = []
    sphere: list[float] = []
    disc: list[float] = []
    kept: list[float] = []
    for number, (scan, patches) in enumerate(nodules(every)):
        pairs += [dice(a, b) for a, b in combinations(patches, 2)]
        votes, first = count_votes(patches)
        together = Patch(votes >= votes_needed(len(patches)), first)
        against += [dice(patch, together) for patch in patches]
        grid = Geometry((scan.slice_spacing_mm, scan.pixel_mm, scan.pixel_mm))
        index = np.argwhere(together.mask) + first
        x, y, z = grid.to_world(index.mean(axis=0))
        size = equivalent_diameter_mm(len(index) * grid.voxel_mm3)
        sphere.append(dice(ball((float(x), float(y), float(z)), size, grid), together))
        disc.append(_disc(together, size / scan.pixel_mm))
        if number % 10 == 0:
            working = Geometry((1.0, 1.0, 1.0))
            moved = resample_mask(together, grid, working)
            kept.append(float(moved.mask.sum()) / (len(index) * grid.voxel_mm3))
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
    return float(2 * (disc & inside).sum() / (disc.sum() + inside.sum()))


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
