"""The page of one scan: three planes what was found on them, all figures of its records."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.commands.report.collect import Collected, ScanEntry
from lungseg.commands.report.scan_volumes import (
    Layer,
    Shown,
    candidate_rows,
    net_of,
    nodule_rows,
    read_shown,
)
from lungseg.commands.report.viewer_page import write_viewer
from lungseg.core.errors import LungsegError
from lungseg.core.json_file import write_text
from lungseg.report.pages import INDEX, SCANS, write_bytes, write_page
from lungseg.report.planes import (
    ACROSS,
    PER_SHEET,
    Axis,
    axes_of,
    paths_of,
    sheets_of,
    tile_px,
    window_table,
)

# Names as readers know them, and HU from black to white.
WINDOWS = (("lung", "Lung", -1350.0, 150.0), ("soft", "Soft tissue", -160.0, 240.0))
OUTLINES = "outlines.js"


def write_scan_page(
    one: ScanEntry, around: Collected, out: Path, *, viewer: bool, context: Mapping[str, Any]
) -> str:
    """Write a scan's page and its pictures into the report `out`; why it has no pictures, if so.

    A volume that cannot be read costs the pictures alone.
    """
    folder = out / SCANS / one.name
    folder.mkdir(parents=True, exist_ok=True)
    shown, fault = None, ""
    try:
        shown = read_shown(one)
    except (LungsegError, OSError, ValueError) as error:
        fault = f"its volumes cannot be read ({error}); `lungseg-cli verify` says which are damaged"
    if not shown and not fault:
        why = one.steps["resample"].why if "resample" in one.steps else ""
        fault = f"resample is not done{why and f' ({why})'}, and they show what it makes"
    data = _with_planes(shown, folder) if shown else None
    has_viewer = bool(shown and viewer)
    if shown and has_viewer:
        write_viewer(one, shown, folder, context)
    write_page(
        "scan.html", _told(one, around, data, fault, has_viewer) | dict(context), folder / INDEX
    )
    return fault


def _with_planes(shown: Shown, folder: Path) -> dict[str, Any]:
    """Write the sheets and outlines of the three planes; what the page must know of them."""
    planes, outlines = [], {}
    for axis in axes_of(shown.ct.spacing_mm):
        files = []
        for k, sheet in enumerate(sheets_of(shown.ct, axis)):
            files.append(f"{axis.name}_{k:02d}.webp")
            write_bytes(sheet, folder / files[-1])
        for old in sorted(folder.glob(f"{axis.name}_*.webp")):
            if old.name not in files:
                old.unlink()
        planes.append(_plane(shown, axis, files))
        outlines[axis.name] = {layer.key: _sparse(layer, axis) for layer in shown.layers}
    # A script, for a page from disk may load no other file.
    told = json.dumps(outlines, separators=(",", ":"))
    write_text(f"globalThis.lungsegOutlines={told};\n", folder / OUTLINES)
    layers = [{"name": layer.name, "key": layer.key} for layer in shown.layers]
    return {
        "planes": planes,
        "across": ACROSS,
        "perSheet": PER_SHEET,
        "spacing": list(shown.ct.spacing_mm),
        "shape": list(shown.ct.shape),
        "origin": [round(v, 3) for v in shown.ct.geometry.origin_xyz_mm],
        "direction": list(shown.ct.geometry.direction_xyz),
        "layers": layers,
        "candidates": candidate_rows(shown),
        "nodules": nodule_rows(shown),
        "start": _start(shown),
        "windows": [{"key": key, "name": name, "low": a, "high": b} for key, name, a, b in WINDOWS],
    }


def _plane(shown: Shown, axis: Axis, files: list[str]) -> dict[str, Any]:
    rows, columns = (n for k, n in enumerate(shown.ct.shape) if k != axis.along)
    down_mm, across_mm = (mm for k, mm in enumerate(shown.ct.spacing_mm) if k != axis.along)
    tile_rows, tile_columns = tile_px(shown.ct.shape, axis)
    return {
        "name": axis.name,
        "along": axis.along,
        "every": axis.every,
        "count": -(-shown.ct.shape[axis.along] // axis.every),
        "rows": rows,
        "columns": columns,
        "tileRows": tile_rows,
        "tileColumns": tile_columns,
        "mmPerRow": down_mm,
        "mmPerColumn": across_mm,
        "files": files,
    }


def _sparse(layer: Layer, axis: Axis) -> dict[int, str]:
    paths = paths_of(layer.labels, axis, layer.low, layer.high)
    return {k: path for k, path in enumerate(paths) if path}


def _start(shown: Shown) -> list[float]:
    """Where the page opens: the likeliest candidate, the largest nodule, or where most lung is."""
    if shown.candidates:
        return shown.voxel(shown.candidates[0].xyz_mm)
    if shown.truth and shown.truth.nodules:
        largest = max(shown.truth.nodules, key=lambda n: n.diameter_mm)
        return shown.voxel(largest.centroid_xyz_mm)
    lungs = [layer.labels.array > 0 for layer in shown.layers if layer.key == "right"]
    if lungs and lungs[0].any():
        at = [
            int(np.argmax(np.count_nonzero(lungs[0], axis=tuple({0, 1, 2} - {axis}))))
            for axis in range(3)
        ]
        return [float(v) for v in at]
    return [n / 2 for n in shown.ct.shape]


def _told(
    one: ScanEntry, around: Collected, data: dict[str, Any] | None, fault: str, has_viewer: bool
) -> dict[str, Any]:
    pages = [scan.name for scan in around.scans]
    here = pages.index(one.name)
    net = net_of(one)
    return {
        "one": one,
        "data": data,
        "fault": fault,
        "has_viewer": has_viewer,
        "outlines": OUTLINES,
        "steps": [step.told() for step in one.steps.values()],
        "net": net,
        "windows": [
            {"key": key, "name": name, "low": low, "high": high, "table": window_table(low, high)}
            for key, name, low, high in WINDOWS
        ],
        "before": pages[here - 1] if here else "",
        "after": pages[here + 1] if here + 1 < len(pages) else "",
    }
