"""The net and its patients: the split, the curves of training, and which net it is."""

from typing import TYPE_CHECKING, Any

from lungseg.commands.report.collect import Collected
from lungseg.commands.report.kept_files import json_of, number_of, rows_of
from lungseg.core.shown import many
from lungseg.report.charts import Labels, Line, curves, nice_ticks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PARTS = ("train", "validation", "test")
# Title, and the columns of the log that are drawn over each other, by name.
_CURVES = (
    ("Loss", (("loss", "training"), ("val_loss", "validation"))),
    ("Dice on validation patients", (("val_dice", "voxels"), ("val_slice_dice", "mean of slices"))),
    ("Voxels of validation patients",
     (("val_sensitivity", "sensitivity"), ("val_precision", "precision"))),
)  # fmt: skip


def split_file(around: Collected) -> dict[str, Any]:
    """What the split says; empty if there is none."""
    return json_of(around.folder("split-patients"), "split.json")


def split_of(around: Collected) -> list[dict[str, Any]]:
    """Patients, scans and nodules of each part; empty if there is no split."""
    split = split_file(around)
    if not split:
        return []
    facts = around.dataset["split-patients"].record
    counts: Mapping[str, Any] = facts.facts if facts else {}
    by_scan: Sequence[str] = list(split.get("scans", {}).values())
    parts = split.get("parts", {})
    return [
        {
            "part": part,
            "patients": len(parts.get(part, ())),
            "scans": by_scan.count(part),
            "nodules": counts.get(f"{part}_nodules"),
        }
        for part in (*_PARTS, *(name for name in parts if name not in _PARTS))
    ]


def training_curves(around: Collected) -> list[dict[str, Any]]:
    """Charts of the training's log, as far as it has their columns."""
    folder = around.folder("train")
    rows = [row for row in rows_of(folder, "log.csv") if number_of(row.get("epoch")) is not None]
    step = around.dataset.get("train")
    best = step.record.facts.get("best_epoch") if step and step.record else None
    charts = []
    for title, names in _CURVES:
        lines = []
        for series, (column, name) in enumerate(names, 1):
            points = [
                (float(row["epoch"]), value)
                for row in rows
                if (value := number_of(row.get(column))) is not None
            ]
            if points:
                x, y = zip(*points, strict=True)
                lines.append(Line(name, x, y, series, dots=len(points) < 2))
        # Of one validation there is no curve; its figures stand in the record of the training.
        if any(len(line.x) > 1 for line in lines):
            said = f"best epoch {best} of {len(rows)}" if best else many(len(rows), "epoch")
            last = max(float(row["epoch"]) for row in rows)
            ticks = sorted({1.0, *nice_ticks(1, last, 6), last}) if last > 1 else ()
            chart = curves(lines, Labels(f"{title} by epoch", "epoch", ""), ticks)
            charts.append({"title": title, "said": said, "chart": chart, "lines": lines})
    return charts


def net_told(around: Collected) -> str:
    """Which net predicts, in a line without paths; empty without one."""
    net = around.session.net
    if net is None:
        return ""
    own = net.file.resolve().is_relative_to(around.session.work.resolve())
    return "the net trained in this work folder" if own else f"the net {net.file.name}"
