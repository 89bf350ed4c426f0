"""How much of tumours in phantoms the lungs hold, by place and by size.

    python -m bench.phantom_tumours [--seeds 4] [--opinion always]

Two tumours a chest, of 15 to 70 mm: free in the lung, on a vessel, at wall, hilum, diaphragm and
apex. Another seed is another chest: other vessels, noise, and shapes of the tumours.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from bench.painted_tumours import Tumour, grouped
from lungseg.phantom.cases import CASES, case, organ
from lungseg.stages.segment_lungs import SegmentLungs, lungs_and_region


@dataclass(frozen=True, kw_only=True)
class InPhantom(Tumour):
    """A tumour, and the tissue in its chest's mask, ml."""

    tissue_ml: float


def main() -> None:
    """Print a line a tumour, and then means."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--seeds", type=int, default=4)
    arguments.add_argument("--opinion", default="always", choices=("always", "doubt", "never"))
    options = arguments.parse_args()
    rows = []
    for one in _tumours(options.seeds, options.opinion):
        rows.append(one)
        print(f"{one.place:10} {one.diameter_mm:3.0f} mm {one.ml:6.1f} ml  "
              f"inside {one.share:.2f}  region {one.in_region:.2f}", flush=True)  # fmt: skip
    for group, those in grouped(rows).items():
        shares = np.array([one.share for one in those])
        print(f"{group:10} {len(those):3}: {shares.mean():.3f} inside, least {shares.min():.2f}, "
              f"{(shares >= 0.95).sum()} of them by 0.95 and more; "
              f"{np.mean([one.in_region for one in those]):.3f} in the search region; heart, liver "
              f"and spine {np.mean([one.tissue_ml for one in those]):.0f} ml")  # fmt: skip


def _tumours(seeds: int, opinion: str) -> Iterator[InPhantom]:
    params = SegmentLungs(second_opinion=opinion)
    names = [name for name in CASES if name.startswith("tumour-")]
    for name, seed in product(names, range(seeds)):
        phantom = case(name, seed=seed)
        lungs, _ = lungs_and_region(phantom.ct, None, params)
        mask, region, ml = lungs.labels.array > 0, lungs.region.array, phantom.ct.voxel_ml
        tissue = [organ(phantom, part) for part in ("heart", "liver", "spine")]
        tissue_ml = sum(np.count_nonzero(mask & part) for part in tissue) * ml
        words = name.split("-")[1:]
        for number, (place, diameter) in enumerate(zip(words[::2], words[1::2], strict=True)):
            part = phantom.nodules.array == number + 1
            yield InPhantom(
                place=place,
                diameter_mm=float(diameter),
                ml=float(np.count_nonzero(part)) * ml,
                share=float(mask[part].mean()),
                in_region=float(region[part].mean()),
                tissue_ml=tissue_ml,
            )


if __name__ == "__main__":
    main()
