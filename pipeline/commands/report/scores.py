"""The scores that `evaluate` left: figures, the FROC with its band, and tables; read by name.

What a file does not have is not shown: scores of other versions have more or less.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lungseg.commands.report.collect import Collected
from lungseg.commands.report.kept_files import json_of, number_of, rows_of
from lungseg.commands.report.score_tables import is_pair, part_of, score_tables, share
from lungseg.core.shown import many
from lungseg.ops.scores.detection import RATES
from lungseg.report.charts import Labels, Line, curves


def scores_of(around: Collected) -> dict[str, Any]:
    """What the first page tells of the scores; empty if there are none."""
    folder = around.folder("evaluate")
    told = json_of(folder, "scores.json")
    if folder is None or not told:
        return {}
    if told.get("scans") == 1:
        told = _without_bands(told)
    detection = part_of(told, "detection")
    lines = _reliability(part_of(told, "calibration"))
    return {
        "of": _of(told),
        "reason": detection.get("reason") or part_of(told, "segmentation").get("reason"),
        "figures": _figures(told),
        "froc": _froc(folder, detection),
        "froc_lines": _froc_lines(detection),
        "rates": list(_rates(detection)),
        "reliability": lines and curves(
            lines, Labels("Share of nodules over score", "score", "share of nodules"),
            (0, 0.2, 0.4, 0.6, 0.8, 1),
        ),
        "reliability_lines": lines,
        "tables": score_tables(told),
    }  # fmt: skip


def _without_bands(told: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of one scan: its draws, as earlier versions made them, say nothing of a band."""
    detection = part_of(told, "detection")
    known = {name: value for name, value in detection.items() if "interval" not in name}
    return {**told, "detection": known}


def hits_by_scan(around: Collected) -> dict[str, dict[str, Any]]:
    """By scan, its hits, false positives and Dice."""
    rows = {}
    for row in scored_rows(around, "per_scan.csv"):
        values = {name: number_of(row.get(name)) for name in ("hits", "false_positives", "dice")}
        rows[row.get("seriesuid", "")] = values
    return rows


def scored_rows(around: Collected, name: str) -> list[dict[str, str]]:
    """The rows of one of the files that `evaluate` leaves; none if it is not there."""
    return rows_of(around.folder("evaluate"), name)


def _of(told: Mapping[str, Any]) -> str:
    seen = (
        "; patients that the net was trained on are among them"
        if told.get("includes_training_patients")
        else ""
    )
    readers = told.get("min_readers")
    drawn = f" that {readers} or more annotators drew" if readers else ""
    return (
        f"{many(told.get('nodules', '?'), 'nodule')}{drawn}, in "
        f"{many(told.get('scans', '?'), 'scan')} of part {told.get('part', '?')}{seen}"
    )  # fmt: skip


def _figures(told: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    detection, segmentation = part_of(told, "detection"), part_of(told, "segmentation")
    pooled, nodule = part_of(segmentation, "pooled"), part_of(segmentation, "mean_per_nodule")
    interval: Any = detection.get("cpm_interval")
    band = f"({interval[0]:.2f} to {interval[1]:.2f})" if is_pair(interval) else ""
    return [
        ("CPM", share(detection.get("cpm")), band),
        ("CPM before the reducer", share(part_of(detection, "before_reducer").get("cpm")), ""),
        ("Nodules found", detection.get("hits"), f"of {detection.get('nodules', '?')}"),
        ("False positives", detection.get("false_positives_per_scan"), "a scan"),
        ("Dice, voxels pooled", share(pooled.get("dice")), ""),
        ("Dice, mean of nodules", share(nodule.get("dice")), ""),
    ]


def _froc(folder: Path, detection: Mapping[str, Any]) -> Any:
    rows = [] if detection.get("reason") else rows_of(folder, "froc.csv")
    points = [
        (a, b)
        for row in rows
        if (a := number_of(row.get("fp_per_scan"))) is not None
        and (b := number_of(row.get("sensitivity"))) is not None
    ]
    if not points:
        return ""
    best: dict[float, float] = {}
    for rate, sensitivity in points:
        best[rate] = max(sensitivity, best.get(rate, 0.0))
    x = sorted(best)
    rates = [row for row in _rates(detection) if row[2] is not None and row[3] is not None]
    curve = Line(
        "FROC", x, [best[rate] for rate in x], steps=True,
        band_x=[float(row[0]) for row in rates], band=[(row[2], row[3]) for row in rates],
    )  # fmt: skip
    at = [row for row in _rates(detection) if row[1] is not None]
    marks = Line(
        "sensitivity", [float(r[0]) for r in at], [r[1] for r in at], dots=True, joined=False
    )
    labels = Labels(
        "FROC: sensitivity over false positives per scan", "false positives per scan", "sensitivity"
    )
    return curves([curve, marks, *_before(detection)], labels, RATES, log=True)


def _before(detection: Mapping[str, Any]) -> Iterator[Line]:
    """The curve of the candidates before a reducer judged them, where one did."""
    at = part_of(part_of(detection, "before_reducer"), "sensitivity_at")
    known = [(float(rate), value) for rate, value in at.items() if value is not None]
    if known:
        x, y = zip(*known, strict=True)
        yield Line("before the reducer", x, y, series=2)


def _froc_lines(detection: Mapping[str, Any]) -> list[Line]:
    """What the legend names, if there is more than one curve."""
    before = list(_before(detection))
    return [Line("with the reducer", (), ()), *before] if before else []


def _rates(detection: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any, Any]]:
    bounds = part_of(detection, "sensitivity_at_interval")
    for rate, value in part_of(detection, "sensitivity_at").items():
        low, high = bounds[rate] if is_pair(bounds.get(rate)) else (None, None)
        yield rate, value, low, high


def _reliability(calibration: Mapping[str, Any]) -> list[Line]:
    lines = []
    for series, name in enumerate(("score", "calibrated"), 1):
        one = part_of(calibration, name)
        if one.get("predicted"):
            lines.append(Line(name, one["predicted"], one["observed"], series, dots=True))
    if lines:
        lines.append(Line("as it should be", (0.0, 1.0), (0.0, 1.0), 3))
    return lines
