"""`lungseg-cli froc`: any submission in LUNA16's form, scored by the rules of its script."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lungseg.commands.scoring.submission import read_truth, score_submission
from lungseg.core.json_file import json_text
from lungseg.core.shown import many
from lungseg.io.results.plots import BAND_RATES, write_froc
from lungseg.io.results.score_files import plain
from lungseg.ops.scores.detection import RATES, ScoredCandidates, bootstrap
from lungseg.ops.scores.detection_scores import detection_scores

SEED = 1


def froc(  # noqa: PLR0913 - what the command line takes
    *,
    annotations: Path,
    excluded: Path | None,
    seriesuids: Path | None,
    results: Path,
    max_marks: int,
    bootstraps: int,
    plot: Path | None,
    as_json: bool,
) -> str:
    """Score, write the plot if it is asked for, and say it: what `lungseg-cli froc` does."""
    truth = read_truth(annotations, excluded, seriesuids)
    scored = score_submission(results, truth, max_marks)
    scans = list(scored.hits.values())
    marks = ScoredCandidates(scans)
    curve = marks.froc()
    samples = bootstrap(marks, bootstraps, SEED, RATES + BAND_RATES if plot else RATES)
    told = detection_scores(scans, curve, samples[:, : len(RATES)], None)
    document = {
        "scans": len(scans),
        "candidates": scored.candidates,
        "nodules": told["nodules"],
        "tp": told["hits"],
        "fp": told["false_positives"],
        "fn": told["missed"],
        "ignored_excluded": told["ignored"],
        "ignored_double": told["duplicates"],
        "sensitivity": told["sensitivity_at"],
        "sensitivity_interval": told["sensitivity_at_interval"],
        "cpm": told["cpm"],
        "cpm_interval": told["cpm_interval"],
        "max_marks": max_marks,
        "bootstraps": bootstraps,
        "notes": list(scored.notes),
    }
    if plot is not None:
        plot.parent.mkdir(parents=True, exist_ok=True)
        title = f"{results.name}: {many(told['nodules'], 'nodule')} in {many(len(scans), 'scan')}; "
        write_froc(curve, samples[:, len(RATES) :], f"{title}CPM {curve.cpm:.3f}", plot)
    return json_text(plain(document)) if as_json else "\n".join(_lines(document))


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    names = ("scan", "nodule", "candidate")
    yield ", ".join(many(told[f"{name}s"], name) for name in names)
    yield (
        f"{many(told['tp'], 'nodule')} hit, {told['fn']} missed; "
        f"{many(told['fp'], 'false positive')}; "
        f"{many(told['ignored_double'], 'further hit')} on a nodule and {told['ignored_excluded']} "
        "on excluded findings ignored"
    )
    yield "false positives per scan   sensitivity"
    for rate, sensitivity in told["sensitivity"].items():
        yield f"{rate:>24}   {sensitivity:.4f}{in_brackets(told['sensitivity_interval'][rate])}"
    yield f"{'CPM':>24}   {told['cpm']:.4f}{in_brackets(told['cpm_interval'])}"
    if told["cpm_interval"]:
        yield f"in brackets what 95 % of {told['bootstraps']} draws of scans give"
    yield from (f"note: {note}" for note in told["notes"])


def in_brackets(interval: tuple[float, float] | None) -> str:
    """An interval as text behind its value; nothing without one."""
    return f" ({interval[0]:.4f}-{interval[1]:.4f})" if interval else ""
