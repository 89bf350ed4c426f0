"""Pictures of nodules that some results found and others missed, out of the work folders."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.commands.scoring.outcomes import Result
from lungseg.core.plan import REUSE
from lungseg.core.shown import many
from lungseg.io.annotations.nodule_list import read_nodules
from lungseg.io.pictures.png import write_sheet
from lungseg.io.results.plain_names import safe_name
from lungseg.io.volumes import volume_file
from lungseg.ops.nodules.consensus import consensus
from lungseg.ops.overlay import BY_VOTES, Outline, Panel, close_ups
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import open_session
from lungseg.steps.nodule_pictures import FOUND

MOST = 50
STAGES = ("resample", "annotate-nodules", "reduce-false-positives")

Folders = Mapping[str, Mapping[str, Path]]


def write_compared(
    rows: Sequence[dict[str, Any]], results: Sequence[Result], folder: Path
) -> list[str]:
    """Write a picture of each nodule, put its path into its row, and return notes.

    A picture has a pair of rows, axial and coronal, for every work folder: the annotators'
    consensus in yellow, what that folder's net found in blue.
    """
    works = {one.name: _folders(one.work) for one in results if one.work is not None}
    if not works:
        return ["no result is a work folder, so there are no pictures"] if rows else []
    notes = []
    gone = [name for name, of in works.items() if any(row["scan"] not in of for row in rows[:MOST])]
    if len(rows) > MOST:
        notes.append(f"pictures are of the {MOST} largest of {len(rows)} nodules")
    without = 0
    for number, row in enumerate(rows[:MOST], 1):
        panels = [
            panel
            for name, of in works.items()
            if (there := of.get(row["scan"]))
            for panel in _panels(name, there, row)
        ]
        if not panels:
            without += 1
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:02d}_{safe_name(row['scan'][-24:])}.png"
        write_sheet(panels, _title(row), path)
        row["picture"] = str(path)
    if without:
        notes.append(f"there is no picture of {many(without, 'nodule')}")
    if gone:
        notes.append(
            f"{', '.join(gone)} no longer holds the outputs of {', '.join(STAGES)} of all these "
            "scans with the present settings, and is not in the pictures of those"
        )
    return notes


def _folders(work: Path) -> Folders:
    session = open_session(work, CommandOptions())
    found: dict[str, dict[str, Path]] = {}
    for action in session.plan(STAGES):
        if action.scan and action.do == REUSE:
            place = session.store.folder(action.stage, action.fingerprint, action.scan)
            found.setdefault(action.scan, {})[action.stage] = place
    return {scan: of for scan, of in found.items() if all(stage in of for stage in STAGES)}


def _panels(name: str, folders: Mapping[str, Path], row: Mapping[str, Any]) -> list[list[Panel]]:
    ct = volume_file.read_hu(folders["resample"] / "ct.h5")
    drawn = folders["annotate-nodules"]
    votes, labels = (volume_file.read(drawn / name).array for name in ("votes.h5", "nodules.h5"))
    target, _ = consensus(votes, labels, read_nodules(drawn).readers, min_readers=1)
    marks = volume_file.read(folders["reduce-false-positives"] / "nodules.h5").array
    lines = [Outline(target.astype(np.uint8), BY_VOTES[0]), Outline(marks, FOUND)]
    index = np.rint(ct.geometry.to_index(row["xyz_mm"])).astype(int)
    z, y, x = np.clip(index, 0, np.asarray(ct.shape) - 1).tolist()
    p = row["probability"][name]
    told = "no candidate hits it" if math.isnan(p) else f"hit with {p:.3f}"
    axial, coronal = close_ups(ct, lines, (z, y, x))
    return [[Panel(axial[0].picture, f"{name}: {told}"), axial[1]], coronal]


def _title(row: Mapping[str, Any]) -> str:
    place = ", ".join(f"{mm:.1f}" for mm in row["xyz_mm"])
    return (
        f"...{row['scan'][-24:]} at ({place}) mm, {row['diameter_mm'] or 0:.1f} mm\n"
        f"found by {', '.join(row['found_by'])}; missed by {', '.join(row['missed_by'])}; "
        "annotators' consensus yellow, found blue"
    )
