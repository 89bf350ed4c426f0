"""Build tables: every scan, cropped to its lungs -> one file with one row per slice.

reads   resample/ct.h5, segment-lungs/lungs.h5, annotate-nodules/{votes,nodules}.h5, nodules.json
writes  tables.h5            image, lungs, votes, nodule labels; slices, scans, nodules

The crop is a square around the lungs' bounding box, of one size for all scans, so that rows form
batches. It must cut off neither lung nor nodule, or the net would learn that there is none: a scan
that does not fit stops the build, and the message names the size it needs. All nodules of a slice
are in its one row, as votes and labels, so that the consensus is chosen later. Scans in an older
file of the same settings are copied with that file and not written again.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import DataError
from lungseg.core.record import read_record
from lungseg.core.shown import many
from lungseg.core.stage import DatasetInputs, DatasetStage, Facts, Params, as_dict, param
from lungseg.io.annotations.nodule_list import UNANNOTATED, read_nodules
from lungseg.io.annotations.stretched_slices import TakenAs
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.writer import ScanRows, TableWriter, fingerprints
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.crop import (
    MULTIPLE,
    size_for,
)
from lungseg.ops.hu.padding import AIR_HU
from lungseg.steps.picture_table import build_picture_table, named
from lungseg.steps.row_areas import Target
from lungseg.steps.scan_rows import Misfit, TableScan, scan_rows
from lungseg.steps.slices_table import SliceGroup, find_groups, group_rows

FILE = "tables.h5"
NEEDS = ("resample", "segment-lungs", "annotate-nodules")

HU_HIGH = 400
"""Brightest HU of windows without scans beside them; resample's own limit."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BuildTables(Params):
    """Parameters of this stage."""

    crop_mm: float = param(
        352.0, "edge of the square around the lungs, rounded up to a multiple of 32 voxels", gt=0
    )
    slices: str = param(
        "lung",
        "lung: every slice with lung or nodule; nodule: those with a nodule, and others (`every`)",
        choices=("lung", "nodule"),
    )
    every: int = param(4, "with slices = nodule: every n-th of the slices without a nodule", ge=1)
    min_readers: int = param(
        3, "least number of readers of a nodule that counts in target_mm2", ge=1
    )
    consensus_level: float = param(
        0.5, "share of a nodule's readers who must include a voxel for target_mm2", gt=0, le=1
    )
    unannotated: bool = param(
        True, "include unannotated scans; a nodule net is neither trained nor scored on them"
    )
    leave_out_suspect: bool = param(False, "leave out scans whose lung mask is suspect")
    leave_out_misfits: bool = param(
        False, "leave out scans that do not fit into the crop, instead of stopping"
    )
    images: str = param("", "folder of 2-D pictures to tabulate instead of scans", path=True)
    masks: str = param("", "folder of their lung masks, `name` or `name_mask`", path=True)
    picture_px: int = param(256, "edge of the pictures in the table, a multiple of 32", ge=32)
    picture_fit: str = param(
        "pad", "pad: keep a picture's shape; stretch: fill the square", choices=("pad", "stretch")
    )
    mask_levels: str = param(
        "auto",
        "values of a mask that are lung: auto, nonzero, or e.g. 127,255 or 128-255 or #ff0000",
    )
    picture_patient: str = param("", "regular expression for the patient in a picture's name")
    nodule_slices: str = param(
        "",
        "folder of slices around nodules, with each annotator's mask, beside scans or alone",
        path=True,
    )
    slices_spacing_mm: float = param(
        1.0,
        "distance of voxels of nodule slices where there are no scans beside them",
        ge=0.1,
        le=10,
    )
    stretched_slices: bool = param(
        False, "take nodule slices that hold no HU, but grey values stretched slice by slice"
    )
    stretched_low_hu: float = param(-1000.0, "HU of black in stretched slices", ge=-1024, le=3000)
    stretched_high_hu: float = param(400.0, "HU of white in stretched slices", ge=-1024, le=3000)
    stretched_pixel_mm: float = param(0.7, "distance of pixels in stretched slices", gt=0)
    stretched_gap_mm: float = param(1.5, "distance of stretched slices along z", gt=0)


def run(params: BuildTables, inputs: DatasetInputs, out: Path) -> Facts:
    """Tabulate scan by scan, or 2-D pictures if they are given."""
    if params.images or params.masks:
        return _run_pictures(params, out)
    scans, left_out = _wanted(params, inputs)
    groups, bad_slices = _slice_groups(params, scans)
    spacing = _common_spacing(scans) if scans else (params.slices_spacing_mm,) * 3
    size = _size(params, scans, groups, spacing[1])
    groups = [group.made_for(size, spacing[1], _clip(scans)) for group in groups]
    attributes = _attributes(params, scans, groups, spacing)
    tasks: list[TableScan | SliceGroup] = [*scans, *groups]
    writer, kept = _begin(inputs.previous, tasks, out / FILE, size, attributes)
    misfits: dict[str, Misfit] = {}
    with writer:
        for scan in tasks:
            if scan.scan in kept:
                continue
            try:
                # After the first misfit the file is useless; the rest is read to name them all.
                check_only = bool(misfits) and _stops(params)
                rows = (
                    _group_rows(scan, size, spacing[1], params, _clip(scans))
                    if isinstance(scan, SliceGroup)
                    else _tabulate(scan, size, params, check_only=check_only)
                )
                if rows is not None:
                    writer.add(rows)
            except Misfit as misfit:
                misfits[scan.scan] = misfit
                if not _stops(params):  # else the error names all of them
                    log.warning("%s does not fit into the crop: %s", scan.scan, misfit)
        if misfits and (_stops(params) or not writer.scans):
            raise DataError(_misfit_message(misfits, size, spacing[1]))
    left_out += len(misfits) + len(bad_slices)
    return {
        **_facts(out / FILE, appended_to=len(kept), left_out=left_out),
        **({"windows": len(groups)} if groups else {}),
        **named(bad_slices),
    }


def _slice_groups(
    params: BuildTables, scans: list[TableScan]
) -> tuple[list[SliceGroup], list[str]]:
    if not params.nodule_slices:
        return [], []
    taken_as = None
    if params.stretched_slices:
        taken_as = TakenAs(
            params.stretched_low_hu,
            params.stretched_high_hu,
            params.stretched_pixel_mm,
            params.stretched_gap_mm,
        )
    folder = Path(params.nodule_slices)
    groups, bad = find_groups(folder, taken_as, {scan.scan for scan in scans})
    for line in bad:
        log.warning("left out: %s", line)
    return groups, bad


def _size(
    params: BuildTables, scans: list[TableScan], groups: list[SliceGroup], spacing_mm: float
) -> int:
    if scans:
        return size_for(params.crop_mm, spacing_mm)
    # Without lungs to hold, the windows alone decide; crop_mm is then no more than a limit.
    needed = max(group.pixels(spacing_mm) for group in groups) * spacing_mm
    return size_for(min(needed, params.crop_mm), spacing_mm)


def _clip(scans: list[TableScan]) -> tuple[int, int]:
    """HU to which the scans beside the windows were clipped, so that all rows look alike."""
    told: Mapping[str, Any] = scans[0].records["resample"].params if scans else {}
    return int(told.get("hu_low", AIR_HU)), int(told.get("hu_high", HU_HIGH))


def _group_rows(
    group: SliceGroup, size: int, spacing_mm: float, params: BuildTables, clip: tuple[int, int]
) -> ScanRows:
    needed = group.pixels(spacing_mm)
    if needed > size:
        raise Misfit(-(-needed // MULTIPLE) * MULTIPLE, "the window")
    return group_rows(group, size, spacing_mm, clip, _target(params))


def _tabulate(
    scan: TableScan, size: int, params: BuildTables, *, check_only: bool
) -> ScanRows | None:
    every = None if params.slices == "lung" else params.every
    return scan_rows(scan, size, every, _target(params), check_only=check_only)


def _target(params: BuildTables) -> Target:
    return Target(params.min_readers, params.consensus_level)


def _stops(params: BuildTables) -> bool:
    return not params.leave_out_misfits


def _run_pictures(params: BuildTables, out: Path) -> Facts:
    if not (params.images and params.masks):
        raise DataError("pictures need both build-tables.images and build-tables.masks")
    return build_picture_table(
        Path(params.images),
        Path(params.masks),
        out / FILE,
        params.picture_px,
        fit=params.picture_fit,
        patient=params.picture_patient,
        mask_levels=params.mask_levels,
        settings=as_dict(params),
    )


def _wanted(params: BuildTables, inputs: DatasetInputs) -> tuple[list[TableScan], int]:
    scans = []
    left_out = 0
    for name, folders in inputs.scans.items():
        records = {stage: read_record(folders[stage]) for stage in NEEDS}
        scan = TableScan(name, folders, records, read_nodules(folders["annotate-nodules"]))
        suspect = params.leave_out_suspect and scan.verdict != "good"
        if suspect or (scan.truth == UNANNOTATED and not params.unannotated):
            why = f"lung mask is {scan.verdict}" if suspect else "unannotated"
            log.info("%s is left out of the tables: %s", name, why)
            left_out += 1
        else:
            scans.append(scan)
    if not scans and not params.nodule_slices:
        raise DataError(
            f"no scan to tabulate: {left_out} of {len(inputs.scans)} are left out by the settings "
            "of build-tables; `lungseg-cli status` names the scans whose preprocessing failed"
        )
    return sorted(scans, key=lambda each: each.scan), left_out


def _common_spacing(scans: list[TableScan]) -> tuple[float, float, float]:
    first = volume_file.read_geometry(scans[0].folders["segment-lungs"] / "lungs.h5")[1].spacing_mm
    for scan in scans:
        spacing = volume_file.read_geometry(scan.folders["segment-lungs"] / "lungs.h5")[
            1
        ].spacing_mm
        if not np.allclose(spacing, first, rtol=0, atol=1e-6):
            raise DataError(
                f"{scan.scan} has voxels of {spacing} mm and {scans[0].scan} of {first} mm; one "
                "table takes one spacing: run resample on both with the same spacing_mm"
            )
    if abs(first[1] - first[2]) > 1e-6:
        raise DataError(
            f"voxels of {first} mm are not square in the slice; set resample.spacing_mm"
        )
    return first


def _attributes(
    params: BuildTables,
    scans: list[TableScan],
    groups: list[SliceGroup],
    spacing: tuple[float, ...],
) -> dict[str, Any]:
    settings = json.dumps(as_dict(params), sort_keys=True)
    made_of = [[scan.scan, scan.fingerprint] for scan in scans]
    made_of += [[group.scan, group.fingerprint] for group in groups]
    records = scans[0].records if scans else {}
    upstream = {stage: dict(record.params) for stage, record in records.items()}
    return {
        "kind": "ct",
        "crop_mm": params.crop_mm,
        "spacing_mm": np.asarray(spacing),
        "params": settings,
        "input_params": json.dumps(upstream, sort_keys=True),
        "versions": json.dumps(
            {name: version(name) for name in ("lungseg-cli", "numpy", "tables")}
        ),
        "fingerprint": hashlib.sha256((settings + json.dumps(made_of)).encode()).hexdigest(),
    }


def _begin(
    previous: Path | None,
    tasks: list[TableScan | SliceGroup],
    path: Path,
    size: int,
    attributes: dict[str, Any],
) -> tuple[TableWriter, set[str]]:
    old = previous / FILE if previous is not None else None
    if old is not None and old.is_file():
        wanted = {task.scan: task.fingerprint for task in tasks}
        try:
            held = fingerprints(old)
            if held and all(wanted.get(scan) == made_of for scan, made_of in held.items()):
                writer = TableWriter.extend(old, path, attributes)
                log.info("%d scans are copied from %s", len(held), old)
                return writer, set(held)
        except DataError as error:
            log.warning("the older table is not used: %s", error)
    expected = sum(10 if isinstance(task, SliceGroup) else 250 for task in tasks)
    return TableWriter.create(path, size, attributes, expected_rows=expected), set()


def _misfit_message(misfits: Mapping[str, Misfit], size: int, spacing_mm: float) -> str:
    named = "; ".join(f"{scan}: {misfit}" for scan, misfit in list(misfits.items())[:20])
    more = f"; and {len(misfits) - 20} more" if len(misfits) > 20 else ""
    needed = max(misfit.needed for misfit in misfits.values())
    bigger = f"set build-tables.crop_mm to {needed * spacing_mm:g} or more, " if needed else ""
    return (
        f"{many(len(misfits), 'scan does', 'scans do')} not fit into the crop of {size} x {size} "
        f"voxels ({named}{more}); look at their lung masks, {bigger}or leave them out with "
        "build-tables.leave_out_misfits = true"
    )


def _facts(path: Path, *, appended_to: int, left_out: int) -> Facts:
    with Tables(path) as table:
        slices = table.slices
        return {
            "scans": len(table.scans),
            "patients": len(np.unique(table.scans["patient"])),
            "rows": len(slices),
            "nodule_rows": int(np.count_nonzero(slices["nodule_mm2_1"])),
            "target_rows": int(np.count_nonzero(slices["target_mm2"])),
            "nodules": len(table.nodules),
            "taken_over": appended_to,
            "left_out": left_out,
            "size": table.size,
        }


STAGE = DatasetStage(
    name="build-tables",
    version=2,
    help="crop every scan to its lungs and put all slices into one HDF5 table",
    params=BuildTables,
    needs=NEEDS,
    run=run,
)
"""The stage, for `lungseg.flow`."""
