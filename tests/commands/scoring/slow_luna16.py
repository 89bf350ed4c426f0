"""LUNA16's rules the slow way: dictionaries, a loop over pairs, scikit-learn's ROC.

Written from what the script of the challenge does, as an oracle: every list is gone through in
full, nothing is shared with the package.
"""

import csv
import math

import numpy as np
from sklearn.metrics import roc_curve

RATES = [0.125, 0.25, 0.5, 1, 2, 4, 8]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def place(row):
    return [float(row[name]) for name in ("coordX", "coordY", "coordZ")]


def within(candidate, finding):
    diameter = float(finding["diameter_mm"])
    if diameter < 0:
        diameter = 10.0
    apart = sum(math.pow(a - b, 2) for a, b in zip(place(finding), place(candidate), strict=True))
    return apart < math.pow(diameter / 2, 2)


def kept(candidates, most):
    """Of more candidates than `most`, those above the first that is one too many."""
    if len(candidates) <= most:
        return candidates
    at = sorted((float(c["probability"]) for c in candidates), reverse=True)[most]
    return [c for c in candidates if float(c["probability"]) > at]


def slow_scores(folder, most=100):
    """Counts and sensitivities of A, E, S and R.csv in a folder."""
    listed = {name: rows(folder / f"{name}.csv") for name in "AER"}
    scans = (folder / "S.csv").read_text().split()
    counts = dict.fromkeys(
        ("tp", "fp", "fn", "candidates", "nodules", "ignored_excluded", "ignored_double"), 0
    )
    is_nodule, probability = [], []
    for scan in scans:
        of = {name: [row for row in listed[name] if row["seriesuid"] == scan] for name in "AER"}
        candidates = kept(of["R"], most)
        left = dict(enumerate(candidates))
        counts["candidates"] += len(candidates)
        for nodule in of["A"]:
            counts["nodules"] += 1
            near = [k for k, c in enumerate(candidates) if within(c, nodule)]
            for k in near:
                left.pop(k, None)
            if near:
                counts["tp"] += 1
                counts["ignored_double"] += len(near) - 1
                is_nodule.append(1)
                probability.append(max(float(candidates[k]["probability"]) for k in near))
            else:
                counts["fn"] += 1
        for other in of["E"]:
            for k in [k for k, c in left.items() if within(c, other)]:
                del left[k]
                counts["ignored_excluded"] += 1
        counts["fp"] += len(left)
        is_nodule += [0] * len(left)
        probability += [float(c["probability"]) for c in left.values()]
    return counts, sensitivities(is_nodule, probability, counts["nodules"], len(scans))


def sensitivities(is_nodule, probability, nodules, scans):
    """At seven rates; 0 where nothing is hit, of which a ROC knows nothing."""
    found = sum(is_nodule)
    if not found:
        return [0.0] * len(RATES)
    false_rate, hit_rate, _ = roc_curve(is_nodule, probability)
    false = len(is_nodule) - found
    per_scan = false_rate * false / scans if false else np.zeros(len(false_rate))
    return np.interp(RATES, per_scan, hit_rate * found / nodules)
