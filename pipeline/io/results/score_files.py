"""Scores on disk: JSON for the whole, CSV with one row per scan or per nodule."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.json_file import write_json
from lungseg.io.annotations.nodule_list import Nodule, NoduleList
from lungseg.io.results.candidate_list import Detection
from lungseg.ops.scores.counts import Counts
from lungseg.ops.scores.detection import Froc, ScanHits, radius_mm
from lungseg.ops.scores.nodules import NoduleScore
from lungseg.ops.scores.segmentation import NoduleOverlap

SCAN_COLUMNS = (
    "seriesuid", "patient", "part", "truth", "nodules", "candidates", "hits", "false_positives",
    "ignored", "duplicates", "target_ml", "marked_ml", "dice",
)  # fmt: skip
NODULE_COLUMNS = (
    "seriesuid", "patient", "part", "label", "coordX", "coordY", "coordZ", "diameter_mm",
    "readers", "truth", "hit", "probability", "distance_mm", "radius_mm", "dice", "sensitivity",
    "texture", "side", "third", "edge_mm", "with_annotators", "annotators_with_annotators",
    "asd_mm", "hd95_mm",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scored:
    """One scan and what came of it; `beside` has scores with single annotators, by label."""

    scan: str
    patient: str
    part: str
    truth: NoduleList
    nodules: tuple[Nodule, ...]
    detections: tuple[Detection, ...]
    hits: ScanHits
    hits_before: ScanHits
    counts: Counts
    overlaps: tuple[NoduleOverlap, ...]
    voxel_ml: float
    beside: Mapping[int, NoduleScore] = field(default_factory=dict)


def write_scores(document: Mapping[str, Any], path: Path) -> None:
    """Write scores as JSON; numbers to six digits, NaN as null."""
    write_json(plain(document), path)


def write_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], path: Path) -> None:
    """Write a table as CSV; numbers to six digits, NaN and None as empty cells."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(
            [["" if (v := plain(cell)) is None else v for cell in row] for row in rows]
        )


def plain(value: Any) -> Any:
    """What JSON can hold: numbers to six digits, NaN as None, arrays' numbers as Python's."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def write_tables(scored: Sequence[Scored], curve: Froc, out: Path) -> None:
    """Write ``per_scan.csv``, ``per_nodule.csv`` and ``froc.csv`` into the folder `out`."""
    scans, nodules = [], []
    for s in scored:
        n_hits = int((s.hits.best >= 0).sum())
        n_target = s.counts.true_positive + s.counts.false_negative
        n_marked = s.counts.true_positive + s.counts.false_positive
        dice = s.counts.dice if n_target else None
        scans.append(
            (s.scan, s.patient, s.part, s.truth.truth, len(s.nodules), len(s.detections), n_hits,
             len(s.hits.false), s.hits.ignored, s.hits.duplicates, n_target * s.voxel_ml,
             n_marked * s.voxel_ml, dice)
        )  # fmt: skip
        for nodule, best, overlapped in zip(s.nodules, s.hits.best, s.overlaps, strict=True):
            place = np.asarray(nodule.centroid_xyz_mm)
            hit = s.detections[best] if best >= 0 else None
            nodules.append(
                (s.scan, s.patient, s.part, nodule.label, *nodule.centroid_xyz_mm,
                 nodule.diameter_mm, nodule.readers, nodule.truth, hit is not None,
                 hit.probability if hit else None,
                 float(np.linalg.norm(hit.xyz_mm - place)) if hit else None,
                 radius_mm(nodule.diameter_mm), overlapped.dice, overlapped.sensitivity,
                 nodule.ratings_median.get("texture"), nodule.side, nodule.third, nodule.edge_mm,
                 *_beside(s.beside.get(nodule.label)))
            )  # fmt: skip
    write_rows(SCAN_COLUMNS, scans, out / "per_scan.csv")
    write_rows(NODULE_COLUMNS, nodules, out / "per_nodule.csv")
    points = zip(curve.threshold, curve.fp_per_scan, curve.sensitivity, strict=True)
    write_rows(("threshold", "fp_per_scan", "sensitivity"), list(points), out / "froc.csv")


def _beside(score: NoduleScore | None) -> tuple[float | None, ...]:
    """The last four columns of a nodule's line."""
    if score is None:
        return (None,) * 4
    between = score.between_annotators
    return (
        float(np.mean(score.with_annotators)), float(np.mean(between)) if between else None,
        score.surface.asd_mm, score.surface.hd95_mm,
    )  # fmt: skip
