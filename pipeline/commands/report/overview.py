"""The first page: what was done with what, what to look at first, figures over all scans."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lungseg.commands.report.collect import Collected, Remark, ScanEntry, is_path
from lungseg.commands.report.learning import net_told, split_of, training_curves
from lungseg.commands.report.nodule_gallery import galleries
from lungseg.commands.report.scan_table import scan_table
from lungseg.commands.report.scores import hits_by_scan, scores_of
from lungseg.core.plan import FAILED, REUSE, SKIPPED
from lungseg.core.shown import many
from lungseg.report.charts import Labels, histogram
from lungseg.report.pages import INDEX, write_page
from lungseg.session.tally import DONE, NOT_DONE

_ORDER = (FAILED, "suspect", SKIPPED)
# Remarks that are seen without a click.
_SHOWN = 12
# Scans of one reason that are named without a click.
_NAMED = 4
# Fewer values are no distribution.
_FEWEST = 5
_STATES = (("done", {REUSE}), ("failed", {FAILED}), ("skipped", {SKIPPED}))


def write_overview(
    around: Collected,
    candidates: Mapping[str, Sequence[Mapping[str, float]]],
    out: Path,
    context: Mapping[str, Any],
) -> None:
    """Write the first page of the report `out`.

    Parameters
    ----------
    around
        The work folder.
    candidates
        Diameter and probability of each scan's candidates.
    out
        The report's folder; pages of scans are linked, whether they are there or not.
    context
        What all pages are told.
    """
    remarks = remarks_of(around)
    grouped = grouped_remarks(remarks)
    table = scan_table(around, hits_by_scan(around))
    states = Counter(one.state for one in around.scans)
    told = {
        "title": "Lungs and nodules",
        "lead": _lead(around),
        "figures": _figures(around, states),
        "remarks": grouped,
        "shown": _SHOWN,
        "counted": _counted(around, remarks),
        "scores": scores_of(around),
        "galleries": galleries(around, out),
        "histograms": list(_histograms(around, candidates)),
        "split": split_of(around),
        "training": training_curves(around),
        "net_told": net_told(around),
        "table": table,
        "states": [name for name, _ in _STATES] + [NOT_DONE],
        "stages": list(_stages(around)),
        "settings": [d for d in around.session.differences() if not is_path(d.value)],
        "steps": [s.told() for s in around.dataset.values() if s.state in {REUSE, FAILED}],
        "packages": _packages(around),
    }
    write_page("overview.html", told | dict(context), out / INDEX)


def remarks_of(around: Collected) -> list[Remark]:
    """What to look at, failures first, then suspects, then what was left out on purpose."""
    found = [remark for one in around.scans for remark in one.remarks]
    found += around.left_out
    for step in around.dataset.values():
        if step.state == FAILED:
            found.append(Remark(FAILED, f"all scans: {step.stage}", step.why))
    return sorted(found, key=lambda one: _ORDER.index(one.kind) if one.kind in _ORDER else 9)


def grouped_remarks(remarks: Sequence[Remark]) -> list[dict[str, Any]]:
    """Remarks of one kind with one reason as one, in the order of the first of each.

    Examples
    --------
    >>> told = [Remark("failed", who, "too few slices: 2") for who in ("A", "B")]
    >>> one, = grouped_remarks(told)
    >>> one["reason"], [remark.whose for remark in one["those"]]
    ('too few slices: 2', ['A', 'B'])
    """
    groups: dict[tuple[str, str, str], list[Remark]] = {}
    for remark in remarks:
        groups.setdefault((remark.kind, remark.reason, remark.remedy), []).append(remark)
    return [
        {"kind": kind, "reason": reason, "remedy": remedy, "those": those, "few": _NAMED}
        for (kind, reason, remedy), those in groups.items()
    ]


def _counted(around: Collected, remarks: Sequence[Remark]) -> str:
    counts = {
        FAILED: around.count.failed,
        "suspect": sum(remark.kind == "suspect" for remark in remarks),
        SKIPPED: around.count.skipped,
    }
    steps = [f"{step.stage} failed" for step in around.dataset.values() if step.state == FAILED]
    return ", ".join([*(f"{n} {kind}" for kind, n in counts.items() if n), *steps])


def _lead(around: Collected) -> str:
    patients = len({one.patient for one in around.scans})
    of = f" of {many(patients, 'patient')}" if patients else ""
    scans = f"{many(len(around.scans), 'scan')}{of}"
    beside = len(around.session.left_out)
    more = f", and beside them {beside} that {'are' if beside != 1 else 'is'} no scan"
    return f"{scans}{more if beside else ''}: {around.count}."


def _figures(around: Collected, states: Mapping[str, int]) -> list[tuple[str, Any, str]]:
    verdicts = Counter(one.facts("segment-lungs").get("verdict") for one in around.scans)
    no_scan = around.count.failed - states.get(FAILED, 0)
    truth = [f for one in around.scans if (f := one.facts("annotate-nodules"))]
    found = [f for one in around.scans if (f := one.facts("reduce-false-positives"))]
    annotated = [f for f in truth if f.get("truth") != "unannotated"]
    return [
        ("Scans done", states.get(DONE, 0), f"of {len(around.scans)}"),
        ("Failed", around.count.failed or None, f"{no_scan} of them no scan" if no_scan else ""),
        ("Lungs good", verdicts["good"] if sum(verdicts.values()) else None, ""),
        ("Lungs suspect", verdicts["suspect"] or None, ""),
        ("Annotated", len(annotated) if truth else None,
         "scan" if len(annotated) == 1 else "scans"),
        ("Nodules drawn", sum(int(f.get("nodules", 0)) for f in annotated) if truth else None, ""),
        ("Candidates", sum(int(f.get("candidates", 0)) for f in found) if found else None,
         f"in {many(len(found), 'scan')}"),
    ]  # fmt: skip


def _histograms(
    around: Collected, candidates: Mapping[str, Sequence[Mapping[str, float]]]
) -> Iterator[dict[str, Any]]:
    def numbers(stage: str, name: str) -> list[float]:
        values = [one.facts(stage).get(name) for one in around.scans]
        return [float(v) for v in values if isinstance(v, int | float)]

    every = [row for rows in candidates.values() for row in rows]
    wanted = (
        ("Lung volume", "scans", numbers("segment-lungs", "lung_ml"), "ml"),
        ("Slice distance", "scans", numbers("ingest", "spacing_z_mm"), "mm"),
        ("Largest nodule drawn", "scans with one",
         [v for v in numbers("annotate-nodules", "largest_mm") if v > 0], "mm"),
        ("Size of candidates", "candidates", [r["diameter_mm"] for r in every], "mm"),
        ("Score of candidates", "candidates", [r["probability"] for r in every], "score"),
    )  # fmt: skip
    for title, of, values, unit in wanted:
        known = sorted(v for v in values if v == v)  # noqa: PLR0124 - NaN is what is not itself
        if len(known) < _FEWEST:
            continue
        middle = known[len(known) // 2]
        told = f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}"
        said = f"{len(known)} {of}, median {told}{'' if unit == 'score' else f' {unit}'}"
        yield {
            "title": title,
            "said": said,
            "chart": histogram(known, Labels(f"{title}: {said}", unit, of)),
        }


def _stages(around: Collected) -> Iterator[dict[str, Any]]:
    for stage in around.stages:
        steps = [one.steps[stage] for one in around.scans if stage in one.steps]
        counts = [sum(step.state in those for step in steps) for _, those in _STATES]
        seconds = sorted(s.record.seconds for s in steps if s.record and s.state == REUSE)
        yield {
            "stage": stage,
            "counts": [*counts, len(steps) - sum(counts)],
            "seconds": seconds[len(seconds) // 2] if seconds else None,
        }


def _packages(around: Collected) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in around.scans:
        for step in one.steps.values():
            found |= dict(step.record.packages) if step.record else {}
        if found:
            break
    return found


def candidates_of(one: ScanEntry) -> list[dict[str, float]]:
    """Diameter and probability of a scan's candidates; empty without predictions."""
    rows = one.candidates() or ()
    return [{"diameter_mm": row.diameter_mm, "probability": row.probability} for row in rows]
