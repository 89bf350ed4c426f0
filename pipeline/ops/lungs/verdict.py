"""Facts about a lung mask, and whether it is to be trusted."""

from dataclasses import dataclass

import numpy as np

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import components, sizes
from lungseg.ops.lungs.airless.missing import airless_doubts
from lungseg.ops.lungs.bowel.gas import gas_doubts
from lungseg.ops.lungs.doubts import doubts
from lungseg.ops.lungs.in_blocks import in_blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT, Sides
from lungseg.volume import F32, HU, Box, Volume

Scalar = str | int | float | bool | None

# Right over left volume; about 1.1 in healthy lungs, beyond these bounds one is ill or cut.
RATIO = (0.5, 2.2)
# Largest share of a mask that is not air; vessels and rim make 0.05 to 0.12.
MOST_SOFT_SHARE = 0.25
# Mean HU of a mask; lungs lie between -880 (deep breath, emphysema) and -650.
MEAN_HU = (-960.0, -550.0)
# Largest volume of two lungs, ml.
MOST_ML = 11_000.0
# Lungs this high in the scan show the trachea too, mm.
TRACHEA_ABOVE_MM = 120.0
# Most parts that two lungs may have; those smaller than CRUMB_ML do not count.
CRUMB_ML = 2.0
MOST_PARTS = 4
# A scan whose first or last slice shows more lung than this has cut the lungs, cm2. The tips of
# sound lungs, which many scans just touch, are smaller.
CUT_CM2 = 30.0


@dataclass(frozen=True)
class Verdict:
    """Facts about one mask, as the record holds them, and the reasons to doubt it.

    Attributes
    ----------
    facts, reasons
        By name; and sentences.
    lung_missing
        One of the reasons is that lung seems to be missing: a side, or what holds no air.

    Examples
    --------
    >>> Verdict({"lung_ml": 4000.0}, ()).as_facts()
    {'lung_ml': 4000.0, 'verdict': 'good', 'reasons': ''}
    """

    facts: dict[str, Scalar]
    reasons: tuple[str, ...]
    lung_missing: bool = False

    def as_facts(self) -> dict[str, Scalar]:
        """Facts with ``verdict``, good or suspect, and ``reasons`` in one string."""
        word = "suspect" if self.reasons else "good"
        return {**self.facts, "verdict": word, "reasons": "; ".join(self.reasons)}


def judge(  # noqa: PLR0913, PLR0917 - a scan, its mask, and what is known of both
    ct: Volume[HU],
    labels: Volume[np.uint8],
    threshold_hu: float,
    trachea_ml: float,
    aired: Sides | None = None,
    likely: F32 | None = None,
) -> Verdict:
    """Facts about the mask `labels` (1 right, 2 left) of `ct`, and reasons to doubt it.

    Density is measured on those voxels of the mask that are lung in `aired` too, labels
    ``(z, y, x)`` on the same grid; by default on all. `likely` is a net's probability of lung on
    the blocks of `in_blocks`, ``(z, y, x)``, where one was asked: see `missing_lung`, `gas_doubts`
    and `doubts`.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> grid = Geometry((10.0, 10.0, 10.0))
    >>> labels = Volume(np.zeros((12, 10, 20), np.uint8), grid)
    >>> labels.array[1:11, :, :10] = RIGHT
    >>> ct = labels.like(np.where(labels.array > 0, -850, 40).astype(HU))
    >>> verdict = judge(ct, labels, threshold_hu=-400.0, trachea_ml=20.0)
    >>> verdict.facts["lung_ml"], verdict.reasons
    (1000.0, ('only a right lung was found (1000 ml)',))
    >>> verdict.as_facts()["verdict"]
    'suspect'
    """
    box = bounding_box(labels.array)
    if box is None:
        return Verdict({"lung_ml": 0.0}, ("the mask is empty",), lung_missing=True)
    part, hu = labels.array[box], ct.array[box]
    voxels = int(np.count_nonzero(part))
    right_ml, left_ml = (
        int(np.count_nonzero(part == side)) * labels.voxel_ml for side in (RIGHT, LEFT)
    )
    # Density is measured on every other slice: the same to the digits given, in half the time.
    judged = part[::2] > 0
    if aired is not None:
        judged &= aired[box][::2] > 0
    values = hu[::2][judged]
    values = values if len(values) else hu[part > 0]
    soft = int(np.count_nonzero(values > threshold_hu)) / len(values)
    mean_hu = float(values.mean(dtype=np.float64))
    ratio = right_ml / left_ml if left_ml > 0 else None
    parts = _parts(labels, box)
    sides = any(s.start == 0 or s.stop == n for s, n in zip(box[1:], labels.shape[1:], strict=True))
    facts: dict[str, Scalar] = {
        "lung_ml": round(voxels * labels.voxel_ml, 1),
        "right_ml": round(right_ml, 1),
        "left_ml": round(left_ml, 1),
        "right_left_ratio": None if ratio is None else round(ratio, 3),
        "components": parts,
        "touches_top": box[0].stop == labels.shape[0],
        "touches_bottom": box[0].start == 0,
        "touches_sides": sides,
        "soft_tissue_share": round(soft, 4),
        "mean_hu": round(mean_hu, 1),
        "threshold_hu": round(threshold_hu, 1),
        "trachea_ml": round(trachea_ml, 1),
    }
    one_sided = _one_sided(right_ml, left_ml)
    reasons = [*one_sided, *_too_large(right_ml + left_ml)]
    if soft > MOST_SOFT_SHARE:
        reasons.append(f"{soft:.0%} of the mask is soft tissue (at most {MOST_SOFT_SHARE:.0%})")
    if not MEAN_HU[0] <= mean_hu <= MEAN_HU[1]:
        reasons.append(
            f"mean density is {mean_hu:.0f} HU, not between {MEAN_HU[0]:.0f} and {MEAN_HU[1]:.0f}"
        )
    if parts > MOST_PARTS:
        reasons.append(f"{parts} separate parts (at most {MOST_PARTS})")
    height_mm = (box[0].stop - box[0].start) * labels.spacing_mm[0]
    if trachea_ml <= 0 and height_mm > TRACHEA_ABOVE_MM:
        reasons.append("no trachea was found; it may be in the mask")
    seen = in_blocks(ct, labels)
    reasons += doubts(seen, likely)
    reasons += gas_doubts(seen, threshold_hu, likely)
    airless = airless_doubts(seen, likely)
    reasons += airless
    reasons += cut_doubts(labels)
    return Verdict(facts, tuple(reasons), lung_missing=bool(one_sided or airless))


def _one_sided(right_ml: float, left_ml: float) -> list[str]:
    lung_ml = right_ml + left_ml
    if min(right_ml, left_ml) < 0.02 * lung_ml:
        side = "right" if right_ml > left_ml else "left"
        return [f"only a {side} lung was found ({lung_ml:.0f} ml)"]
    ratio = right_ml / left_ml
    if RATIO[0] <= ratio <= RATIO[1]:
        return []
    return [
        f"right lung has {ratio:.2f} times the volume of the left, not {RATIO[0]} to {RATIO[1]}"
    ]


def _too_large(lung_ml: float) -> list[str]:
    if lung_ml <= MOST_ML:
        return []
    return [f"{lung_ml:.0f} ml are more than two lungs hold ({MOST_ML:.0f})"]


def _parts(labels: Volume[np.uint8], lungs: Box) -> int:
    """Connected parts larger than a crumb, both lungs by themselves; seen at half resolution."""
    z, y, x = (slice(s.start // 2 * 2, s.stop, 2) for s in lungs)
    coarse = np.ascontiguousarray(labels.array[z, y, x])
    count = 0
    for side in (RIGHT, LEFT):
        box = bounding_box(coarse == side)
        if box is None:
            continue
        found, n = components(coarse[box] == side, connectivity=26)
        count += int((sizes(found, n)[1:] * 8 * labels.voxel_ml > CRUMB_ML).sum())
    return count


def cut_doubts(labels: Volume[np.uint8]) -> list[str]:
    """Sentences on lungs that the scan's first or last slice cuts.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> labels = Volume(np.zeros((10, 20, 20), np.uint8), Geometry((5.0, 5.0, 5.0)))
    >>> labels.array[:8, 5:15, 2:18] = LEFT
    >>> cut_doubts(labels)
    ['cut at the bottom: 40 cm2 of lung on the first slice']
    """
    pixel_cm2 = labels.spacing_mm[1] * labels.spacing_mm[2] / 100
    ends = (("bottom", "first", labels.array[0]), ("top", "last", labels.array[-1]))
    found = []
    for end, nth, axial in ends:
        cm2 = float(np.count_nonzero(axial)) * pixel_cm2
        if cm2 > CUT_CM2:
            found.append(f"cut at the {end}: {cm2:.0f} cm2 of lung on the {nth} slice")
    return found
