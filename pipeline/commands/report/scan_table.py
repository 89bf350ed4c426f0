"""The table of scans: its columns, its rows, and the buttons that choose among them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lungseg.commands.report.collect import Collected, ScanEntry
from lungseg.io.annotations.nodule_list import UNANNOTATED

# Key, title, kind of cell, and whether it holds sentences.
_COLUMNS = (
    ("scan", "Scan", "scan", False),
    ("state", "State", "badge", False),
    ("verdict", "Lungs", "badge", False),
    ("part", "Part", "text", False),
    ("lung_ml", "Lungs, ml", "number", False),
    ("below_950", "Below -950 HU, %", "number", False),
    ("slices", "Slices", "number", False),
    ("spacing_z_mm", "Slice, mm", "number", False),
    ("truth", "Truth", "text", False),
    ("nodules", "Nodules", "number", False),
    ("largest_mm", "Largest, mm", "number", False),
    ("candidates", "Candidates", "number", False),
    ("best_score", "Best score", "number", False),
    ("hits", "Hits", "number", False),
    ("false_positives", "False pos.", "number", False),
    ("dice", "Dice", "number", False),
    ("reasons", "What to look at", "long", True),
)
_CHIPS = (("state", "State"), ("verdict", "Lungs"), ("part", "Part"), ("truth", "Truth"))


def scan_table(around: Collected, scored: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Columns that some scan has, rows for the page's script, and buttons for the short ones.

    Parameters
    ----------
    around
        The work folder.
    scored
        By scan, its line of the scores.
    """
    parts = _parts(around)
    values = [_values(one, parts, scored.get(one.scan, {})) for one in around.scans]
    kept = [
        column for column in _COLUMNS if any(v.get(column[0]) not in {None, ""} for v in values)
    ]
    chips = []
    for key, title in _CHIPS:
        counts = Counter(str(v[key]) for v in values if v.get(key))
        if len(counts) > 1 and any(column[0] == key for column in kept):
            chips.append({"column": key, "title": title, "choices": counts.most_common()})
    return {
        "columns": [
            {"key": k, "title": t, "kind": kind, "long": long} for k, t, kind, long in kept
        ],
        # The first two are the page's name and the whole id, which no column shows.
        "rows": [
            [one.name, one.scan, *(v.get(column[0]) for column in kept)]
            for one, v in zip(around.scans, values, strict=True)
        ],
        "chips": chips,
    }


def _values(one: ScanEntry, parts: Mapping[str, str], scored: Mapping[str, Any]) -> dict[str, Any]:
    lungs, ingest = one.facts("segment-lungs"), one.facts("ingest")
    truth, found = one.facts("annotate-nodules"), one.facts("reduce-false-positives")
    known = truth.get("truth") != UNANNOTATED
    below = one.facts("write-lungs").get("share_below_950")
    reasons = [remark.reason for remark in one.remarks] or [one.reason]
    return {
        "scan": f"{one.patient} {one.short}".strip(),
        "state": one.state,
        "part": parts.get(one.scan, ""),
        "verdict": lungs.get("verdict"),
        "lung_ml": None if lungs["lung_ml"] is None else round(lungs["lung_ml"]),
        "below_950": None if below is None else round(100 * below, 1),
        **{name: ingest.get(name) for name in ("slices", "spacing_z_mm")},
        "truth": truth.get("truth"),
        # No count where nobody looked: 0 would be said of scans that were read.
        "nodules": truth.get("nodules") if known else None,
        "largest_mm": (truth.get("largest_mm") or None) if known else None,
        **{name: found.get(name) for name in ("candidates", "best_score")},
        **{name: scored.get(name) for name in ("hits", "false_positives", "dice")},
        "reasons": "; ".join(reason for reason in reasons if reason),
    }


def _parts(around: Collected) -> dict[str, str]:
    """Which part of the split a scan is in, or was for the net that predicted it."""
    from lungseg.commands.report.learning import split_file

    split: Mapping[str, Any] = split_file(around)
    by_scan = dict(split.get("scans", {}))
    for one in around.scans:
        part = one.facts("predict").get("part")
        if one.scan not in by_scan and part in {"train", "validation"}:
            by_scan[one.scan] = f"{part} (seen)"
    return by_scan
