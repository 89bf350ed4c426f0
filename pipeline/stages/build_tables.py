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
import numpy.typing as npt

from lungseg.core.errors import DataError, ScanError
from lungseg.core.record import Record, read_record
from lungseg.core.stage import DatasetInputs, DatasetStage, Facts, Params, as_dict, param
from lungseg.io.annotations.nodule_list import UNANNOTATED, NoduleList, read_nodules
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import NODULES, VOTE_LEVELS
from lungseg.io.tables.writer import ScanRows, TableWriter, fingerprints
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.crop import Corner, crop_corner, cut, footprint, size_for, size_needed
from lungseg.ops.hu.padding import AIR_HU
from lungseg.ops.nodules.consensus import consensus
from lungseg.ops.samples.tabulate import chosen_slices, filled_pixels, mask_areas, vote_areas
from lungseg.steps.picture_table import build_picture_table

FILE = "tables.h5"
NEEDS = ("resample", "segment-lungs", "annotate-nodules")

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
    picture_patient: str = param("", "regular expression for the patient in a picture's name")


class _Misfit(Exception):  # noqa: N818 - collected for one message, not a fault of the program
    """A scan that does not fit into the crop: what would be cut off, and the size it needs."""

    def __init__(self, needed: int, what: str) -> None:
        super().__init__(f"{what} needs {needed} x {needed} voxels")
        self.needed = needed


@dataclass(frozen=True)
class _Scan:
    """One scan to tabulate: its folders and what their records say."""

    scan: str
    folders: Mapping[str, Path]
    records: Mapping[str, Record]
    found: NoduleList

    @property
    def truth(self) -> str:
        return self.found.truth

    @property
    def verdict(self) -> str:
        return str(self.records["segment-lungs"].facts.get("verdict", "unknown"))

    @property
    def patient(self) -> str:
        return self.records["resample"].patient or self.scan

    @property
    def fingerprint(self) -> str:
        made_of = {stage: record.fingerprint for stage, record in self.records.items()}
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def run(params: BuildTables, inputs: DatasetInputs, out: Path) -> Facts:
    """Tabulate scan by scan, or 2-D pictures if they are given."""
    if params.images or params.masks:
        return _run_pictures(params, out)
    scans, left_out = _wanted(params, inputs)
    spacing = _common_spacing(scans)
    size = size_for(params.crop_mm, spacing[1])
    attributes = _attributes(params, scans, spacing)
    writer, kept = _begin(inputs.previous, scans, out / FILE, size, attributes)
    misfits: dict[str, _Misfit] = {}
    with writer:
        for scan in scans:
            if scan.scan in kept:
                continue
            try:
                # After the first misfit the file is useless; the rest is read to name them all.
                rows = _tabulate(scan, size, params, check_only=bool(misfits) and _stops(params))
                if rows is not None:
                    writer.add(rows)
            except _Misfit as misfit:
                misfits[scan.scan] = misfit
                log.warning("%s does not fit into the crop: %s", scan.scan, misfit)
        if misfits and (_stops(params) or not writer.scans):
            raise DataError(_misfit_message(misfits, size, spacing[1]))
    return _facts(out / FILE, appended_to=len(kept), left_out=left_out + len(misfits))


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
        settings=as_dict(params),
    )


def _wanted(params: BuildTables, inputs: DatasetInputs) -> tuple[list[_Scan], int]:
    scans = []
    left_out = 0
    for name, folders in inputs.scans.items():
        records = {stage: read_record(folders[stage]) for stage in NEEDS}
        scan = _Scan(name, folders, records, read_nodules(folders["annotate-nodules"]))
        suspect = params.leave_out_suspect and scan.verdict != "good"
        if suspect or (scan.truth == UNANNOTATED and not params.unannotated):
            why = f"lung mask is {scan.verdict}" if suspect else "unannotated"
            log.info("%s is left out of the tables: %s", name, why)
            left_out += 1
        else:
            scans.append(scan)
    if not scans:
        raise DataError(
            f"no scan to tabulate: {left_out} of {len(inputs.scans)} are left out by the settings "
            "of build-tables; `lungseg-cli status` names the scans whose preprocessing failed"
        )
    return sorted(scans, key=lambda each: each.scan), left_out


def _common_spacing(scans: list[_Scan]) -> tuple[float, float, float]:
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
    params: BuildTables, scans: list[_Scan], spacing: tuple[float, float, float]
) -> dict[str, Any]:
    settings = json.dumps(as_dict(params), sort_keys=True)
    made_of = [[scan.scan, scan.fingerprint] for scan in scans]
    upstream = {stage: dict(record.params) for stage, record in scans[0].records.items()}
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
    previous: Path | None, scans: list[_Scan], path: Path, size: int, attributes: dict[str, Any]
) -> tuple[TableWriter, set[str]]:
    old = previous / FILE if previous is not None else None
    if old is not None and old.is_file():
        wanted = {scan.scan: scan.fingerprint for scan in scans}
        try:
            held = fingerprints(old)
            if held and all(wanted.get(scan) == made_of for scan, made_of in held.items()):
                writer = TableWriter.extend(old, path, attributes)
                log.info("%d scans are copied from %s", len(held), old)
                return writer, set(held)
        except DataError as error:
            log.warning("the older table is not used: %s", error)
    expected = 250 * len(scans)
    return TableWriter.create(path, size, attributes, expected_rows=expected), set()


def _tabulate(scan: _Scan, size: int, params: BuildTables, *, check_only: bool) -> ScanRows | None:
    files = {
        "image": scan.folders["resample"] / "ct.h5",
        "lungs": scan.folders["segment-lungs"] / "lungs.h5",
        "votes": scan.folders["annotate-nodules"] / "votes.h5",
        "nodule": scan.folders["annotate-nodules"] / "nodules.h5",
    }
    _check_grids(scan.scan, files)
    lungs, votes = volume_file.read(files["lungs"]), volume_file.read(files["votes"]).array
    corner = _corner(lungs.array, votes, size)
    if check_only:
        return None
    voted = filled_pixels(votes)
    every = None if params.slices == "lung" else params.every
    z_index = chosen_slices(filled_pixels(lungs.array), voted, every)
    # One after another, so that never more than one whole volume of CT or labels is in memory;
    # a scan without votes has no labels to read.
    arrays = {
        "image": _rows_of(volume_file.read_hu(files["image"]).array, z_index, corner, size, AIR_HU),
        "lungs": _rows_of(lungs.array, z_index, corner, size, 0),
        "votes": _rows_of(votes, z_index, corner, size, 0),
        "nodule": _rows_of(volume_file.read(files["nodule"]).array, z_index, corner, size, 0)
        if voted.any()
        else np.zeros((len(z_index), size, size), np.uint16),
    }
    pixel_mm2 = lungs.spacing_mm[1] * lungs.spacing_mm[2]
    return ScanRows(
        scan=scan.scan,
        patient=scan.patient,
        fingerprint=scan.fingerprint,
        geometry=lungs.geometry,
        shape_zyx=lungs.shape,
        corner_zyx=(0, *corner),
        truth=scan.truth,
        verdict=scan.verdict,
        z_index=z_index,
        arrays=arrays,
        areas=_areas(arrays, scan.found.readers, pixel_mm2, params),
        nodules=_nodule_records(scan.found),
    )


def _check_grids(scan: str, files: Mapping[str, Path]) -> None:
    shapes = {name: volume_file.read_geometry(path)[0] for name, path in files.items()}
    if len(set(shapes.values())) != 1:
        raise DataError(
            f"{scan}: CT {shapes['image']}, lungs {shapes['lungs']}, votes {shapes['votes']} and "
            f"nodules {shapes['nodule']} are not on one grid; `lungseg-cli verify`, then "
            "preprocess again"
        )


def _corner(lungs: npt.NDArray[np.generic], votes: npt.NDArray[np.generic], size: int) -> Corner:
    lung, drawn = footprint(lungs), footprint(votes)
    try:
        corner = crop_corner(lung, size)
    except ScanError:
        if not lung.any():
            raise _Misfit(0, "the lung mask is empty: no crop") from None
        raise _Misfit(size_needed(lung, drawn), "the lungs") from None
    if np.count_nonzero(cut(drawn, corner, size, 0)) != np.count_nonzero(drawn):
        raise _Misfit(size_needed(lung, drawn), "a nodule")
    return corner


def _rows_of(
    array: npt.NDArray[Any], z_index: npt.NDArray[np.int32], corner: Corner, size: int, fill: int
) -> npt.NDArray[Any]:
    first, last = int(z_index[0]), int(z_index[-1]) + 1
    # The rows are nearly always consecutive slices: then this is a view and nothing is copied.
    run_of_slices = array[first:last] if last - first == len(z_index) else array[z_index]
    return cut(run_of_slices, corner, size, fill)


def _areas(
    arrays: Mapping[str, npt.NDArray[Any]],
    readers: Mapping[int, int],
    pixel_mm2: float,
    params: BuildTables,
) -> dict[str, npt.NDArray[np.float32]]:
    votes, labels = arrays["votes"], arrays["nodule"]
    levels = VOTE_LEVELS
    drawn = vote_areas(votes, levels, pixel_mm2)
    target_mm2 = np.zeros(len(votes), np.float32)
    box = bounding_box(votes > 0)
    if box is not None:
        target, _ = consensus(
            votes[box], labels[box], readers, params.min_readers, params.consensus_level
        )
        target_mm2[box[0]] = mask_areas(target, pixel_mm2)
    return {
        "lung_mm2": mask_areas(arrays["lungs"], pixel_mm2),
        **{f"nodule_mm2_{level}": drawn[row] for row, level in enumerate(levels)},
        "target_mm2": target_mm2,
    }


def _nodule_records(found: NoduleList) -> npt.NDArray[np.void]:
    records = np.zeros(len(found.nodules), NODULES)
    for record, nodule in zip(records, found.nodules, strict=True):
        for column in ("label", "readers", "voxels", "diameter_mm", "centroid_xyz_mm"):
            record[column] = getattr(nodule, column)
    return records


def _misfit_message(misfits: Mapping[str, _Misfit], size: int, spacing_mm: float) -> str:
    named = "; ".join(f"{scan}: {misfit}" for scan, misfit in list(misfits.items())[:20])
    more = f"; and {len(misfits) - 20} more" if len(misfits) > 20 else ""
    needed = max(misfit.needed for misfit in misfits.values())
    bigger = f"set build-tables.crop_mm to {needed * spacing_mm:g} or more, " if needed else ""
    return (
        f"{len(misfits)} scans do not fit into the crop of {size} x {size} voxels ({named}{more}); "
        f"look at their lung masks, {bigger}or leave them out with "
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
    version=1,
    help="crop every scan to its lungs and put all slices into one HDF5 table",
    params=BuildTables,
    needs=NEEDS,
    run=run,
)
"""The stage, for `lungseg.flow`."""
