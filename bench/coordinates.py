"""How well a mask made from a position and a diameter agrees with what radiologists drew.

    python -m bench.coordinates [--nodules 40] [--seed 11] [--json]

A fixed random sample of LIDC's nodules with three readers or more is rendered in each kind of
scene, resampled to the 1 mm grid, and segmented from what LUNA16 states: the mean of the readers'
centres and of their volumes. 3-D Dice against the 50 % consensus: the ball, the wand with the lung
mask, without it, and without the diameter (between its bounds only). On the slice of the centre,
2-D Dice: the disc, the wand's own slice, and the mask of Ghofrani Majelan's thesis (see
docs/sources.md): Cell Magic Wand on -HU with radii from 2 pixels to the diameter in mm plus 2,
taken as pixels.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import map_coordinates

from lungseg.io.annotations import lidc_database
from lungseg.ops.grid.resample import to_grid, working_grid
from lungseg.ops.nodules.consensus import MOST_READERS
from lungseg.ops.nodules.patches import Patch, clipped, resample_mask
from lungseg.ops.nodules.sizes import equivalent_diameter_mm
from lungseg.ops.nodules.sphere import ball
from lungseg.ops.nodules.wand import LARGEST, SMALLEST, wand
from lungseg.ops.scores.counts import count
from lungseg.phantom.lidc_like import SCENE_MARGIN_MM, DrawnNodule, drawn_nodules, scene
from lungseg.volume import AnyVolume, FloatArray, MaskArray, Triple

KINDS = ("isolated", "juxtapleural", "vessel_attached", "ground_glass")
SIZES = ((0.0, 6.0), (6.0, 10.0), (10.0, 20.0), (20.0, 100.0))
READERS = 3
SOLID = ("ball", "wand", "wand, no lungs", "wand, no diameter")
FLAT = ("disc", "wand's slice", "thesis's mask")


@dataclass(frozen=True, eq=False)
class Case:
    """One nodule in one scene, as a user of coordinates has it."""

    kind: str
    ct: AnyVolume
    lungs: AnyVolume
    truth: MaskArray
    centre: Triple
    diameter_mm: float


def sample(nodules: int, seed: int) -> Iterator[tuple[DrawnNodule, Triple]]:
    """Nodules by at least three readers, at most two of a scan, and the spacing of their scan."""
    rng = np.random.default_rng(seed)
    scans = list(lidc_database.read_scans())
    found = 0
    for k in rng.permutation(len(scans)).tolist():
        scan = scans[k]
        if len(scan.z_mm) < 2 or not scan.readings:
            continue
        spacing = (scan.slice_spacing_mm, scan.pixel_mm, scan.pixel_mm)
        agreed = [nodule for nodule in drawn_nodules(scan) if nodule.readers >= READERS]
        for nodule in agreed[:2]:
            if found == nodules:
                return
            found += 1
            yield nodule, spacing


def case(nodule: DrawnNodule, spacing_mm: Triple, kind: str, seed: int) -> Case | None:
    """The nodule in its scene on the working grid; None if no lung has a place for it."""
    try:
        phantom = scene(nodule, spacing_mm, kind, seed=seed)
    except ValueError:
        return None
    grid, truth = phantom.ct.geometry, phantom.nodules.array > 0
    if not truth.any():
        return None
    margin = np.ceil(SCENE_MARGIN_MM / np.asarray(spacing_mm)).astype(int)
    votes = np.zeros(truth.shape)
    votes[Patch(nodule.votes > 0, (margin[0], margin[1], margin[2])).box] = nodule.votes
    if kind == "juxtapleural":
        votes[phantom.lungs.array == 0] = 0.0
    index = np.argwhere(votes)
    weight = votes[tuple(index.T)]
    x, y, z = grid.to_world(weight @ index / weight.sum()).tolist()
    volume = weight.sum() / min(nodule.readers, MOST_READERS) * grid.voxel_mm3
    shape, working = working_grid(phantom.ct.shape, grid, 1.0)
    drawn = clipped(resample_mask(Patch(truth, (0, 0, 0)), grid, working), shape)
    return Case(
        kind,
        to_grid(phantom.ct, shape, working, outside=-1000),
        to_grid(phantom.lungs, shape, working, order="nearest"),
        on_grid(drawn, shape),
        (x, y, z),
        equivalent_diameter_mm(volume),
    )


def on_grid(patch: Patch | None, shape: tuple[int, int, int]) -> MaskArray:
    """The part of a patch on a grid."""
    mask = np.zeros(shape, bool)
    if patch and (inside := clipped(patch, shape)):
        mask[inside.box] = inside.mask
    return mask


def dice_by_method(case: Case) -> dict[str, float]:
    """Dice of each method."""
    size, shape = case.diameter_mm, case.ct.shape
    bounds = (case.ct, case.centre, SMALLEST * size, LARGEST * size)
    start = time.process_time()
    followed = wand(*bounds, diameter_mm=size, lungs=case.lungs)
    seconds = time.process_time() - start
    masks = dict(
        zip(
            SOLID,
            (
                on_grid(ball(case.centre, size, case.ct.geometry), shape),
                on_grid(followed.patch, shape),
                on_grid(wand(*bounds, diameter_mm=size).patch, shape),
                on_grid(wand(*bounds, lungs=case.lungs).patch, shape),
            ),
            strict=True,
        )
    )
    found = {name: count(mask, case.truth).dice for name, mask in masks.items()}
    z, y, x = case.ct.geometry.to_index(case.centre).tolist()
    k = round(z)
    rows, columns = np.indices(shape[1:])
    flat = (
        (rows - y) ** 2 + (columns - x) ** 2 <= (size / 2) ** 2,
        masks["wand"][k],
        dark_ring(case.ct.array[k].astype(float), (y, x), 2.0, size + 2),
    )
    found |= {name: count(m, case.truth[k]).dice for name, m in zip(FLAT, flat, strict=True)}
    return found | {"seconds": seconds, "fell back": float(bool(followed.fallback))}


def dark_ring(image: FloatArray, centre: tuple[float, float], low: float, high: float) -> MaskArray:
    """Mask of Cell Magic Wand on -HU: inside the darkest closed path around a point.

    The path is found by dynamic programming in polar coordinates; nine start points vote.
    """
    angles = np.linspace(0, 2 * np.pi, max(16, int(4 * np.pi * high)), endpoint=False)
    radii = np.arange(low, max(high, low + 2) + 0.5)
    rows, columns = np.indices(image.shape)
    votes = np.zeros(image.shape, int)
    for shift in np.ndindex(3, 3):
        y, x = (c + 2.0 * (s - 1) for c, s in zip(centre, shift, strict=True))
        at = (y + np.outer(np.sin(angles), radii), x + np.outer(np.cos(angles), radii))
        polar = map_coordinates(image, at, order=1, mode="nearest")
        # Two turns, of which the second is used: its start fits its end.
        total, back = np.zeros(len(radii)), []
        for column in np.concatenate([polar, polar]):
            wide = np.pad(total, 1, constant_values=np.inf)
            choices = np.stack([wide[:-2], wide[1:-1], wide[2:]])
            back.append(choices.argmin(axis=0) - 1)
            total = column + choices.min(axis=0)
        k = int(total.argmin())
        path = []
        for step in reversed(back):
            path.append(radii[k])
            k += int(step[k])
        ring = np.array(path[: len(angles)])[::-1]
        turn = np.arctan2(rows - y, columns - x) % (2 * np.pi)
        reach = np.interp(turn, angles, ring, period=2 * np.pi)
        votes += np.hypot(rows - y, columns - x) <= reach
    return np.asarray(votes >= 5)


def measure(nodules: int, seed: int) -> tuple[list[Case], list[dict[str, float]]]:
    """Every nodule in every kind of scene (without images), and its Dice by method."""
    cases, results = [], []
    for number, (nodule, spacing) in enumerate(sample(nodules, seed)):
        for kind in KINDS:
            made = case(nodule, spacing, kind, seed * 1000 + number)
            if made:
                results.append(dice_by_method(made))
                empty = made.ct.crop((slice(0, 1), slice(0, 1), slice(0, 1)))
                cases.append(Case(kind, empty, empty, made.truth, made.centre, made.diameter_mm))
    return cases, results


def summary(cases: list[Case], results: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean of each method over all, by kind, by size."""
    chosen: dict[str, Any] = {"all": np.ones(len(cases), bool)}
    chosen |= {kind: np.array([c.kind == kind for c in cases]) for kind in KINDS}
    size = np.array([c.diameter_mm for c in cases])
    chosen |= {f"{a:g} to {b:g} mm": (size >= a) & (size < b) for a, b in SIZES}
    table = {}
    for name, which in chosen.items():
        if which.any():
            part = [r for r, take in zip(results, which, strict=True) if take]
            table[name] = {"scenes": float(len(part))}
            table[name] |= {k: float(np.mean([r[k] for r in part])) for k in results[0]}
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodules", type=int, default=40, help="nodules, each in four scenes")
    parser.add_argument("--seed", type=int, default=11, help="seed of the sample")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    table = summary(*measure(arguments.nodules, arguments.seed))
    if arguments.json:
        print(json.dumps(table))
        return
    names = (*SOLID, *FLAT)
    print(f"{'mean Dice':18}{'scenes':>7}" + "".join(f"{name:>19}" for name in names))
    for row, means in table.items():
        print(f"{row:18}{means['scenes']:7.0f}" + "".join(f"{means[n]:19.3f}" for n in names))
    every = table["all"]
    print(
        f"wand: {every['seconds']:.3f} CPU-s per nodule; a ball instead: {every['fell back']:.1%}"
    )
    if every["wand"] < 0.85 or any(m["wand"] <= m["ball"] for m in table.values()):
        raise SystemExit("the wand is below 0.85, or not better than the ball everywhere")


if __name__ == "__main__":
    main()
