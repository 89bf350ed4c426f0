"""CPU seconds of what we do to masks ourselves, against libraries that yield the same voxels.

    python -m bench.masks [--json]

Closing and dilation by a ball on 150 x 180 x 180 blocks of 2 mm (a pair of lungs full of small
holes), and the inside of the contours of every 20th LIDC scan. Fails where the voxels differ.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.draw import polygon

from lungseg.io.annotations import lidc_database
from lungseg.ops.grid.morphology import close_mm, dilate_mm
from lungseg.ops.nodules.contours import interiors
from lungseg.volume import IntArray, MaskArray

STEP_MM = 2.0
SPACING_MM = (STEP_MM, STEP_MM, STEP_MM)
RADII_MM = (4.0, 18.0)
Compared = tuple[float, float, bool]


def holed_lungs() -> MaskArray:
    z, y, x = np.ogrid[:150, :180, :180]
    lung = ((z - 75) / 65) ** 2 + ((y - 90) / 55) ** 2 + ((x - 50) / 32) ** 2 < 1
    lung |= lung[:, :, ::-1]
    holes = ndimage.gaussian_filter(np.random.default_rng(0).random(lung.shape), 2)
    return np.asarray(lung & (holes > 0.44))


def closed_by_distance(mask: MaskArray, radius_mm: float) -> MaskArray:
    """Closing by two exact distance transforms."""
    pad = int(radius_mm / STEP_MM) + 2
    padded = np.pad(mask, pad)
    grown = ndimage.distance_transform_edt(~padded, sampling=SPACING_MM) <= radius_mm
    closed = ndimage.distance_transform_edt(grown, sampling=SPACING_MM) > radius_mm
    return np.asarray(closed[pad:-pad, pad:-pad, pad:-pad] | mask)


def grown_by_ball(mask: MaskArray, radius_mm: float) -> MaskArray:
    """Dilation by a ball as a structuring element."""
    reach = int(radius_mm / STEP_MM)
    z, y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1, -reach : reach + 1]
    ball = (z * z + y * y + x * x) * STEP_MM**2 <= radius_mm**2
    return np.asarray(ndimage.binary_dilation(mask, ball))


def filled_polygons(polygons: list[IntArray]) -> MaskArray:
    """scikit-image's polygons; some of the pixels on the line count as inside."""
    first = np.concatenate(polygons).min(axis=0)
    columns, rows = np.concatenate(polygons).max(axis=0) - first + 1
    inside = np.zeros((len(polygons), rows, columns), bool)
    for number, points in enumerate(polygons):
        x, y = (points - first).T
        inside[number][polygon(y, x, (rows, columns))] = True
    return inside


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def measure() -> dict[str, Compared]:
    """Seconds of ours and of the library's, and whether the voxels are the same."""
    mask = holed_lungs()
    found: dict[str, Compared] = {}
    for radius_mm in RADII_MM:
        for name, ours, theirs in (
            ("closing, distance transforms", close_mm, closed_by_distance),
            ("dilation, binary_dilation", dilate_mm, grown_by_ball),
        ):
            a, mine = cpu_seconds(lambda f=ours, r=radius_mm: f(mask, r, SPACING_MM))
            b, other = cpu_seconds(lambda f=theirs, r=radius_mm: f(mask, r))
            found[f"{name}, {radius_mm:g} mm"] = (a, b, np.array_equal(mine, other))
    drawn = [
        [contour.points_xy for contour in reading.contours]
        for scan in list(lidc_database.read_scans())[::20]
        for reading in scan.readings
    ]
    a, exact = cpu_seconds(lambda: [interiors(polygons) for polygons in drawn])
    b, rough = cpu_seconds(lambda: [filled_polygons(polygons) for polygons in drawn])
    same = all(
        np.array_equal(inside, other & ~line)
        for (inside, line), other in zip(exact, rough, strict=True)
    )
    found["inside of contours, skimage.draw.polygon"] = (a, b, same)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    as_json = parser.parse_args().json
    found = measure()
    if as_json:
        print(json.dumps({name: values[:2] for name, values in found.items()}))
    else:
        for name, (ours, theirs, _) in found.items():
            print(f"{name:45} {ours:7.3f} against {theirs:7.3f} CPU-s")
    off = [name for name, values in found.items() if not values[2]]
    if off:
        raise SystemExit(f"not the same voxels: {', '.join(off)}")


if __name__ == "__main__":
    main()
