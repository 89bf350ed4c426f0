"""A work folder with scans in every state, one of them named by who means ill."""

import csv
import json

import numpy as np

from lungseg.flow import FLOW
from lungseg.io.annotations.nodule_list import CONTOURS, Nodule, NoduleList, write_nodules
from lungseg.io.results.candidate_list import Detection, write_detections
from lungseg.io.sources.index import LeftOut
from lungseg.io.volumes import volume_file
from lungseg.model.nets import choose_net
from lungseg.phantom.small_chest import chest
from lungseg.session.made_up import MadeUp, put_outputs, put_scans
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import open_session

GOOD, HOSTILE, FAILED, WAITING = (
    "1.2.826.77",
    "<script>alert(1)</script>",
    "1.2.826.78",
    "1.2.826.79",
)
PATIENTS = {
    GOOD: "LIDC-IDRI-0001",
    HOSTILE: '"><img src=x onerror=alert(2)>',
    FAILED: "LIDC-IDRI-0002",
    WAITING: "LIDC-IDRI-0003",
}
NAME = "DOE^JANE"
REASON = f"too-few-slices: /scans/{NAME}/2001-02-03/1.dcm has 2 slices; a volume needs 3"
REMEDY = "set ingest.min_slices=2 to accept it"
SUSPECT = "right lung has <b>0.3</b> times the volume of the left"
LEFT_OUT = [
    LeftOut(f"/scans/{NAME}/scout.dcm", "it is no CT but a CR", fault=False),
    LeftOut(f"/scans/{NAME}/broken.nii", f"truncated: /scans/{NAME}/broken.nii ends", fault=True),
]
PHANTOM = chest((6.0, 4.0, 4.0), nodules=("isolated",), seed=3)


def candidates():
    """One on the nodule with a mask, one too faint for one, elsewhere."""
    at = PHANTOM.ct.geometry.to_world(np.argwhere(PHANTOM.nodules.array).mean(axis=0))
    away = PHANTOM.ct.geometry.to_world(np.argwhere(PHANTOM.lungs.array == 1).mean(axis=0))
    return [
        Detection(GOOD, tuple(float(v) for v in at), 0.91, 14.0, 0.62, 0.8, 0.96),
        Detection(GOOD, tuple(float(v) for v in away), 0.25, 6.0),
    ]


def nodule():
    at = PHANTOM.ct.geometry.to_world(np.argwhere(PHANTOM.nodules.array).mean(axis=0))
    return Nodule(
        label=1, readers=3, truth=CONTOURS, centroid_xyz_mm=tuple(float(v) for v in at),
        diameter_mm=15.0, min_diameter_mm=12.0, max_diameter_mm=18.0, volume_mm3=1767.0,
        voxels=18, share_in_lungs=1.0, ratings={"texture": 4.5}, ratings_median={"texture": 5.0},
    )  # fmt: skip


def save(volume):
    return lambda path: volume_file.write(volume, path)


def text(content):
    return lambda path: path.write_text(content, encoding="utf-8")


def rows(*lines):
    def write(path):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(lines)

    return write


def made(stage, scan):  # noqa: PLR0911 - one return a stage
    """What each stage left of each scan."""
    if scan == WAITING or (scan == FAILED and stage != "ingest"):
        return None
    if stage == "ingest":
        if scan == FAILED:
            return MadeUp(error=f"{REASON}; {REMEDY}")
        return MadeUp({"slices": 58, "spacing_z_mm": 6.0, "hu_check": "ok"})
    if stage == "resample":
        return MadeUp({"spacing_mm": 4.0}, {"ct.h5": save(PHANTOM.ct)})
    if stage == "segment-lungs":
        facts = {"lung_ml": 4321.5, "right_ml": 2300.0, "left_ml": 2021.5, "mean_hu": -812.3}
        facts |= {"verdict": "good", "reasons": ""}
        if scan == HOSTILE:
            facts |= {"verdict": "suspect", "reasons": SUSPECT}
        return MadeUp(facts, {"lungs.h5": save(PHANTOM.lungs)})
    if scan == HOSTILE:
        return _hostile(stage)
    return _good(stage) if scan else _dataset(stage)


def _hostile(stage):
    if stage != "annotate-nodules":
        return None
    listed = NoduleList(scan=HOSTILE, truth="unannotated")
    votes = PHANTOM.nodules.like(np.zeros(PHANTOM.nodules.shape, np.uint8))
    files = {"nodules.json": lambda path: write_nodules(listed, path)}
    files |= {"votes.h5": save(votes), "nodules.h5": save(votes)}
    return MadeUp({"truth": "unannotated", "nodules": 0}, files)


def _good(stage):
    marked = PHANTOM.nodules.array > 0
    if stage == "annotate-nodules":
        listed = NoduleList(scan=GOOD, truth=CONTOURS, nodules=(nodule(),))
        return MadeUp(
            {"truth": "contours", "nodules": 1, "largest_mm": 15.0, "share_in_lungs": 1.0},
            {
                "nodules.json": lambda path: write_nodules(listed, path),
                "votes.h5": save(PHANTOM.nodules.like(3 * marked.astype(np.uint8))),
                "nodules.h5": save(PHANTOM.nodules.like(marked.astype(np.uint16))),
            },
        )
    if stage == "predict":
        return MadeUp({"part": "test"}, {"net.json": text(json.dumps({"sha256": "ab" * 32}))})
    # With a reducer or without, its list and masks are what counts.
    if stage in {"find-nodules", "reduce-false-positives"}:
        return MadeUp(
            {"candidates": 2, "nodules": 1, "best_score": 0.91},
            {
                "candidates.csv": lambda path: write_detections(candidates(), path),
                "nodules.h5": save(PHANTOM.nodules.like(marked.astype(np.uint16))),
            },
        )
    return None


def _dataset(stage):
    if stage == "split-patients":
        split = {"parts": {"train": ["P9"], "validation": [], "test": [PATIENTS[GOOD]]},
                 "scans": {GOOD: "test"}}  # fmt: skip
        return MadeUp({"test_nodules": 1}, {"split.json": text(json.dumps(split))})
    if stage == "train":
        log = rows(
            ("epoch", "loss", "val_loss", "val_dice"), (1, 1.5, "nan", "nan"), (2, 0.4, 0.5, 0.7)
        )
        return MadeUp({"best_epoch": 2}, {"log.csv": log, "model.keras": text("no net")})
    if stage == "evaluate":
        return MadeUp({"cpm": 0.75}, _scores())
    # Without a table: its rows are not made up.
    return None


def _scores():
    x, y, z = nodule().centroid_xyz_mm
    rates = {"0.125": 0.5, "0.25": 0.5, "0.5": 0.75, "1": 0.75, "2": 1.0, "4": 1.0, "8": 1.0}
    told = {
        "scans": 2, "nodules": 1, "part": "test", "min_readers": 3,
        "detection": {"reason": None, "nodules": 1, "hits": 1, "false_positives_per_scan": 1.0,
                      "cpm": 0.7857, "cpm_interval": [0.5, 1.0], "sensitivity_at": rates,
                      "sensitivity_at_interval": {rate: [0.25, 1.0] for rate in rates}},
        "segmentation": {"pooled": {"dice": 0.81}, "mean_per_nodule": {"dice": 0.8}},
    }  # fmt: skip
    return {
        "scores.json": text(json.dumps(told)),
        "froc.csv": rows(("threshold", "fp_per_scan", "sensitivity"), ("", 0, 0), (0.9, 0, 0.5),
                         (0.5, 0.5, 0.75), (0.2, 2, 1.0)),
        "per_scan.csv": rows(("seriesuid", "hits", "false_positives", "dice"), (GOOD, 1, 1, 0.8)),
        "per_nodule.csv": rows(
            ("seriesuid", "label", "coordX", "coordY", "coordZ", "diameter_mm", "readers",
             "probability", "dice"),
            (GOOD, 1, x, y, z, 15.0, 3, 0.91, 0.8),
        ),
    }  # fmt: skip


def write_work(work, patients=PATIENTS, made=made, left_out=LEFT_OUT, net=True):
    """Write the work folder; the session that sees it."""
    put_scans(work, patients, left_out)
    if net:
        (work / "net.keras").write_text("no net")
        choose_net(work, work / "net.keras", "made up")
    session = open_session(work, CommandOptions())
    # Which scans a data set has is known once its scans are done or have failed.
    for whole in (False, True):
        plan = session.plan([stage.name for stage in FLOW])
        put_outputs(session.store, [a for a in plan if whole is not bool(a.scan)], patients, made)
    return session
