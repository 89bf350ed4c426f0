"""Write detections: a scan's candidates as files that others read, and pictures of them.

reads   source                            a scan's files, for DICOM objects
        ingest/ct.h5                      HU on the scan's own grid
        resample/ct.h5                    HU on the working grid, for the pictures
        segment-lungs/lungs.h5            for the pictures
        predict/net.json                  which net it was
        locate-candidates/candidates.csv            the candidates, the likeliest first
        reduce-false-positives/nodules.h5           their masks on the working grid
        reduce-false-positives/nodules_source.h5    and on the scan's own grid
writes  nodules.nii.gz      (or .nrrd, .mha) on the scan's own grid; label: the candidate's rank
        nodules.json        the net, the grid, and every candidate
        nodules.mrk.json    the candidates as points for 3D Slicer
        nodules.seg.dcm     the mask as a DICOM segmentation, and
        nodules.sr.dcm      a structured report on the candidates, if `dicom` asks for them
        picture.png         the scan, with what was found
        nodule01.png ...    a close-up of each of the likeliest candidates

Voxels and HU are those of the scan's own grid: what a reader who opens the scan beside the mask
will point at. A candidate too faint to have a mask is measured in the ball of its diameter.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import find_objects

from lungseg.core.json_file import write_json
from lungseg.core.record import read_record
from lungseg.core.stage import Facts, Params, ScanStage, param
from lungseg.io.pictures.png import write_sheet
from lungseg.io.results.candidate_list import NAME, Detection, read_detections
from lungseg.io.standards.markups import write_markups
from lungseg.io.standards.objects import (
    MARKUPS,
    SEG,
    SR,
    Net,
    candidate_objects,
    images_or_reason,
)
from lungseg.io.volumes import formats, volume_file
from lungseg.model.model_record import UNKNOWN
from lungseg.ops.nodules.patches import clipped
from lungseg.ops.nodules.sphere import ball
from lungseg.ops.overlay import BY_VOTES, DETECTED, Outline, close_ups
from lungseg.steps.pictures_of_scan import PICTURE, write_picture_of_scan
from lungseg.volume import HU, AnyVolume, Geometry, Volume

MASK = "nodules"
LIST = "nodules.json"
SEEN = {"train": "train", "validation": "validation", "test": "no", UNKNOWN: UNKNOWN}


@dataclasses.dataclass(frozen=True, kw_only=True)
class WriteDetections(Params):
    """Parameters of this stage."""

    format: str = param("nii.gz", "format of the mask's file", choices=formats.FORMATS)
    dicom: bool = param(
        False, "a DICOM segmentation and a structured report, too, if the scan is DICOM"
    )
    close_ups: int = param(20, "candidates that have a close-up, the likeliest", ge=0, le=20)


def close_up_name(rank: int) -> str:
    """What the close-up of a candidate is called."""
    return f"nodule{rank:02d}.png"


def described(
    ct: Volume[HU], labels: AnyVolume, candidates: Sequence[Detection]
) -> list[dict[str, Any]]:
    """Each candidate for machines: where it lies in the world and in the array, and its HU.

    Parameters
    ----------
    ct
        HU on the scan's own grid.
    labels
        Masks on the same grid; label *k* is the mask of the *k*-th candidate.
    candidates
        The likeliest first.
    """
    where = np.flatnonzero(labels.array)
    ranks = labels.array.ravel()[where]
    voxels = np.bincount(ranks, minlength=len(candidates) + 1)
    sums = np.bincount(ranks, ct.array.ravel()[where], minlength=len(candidates) + 1)
    rows = []
    for rank, one in enumerate(candidates, 1):
        z, y, x = nearest_voxel(one.xyz_mm, ct.shape, ct.geometry)
        if voxels[rank]:
            mean_hu = sums[rank] / voxels[rank]
        else:
            patch = clipped(ball(one.xyz_mm, max(one.diameter_mm, 0.1), ct.geometry), ct.shape)
            values = ct.array[patch.box][patch.mask] if patch else ct.array[z, y, x]
            mean_hu = float(values.mean(dtype=np.float64))
        rows.append(
            {
                "rank": rank,
                "probability": round(one.probability, 6),
                "calibrated": one.calibrated,
                "world_xyz_mm": [round(mm, 3) for mm in one.xyz_mm],
                "voxel_zyx": [z, y, x],
                "diameter_mm": round(one.diameter_mm, 3),
                "mean_hu": round(mean_hu, 1),
                "mask_voxels": int(voxels[rank]),
                **(dataclasses.asdict(one.around) if one.around else {}),
            }
        )
    return rows


def nearest_voxel(
    xyz_mm: Sequence[float], shape: Sequence[int], geometry: Geometry
) -> tuple[int, int, int]:
    """Index ``(z, y, x)`` of the voxel nearest to a world position."""
    index = np.rint(geometry.to_index(xyz_mm)).clip(0, np.asarray(shape) - 1)
    z, y, x = index.astype(int).tolist()
    return z, y, x


def write_close_ups(
    ct: Volume[HU], labels: AnyVolume, candidates: Sequence[Detection], whose: str, out: Path
) -> None:
    """Write a close-up of each of `candidates`, on the working grid, into the folder `out`."""
    faint = np.zeros(ct.shape, np.uint8)
    boxes = find_objects(labels.array, max_label=len(candidates)) if candidates else []
    for one, box in zip(candidates, boxes, strict=True):
        patch = clipped(ball(one.xyz_mm, max(one.diameter_mm, 0.1), ct.geometry), ct.shape)
        if box is None and patch:
            faint[patch.box][patch.mask] = 1
    lines = [Outline(faint, BY_VOTES[0]), Outline(labels.array, DETECTED)]
    legend = "white: masks; yellow: a ball of the same volume, where one is too faint for a mask"
    for rank, one in enumerate(candidates, 1):
        x, y, z = one.xyz_mm
        words = (
            f"{whose}   {rank}   probability {one.probability:.3f}   {one.diameter_mm:.1f} mm   "
            f"x {x:.1f} y {y:.1f} z {z:.1f} mm"
        )
        panels = close_ups(ct, lines, nearest_voxel(one.xyz_mm, ct.shape, ct.geometry))
        write_sheet(panels, f"{words}\n{legend}", out / close_up_name(rank))


def run(params: WriteDetections, inputs: Mapping[str, Path], out: Path) -> Facts:
    """Read, describe, write."""
    predicted, found = read_record(inputs["predict"]), read_record(inputs["reduce-false-positives"])
    seen = SEEN[str(predicted.facts["part"])]
    candidates = read_detections(inputs["locate-candidates"] / NAME)
    ct = volume_file.read_hu(inputs["ingest"] / "ct.h5")
    labels = volume_file.read(inputs["reduce-false-positives"] / "nodules_source.h5")
    rows = described(ct, labels, candidates)
    # Eight bits where they do: smaller, and told from a CT at a glance.
    kind = np.uint8 if len(candidates) <= np.iinfo(np.uint8).max else np.uint16
    formats.write_volume(labels.like(labels.array.astype(kind)), out / f"{MASK}.{params.format}")
    grid = {
        "shape_zyx": list(ct.shape),
        "spacing_zyx_mm": list(ct.spacing_mm),
        "origin_xyz_mm": list(ct.geometry.origin_xyz_mm),
        "direction_xyz": list(ct.geometry.direction_xyz),
    }
    net = json.loads((inputs["predict"] / "net.json").read_text(encoding="utf-8"))
    told = {
        "scan": found.scan, "patient": found.patient, "seen": seen, "net": net,
        "threshold": found.facts["threshold"], "grid": grid, "candidates": rows,
    }  # fmt: skip
    write_json(told, out / LIST)
    write_markups(candidates, out / f"{MASK}{MARKUPS}")
    no_dicom = ""
    if params.dicom:
        no_dicom = write_dicom(labels, candidates, str(net["sha256"]), inputs, out)
    del ct, labels
    working = volume_file.read_hu(inputs["resample"] / "ct.h5")
    masks = volume_file.read(inputs["reduce-false-positives"] / "nodules.h5")
    write_picture_of_scan(inputs, out / PICTURE, working, masks)
    write_close_ups(
        working,
        masks,
        candidates[: params.close_ups],
        f"{found.patient}  ...{found.scan[-24:]}",
        out,
    )
    return {
        "candidates": len(rows),
        "nodules": sum(row["mask_voxels"] > 0 for row in rows),
        "best_probability": rows[0]["probability"] if rows else 0.0,
        "close_ups": min(len(rows), params.close_ups),
        "seen": seen,
        **({"no_dicom": no_dicom} if no_dicom else {}),
    }


def write_dicom(
    labels: AnyVolume,
    candidates: Sequence[Detection],
    net_sha256: str,
    inputs: Mapping[str, Path],
    out: Path,
) -> str:
    """Write the candidates as DICOM objects; why not, where it cannot be."""
    images, why_not = images_or_reason(inputs["source"])
    if not candidates:
        why_not = "no candidate was found, so there is nothing to write"
    if images is None or not candidates:
        return why_not
    record = read_record(inputs["reduce-false-positives"])
    masks, report = candidate_objects(labels, candidates, Net(net_sha256), images, record)
    if masks is not None:
        masks.save_as(out / f"{MASK}{SEG}")
    report.save_as(out / f"{MASK}{SR}")
    return "" if masks is not None else "no candidate has a mask, so there is no segmentation"


STAGE = ScanStage(
    name="write-detections",
    version=2,
    help="the candidates on the scan's own grid: mask, list, a picture and close-ups",
    params=WriteDetections,
    needs=(
        "ingest",
        "resample",
        "segment-lungs",
        "predict",
        "reduce-false-positives",
        "locate-candidates",
    ),
    run=run,
)
"""The stage, for `lungseg.flow`."""
