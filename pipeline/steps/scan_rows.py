"""Scan rows: one scan, as the stages before left it, cropped to its lungs, as rows of the table."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import DataError, ScanError
from lungseg.core.record import Record
from lungseg.io.annotations.nodule_list import NoduleList
from lungseg.io.tables.schema import NODULES
from lungseg.io.tables.writer import ScanRows
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.crop import Corner, crop_corner, cut, footprint, size_needed
from lungseg.ops.hu.padding import AIR_HU
from lungseg.ops.samples.tabulate import chosen_slices, filled_pixels
from lungseg.steps.row_areas import Target, row_areas


class Misfit(Exception):  # noqa: N818 - collected for one message, not a fault of the program
    """A scan that does not fit into the crop: what would be cut off, and the size it needs."""

    def __init__(self, needed: int, what: str) -> None:
        super().__init__(f"{what} needs {needed} x {needed} voxels")
        self.needed = needed


@dataclass(frozen=True)
class TableScan:
    """One scan to tabulate: its folders and what their records say.

    Attributes
    ----------
    scan
        Its id.
    folders, records
        Of the stages `NEEDS`, by name.
    found
        Its nodules.
    """

    scan: str
    folders: Mapping[str, Path]
    records: Mapping[str, Record]
    found: NoduleList

    @property
    def truth(self) -> str:
        """What is known of its nodules."""
        return self.found.truth

    @property
    def verdict(self) -> str:
        """What segment-lungs thought of its mask."""
        return str(self.records["segment-lungs"].facts.get("verdict", "unknown"))

    @property
    def patient(self) -> str:
        """PatientID, or the scan's id."""
        return self.records["resample"].patient or self.scan

    @property
    def fingerprint(self) -> str:
        """Digest of what its rows are made from."""
        made_of = {stage: record.fingerprint for stage, record in self.records.items()}
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def scan_rows(
    scan: TableScan, size: int, every: int | None, target: Target, *, check_only: bool = False
) -> ScanRows | None:
    """Rows of one scan, cropped to squares of `size` voxels around its lungs.

    Parameters
    ----------
    scan
        What to read.
    size
        Edge of the squares, voxels.
    every
        Which slices, see `lungseg.ops.samples.tabulate.chosen_slices`.
    target
        What counts as nodule in ``target_mm2``.
    check_only
        See whether it fits, and return None.

    Raises
    ------
    Misfit
        If it does not fit into the squares.
    DataError
        If its volumes are not on one grid.
    """
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
        areas=row_areas(arrays, scan.found.readers, pixel_mm2, target),
        nodules=_nodule_records(scan.found),
    )


def _check_grids(scan: str, files: Mapping[str, Path]) -> None:
    shapes = {name: volume_file.read_geometry(path)[0] for name, path in files.items()}
    if len(set(shapes.values())) != 1:
        raise DataError(
            f"{scan}: CT {shapes['image']}, lungs {shapes['lungs']}, votes {shapes['votes']} and "
            f"nodules {shapes['nodule']} are not on one grid; one of them is damaged: verify, then "
            "preprocess again"
        )


def _corner(lungs: npt.NDArray[np.generic], votes: npt.NDArray[np.generic], size: int) -> Corner:
    lung, drawn = footprint(lungs), footprint(votes)
    try:
        corner = crop_corner(lung, size)
    except ScanError:
        if not lung.any():
            raise Misfit(0, "the lung mask is empty: no crop") from None
        raise Misfit(size_needed(lung, drawn), "the lungs") from None
    if np.count_nonzero(cut(drawn, corner, size, 0)) != np.count_nonzero(drawn):
        raise Misfit(size_needed(lung, drawn), "a nodule")
    return corner


def _rows_of(
    array: npt.NDArray[Any], z_index: npt.NDArray[np.int32], corner: Corner, size: int, fill: int
) -> npt.NDArray[Any]:
    first, last = int(z_index[0]), int(z_index[-1]) + 1
    # The rows are nearly always consecutive slices: then this is a view and nothing is copied.
    run_of_slices = array[first:last] if last - first == len(z_index) else array[z_index]
    return cut(run_of_slices, corner, size, fill)


def _nodule_records(found: NoduleList) -> npt.NDArray[np.void]:
    records = np.zeros(len(found.nodules), NODULES)
    for record, nodule in zip(records, found.nodules, strict=True):
        for column in ("label", "readers", "voxels", "diameter_mm", "centroid_xyz_mm"):
            record[column] = getattr(nodule, column)
    return records
