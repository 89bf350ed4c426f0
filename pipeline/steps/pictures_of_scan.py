"""Pictures of a scan: what the stages found in it, drawn on axial and coronal planes, as PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.record import read_record
from lungseg.io.annotations.nodule_list import read_nodules
from lungseg.io.pictures.png import write_sheet
from lungseg.io.volumes import volume_file
from lungseg.ops.overlay import outlines, sheet
from lungseg.volume import HU, AnyVolume, Volume

# What a stage calls the picture that it writes.
PICTURE = "picture.png"


def write_picture_of_scan(
    folders: Mapping[str, Path],
    path: Path,
    ct: Volume[HU] | None = None,
    found: AnyVolume | None = None,
) -> None:
    """Write a picture of one scan as PNG.

    Parameters
    ----------
    folders
        Folders of the scan's outputs by stage name; ``resample`` at least. What
        ``segment-lungs``, ``annotate-nodules`` and ``reduce-false-positives`` found is drawn if it
        is there.
    path
        The file.
    ct, found
        What ``resample`` and ``reduce-false-positives`` wrote, if it has been read already.
    """
    record = read_record(folders["resample"])
    ct = ct or volume_file.read_hu(folders["resample"] / "ct.h5")
    words = [f"{record.patient}  ...{record.scan[-24:]}"]
    lungs = votes = detected = focus = None
    if "segment-lungs" in folders:
        lungs = volume_file.read(folders["segment-lungs"] / "lungs.h5").array
        facts = read_record(folders["segment-lungs"]).facts
        volume_ml = np.count_nonzero(lungs) * ct.voxel_ml
        words.append(f"lungs {volume_ml:.0f} ml, {facts.get('verdict', 'no verdict')}")
        if facts.get("reasons"):
            words.append(f"({facts['reasons']})")
    if "reduce-false-positives" in folders:
        found = found or volume_file.read(folders["reduce-false-positives"] / "nodules.h5")
        detected = found.array
        focus = _focus(detected == _likeliest(detected))
        words.append(
            f"found: {read_record(folders['reduce-false-positives']).facts.get('candidates')}"
        )
    if "annotate-nodules" in folders:
        votes = volume_file.read(folders["annotate-nodules"] / "votes.h5").array
        focus = _focus(volume_file.read(folders["annotate-nodules"] / "nodules.h5").array) or focus
        known = read_nodules(folders["annotate-nodules"])
        words.append(f"nodules: {len(known.nodules)}, truth: {known.truth}")
    rows = sheet(ct, outlines(lungs, votes, detected), region=lungs, focus=focus)
    legend = [
        told
        for drawn, told in (
            (lungs, "right lung blue, left lung green"),
            (votes, "nodules yellow, orange, red, crimson where 1, 2, 3, 4 readers agree"),
            (detected, "white: detected"),
        )
        if drawn is not None
    ]
    write_sheet(rows, "   ".join(words) + "\n" + "; ".join(legend), path)


def _likeliest(labels: npt.NDArray[Any]) -> int:
    """The first label that has a voxel: labels are ranks."""
    return int(np.min(labels, initial=np.iinfo(labels.dtype).max, where=labels > 0))


def _focus(labels: npt.NDArray[Any]) -> tuple[int, int, int] | None:
    """A voxel in the middle of the largest label, or None."""
    where = np.flatnonzero(labels)
    if not where.size:
        return None
    values = labels.ravel()[where]
    voxels = np.column_stack(
        np.unravel_index(where[values == np.bincount(values).argmax()], labels.shape)
    )
    z, y, x = voxels[np.abs(voxels - voxels.mean(axis=0)).sum(axis=1).argmin()].tolist()
    return z, y, x
