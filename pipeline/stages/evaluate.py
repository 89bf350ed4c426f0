"""Evaluate: candidates and masks against the truth -> scores with their definitions.

reads   reduce-false-positives/{candidates.csv,nodules.h5}, find-nodules (its settings),
        predict/net.json,
        annotate-nodules/nodules.json, annotate-nodules/{votes,nodules,drawn}.h5
writes  scores.json      all scores, their definitions, and which scans and model they are of
        candidates.csv   all candidates of the scored scans, in the format of LUNA16's evaluation
        per_scan.csv     one line per scored scan
        per_nodule.csv   one line per nodule of the truth, hit or missed
        froc.csv         the whole FROC curve
        froc.png         the curve from 1/8 to 8 false positives per scan, and its 95 % band
        reliability.png  share of nodules among candidates, by their probability

`DEFINITIONS`, which is written into scores.json, says what each score means. Only annotated scans
are scored. A candidate on a nodule of too few readers, or on one of LIDC's other marks, counts
neither as hit nor as false positive. Scans of patients that the net was trained on are refused:
their scores say nothing about new patients. Who these are, `predict` recorded from the net itself.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import DataError, ScanError
from lungseg.core.record import read_record
from lungseg.core.shown import many
from lungseg.core.stage import DatasetInputs, DatasetStage, Facts, Params, param
from lungseg.io.annotations.nodule_list import UNANNOTATED, read_nodules
from lungseg.io.results.candidate_list import NAME, read_detections, write_detections
from lungseg.io.results.plots import BAND_RATES, write_calibration, write_froc
from lungseg.io.results.score_files import Scored, write_scores, write_tables
from lungseg.io.volumes import volume_file
from lungseg.model.model_record import UNKNOWN
from lungseg.ops.scores.calibration import METHODS, calibration_scores, settings_of
from lungseg.ops.scores.counts import Counts, Tally
from lungseg.ops.scores.definitions import DEFINITIONS
from lungseg.ops.scores.detection import RATES, ScoredCandidates, bootstrap, hits
from lungseg.ops.scores.detection_scores import detection_scores
from lungseg.ops.scores.segmentation import overlap
from lungseg.steps.nodules.scored import (
    beside_annotators,
    detection_by_group,
    outcomes,
    summary_beside_annotators,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Params):
    """Parameters of this stage."""

    part: str = param(
        "test",
        "whose scans are scored; test: patients that the net has not seen; unknown: of whom that "
        "cannot be told (see predict.part); all: everybody",
        choices=("test", "validation", "train", UNKNOWN, "all"),
    )
    allow_training: bool = param(
        False, "score scans of patients the net was trained on, and say so in scores.json"
    )
    min_readers: int = param(3, "nodules of fewer readers are ignored", ge=1, le=255)
    consensus_level: float = param(
        0.5, "share of a nodule's readers who must include a voxel", gt=0, le=1
    )
    bootstraps: int = param(1000, "bootstrap samples for the 95 % intervals", ge=0, le=100_000)
    seed: int = param(1, "seed of the bootstrap samples", ge=0)
    calibration: str = param(
        "platt",
        "how the curve is fitted that `models calibrate` may put into the net",
        choices=METHODS,
    )


@dataclass(frozen=True)
class Chosen:
    """Which scans are scored.

    Attributes
    ----------
    scans
        Part of the split of each scored scan, by scan id.
    left_out
        How many other scans are not scored, by reason.
    training, validation
        How many scored scans are of patients that the net was trained on, and of patients on whom
        its best epoch was chosen.
    """

    scans: Mapping[str, str]
    left_out: Mapping[str, int]
    training: int
    validation: int


def run(params: Evaluate, inputs: DatasetInputs, out: Path) -> Facts:
    """Choose, score scan by scan, and write."""
    chosen = choose(params, inputs)
    tally = Tally()
    scored = [
        score_scan(params, scan, part, inputs.scans[scan], tally)
        for scan, part in chosen.scans.items()
    ]
    candidates = ScoredCandidates([scan.hits for scan in scored])
    curve = candidates.froc()
    samples = bootstrap(candidates, params.bootstraps, params.seed, RATES + BAND_RATES)
    nodules = sum(len(scan.nodules) for scan in scored)
    reason = reason_for_no_score(params, len(scored), nodules, chosen.left_out)
    if reason:
        log.warning("no scores: %s", reason)
    detection = detection_scores(
        [scan.hits for scan in scored], curve, samples[:, : len(RATES)], reason
    )
    before = None
    if any(d.reducer_probability is not None for scan in scored for d in scan.detections):
        earlier = ScoredCandidates([scan.hits_before for scan in scored])
        before = earlier.froc()
        draws = bootstrap(earlier, params.bootstraps, params.seed, RATES)
        detection |= {
            "before_reducer": detection_scores(
                [scan.hits_before for scan in scored], before, draws, reason
            )
        }
    segmentation = segmentation_scores(scored, tally, reason)
    beside = summary_beside_annotators(scored, params.bootstraps, params.seed)
    calibration = calibration_of(params, candidates, inputs, chosen)
    document = {
        "scans": len(scored),
        "patients": len({scan.patient for scan in scored}),
        "nodules": nodules,
        "candidates": sum(len(scan.detections) for scan in scored),
        "part": params.part,
        "parts": dict(Counter(scan.part for scan in scored)),
        "truth": dict(Counter(scan.truth.truth for scan in scored)),
        "includes_training_patients": chosen.training > 0,
        "includes_validation_patients": chosen.validation > 0,
        "left_out": dict(chosen.left_out),
        "model": net_of(inputs),
        "min_readers": params.min_readers,
        "consensus_level": params.consensus_level,
        "detection": detection | detection_by_group(scored, params.bootstraps, params.seed),
        "segmentation": segmentation | {"beside_annotators": beside},
        "calibration": calibration,
        "definitions": DEFINITIONS,
        "outcomes": outcomes(scored),
    }
    write_scores(document, out / "scores.json")
    write_detections([d for scan in scored for d in scan.detections], out / NAME)
    write_tables(scored, curve, out)
    title = _title(document, reason)
    write_froc(curve, samples[:, len(RATES) :], title, out / "froc.png", before)
    write_calibration(calibration, out / "reliability.png")
    return _facts(document)


def choose(params: Evaluate, inputs: DatasetInputs) -> Chosen:
    """Which scans to score.

    Raises
    ------
    DataError
        If some are of patients that the net was trained on, and that is not allowed.
    """
    scans: dict[str, str] = {}
    left_out: Counter[str] = Counter()
    for scan, folders in inputs.scans.items():
        part = str(read_record(folders["predict"]).facts["part"])
        if read_nodules(folders["annotate-nodules"]).truth == UNANNOTATED:
            left_out[UNANNOTATED] += 1
        elif params.part in {part, "all"}:
            scans[scan] = part
        else:
            left_out[f"of part {part}"] += 1
    parts = Counter(scans.values())
    if parts["train"] and not params.allow_training:
        raise DataError(
            f"{parts['train']} of the {len(scans)} scans to score are of patients that the net was "
            "trained on; set evaluate.part = test, or evaluate.allow_training = true to score them "
            "all the same (scores.json will say so)"
        )
    return Chosen(scans, left_out, parts["train"], parts["validation"])


def score_scan(
    params: Evaluate, scan: str, part: str, folders: Mapping[str, Path], tally: Tally
) -> Scored:
    """Score one scan, and add its slices to `tally`.

    Raises
    ------
    ScanError
        If the masks and the votes are not on one grid.
    """
    truth = read_nodules(folders["annotate-nodules"])
    detections = tuple(read_detections(folders["reduce-false-positives"] / NAME))
    masks = volume_file.read(folders["reduce-false-positives"] / "nodules.h5")
    votes = volume_file.read(folders["annotate-nodules"] / "votes.h5")
    labels = volume_file.read(folders["annotate-nodules"] / "nodules.h5")
    if (masks.shape, masks.geometry) != (votes.shape, votes.geometry):
        raise ScanError(
            f"{scan}: the candidates' masks have the grid {masks.shape}, {masks.geometry}, but the "
            f"votes {votes.shape}, {votes.geometry}; make both again with --force"
        )
    agreement = overlap(
        masks.array,
        votes.array,
        labels.array,
        truth.readers,
        params.min_readers,
        params.consensus_level,
    )
    tally.add(agreement.marked, agreement.target, agreement.counted)
    nodules = tuple(n for n in truth.nodules if n.readers >= params.min_readers)
    fewer = [(n.centroid_xyz_mm, n.diameter_mm) for n in truth.nodules if n not in nodules]
    targets = [(n.centroid_xyz_mm, n.diameter_mm) for n in nodules]
    ignored = fewer + [(point.xyz_mm, point.diameter_mm) for point in truth.points]
    places = [d.xyz_mm for d in detections]
    found = hits(places, [d.probability for d in detections], targets, ignored)
    before = found
    if any(d.found_probability is not None for d in detections):
        earlier = [
            d.probability if d.found_probability is None else d.found_probability
            for d in detections
        ]
        before = hits(places, earlier, targets, ignored)
    return Scored(
        scan=scan,
        patient=read_record(folders["annotate-nodules"]).patient,
        part=part,
        truth=truth,
        nodules=nodules,
        detections=detections,
        hits=found,
        hits_before=before,
        counts=agreement.counts(),
        overlaps=agreement.nodules,
        voxel_ml=masks.voxel_ml,
        beside=beside_annotators(folders["annotate-nodules"], masks, labels, nodules),
    )


def reason_for_no_score(
    params: Evaluate, scans: int, nodules: int, left_out: Mapping[str, int]
) -> str | None:
    """Why there is no score, or None if there is one."""
    if scans == 0:
        others = ", ".join(f"{count} {name}" for name, count in left_out.items()) or "none at all"
        return (
            f"no annotated scan with predictions is in part {params.part} (others: {others}); see "
            "evaluate.part and predict.part"
        )
    if nodules == 0:
        return f"no scored scan has a nodule that {params.min_readers} or more readers drew"
    return None


def segmentation_scores(
    scored: Sequence[Scored], tally: Tally, reason: str | None
) -> dict[str, Any]:
    """Scores of all voxels pooled, and means over scans, nodules and slices."""
    pooled = sum((scan.counts for scan in scored), Counts())
    with_target = [s.counts for s in scored if s.counts.true_positive + s.counts.false_negative]
    nodules = [nodule for scan in scored for nodule in scan.overlaps]
    touched = [nodule for nodule in nodules if nodule.sensitivity > 0]
    return {
        "reason": reason,
        "pooled": _agreement([pooled]) if with_target else None,
        "voxels": {
            "true_positive": pooled.true_positive,
            "false_positive": pooled.false_positive,
            "false_negative": pooled.false_negative,
        },
        "mean_per_scan": _agreement(with_target) | {"scans": len(with_target)},
        "mean_per_nodule": {
            "dice": _mean([nodule.dice for nodule in nodules]),
            "sensitivity": _mean([nodule.sensitivity for nodule in nodules]),
            "nodules": len(nodules),
        },
        "mean_per_found_nodule": {
            "dice": _mean([nodule.dice for nodule in touched]),
            "sensitivity": _mean([nodule.sensitivity for nodule in touched]),
            "nodules": len(touched),
        },
        "per_slice": tally.scores()["per_slice"] if scored else None,
    }


def _agreement(counts: Sequence[Counts]) -> dict[str, float | None]:
    names = ("dice", "iou", "sensitivity", "precision")
    return {name: _mean([getattr(c, name) for c in counts]) for name in names}


def _mean(values: Sequence[float]) -> float | None:
    """Mean of the defined values; None without any (an empty mask has no precision)."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def net_of(inputs: DatasetInputs) -> dict[str, Any] | None:
    """Which net made the predictions, as `predict` told; None where there are none."""
    told: list[dict[str, Any]] = [
        json.loads((folders["predict"] / "net.json").read_text("utf-8"))
        for folders in inputs.scans.values()
    ]
    if not told:
        return None
    # Machines that share a work folder may have computed in different ones.
    precisions = sorted({one["precision"] for one in told if "precision" in one})
    return told[0] | ({"precision": " and ".join(precisions)} if precisions else {})


def calibration_of(
    params: Evaluate, candidates: ScoredCandidates, inputs: DatasetInputs, chosen: Chosen
) -> dict[str, Any] | None:
    """How far candidates' probabilities are shares of nodules; None without a scored scan."""
    net = net_of(inputs)
    if net is None or not chosen.scans:
        return None
    folders = inputs.scans[next(iter(chosen.scans))]
    told = {
        "parts": sorted(set(chosen.scans.values())),
        "scans": len(chosen.scans),
        "net_sha256": net.get("sha256"),
    }
    return calibration_scores(
        candidates, net.get("calibration", {}), score_settings(folders), params.calibration, told
    )


def score_settings(folders: Mapping[str, Path]) -> dict[str, Any]:
    """What the scores of a scan's candidates are of, from its outputs."""
    reduced = read_record(folders["reduce-false-positives"]).facts["reduced"]
    return settings_of(read_record(folders["find-nodules"]).params, reduced=bool(reduced))


def _title(document: Mapping[str, Any], reason: str | None) -> str:
    if reason is not None:
        return reason.split(" (")[0]
    seen = ", training patients included" if document["includes_training_patients"] else ""
    return (
        f"{many(document['nodules'], 'nodule')} in {many(document['scans'], 'scan')}{seen}; "
        f"CPM {document['detection']['cpm']:.3f}"
    )


def _facts(document: Mapping[str, Any]) -> Facts:
    detection, segmentation = document["detection"], document["segmentation"]
    pooled = segmentation["pooled"] or {}
    scores = {
        "sensitivity": detection["sensitivity"],
        "fp_per_scan": detection["false_positives_per_scan"],
        "cpm": detection["cpm"],
        "dice": pooled.get("dice"),
        "dice_per_nodule": segmentation["mean_per_nodule"]["dice"],
    }
    return {
        "scans": document["scans"],
        "nodules": document["nodules"],
        "hits": detection["hits"],
        "includes_training_patients": document["includes_training_patients"],
        **{
            name: None if value is None or np.isnan(value) else round(float(value), 4)
            for name, value in scores.items()
        },
        **{f"left_out_{why.replace(' ', '_')}": n for why, n in document["left_out"].items()},
    }


STAGE = DatasetStage(
    name="evaluate",
    version=2,
    help="score candidates and masks against the truth, with written definitions",
    params=Evaluate,
    needs=("predict", "find-nodules", "reduce-false-positives", "annotate-nodules"),
    run=run,
)
"""The stage, for `lungseg.flow`."""
