"""What `evaluate` tells of nodules: by groups, beside their annotators, and one by one."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lungseg.io.annotations.nodule_list import CONTOURS, Nodule
from lungseg.io.results.score_files import Scored
from lungseg.io.volumes import volume_file
from lungseg.ops.nodules.consensus import MOST_READERS
from lungseg.ops.scores.annotators import score_beside_annotators
from lungseg.ops.scores.groups import grouped, placed
from lungseg.ops.scores.nodules import NoduleScore, summary
from lungseg.ops.scores.strata import strata
from lungseg.volume import AnyVolume

DRAWN = "drawn.h5"


def groups_of_nodules(nodules: Sequence[Nodule]) -> dict[str, list[tuple[str, ...]]]:
    """The groups that each nodule is in, by kind: size, texture, side, third, edge."""
    texture = [n.ratings_median.get("texture", math.nan) for n in nodules]
    return grouped([n.diameter_mm for n in nodules], texture) | placed(
        [n.side for n in nodules], [n.third for n in nodules], [n.edge_mm for n in nodules]
    )


def detection_by_group(
    scored: Sequence[Scored], rounds: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Sensitivity and CPM by size, texture and place; groups without a nodule are left out."""
    of_scans = [groups_of_nodules(scan.nodules) for scan in scored]
    kinds = {kind: [of[kind] for of in of_scans] for kind in groups_of_nodules(())}
    return strata([scan.hits for scan in scored], kinds, rounds, seed)


def beside_annotators(
    folder: Path, marks: AnyVolume, labels: AnyVolume, nodules: Sequence[Nodule]
) -> dict[int, NoduleScore]:
    """Scores of the nodules of one scan of which `annotate-nodules` tells who drew what."""
    path = folder / DRAWN
    readings = {n.label: len(n.readings) for n in nodules if n.truth == CONTOURS}
    if not readings or not path.is_file():
        return {}
    drawn = volume_file.read(path)
    return score_beside_annotators(
        marks.array, labels.array, drawn.array, readings, labels.geometry
    )


def summary_beside_annotators(
    scored: Sequence[Scored], rounds: int, seed: int
) -> dict[str, Any] | None:
    """Scores against each annotator beside those of annotators with each other; None without."""
    left_out: Counter[str] = Counter()
    scores, patients, nodules = [], [], []
    for scan in scored:
        for nodule in scan.nodules:
            score = scan.beside.get(nodule.label)
            if score is None:
                many = len(nodule.readings) > MOST_READERS
                why = f"of more than {MOST_READERS} readings" if many else "single readings unknown"
                left_out[why] += 1
                continue
            scores.append(score)
            patients.append(scan.patient)
            nodules.append(nodule)
    if not scores:
        return None
    kinds = groups_of_nodules(nodules)
    texture = [n.ratings_median.get("texture", math.nan) for n in nodules]
    more = {kind: of for kind, of in kinds.items() if kind not in {"by_size", "by_texture"}}
    told = summary(scores, patients, texture, rounds, seed, more)
    return {"left_out": dict(left_out), **told}


def outcomes(scored: Sequence[Scored]) -> dict[str, Any]:
    """Scan by scan, what two results are compared by: each nodule's hit, and false positives.

    False positives are one text of probabilities, likeliest first: a line a scan, not thousands.
    """
    return {
        scan.scan: {
            "nodules": [
                {
                    "label": nodule.label,
                    "xyz_mm": [round(mm, 3) for mm in nodule.centroid_xyz_mm],
                    "diameter_mm": nodule.diameter_mm,
                    "probability": None if math.isnan(p) else p,
                    "dice": overlapped.dice,
                }
                for nodule, p, overlapped in zip(
                    scan.nodules, scan.hits.probability.tolist(), scan.overlaps, strict=True
                )
            ],
            "false_positives": " ".join(
                f"{p:.6g}" for p in sorted(scan.hits.false.tolist(), reverse=True)
            ),
        }
        for scan in scored
    }
