"""Reduce false positives: the candidates, judged once more by the net's reducer, and in new order.

reads   resample/ct.h5, predict/probability.h5,
        find-nodules/{candidates.csv,nodules.h5,nodules_source.h5}, and the file of a net
writes  candidates.csv      as find-nodules writes it, with the joint probability, the likeliest
                            first, and what find-nodules and the reducer said
        nodules.h5          masks on the working grid; label k is the k-th candidate
        nodules_source.h5   the same on the source grid

The net that marks voxels sees a few slices at a time, and much that is round in these is a vessel.
A reducer sees each candidate from its lowest slice to its highest, and tells what comes and goes in
its place. The two have equal weight: of their log odds the mean is taken (neither was fitted to the
few whole scans there are). No candidate is dropped and no mask is changed: where the list is cut is
for those who use it. Without a reducer in the net's file, or with ``use = no``, all is passed on as
it is.
"""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.record import read_record
from lungseg.core.stage import Facts, Params, ScanStage, param
from lungseg.io.results.candidate_list import NAME, Detection, read_detections, write_detections
from lungseg.io.volumes import volume_file
from lungseg.model.reducer.member import Reducer, read_reducer
from lungseg.model.reducer.network import opinion
from lungseg.ops.nodules.probability import joint
from lungseg.ops.samples.stacks import EDGE, SLICES, stack
from lungseg.ops.scores.calibration import settings_of, usable
from lungseg.volume import HU, Volume

MASKS = ("nodules.h5", "nodules_source.h5")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReduceFalsePositives(Params):
    """Parameters of this stage."""

    model: str = param(
        "", "file of the net; empty: the one trained last (the option --model names one)", path=True
    )
    use: str = param(
        "auto",
        "auto: the reducer in the net's file, if it has one (`lungseg-cli models teach`); no: "
        "candidates as find-nodules found them",
        choices=("auto", "no"),
    )


def judged(
    found: Sequence[Detection],
    ct: Volume[HU],
    probability: npt.NDArray[np.generic],
    reducer: Reducer,
    settings: Mapping[str, Any],
) -> tuple[list[Detection], npt.NDArray[np.intp]]:
    """The candidates with their joint probability, the likeliest first, and their places before.

    Parameters
    ----------
    found
        Candidates of one scan.
    ct : (z, y, x)
        HU on the working grid.
    probability : (z, y, x)
        Of nodule, on the same grid.
    reducer
        The net's.
    settings
        All settings of the stage that found the candidates.
    """
    places = [ct.geometry.to_index(one.xyz_mm) for one in found]
    stacks = [stack(ct.array, probability, place) for place in places]
    empty = np.empty((0, SLICES, EDGE, EDGE), np.int16)
    said = opinion(reducer.net, np.stack(stacks) if stacks else empty)
    together = joint([one.probability for one in found], said)
    order = np.argsort(-together, kind="stable")
    curve = usable(reducer.record.calibration, settings_of(settings, reduced=True))
    rows = [
        dataclasses.replace(
            found[k],
            probability=round(float(together[k]), 6),
            calibrated=None if curve is None else round(float(curve.of(together[k])), 6),
            found_probability=found[k].probability,
            reducer_probability=round(float(said[k]), 6),
        )
        for k in order
    ]
    return rows, order


def relabelled(labels: Volume[Any], order: npt.NDArray[np.intp]) -> Volume[Any]:
    """Masks whose label ``order[k] + 1`` becomes ``k + 1``."""
    new = np.zeros(len(order) + 1, labels.array.dtype)
    new[order + 1] = np.arange(1, len(order) + 1)
    # In rows as `ravel` goes, whatever the order of the given array.
    changed = np.zeros(labels.shape, labels.array.dtype)
    where = np.flatnonzero(labels.array)
    changed.ravel()[where] = new[labels.array.ravel()[where]]
    return labels.like(changed)


def run(params: ReduceFalsePositives, inputs: Mapping[str, Path], out: Path) -> Facts:
    """Read, judge, write."""
    found = read_detections(inputs["find-nodules"] / NAME)
    record = read_record(inputs["find-nodules"])
    reducer = read_reducer(Path(params.model)) if params.use == "auto" else None
    if reducer is None:
        rows, order = list(found), np.arange(len(found))
        for name in (NAME, *MASKS):
            shutil.copyfile(inputs["find-nodules"] / name, out / name)
    else:
        rows, order = judged(
            found,
            volume_file.read_hu(inputs["resample"] / "ct.h5"),
            volume_file.read(inputs["predict"] / "probability.h5").array,
            reducer,
            record.params,
        )
        write_detections(rows, out / NAME)
        for name in MASKS:
            labels = volume_file.read(inputs["find-nodules"] / name)
            volume_file.write(relabelled(labels, order), out / name)
    moved = int((order != np.arange(len(order))).sum())
    return {
        "candidates": len(rows),
        "nodules": record.facts["nodules"],
        "threshold": record.facts["threshold"],
        "reduced": reducer is not None,
        "moved": moved,
        "best_score": max((row.probability for row in rows), default=0.0),
    }


STAGE = ScanStage(
    name="reduce-false-positives",
    version=1,
    help="candidates judged once more by the net's reducer, slice by slice through each",
    params=ReduceFalsePositives,
    needs=("resample", "predict", "find-nodules"),
    run=run,
    in_parent=True,
)
"""The stage, for `lungseg.flow`."""
