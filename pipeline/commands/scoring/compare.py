"""`lungseg-cli compare`: two or more results side by side, on the same scans and nodules."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lungseg.commands.scoring.compared_pictures import write_compared
from lungseg.commands.scoring.outcomes import Result, ScoredBy, read_results
from lungseg.core.errors import DataError
from lungseg.core.json_file import json_text
from lungseg.core.shown import many
from lungseg.io.results.score_files import plain
from lungseg.ops.scores.comparison import (
    Measured,
    NoduleOutcome,
    common_nodules,
    difference,
    measure,
    threshold_at,
)

SEED = 1
PICTURES = "compared"
TITLES = {
    "cpm": "CPM",
    "sensitivity": "sensitivity, all",
    "false_positives_per_scan": "false positives a scan",
    "dice": "Dice per nodule",
}


@dataclass(frozen=True, kw_only=True)
class HowToCompare:
    """What is compared, and how.

    Attributes
    ----------
    bootstraps
        Draws of scans for the intervals.
    at
        False positives per scan at which a nodule is found or missed; None: any candidate counts.
    common
        Compare what all results have, instead of refusing others.
    pictures
        Folder for pictures of nodules that not all found; None: in the first work folder.
    """

    bootstraps: int = 1000
    at: float | None = None
    common: bool = False
    pictures: Path | None = None


def compare(places: Sequence[Path], how: HowToCompare, scored_by: ScoredBy, as_json: bool) -> str:
    """Compare, write pictures, and say it: what `lungseg-cli compare` does."""
    document = compared(read_results(places, scored_by), how)
    return json_text(plain(document)) if as_json else "\n".join(_lines(document))


def compared(results: Sequence[Result], how: HowToCompare) -> dict[str, Any]:
    """The document: figures of each result, differences from the first, nodules not all found.

    Raises
    ------
    DataError
        If the results are not of the same scans and nodules.
    """
    alike, left_out = _alike(results, how)
    scans = list(alike[0].scans)
    measured = [measure(list(one.scans.values()), how.bootstraps, SEED) for one in alike]
    notes = [note for one in alike for note in one.notes]
    document: dict[str, Any] = {
        "scans": len(scans),
        "nodules": alike[0].nodules,
        "bootstraps": how.bootstraps,
        "at_false_positives_per_scan": how.at,
        "results": [
            {"name": one.name, "kind": one.kind} | {name: m.value for name, m in figures.items()}
            for one, figures in zip(alike, measured, strict=True)
        ],
        "differences": [
            {"of": one.name, "from": alike[0].name, **_differences(measured[0], figures)}
            for one, figures in zip(alike[1:], measured[1:], strict=True)
        ],
        "found_by_some": _found_by_some(alike, how),
        "notes": list(dict.fromkeys([*left_out, *notes])),
    }
    first = next((one.work for one in alike if one.work is not None), Path())
    document["notes"] += write_compared(
        document["found_by_some"], alike, how.pictures or first / PICTURES
    )
    return document


def _differences(one: Mapping[str, Measured], other: Mapping[str, Measured]) -> dict[str, Any]:
    return {name: difference(one[name], other[name]) for name in one if name in other}


def _alike(results: Sequence[Result], how: HowToCompare) -> tuple[list[Result], list[str]]:
    """The results with scans and nodules in one order, and what was left out in words."""
    scans = [s for s in sorted(results[0].scans) if all(s in one.scans for one in results)]
    rows = {scan: common_nodules([one.scans[scan].nodules for one in results]) for scan in scans}
    nodules = sum(len(same) for same in rows.values())
    others = any(len(one.scans) != len(scans) or one.nodules != nodules for one in results)
    told = ", ".join(
        f"{one.name} has {many(len(one.scans), 'scan')} with {many(one.nodules, 'nodule')}"
        for one in results
    )
    common = f"{many(len(scans), 'scan')} and {many(nodules, 'nodule')} are in all of them"
    if others and not how.common:
        raise DataError(
            f"the results are not of the same scans and nodules: {told}; {common}. Score them on "
            "the same scans by the same truth, or compare what all have with --common"
        )
    if not nodules:
        raise DataError(f"there is no nodule to compare by: {told}; {common}")
    alike = [
        replace(
            one,
            scans={s: one.scans[s].of([row[k] for row in rows[s]]) for s in scans},
        )
        for k, one in enumerate(results)
    ]
    return alike, [f"compared is what all have: {told}; {common}"] if others else []


def _found_by_some(results: Sequence[Result], how: HowToCompare) -> list[dict[str, Any]]:
    """Nodules that some found and others missed, the largest first."""
    least = [
        -math.inf if how.at is None else threshold_at(list(one.scans.values()), how.at)
        for one in results
    ]
    rows = []
    for scan in results[0].scans:
        for k, nodule in enumerate(results[0].scans[scan].nodules):
            of_all = [one.scans[scan].nodules[k] for one in results]
            found = [_found(n, at) for n, at in zip(of_all, least, strict=True)]
            if any(found) and not all(found):
                rows.append(_row(scan, nodule, results, of_all, found))
    return sorted(rows, key=lambda row: (-(row["diameter_mm"] or 0), row["scan"]))


def _found(nodule: NoduleOutcome, least: float) -> bool:
    return not math.isnan(nodule.probability) and nodule.probability >= least


def _row(
    scan: str,
    nodule: NoduleOutcome,
    results: Sequence[Result],
    of_all: Sequence[NoduleOutcome],
    found: Sequence[bool],
) -> dict[str, Any]:
    names = [one.name for one in results]
    return {
        "scan": scan,
        "xyz_mm": list(nodule.xyz_mm),
        "diameter_mm": nodule.diameter_mm,
        "found_by": [name for name, yes in zip(names, found, strict=True) if yes],
        "missed_by": [name for name, yes in zip(names, found, strict=True) if not yes],
        "probability": {n: one.probability for n, one in zip(names, of_all, strict=True)},
        "picture": None,
    }


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    results, differences = told["results"], told["differences"]
    yield f"{many(told['scans'], 'scan')}, {many(told['nodules'], 'nodule')} in all results"
    for k, one in enumerate(results):
        yield f"  {_letter(k)}  {one['name']} ({one['kind']})"
    heads = [f"{_letter(k):>10}" for k in range(len(results))]
    heads += [f"{_letter(k)} - A (95 % interval)".rjust(30) for k in range(1, len(results))]
    yield f"{'':26}{''.join(heads)}"
    for name in differences[0]:
        if name in {"of", "from"}:
            continue
        cells = [_cell(one[name]).rjust(10) for one in results]
        cells += [_change(one[name]).rjust(30) for one in differences]
        yield f"{_title(name):26}{''.join(cells)}"
    if any(change["cpm"]["interval"] for change in differences):
        yield f"intervals: {told['bootstraps']} draws of scans, the same for all results"
    at = told["at_false_positives_per_scan"]
    price = "" if at is None else f", at {at:g} false positives a scan"
    yield f"nodules that not all found{price}: {len(told['found_by_some'])}"
    for row in told["found_by_some"]:
        place = ", ".join(f"{mm:.1f}" for mm in row["xyz_mm"])
        size = f", {row['diameter_mm']:.1f} mm" if row["diameter_mm"] else ""
        yield f"  {row['scan']} at ({place}) mm{size}: found by {', '.join(row['found_by'])}; " + (
            f"missed by {', '.join(row['missed_by'])}"
            + (f"; {row['picture']}" if row["picture"] else "")
        )
    yield from (f"note: {note}" for note in told["notes"])


def _letter(k: int) -> str:
    return chr(ord("A") + k) if k < 26 else f"R{k + 1}"


def _title(name: str) -> str:
    rate = name.removeprefix("sensitivity_at_")
    return TITLES.get(name) or f"sensitivity at {rate} a scan"


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _change(told: Mapping[str, Any]) -> str:
    if math.isnan(told["value"]):
        return "-"
    bounds = told["interval"]
    return f"{told['value']:+.4f}" + (f" ({bounds[0]:+.4f} {bounds[1]:+.4f})" if bounds else "")
