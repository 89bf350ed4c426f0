"""Objects: a scan's masks as DICOM segmentations, its candidates as a report or Slicer's points."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.commands.sharing.wanted import Exports
from lungseg.core.errors import DataError
from lungseg.core.plan import REUSE
from lungseg.core.record import read_record
from lungseg.core.shown import many
from lungseg.io.annotations.nodule_list import CONTOURS
from lungseg.io.results.candidate_list import NAME, Detection, read_detections
from lungseg.io.standards import objects
from lungseg.io.standards.markups import write_markups
from lungseg.io.standards.objects import MARKUPS, SR, Net
from lungseg.io.standards.source_images import SourceImages, source_images
from lungseg.ops.nodules.contours import rasterise, slice_z_mm
from lungseg.ops.nodules.patches import clipped
from lungseg.steps.truth import known_truth, sources_of
from lungseg.volume import AnyVolume, Volume


def write_object(exports: Exports, scan: str, path: Path, ending: str) -> str:
    """Write what is wanted of a scan to `path`; return what it holds, in words.

    Raises
    ------
    DataError
        If it has not been made yet, or nobody annotated the scan.
    ScanError
        If the scan has no DICOM images that an object could refer to, or a mask is empty.
    """
    if ending == MARKUPS:
        candidates = _candidates(exports, scan)
        write_markups(candidates, path)
        return f"{many(len(candidates), 'point')} for 3D Slicer"
    try:
        images = source_images(exports.session.sources[scan])
    except FileNotFoundError as error:
        raise DataError(str(error)) from error
    if ending == SR:
        candidates = _candidates(exports, scan)
        _, report = _candidate_objects(exports, scan, images)
        report.save_as(path)
        return f"a structured report (TID 1500) on {many(len(candidates), 'candidate')}"
    made = _segmentation(exports, scan, images)
    made.save_as(path)
    count = len(made.SegmentSequence)
    return (
        f"a {made.SegmentationType.lower()} DICOM segmentation of "
        f"{many(count, 'segment')} in {many(int(made.NumberOfFrames), 'frame')}"
    )


def _segmentation(exports: Exports, scan: str, images: SourceImages) -> Any:
    what = exports.wanted.what
    if what == "detections":
        net, record = (
            _net(exports, scan),
            read_record(exports.folder("reduce-false-positives", scan)),
        )
        candidates = _candidates(exports, scan)
        return objects.candidates_object(exports.volume(scan), candidates, net, images, record)
    if what == "probability":
        record = read_record(exports.folder("predict", scan))
        return objects.probability_object(exports.volume(scan), _net(exports, scan), images, record)
    if what == "lungs":
        record = read_record(exports.folder("segment-lungs", scan))
        return objects.lungs_object(exports.volume(scan), images, record)
    listed, record = exports.listed(scan), read_record(exports.folder("annotate-nodules", scan))
    if what == "readings":
        return objects.readings_object(_readings(exports, scan), listed, images, record)
    how = "drawn by any"
    if what == "target":
        made = exports.wanted.settings(exports.session)
        how = f"{made.consensus_level:.0%} of {made.min_readers} or more"
    return objects.nodules_object(exports.volume(scan), listed, how, images, record)


def _net(exports: Exports, scan: str) -> Net:
    told = json.loads((exports.folder("predict", scan) / "net.json").read_text(encoding="utf-8"))
    return Net(str(told["sha256"]))


def _candidates(exports: Exports, scan: str) -> list[Detection]:
    action = exports.actions.get(("locate-candidates", scan))
    stage = "locate-candidates" if action and action.do == REUSE else "reduce-false-positives"
    return read_detections(exports.folder(stage, scan) / NAME)


def _candidate_objects(exports: Exports, scan: str, images: SourceImages) -> tuple[Any, Any]:
    record = read_record(exports.folder("reduce-false-positives", scan))
    labels, candidates = exports.volume(scan), _candidates(exports, scan)
    return objects.candidate_objects(labels, candidates, _net(exports, scan), images, record)


def _readings(exports: Exports, scan: str) -> dict[str, AnyVolume]:
    """The mask of each annotator on the scan's own grid, by its name in the list of nodules."""
    listed = exports.listed(scan)
    if listed.truth != CONTOURS:
        raise DataError(
            f"what is known of the nodules of {scan} are {listed.truth}, and not what each "
            "annotator drew; export --what nodules"
        )
    shape, geometry = exports.source_grid(scan)
    truth = known_truth(scan, sources_of(exports.session.settings["annotate-nodules"]))
    z_mm = slice_z_mm(shape, geometry)
    masks: dict[str, AnyVolume] = {}
    for reading in truth.readings:
        drawn, _ = rasterise(reading, z_mm)
        patch = clipped(drawn, shape) if drawn else None
        if patch and patch.mask.any():
            array = np.zeros(shape, bool)
            array[patch.box] = patch.mask
            masks[reading.key] = Volume(array, geometry)
    return masks
