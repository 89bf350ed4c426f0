"""Find nodules: probability per voxel -> candidates in world coordinates, masks on both grids.

reads   ingest/ct.h5 (its grid), resample/ct.h5 (its grid), segment-lungs/region.h5,
        predict/probability.h5, predict/net.json
writes  candidates.csv      LUNA16's columns, a diameter, and the calibrated probability where the
                            net knows it for these settings; most probable first
        nodules.h5          uint16, working grid; label k is the mask of the k-th candidate
        nodules_source.h5   the same on the source grid

A candidate is a 3-D region of the probability map, its slices joined where they touch or overlap,
in the search region and of a nodule's size; its voxels of at least `threshold` are its mask.
Regions that nowhere reach `threshold` are candidates without a mask: they extend the FROC curve to
more false positives and leave the segmentation as it is. Each label keeps its volume on the source
grid, however thick the slices.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungseg.core.errors import ConfigError, ScanError
from lungseg.core.record import read_record
from lungseg.core.stage import Facts, Params, ScanStage, param
from lungseg.io.results.candidate_list import NAME, write_candidates
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.resample import labels_to_grid
from lungseg.ops.nodules.bodies.candidates import (
    SCORES,
    Candidate,
    Search,
    find_candidates,
    two_means_threshold,
)
from lungseg.ops.scores.calibration import usable
from lungseg.steps.search_region import read_search_region
from lungseg.volume import AnyVolume, Volume


@dataclass(frozen=True, kw_only=True)
class FindNodules(Params):
    """Parameters of this stage."""

    threshold_method: str = param(
        "fixed",
        "how the mask's threshold is chosen; kmeans: halfway between two clusters of the scan's "
        "probabilities, but not below candidate_threshold",
        choices=("fixed", "kmeans"),
    )
    threshold: float = param(
        0.5, "voxels of at least this probability are in the mask (if fixed)", gt=0, le=1
    )
    candidate_threshold: float = param(
        0.1,
        "connected voxels of at least this probability, as the net gives it, form a region; of the "
        "candidate itself a reducer may say less",
        gt=0,
        le=1,
    )
    min_diameter_mm: float = param(
        3.0,
        "regions smaller than this, down to candidate_threshold, have no candidate; the mask in "
        "one, cut at threshold, may be smaller",
        ge=0,
    )
    max_diameter_mm: float = param(60.0, "larger regions are not candidates", gt=0)
    margin_mm: float = param(
        0.0,
        "how far outside the search region, which is wider than the lungs, a voxel may lie",
        ge=0,
    )
    max_candidates: int = param(
        100, "most candidates of a scan; the most probable are kept", ge=0, le=9999
    )
    smooth_mm: float = param(
        0.0, "standard deviation of the Gaussian along z that smooths probabilities first", ge=0
    )
    min_overlap: float = param(
        0.0,
        "regions of neighbouring slices are one candidate if they share this part of the smaller; "
        "0: if they touch",
        ge=0,
        le=1,
    )
    score: str = param(
        "top",
        "a candidate's probability: mean of its highest voxels, of all, of its slices' highest, or "
        "the highest",
        choices=SCORES,
    )
    score_mm: float = param(
        3.0, "ball whose number of voxels score = top takes, height that slices takes", gt=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.candidate_threshold > self.threshold:
            raise ConfigError(
                f"candidate_threshold {self.candidate_threshold:g} must not be above threshold "
                f"{self.threshold:g}; set both alike to get only candidates with a mask"
            )
        if self.min_diameter_mm >= self.max_diameter_mm:
            raise ConfigError(
                f"min_diameter_mm {self.min_diameter_mm:g} must be below max_diameter_mm "
                f"{self.max_diameter_mm:g}"
            )


def nodules_in(
    probability: Volume[np.uint16], region: AnyVolume, params: FindNodules
) -> tuple[Volume[np.uint16], list[Candidate], float]:
    """Label map, candidates, and the threshold of the masks.

    Parameters
    ----------
    probability : (z, y, x) uint16
        Probability times 65535.
    region : (z, y, x)
        Nonzero where nodules are looked for; on the same grid.
    params
        What counts as a candidate.
    """
    threshold = params.threshold
    if params.threshold_method == "kmeans":
        threshold = two_means_threshold(
            probability.array, region.array, floor=params.candidate_threshold
        )
    search = Search(
        threshold=threshold,
        candidate_threshold=params.candidate_threshold,
        min_diameter_mm=params.min_diameter_mm,
        max_diameter_mm=params.max_diameter_mm,
        margin_mm=params.margin_mm,
        most=params.max_candidates,
        smooth_mm=params.smooth_mm,
        min_overlap=params.min_overlap,
        score=params.score,
        score_mm=params.score_mm,
    )
    labels, candidates = find_candidates(probability, region.array, search)
    return labels, candidates, threshold


def run(params: FindNodules, inputs: Mapping[str, Path], out: Path) -> Facts:
    """Read, find, write."""
    scan = read_record(inputs["predict"]).scan
    probability = volume_file.read(inputs["predict"] / "probability.h5")
    region = read_search_region(inputs["segment-lungs"])
    grid = volume_file.read_geometry(inputs["resample"] / "ct.h5")
    for name, volume in (("probabilities", probability), ("search region", region)):
        if (volume.shape, volume.geometry) != grid:
            raise ScanError(
                f"the {name} lie on another grid ({volume.shape}, {volume.geometry}) than the "
                f"resampled scan {grid}; make them again with --force"
            )
    labels, candidates, threshold = nodules_in(probability, region, params)
    known = json.loads((inputs["predict"] / "net.json").read_text("utf-8")).get("calibration", {})
    write_candidates(scan, candidates, out / NAME, usable(known, dataclasses.asdict(params)))
    volume_file.write(labels, out / "nodules.h5")
    shape, geometry = volume_file.read_geometry(inputs["ingest"] / "ct.h5")
    volume_file.write(labels_to_grid(labels, shape, geometry), out / "nodules_source.h5")
    masked = [candidate for candidate in candidates if candidate.voxels]
    return {
        "candidates": len(candidates),
        "nodules": len(masked),
        "nodules_ml": round(sum(c.voxels for c in masked) * labels.voxel_ml, 3),
        "largest_mm": round(max((c.diameter_mm for c in candidates), default=0.0), 2),
        "best_score": round(max((c.probability for c in candidates), default=0.0), 4),
        "threshold": round(threshold, 4),
    }


STAGE = ScanStage(
    name="find-nodules",
    version=2,
    help="turn probabilities into masks and candidates with world coordinates",
    params=FindNodules,
    needs=("ingest", "resample", "segment-lungs", "predict"),
    run=run,
)
"""The stage, for `lungseg.flow`."""
