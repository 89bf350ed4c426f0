"""Locate candidates: where in the lungs each lies, and what it touches.

reads   ingest/ct.h5 (its grid), resample/ct.h5, segment-lungs/lungs.h5,
        reduce-false-positives/{candidates.csv,nodules.h5}
writes  candidates.csv      the same candidates, with side, third, edge_mm, vessels, touches_rib and
                            at_scan_end

These are facts for who looks at candidates, and for who sorts them by rules of their own: no
candidate is dropped or moved for them. They are measured from HU and the lung mask around the
candidate's own mask, on the working grid; one that is too faint for a mask is taken for the ball of
its diameter. What each is, and what it is not, `lungseg.ops.surroundings` says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import find_objects

from lungseg.core.stage import Facts, Params, ScanStage
from lungseg.io.results.candidate_list import NAME, Detection, read_detections, write_detections
from lungseg.io.volumes import volume_file
from lungseg.ops.nodules.patches import Patch
from lungseg.ops.nodules.sphere import ball
from lungseg.ops.surroundings.measure import Around
from lungseg.volume import AnyVolume


@dataclass(frozen=True, kw_only=True)
class LocateCandidates(Params):
    """Parameters of this stage: none."""


def located(candidates: Sequence[Detection], labels: AnyVolume, around: Around) -> list[Detection]:
    """The candidates with what is around each.

    Parameters
    ----------
    candidates
        Of one scan, in their order.
    labels
        Label *k* is the mask of the *k*-th; those without one are taken for balls.
    around
        What measures, on the grid of `labels`.
    """
    # Of no candidates there are no boxes; 0 would ask for those of all labels.
    boxes = find_objects(labels.array, max_label=len(candidates)) if candidates else []
    found = []
    for k, (one, box) in enumerate(zip(candidates, boxes, strict=True), 1):
        if box is None:
            patch = ball(one.xyz_mm, max(one.diameter_mm, 0.1), labels.geometry)
        else:
            z, y, x = (int(s.start) for s in box)
            patch = Patch(np.asarray(labels.array[box] == k), (z, y, x))
        found.append(replace(one, around=around.of(patch)))
    return found


def run(params: LocateCandidates, inputs: Mapping[str, Path], out: Path) -> Facts:
    """Read, locate, write."""
    del params
    folder = inputs["reduce-false-positives"]
    _, grid = volume_file.read_geometry(inputs["ingest"] / "ct.h5")
    around = Around(
        volume_file.read_hu(inputs["resample"] / "ct.h5"),
        volume_file.read(inputs["segment-lungs"] / "lungs.h5"),
        grid.spacing_mm[0],
    )
    candidates = read_detections(folder / NAME)
    rows = located(candidates, volume_file.read(folder / "nodules.h5"), around)
    write_detections(rows, out / NAME, located=True)
    known = [one.around for one in rows if one.around]
    return {
        "candidates": len(rows),
        "with_vessels": sum(one.vessels > 0 for one in known),
        "touching_ribs": sum(one.touches_rib for one in known),
        "at_scan_end": sum(one.at_scan_end for one in known),
    }


STAGE = ScanStage(
    name="locate-candidates",
    version=1,
    help="where in the lungs each candidate lies, and whether it touches a vessel or a rib",
    params=LocateCandidates,
    needs=("ingest", "resample", "segment-lungs", "reduce-false-positives"),
    run=run,
)
"""The stage, for `lungseg.flow`."""
