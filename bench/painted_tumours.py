"""How much of tumours put into sound scans the lungs hold, anywhere at the lungs' surface.

    python -m bench.painted_tumours SCAN... [--each 12] [--seed 0] [--opinion always]
        [--net FILE] [--tumour-net FILE] [--scores scores.json]

A point of a lung's surface, a size and a depth are drawn by chance; what of the ball lies in that
lung turns solid. Many a place is none that a tumour would choose, and beside heart and great
vessels nobody could tell its edge without contrast medium: the figures are for comparing methods.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.on_working_grid import working_scans
from lungseg.model.shipping.card import Score, Scores
from lungseg.ops.grid.neighbours import shrink
from lungseg.ops.scores.detection import interval
from lungseg.stages.segment_lungs import SegmentLungs, lungs_and_region, segment
from lungseg.volume import HU, FloatArray, HuArray, MaskArray, Volume

DIAMETERS_MM = (15.0, 20.0, 30.0, 40.0, 55.0, 70.0)
SOLID_HU, SPREAD_HU = 40.0, 15.0
# Less of the ball than this in the lung is no tumour of it.
LEAST_SHARE = 0.4
# How far around a point of the surface the lung is looked at, mm.
AROUND_MM = 20
# Nearer to the middle of the lungs than this is the mediastinum's side, mm.
MEDIAL_MM = 60.0


@dataclass(frozen=True, kw_only=True)
class Tumour:
    """Where a tumour sits, and the shares of it in the mask and in the search region."""

    place: str
    diameter_mm: float
    ml: float
    share: float
    in_region: float


@dataclass(frozen=True, kw_only=True)
class Painted(Tumour):
    """A tumour, the scan it was painted into, and what the verdict says besides."""

    scan: str
    reasons: tuple[str, ...]


Some = TypeVar("Some", bound=Tumour)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("scans", nargs="*", type=Path)
    arguments.add_argument("--each", type=int, default=12, help="tumours a scan")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--opinion", default="always", choices=("always", "doubt", "never"))
    arguments.add_argument("--net", default="", help="default: the one that comes with the package")
    arguments.add_argument("--tumour-net", default="", help="default: as above")
    arguments.add_argument("--scores", type=Path, help="write what `models pack` takes")
    options = arguments.parse_args()
    params = SegmentLungs(
        second_opinion=options.opinion, lung_net=options.net, tumour_net=options.tumour_net
    )
    rng = np.random.default_rng(options.seed)
    rows = []
    for name, ct, view in working_scans(options.scans):
        for row in painted(name, ct, view, params, rng, options.each):
            rows.append(row)
            print(f"{row.scan:24} {row.place:8} {row.diameter_mm:3.0f} mm {row.ml:6.1f} ml "
                  f"{row.share:.2f} {row.in_region:.2f}  {'; '.join(row.reasons)[:80]}",
                  flush=True)  # fmt: skip
    _tell(rows)
    if options.scores:
        options.scores.write_text(json.dumps(asdict(_scores(rows)), indent=1) + "\n")


def grouped(rows: list[Some]) -> dict[str, list[Some]]:
    """All rows, those of each place, and those of each size."""
    groups: dict[str, list[Some]] = defaultdict(list)
    for row in rows:
        for group in ("all", row.place, f"{row.diameter_mm:.0f} mm"):
            groups[group].append(row)
    return groups


def _scores(rows: list[Painted]) -> Scores:
    """Shares of the tumours in the mask, with bootstrap intervals."""
    rng = np.random.default_rng(0)
    measured = []
    for group, those in sorted(grouped(rows).items()):
        shares = np.array([row.share for row in those])
        means = rng.choice(shares, (1000, len(shares))).mean(axis=1)
        low, high = (round(end, 3) for end in interval(means) or ())
        measured.append(
            Score(name=f"share inside: {group}", of=f"{len(those)} painted tumours",
                  value=float(np.round(shares.mean(), 3)), cases=len(those), low=low, high=high)
        )  # fmt: skip
    return Scores(
        net="Scored was this net, with all else of `segment-lungs`, on scans of patients that it "
        "did not learn from, with tumours painted into them; a painted tumour is no real one.",
        intervals="95 % of bootstrap samples of the tumours.",
        measured=measured,
    )


def _tell(rows: list[Painted]) -> None:
    for group, those in grouped(rows).items():
        shares = np.array([row.share for row in those])
        lost = [row for row in those if row.share < 0.9]
        told = sum(bool(row.reasons) for row in lost)
        print(f"{group:8} {len(those):3}: {shares.mean():.2f} inside, "
              f"{(shares >= 0.95).mean():.2f} of them by 0.95 and more; "
              f"of {len(lost)} below 0.9 {told} are suspect; "
              f"{np.mean([row.in_region for row in those]):.2f} in the search region")  # fmt: skip


def painted(  # noqa: PLR0913, PLR0917 - a scan, how it is segmented, and what chance gives it
    name: str,
    ct: Volume[HU],
    view: MaskArray | None,
    params: SegmentLungs,
    rng: np.random.Generator,
    count: int,
) -> Iterator[Painted]:
    """Tumours of one scan, one at a time."""
    sound, before = segment(ct, view, SegmentLungs(second_opinion="never"))
    labels = sound.array
    lung = labels > 0
    surface = np.argwhere(lung & ~shrink(lung))
    middle_x = float(np.median(np.nonzero(lung[::4, ::4, ::4])[2])) * 4
    while count:
        diameter = float(rng.choice(DIAMETERS_MM))
        point = surface[rng.integers(len(surface))].astype(float)
        inward = _inward(lung, point)
        centre = point + inward * rng.uniform(0.2, 1.0) * diameter / 2
        radii = diameter / 2 * rng.uniform(0.8, 1.2, 3)
        ill, tumour = _with_ball(ct.array, labels == labels[tuple(point.astype(int))],
                                 centre, radii, rng)  # fmt: skip
        if tumour.sum() < LEAST_SHARE * 4 / 3 * np.pi * np.prod(radii):
            continue
        count -= 1
        found, verdict = lungs_and_region(ct.like(ill), view, params)
        new = tuple(reason for reason in verdict.reasons if reason not in before.reasons)
        yield Painted(
            scan=name,
            place=_place(point, inward, middle_x),
            diameter_mm=diameter,
            ml=float(tumour.sum()) * ct.voxel_ml,
            share=float((found.labels.array[tumour] > 0).mean()),
            in_region=float(found.region.array[tumour].mean()),
            reasons=new,
        )


def _inward(lung: MaskArray, point: FloatArray) -> FloatArray:
    """Way from a point of the surface into the lung, of length 1."""
    low = np.maximum(point - AROUND_MM, 0).astype(int)
    high = np.minimum(point + AROUND_MM + 1, lung.shape).astype(int)
    near = lung[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    way = (np.argwhere(near) + low - point).mean(axis=0)
    return np.asarray(way / max(float(np.linalg.norm(way)), 1e-6))


def _place(point: FloatArray, inward: FloatArray, middle_x: float) -> str:
    if abs(inward[0]) > 0.6:
        return "base" if inward[0] > 0 else "apex"
    return "medial" if abs(point[2] - middle_x) < MEDIAL_MM else "costal"


def _with_ball(
    hu: HuArray, lung: MaskArray, centre: FloatArray, radii: FloatArray, rng: np.random.Generator
) -> tuple[HuArray, MaskArray]:
    """HU with a solid ellipsoid in the lung, softly outlined; and the ellipsoid within the lung."""
    grid = np.ogrid[tuple(slice(0, n) for n in hu.shape)]
    squares = (((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True))
    away = np.sqrt(sum(s.astype(np.float32) for s in squares))
    soft = np.clip((1.15 - away) / 0.15, 0, 1) * lung
    solid = rng.normal(SOLID_HU, SPREAD_HU, hu.shape)
    return (hu * (1 - soft) + soft * solid).astype(np.int16), (away < 1) & lung


if __name__ == "__main__":
    main()
