"""Candidates of whole scans, cross-validated: each scan by a net that saw nothing of its patient.

    python -m bench.whole_scans SCANS... --net fold0.keras --net fold1.keras --work scans-work
    python -m bench.whole_scans SCANS... --net ... --set find-nodules.smooth_mm=1 --json out.json

Of the nets named, each scan goes to the first that has not seen its patient, as the net's own
record tells; scans that all nets have seen are left out and named. Candidates are pooled over the
nets, and scored by `evaluate`'s rules: sensitivity at 1/8 to 8 false positives a scan and CPM with
intervals over scans. Nets score differently, so pooling is a little harder than one net is.

The calibration is cross-validated, too: a net's candidates are calibrated by the curve that fits
the other nets' (with one net, by the curve of the other half of its scans). The JSON is one that
`lungseg-cli models calibrate` and `lungseg-cli compare` take. Preprocessing and predictions are
kept in `--work`; other settings of `find-nodules` take seconds.
"""

import argparse
import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import lungseg
from lungseg.core.record import read_record
from lungseg.io.annotations.nodule_list import UNANNOTATED, read_nodules
from lungseg.io.results.plots import BAND_RATES, write_calibration, write_froc
from lungseg.io.results.score_files import Scored, write_scores
from lungseg.model.model_record import read_model_record
from lungseg.ops.scores.calibration import SETTINGS, calibration_scores, fitted, reliability
from lungseg.ops.scores.counts import Tally
from lungseg.ops.scores.definitions import DEFINITIONS
from lungseg.ops.scores.detection import RATES, Froc, ScoredCandidates, bootstrap
from lungseg.ops.scores.detection_scores import detection_scores
from lungseg.session import work_folder
from lungseg.stages.evaluate import Evaluate, score_scan, score_settings, segmentation_scores
from lungseg.steps.nodules.scored import outcomes
from lungseg.volume import FloatArray

Folders = Mapping[str, Path]
# A curve, and the draws of its band.
Bands = tuple[Any, FloatArray]


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("scans", nargs="+", type=Path)
    arguments.add_argument("--net", action="append", required=True, type=Path)
    arguments.add_argument("--work", type=Path, default=Path("whole-scans-work"))
    arguments.add_argument("--set", action="append", default=[], metavar="STAGE.NAME=VALUE")
    arguments.add_argument("--json", type=Path, help="write all scores here, and plots beside it")
    arguments.add_argument("--jobs", type=int, default=1)
    options = arguments.parse_args()
    how = [f"--work={options.work}", f"--jobs={options.jobs}", "--quiet"]
    settings = [f"--set={value}" for value in options.set]
    sources = [f"--src={path}" for path in options.scans]
    lungseg("preprocess", *sources, *how, *settings)
    params = Evaluate()
    by_net: list[list[Scored]] = []
    tally = Tally()
    for net, scans in assigned(options.work, options.net).items():
        chosen = [f"--scan={scan}" for scan in scans]
        lungseg("run", "reduce-false-positives", f"--model={net}", *chosen, *how, *settings)
        done = folders_of(options.work, net, options.set, scans)
        by_net.append([score_scan(params, scan, "test", done[scan], tally) for scan in scans])
    document, curve = scores(params, by_net, tally, score_settings(done[scans[-1]]))
    print("\n".join(told(document)))
    if options.json:
        write_all(document, curve, options.json)


def write_all(
    document: Mapping[str, Any], curve: Bands, path: Path, before: Froc | None = None
) -> None:
    """Write the scores as JSON, and their plots beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_scores(document, path)
    write_calibration(document["calibration"], path.with_name("reliability.png"))
    title = f"{document['nodules']} nodules in {document['scans']} scans, cross-validated"
    write_froc(*curve, title, path.with_name("froc.png"), before)


def assigned(work: Path, nets: Sequence[Path]) -> dict[Path, list[str]]:
    """Scans of each net: of patients that it has not seen, each scan once."""
    session = work_folder.open_session(work, work_folder.CommandOptions())
    records = {net: read_model_record(net) for net in nets}
    found: dict[Path, list[str]] = {}
    for scan, folders in session.folders().items():
        if "annotate-nodules" not in folders:
            continue
        if read_nodules(folders["annotate-nodules"]).truth == UNANNOTATED:
            print(f"left out: {scan}: nobody annotated it")
            continue
        patient = read_record(folders["annotate-nodules"]).patient
        fresh = [net for net in nets if records[net].part_of(patient, scan) == "test"]
        if fresh:
            found.setdefault(fresh[0], []).append(scan)
        else:
            print(f"left out: {patient} {scan}: all nets have seen the patient")
    return found


def folders_of(
    work: Path, net: Path, settings: Sequence[str], scans: Sequence[str]
) -> Mapping[str, Folders]:
    """Outputs of each scan with this net.

    Raises
    ------
    SystemExit
        If a scan has no candidates: a score without it would be of fewer scans than it says.
    """
    options = work_folder.CommandOptions(model=str(net), assignments=tuple(settings))
    folders = work_folder.open_session(work, options).folders()
    missing = [scan for scan in scans if "reduce-false-positives" not in folders[scan]]
    if missing:
        raise SystemExit(f"no candidates of {', '.join(missing)}; see lungseg-cli status")
    return folders


def scores(
    params: Evaluate,
    by_net: Sequence[Sequence[Scored]],
    tally: Tally,
    settings: Mapping[str, Any],
) -> tuple[dict[str, Any], Bands]:
    """The document of scores of all nets' scans together, and the curve with its draws."""
    scored = [scan for group in by_net for scan in group]
    hits = [scan.hits for scan in scored]
    candidates = ScoredCandidates(hits)
    curve = candidates.froc()
    samples = bootstrap(candidates, params.bootstraps, params.seed, RATES + BAND_RATES)
    parts = [[scan.hits for scan in group] for group in by_net]
    if len(parts) == 1:
        parts = [parts[0][0::2], parts[0][1::2]]
    facts = {"parts": ["cross-validated"], "scans": len(scored), "net_sha256": None}
    calibration = calibration_scores(candidates, {}, settings, params.calibration, facts)
    calibration["calibrated"] = crossed([ScoredCandidates(part) for part in parts])
    nodules = sum(len(scan.nodules) for scan in scored)
    document = {
        "scans": len(scored),
        "patients": len({scan.patient for scan in scored}),
        "nodules": nodules,
        "nets": len(by_net),
        "scans_by_net": [len(group) for group in by_net],
        "truth": dict(Counter(scan.truth.truth for scan in scored)),
        "includes_training_patients": False,
        "min_readers": params.min_readers,
        "find_nodules": dict(settings),
        "detection": detection_scores(
            hits, curve, samples[:, : len(RATES)], None if nodules else "no nodule"
        ),
        "segmentation": segmentation_scores(scored, tally, None),
        "calibration": calibration,
        "missed": [row for scan in scored for row in missed(scan)],
        "definitions": DEFINITIONS,
        "outcomes": outcomes(scored),
    }
    return document, (curve, samples[:, len(RATES) :])


def crossed(parts: Sequence[ScoredCandidates]) -> dict[str, Any] | None:
    """Reliability of probabilities that curves of the other parts made of the scores."""
    probability, hit = [], []
    for k, own in enumerate(parts):
        others = [part for n, part in enumerate(parts) if n != k]
        score = np.concatenate([part.probability for part in others] or [np.zeros(0)])
        is_hit = np.concatenate([part.is_hit for part in others] or [np.zeros(0, bool)])
        curve = fitted(score, is_hit)
        if curve is None:
            return None
        probability.append(curve.of(own.probability))
        hit.append(own.is_hit)
    return reliability(np.concatenate(probability), np.concatenate(hit)).as_dict()


def missed(scan: Scored) -> list[dict[str, Any]]:
    """The nodules of a scan that no candidate hits."""
    return [
        {"patient": scan.patient, "scan": scan.scan, **dataclasses.asdict(nodule)}
        for nodule, best in zip(scan.nodules, scan.hits.best, strict=True)
        if best < 0
    ]


def told(document: Mapping[str, Any]) -> list[str]:
    """The figures, for a person."""
    detection, calibration = document["detection"], document["calibration"]
    low, high = detection["cpm_interval"] or (np.nan, np.nan)
    lines = [
        f"{document['nodules']} nodules in {document['scans']} scans of {document['patients']} "
        f"patients, {document['nets']} nets ({document['scans_by_net']} scans each)",
        f"found {detection['hits']} at {detection['false_positives_per_scan']:.1f} false positives "
        f"a scan; CPM {detection['cpm']:.3f} ({low:.3f}-{high:.3f})",
    ]
    for rate, value in detection["sensitivity_at"].items():
        low, high = detection["sensitivity_at_interval"][rate] or (np.nan, np.nan)
        lines.append(f"  at {rate:>5}: {value:.3f} ({low:.3f}-{high:.3f})")
    known = [name for name in ("score", "calibrated") if calibration[name]]
    lines += [f"ECE of the {name}: {calibration[name]['ece']:.3f}" for name in known]
    found = document["segmentation"]["mean_per_found_nodule"]
    lines.append(
        f"Dice of {found['nodules']} nodules that a mask touches: {found['dice'] or 0:.3f}"
    )
    lines += [
        f"missed: {one['patient']} {one['diameter_mm']:.1f} mm, {one['readers']} readers"
        for one in document["missed"]
    ]
    settings = {name: document["find_nodules"].get(name) for name in SETTINGS}
    lines.append(json.dumps(settings))
    return lines


if __name__ == "__main__":
    main()
