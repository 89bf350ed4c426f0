"""Score a nodule net nodule by nodule, on slices that several annotators drew on.

Nodules of patients that the net has seen are left out, as far as the net's own record tells, unless
they are asked for.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import ConfigError
from lungseg.core.fingerprint import digest_of_file
from lungseg.core.json_file import json_text
from lungseg.io.annotations.fold_file import read_asked
from lungseg.io.annotations.nodule_slices import find_nodule_slices
from lungseg.io.results.score_files import plain, write_rows, write_scores
from lungseg.io.sources.pseudonyms import key_above
from lungseg.model import inference
from lungseg.model.model_record import ModelRecord, read_model_record
from lungseg.model.nets import find_net
from lungseg.ops.nodules.probability import found_marks
from lungseg.ops.nodules.windows import SAME_Z_MM, NoduleSlices
from lungseg.ops.scores.nodules import NODULE_DEFINITIONS, NoduleScore, score_nodule, summary
from lungseg.steps.nodule_pictures import write_nodule_pictures
from lungseg.steps.nodule_ratings import textures
from lungseg.steps.predict_window import probability_in_window
from lungseg.volume import MaskArray

COLUMNS = (
    "patient", "seriesuid", "nodule", "part", "annotators", "diameter_mm", "texture", "dice",
    "dice_touching", "with_annotators", "annotators_with_annotators", "annotators_with_consensus",
    "consensus_voxels", "found_voxels", "common_voxels",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class HowToScore:
    """What is scored, and how.

    Attributes
    ----------
    part
        Whose nodules, by what the net has seen: ``test`` of patients it has not, ``validation``,
        ``train`` or ``all``.
    patients
        A CSV of patients (and, if it has them, their parts, of which ``test`` is taken); None: all.
    threshold
        Voxels of at least this probability are found; None: the net's own.
    sure
        Regions of them that nowhere are as likely as this are not; None: the net's own.
    mirrors
        Whether the mean of four mirrored answers is taken.
    draws, seed
        Draws of patients for the intervals.
    """

    part: str = "test"
    patients: Path | None = None
    threshold: float | None = None
    sure: float | None = None
    mirrors: bool = True
    draws: int = 1000
    seed: int = 1


@dataclass(frozen=True, eq=False)
class ScoredNodule:
    """A nodule, what was found in its window, and its score."""

    window: NoduleSlices
    part: str
    found: MaskArray
    score: NoduleScore
    texture: float


@dataclass
class _Scoring:
    """What has been done so far."""

    done: list[ScoredNodule] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def score_nodules(
    name: str,
    folder: Path,
    how: HowToScore,
    pictures: Path | None = None,
) -> tuple[dict[str, Any], list[ScoredNodule]]:
    """The document of scores, and every nodule with what was found of it.

    Parameters
    ----------
    name
        The net: a name, a file, or a work folder.
    folder
        Slices as `lungseg.io.annotations.nodule_slices` reads them.
    how
        What is scored.
    pictures
        Folder for pictures of the best, the median and the ten worst nodules.

    Raises
    ------
    DataError
        If the slices cannot be read, or the net finds no nodules in CT.
    ConfigError
        If there is no such net, or no nodule is left to score.
    """
    file = find_net(name)
    record = read_model_record(file)
    key = key_above(file)
    listed = find_nodule_slices(folder)
    wanted = _wanted(how.patients)
    scoring = _Scoring()
    scoring.left_out.update({"unreadable": len(listed.left_out)} if listed.left_out else {})
    chosen = []
    for one in listed.nodules:
        part = record.part_of(one.patient, one.series, key)
        if wanted is not None and not wanted & {one.patient, one.series}:
            scoring.left_out["not among the patients asked for"] += 1
        elif how.part not in {part, "all"}:
            scoring.left_out[f"of the net's part {part}"] += 1
        else:
            chosen.append((one, part))
    if not chosen:
        why = ", ".join(f"{n} {reason}" for reason, n in scoring.left_out.items()) or "none there"
        raise ConfigError(f"no nodule of {folder} is left to score: {why}")
    net = inference.load_to_predict(file)
    threshold = record.threshold if how.threshold is None else how.threshold
    sure = record.sure if how.sure is None else how.sure
    by_series = sorted(chosen, key=lambda pair: (pair[0].patient, pair[0].series))
    for _, group in groupby(by_series, key=lambda pair: (pair[0].patient, pair[0].series)):
        pairs = list(group)
        windows = [one.read() for one, _ in pairs]
        rated = textures(windows)
        for k, (window, (_, part)) in enumerate(zip(windows, pairs, strict=True)):
            if not window.masks.any():
                scoring.left_out["without a voxel that anybody drew"] += 1
                continue
            likely = probability_in_window(window, net, record, mirrors=how.mirrors)
            others = windows[:k] + windows[k + 1 :]
            found = found_marks(likely, threshold, sure)
            scoring.done.append(_scored(window, part, found, others, rated[k]))
    document = _document(file, record, how, {"threshold": threshold, "sure": sure}, scoring)
    if pictures is not None:
        write_nodule_pictures(
            [(one.window, one.found, one.score, _title(one)) for one in scoring.done], pictures
        )
    return document, scoring.done


def score(
    model: str,
    *,
    folder: Path,
    out: Path | None,
    pictures: Path | None,
    as_json: bool,
    **how: Any,
) -> str:
    """Score, write what is asked for, and say it: what `lungseg-cli models score` does."""
    document, done = score_nodules(model, folder, HowToScore(**how), pictures)
    if out is not None:
        write_score_files(document, done, out)
    return json_text(plain(document)) if as_json else as_text(document)


def _title(one: ScoredNodule) -> str:
    s = one.score
    return (
        f"{one.window.patient} nodule {one.window.nodule}: {s.diameter_mm:.1f} mm, {s.annotators} "
        f"annotators; Dice {s.counts.dice:.2f}, with annotators {np.mean(s.with_annotators):.2f} "
        f"(they with each other {np.mean(s.between_annotators or [np.nan]):.2f})"
    )


def _wanted(path: Path | None) -> set[str] | None:
    """Ids of the patients or scans that are asked for."""
    if path is None:
        return None
    return read_asked(path)


def _scored(
    window: NoduleSlices,
    part: str,
    found: MaskArray,
    others: Sequence[NoduleSlices],
    texture: float,
) -> ScoredNodule:
    steps = np.diff(window.z_mm)
    between_mm = float(np.median(steps)) if steps.size else window.pixel_mm
    spacing = (between_mm, window.pixel_mm, window.pixel_mm)
    ignored = drawn_of_others(window, others) & ~window.masks.any(axis=0)
    return ScoredNodule(
        window, part, found, score_nodule(found, window.masks, spacing, ignored), texture
    )


def drawn_of_others(window: NoduleSlices, others: Sequence[NoduleSlices]) -> MaskArray:
    """Voxels of a window in which an annotator drew another nodule of the scan, by its window."""
    drawn = np.zeros(window.hu.shape, bool)
    for other in others:
        if window.first_yx is None or other.first_yx is None:
            continue
        here: list[slice] = []
        there: list[slice] = []
        for axis, (a, b) in enumerate(zip(window.first_yx, other.first_yx, strict=True), 1):
            ends = a + window.hu.shape[axis], b + other.hu.shape[axis]
            start, stop = max(a, b), max(a, b, min(ends))
            here.append(slice(start - a, stop - a))
            there.append(slice(start - b, stop - b))
        for z, z_mm in enumerate(window.z_mm):
            for k in np.flatnonzero(np.abs(other.z_mm - z_mm) < SAME_Z_MM):
                drawn[z, here[0], here[1]] |= other.masks[:, k, there[0], there[1]].any(axis=0)
    return drawn


def _document(
    file: Path,
    record: ModelRecord,
    how: HowToScore,
    found: Mapping[str, float],
    scoring: _Scoring,
) -> dict[str, Any]:
    done = scoring.done
    scores = summary(
        [one.score for one in done],
        [one.window.patient for one in done],
        [one.texture for one in done],
        how.draws,
        how.seed,
    )
    return {
        "net": {
            "file": file.name,
            "sha256": digest_of_file(file),
            "split_hash": record.split_hash,
            "best_epoch": record.best_epoch,
        },
        "part": how.part,
        "parts": dict(Counter(one.part for one in done)),
        "left_out": dict(scoring.left_out),
        **found,
        "mirrors": how.mirrors,
        "draws": how.draws,
        **scores,
        "definitions": NODULE_DEFINITIONS,
    }


def write_score_files(document: Mapping[str, Any], done: Sequence[ScoredNodule], out: Path) -> None:
    """Write the document as JSON to `out`, and a line per nodule into a CSV of the same name."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_scores(document, out)
    write_rows(COLUMNS, [_row(one) for one in done], out.with_suffix(".csv"))


def _row(one: ScoredNodule) -> tuple[Any, ...]:
    s, c = one.score, one.score.counts
    return (
        one.window.patient, one.window.series, one.window.nodule, one.part, s.annotators,
        s.diameter_mm, one.texture, c.dice, s.touching, float(np.mean(s.with_annotators)),
        float(np.mean(s.between_annotators)) if s.between_annotators else None,
        float(np.mean(s.annotators_with_consensus)), c.true_positive + c.false_negative,
        c.true_positive + c.false_positive, c.true_positive,
    )  # fmt: skip


SHOWN = {
    "dice": "Dice",
    "dice_median": "median",
    "dice_pooled": "pooled",
    "with_annotators": "with annotators",
    "annotators_with_annotators": "they among them",
    "found": "found",
}


def as_text(document: Mapping[str, Any]) -> str:
    """The scores as a table for a person."""
    lines = list(_lines(document))
    left_out: Mapping[str, int] = document["left_out"]
    if left_out:
        lines.append("left out: " + ", ".join(f"{n} {reason}" for reason, n in left_out.items()))
    if document["parts"].keys() - {"test"}:
        lines.append("patients that the net has seen are among them: this is no proof of anything")
    return "\n".join(lines)


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    heads = "".join(f"  {head:>19}" for head in SHOWN.values())
    yield f"{'':16}{'nodules':>8}{'patients':>9}{heads}"
    groups = [("all", document["all"])]
    for kind in ("by_size", "by_annotators", "by_texture"):
        ending = " annotators" if kind == "by_annotators" else ""
        groups += [(name + ending, group) for name, group in document[kind].items()]
    for name, group in groups:
        cells = "".join(f"  {_cell(group[shown]):>19}" for shown in SHOWN)
        yield f"{name:16}{group['nodules']:>8}{group['patients']:>9}{cells}"


def _cell(told: Mapping[str, Any]) -> str:
    if told["value"] is None or np.isnan(told["value"]):
        return "-"
    low, high = told["interval"] or (np.nan, np.nan)
    return f"{told['value']:.3f} ({low:.3f}-{high:.3f})"
