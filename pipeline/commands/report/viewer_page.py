"""The page with the volume itself: NiiVue, and the scan's volumes beside it as scripts."""

import base64
import gzip
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.commands.report.collect import ScanEntry
from lungseg.commands.report.scan_volumes import Shown, candidate_rows, nodule_rows
from lungseg.core.json_file import write_text
from lungseg.io.volumes import formats
from lungseg.report.pages import write_page
from lungseg.volume import AnyVolume

PAGE = "viewer.html"
# HU of a grey: an eighth of the file's size, and finer than noise.
STEP_HU, LOWEST_HU = 8, -1024
# Where a NIfTI's header has scl_slope and scl_inter.
_SCALE_AT = 112


def write_viewer(one: ScanEntry, shown: Shown, folder: Path, context: Mapping[str, Any]) -> None:
    """Write the viewer's page of a scan into the folder of its page, and its volumes."""
    volumes = {"ct": _stepped(shown)}
    lungs = next((layer for layer in shown.layers if layer.key == "right"), None)
    if lungs is not None:
        volumes["lungs"] = lungs.labels.like(lungs.labels.array.astype(np.uint8))
    votes = next((layer for layer in shown.layers if layer.key == "votes1"), None)
    if votes is not None:
        volumes["drawn"] = votes.labels.like((votes.labels.array > 0).astype(np.uint8))
    if shown.detected is not None:
        volumes["found"] = shown.detected.like((shown.detected.array > 0).astype(np.uint8))
    for name, volume in volumes.items():
        text = base64.b64encode(_nifti(name, volume, folder / f".{name}.nii")).decode("ascii")
        # A script, for a page from disk may load no other file.
        write_text(
            f'(globalThis.lungsegVolumes??={{}}).{name}="{text}";\n', folder / f"volume_{name}.js"
        )
    data = {
        "volumes": list(volumes),
        "low": LOWEST_HU,
        "step": STEP_HU,
        "shape": list(shown.ct.shape),
        "places": [
            {"name": f"candidate {c['rank']}, score {c['probability']:.3f}", "at": c["at"]}
            for c in candidate_rows(shown)
        ]
        + [
            {"name": f"nodule {n['label']}, {n['diameter_mm']} mm", "at": n["at"]}
            for n in nodule_rows(shown)
        ],
    }
    write_page("viewer.html", {"one": one, "data": data} | dict(context), folder / PAGE)


def _stepped(shown: Shown) -> AnyVolume:
    """The CT as bytes: HU = step x value + lowest."""
    values = np.rint((shown.ct.array.astype(np.float32) - LOWEST_HU) / STEP_HU)
    return shown.ct.like(values.clip(0, 255).astype(np.uint8))


def _nifti(name: str, volume: AnyVolume, partial: Path) -> bytes:
    """The volume as a compressed NIfTI file's bytes; of the CT its header says what HU are."""
    try:
        formats.write_volume(volume, partial)
        content = bytearray(partial.read_bytes())
        if name == "ct":
            struct.pack_into("<ff", content, _SCALE_AT, STEP_HU, LOWEST_HU)
        return gzip.compress(bytes(content), 5, mtime=0)
    finally:
        partial.unlink(missing_ok=True)
