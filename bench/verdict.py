"""How many wrong lung masks the verdict calls suspect, fault by fault, and how many sound ones.

    python -m bench.verdict [--json] [--turned]

Masks of the stage on phantoms and on scans ($LUNGSEG_TEST_DATA, $LUNGSEG_PUBLIC_SCANS) that are
sound, and the same masks with one fault put in. Each row is a fault: masks, and share suspect. The
lung net is asked as the stage asks it, and adds nothing to a mask with a fault. With --turned the
real scans are turned and tilted, four times each, and what their masks are called is all that is
printed: scans on which nothing was set.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from bench.airless_lung import KINDS, without_air
from bench.lungs import DATA
from bench.on_working_grid import working_scans
from lungseg.model.lung_net.opinion import SHIPPED, ask
from lungseg.ops.grid.blocks import Zoom, block_factors, block_mean, block_spacing
from lungseg.ops.grid.morphology import components, dilate_mm, sizes
from lungseg.ops.lungs.find import Lungs
from lungseg.ops.lungs.in_blocks import in_blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT, Sides
from lungseg.ops.lungs.outside_air import separate_body_air
from lungseg.ops.lungs.verdict import judge
from lungseg.phantom.anatomy import Build
from lungseg.phantom.cases import case
from lungseg.phantom.chest import Chest
from lungseg.phantom.render import render
from lungseg.phantom.small_chest import chest, grid
from lungseg.stages.segment_lungs import SegmentLungs, is_known_to_nets, lungs_and_region
from lungseg.volume import HU, MaskArray, Volume

PUBLIC = os.environ.get("LUNGSEG_PUBLIC_SCANS", "")
DRAWN = ("lctsc_case0_ct.nii.gz", "lctsc_case3_ct.nii.gz", "cip64_ct.nrrd")
# Phantoms whose masks are sound, whatever else is in the chest.
SOUND_CASES = ("sound", "sound-1", "sound-5", "bullae", "giant-bulla", "bulla-on-diaphragm")


# As crooked as patients lie.
TURN_DEGREES, TILT_DEGREES = 8, 4


@dataclass(frozen=True, eq=False)
class Masked:
    """A scan and its mask: what the verdict is about."""

    name: str
    ct: Volume[HU]
    lungs: Lungs
    reasons: tuple[str, ...]

    def reasons_of(self, ct: Volume[HU], labels: Sides) -> tuple[str, ...]:
        """Reasons to doubt another mask, or the same of the scan made ill."""
        mask, lungs = ct.like(labels), self.lungs
        asked = is_known_to_nets(ct)
        likely = ask(in_blocks(ct, mask), SHIPPED).max(axis=0) if asked else None
        verdict = judge(ct, mask, lungs.threshold_hu, lungs.airways_ml, likely=likely)
        return verdict.reasons


def segmented(name: str, ct: Volume[HU], view: MaskArray | None = None) -> Masked:
    lungs, verdict = lungs_and_region(ct, view, SegmentLungs())
    return Masked(name, ct, lungs, verdict.reasons)


Fault = Callable[[Masked], Sides | tuple[Volume[HU], Sides] | None]


def sides_of(labels: Sides, added: MaskArray) -> Sides:
    """Labels with `added` given to the side it lies on."""
    columns = np.flatnonzero((labels > 0).any(axis=(0, 1)))
    right = np.arange(labels.shape[2]) < columns.mean()
    side = np.where(right, np.uint8(RIGHT), np.uint8(LEFT))
    return np.asarray(np.where(added & (labels == 0), side, labels), np.uint8)


def height(labels: Sides) -> tuple[int, int]:
    slices = np.flatnonzero((labels > 0).any(axis=(1, 2)))
    return int(slices[0]), int(slices[-1]) + 1


def air_inside(scan: Masked) -> MaskArray:
    """Empty air inside the body that is not in the mask."""
    ct = scan.ct
    factors = block_factors(ct.spacing_mm, 3.0)
    coarse = block_mean(ct.array, factors)
    found = separate_body_air(coarse, -500.0, block_spacing(ct.spacing_mm, factors)).inside
    inside = Zoom(ct.shape, factors).whole(found)
    near = dilate_mm(scan.lungs.labels.array > 0, 2.0, ct.spacing_mm)
    return np.asarray((ct.array < -880) & ~near & inside)


def largest_part(mask: MaskArray, least_ml: float, voxel_ml: float) -> MaskArray | None:
    found, count = components(mask, 6)
    if count == 0:
        return None
    voxels = sizes(found, count)
    voxels[0] = 0
    best = int(voxels.argmax())
    return np.asarray(found == best) if voxels[best] * voxel_ml >= least_ml else None


def bowel_gas(scan: Masked) -> Sides | None:
    labels = scan.lungs.labels.array
    low, high = height(labels)
    air = air_inside(scan)
    air[low + 4 * (high - low) // 10 :] = False
    gas = largest_part(air, 30.0, scan.ct.voxel_ml)
    return None if gas is None else sides_of(labels, gas)


def trachea(scan: Masked) -> Sides | None:
    labels = scan.lungs.labels.array
    low, high = height(labels)
    air = air_inside(scan)
    air[: low + 5 * (high - low) // 10] = False
    columns = np.flatnonzero((labels > 0).any(axis=(0, 1)))
    third = (columns[-1] - columns[0]) // 3
    air[:, :, : columns[0] + third] = air[:, :, columns[-1] - third :] = False
    tube = largest_part(air, 5.0, scan.ct.voxel_ml)
    return None if tube is None else sides_of(labels, tube)


def lobe(side: int, *, lower: bool) -> Fault:
    """The part of a lung behind and below an oblique plane is missing, or the other one."""

    def without(scan: Masked) -> Sides | None:
        labels = scan.lungs.labels.array.copy()
        mine = labels == side
        if not mine.any():
            return None
        z, y = (np.flatnonzero(mine.any(axis=axes)) for axes in ((1, 2), (0, 2)))
        up = (np.arange(labels.shape[0]) - z[0]) / np.ptp(z)
        back = (np.arange(labels.shape[1]) - y[0]) / np.ptp(y)
        below = (up[:, None] < 0.8 * back[None])[:, :, None]
        labels[mine & (below if lower else ~below)] = 0
        return labels

    return without


def one_lung(side: int) -> Fault:
    return lambda scan: np.where(
        scan.lungs.labels.array == side, np.uint8(0), scan.lungs.labels.array
    )


def cut(part: float, *, top: bool) -> Fault:
    def shorter(scan: Masked) -> Sides | None:
        labels = scan.lungs.labels.array.copy()
        low, high = height(labels)
        if top:
            labels[high - round(part * (high - low)) :] = 0
        else:
            labels[: low + round(part * (high - low))] = 0
        return labels

    return shorter


def table(scan: Masked) -> Sides | None:
    """Air between back and table: behind the body's last tissue in front of the table's shell."""
    labels, ct = scan.lungs.labels.array, scan.ct
    low, high = height(labels)
    rows = np.flatnonzero((labels > 0).any(axis=(0, 2)))
    columns = np.flatnonzero((labels > 0).any(axis=(0, 1)))
    box = (slice(low, high), slice(rows[-1], rows[-1] + round(110 / ct.spacing_mm[1])),
           slice(columns[0], columns[-1]))  # fmt: skip
    dark = ct.array[box] < -700
    gap = largest_part(dark & (labels[box] == 0), 30.0, ct.voxel_ml)
    if gap is None:
        return None
    added = np.zeros(labels.shape, bool)
    added[box] = gap
    return sides_of(labels, added)


def spilled_out(scan: Masked) -> Sides | None:
    """Air within 25 mm in front of the skin, over the lower third of the lungs."""
    labels, ct = scan.lungs.labels.array, scan.ct
    low, high = height(labels)
    columns = np.flatnonzero((labels > 0).any(axis=(0, 1)))
    box = (slice(low, low + (high - low) // 3), slice(None), slice(columns[0], columns[-1]))
    skin = (ct.array[box] > -300).argmax(axis=1)[:, None]
    rows = np.arange(ct.shape[1])[None, :, None]
    near = (rows < skin) & (rows >= skin - round(25.0 / ct.spacing_mm[1]))
    added = np.zeros(labels.shape, bool)
    added[box] = near & (ct.array[box] < -500)
    spilt_ml = np.count_nonzero(added) * ct.voxel_ml
    return sides_of(labels, added) if spilt_ml > 30 else None


def into_tissue(scan: Masked) -> Sides | None:
    labels = scan.lungs.labels.array
    grown = dilate_mm(labels > 0, 14.0, scan.ct.spacing_mm)
    return sides_of(labels, grown)


def swapped(scan: Masked) -> Sides | None:
    labels = scan.lungs.labels.array
    return np.asarray(np.where(labels > 0, 3 - labels, 0), np.uint8)


def airless(kind: str, *sides: int) -> Fault:
    return lambda scan: without_air(scan.ct, scan.lungs.labels.array, kind, sides)


FAULTS: dict[str, Fault] = {
    "sound": lambda scan: scan.lungs.labels.array,
    "bowel gas joined": bowel_gas,
    "trachea inside": trachea,
    "right lower lobe missing": lobe(RIGHT, lower=True),
    "right upper lobe missing": lobe(RIGHT, lower=False),
    "left lower lobe missing": lobe(LEFT, lower=True),
    "left upper lobe missing": lobe(LEFT, lower=False),
    "right lung missing": one_lung(RIGHT),
    "left lung missing": one_lung(LEFT),
    "cut at the top": cut(0.25, top=True),
    "cut at the bottom": cut(0.25, top=False),
    "air before the table inside": table,
    "spilled outside": spilled_out,
    "14 mm of tissue inside": into_tissue,
    "right and left swapped": swapped,
    **{
        f"{kind}, {name}": airless(kind, *sides)
        for kind in KINDS
        for name, sides in (("right", (RIGHT,)), ("left", (LEFT,)))
    },
    "small effusion, both": airless("small effusion", RIGHT, LEFT),
    "lower lobe solid, both": airless("lower lobe solid", RIGHT, LEFT),
}


def phantoms() -> Iterator[Masked]:
    """Phantoms of different bodies and nuisances, segmented."""
    found: list[tuple[str, Volume[HU]]] = [(name, case(name).ct) for name in SOUND_CASES]
    found += [
        ("contrast, arms down", chest(contrast=True, arms_down=True, seed=1).ct),
        ("noise, open trachea", chest(noise_hu=40.0, open_trachea=True, seed=2).ct),
        ("lungs cut by the scan", chest(z_range_mm=(-60.0, 80.0), seed=3).ct),
        ("padding", chest(padding_hu=-2000, seed=4).ct),
    ]
    shape, geometry = grid((3.0, 3.0, 3.0), (-190.0, 160.0), (300.0, 384.0))
    for k, (right_mm, left_mm, scale) in enumerate(
        ((-50.0, -70.0, 0.85), (-85.0, -80.0, 1.1), (-60.0, -95.0, 1.0), (-95.0, -62.0, 0.95))
    ):
        body = Chest(
            build=Build(dome_right_mm=right_mm, dome_left_mm=left_mm),
            scale_xyz=(scale, scale, scale),
            seed=5 + k,
        )
        found.append((f"body {k + 1}", render(body, shape, geometry).ct))
    for name, ct in found:
        yield segmented(f"phantom: {name}", ct)


def scans() -> Iterator[Masked]:
    """Scans of the folders named, segmented at 1 mm."""
    paths = [DATA / "lungs" / name for name in DRAWN] if DATA.is_dir() else []
    if PUBLIC:
        paths += sorted(Path(PUBLIC).glob("LIDC*"))
    for name, working, view in working_scans(paths):
        yield segmented(name, working, view)


def turned() -> Iterator[Masked]:
    """The same scans, each turned about the body's axis and tilted to a side, both ways."""
    for scan in scans():
        for turn in (-TURN_DEGREES, TURN_DEGREES):
            for tilt in (-TILT_DEGREES, TILT_DEGREES):
                about_z = ndimage.rotate(
                    scan.ct.array, turn, axes=(1, 2), reshape=False, order=1, cval=-1000
                )
                array = ndimage.rotate(
                    about_z, tilt, axes=(0, 2), reshape=False, order=1, mode="nearest"
                )
                yield segmented(f"{scan.name} {turn:+d} {tilt:+d}", scan.ct.like(array))


def measure(masked: Iterator[Masked]) -> Iterator[dict[str, Any]]:
    """One row per scan and fault."""
    for scan in masked:
        for name, fault in FAULTS.items():
            made = fault(scan)
            if made is None:
                continue
            ct, labels = made if isinstance(made, tuple) else (scan.ct, made)
            reasons = scan.reasons if name == "sound" else scan.reasons_of(ct, labels)
            yield {"scan": scan.name, "fault": name, "reasons": list(reasons)}


def _is_phantom(row: dict[str, Any]) -> bool:
    return str(row["scan"]).startswith("phantom")


def main() -> None:
    """Print the table, then what was missed and what was a false alarm."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--turned", action="store_true", help="sound masks of turned scans alone")
    arguments = parser.parse_args()
    if arguments.turned:
        for scan in turned():
            print(f"{scan.name:40} {'; '.join(scan.reasons) or 'good'}", flush=True)
        return
    as_json = arguments.json
    rows = []
    for source in (phantoms(), scans()):
        for row in measure(source):
            rows.append(row)
            if as_json:
                print(json.dumps(row), flush=True)
    if as_json:
        return
    for kinds in ("phantom", ""):
        print(f"\n{kinds or 'real scan'}s")
        for fault in FAULTS:
            these = [
                r for r in rows
                if r["fault"] == fault and _is_phantom(r) == bool(kinds)
            ]  # fmt: skip
            caught = sum(bool(r["reasons"]) for r in these)
            print(f"  {fault:30} {caught:3} of {len(these):3} suspect")
            for row in these:
                if bool(row["reasons"]) == (fault == "sound"):
                    print(f"      {row['scan']:32} {'; '.join(row['reasons']) or 'good'}")
        wrong = [r for r in rows if r["fault"] != "sound" and _is_phantom(r) == bool(kinds)]
        share = sum(bool(r["reasons"]) for r in wrong) / max(1, len(wrong))
        print(f"  all faults: {share:.3f} of {len(wrong)} suspect")


if __name__ == "__main__":
    main()
