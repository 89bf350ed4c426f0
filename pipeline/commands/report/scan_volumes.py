"""The volumes of one scan that its page shows, cut to what matters, with what is drawn on them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lungseg.commands.report.collect import ScanEntry
from lungseg.core.shown import many
from lungseg.io.annotations.nodule_list import NoduleList, read_nodules
from lungseg.io.results.candidate_list import Detection
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.nodules.location import FARTHEST_MM
from lungseg.ops.scores.detection import radius_mm
from lungseg.volume import HU, AnyVolume, Box, Volume

if TYPE_CHECKING:
    from pathlib import Path

# What is shown around the lungs and all that was drawn or found.
_MARGIN_MM = 12.0
_MOST_VOTES = 4


@dataclass(frozen=True, eq=False)
class Layer:
    """What is outlined: the voxels of `labels` from `low` to `high`."""

    name: str
    key: str
    labels: AnyVolume
    low: int = 1
    high: int | None = None


@dataclass(frozen=True, eq=False)
class Shown:
    """One scan on the working grid, cut to a box.

    Attributes
    ----------
    ct
        HU.
    layers
        What is outlined on it.
    candidates
        The likeliest first; empty if nothing was predicted.
    truth
        What is known of its nodules; None if that was not read.
    """

    ct: Volume[HU]
    layers: Sequence[Layer]
    candidates: Sequence[Detection]
    truth: NoduleList | None
    detected: AnyVolume | None = None

    def voxel(self, xyz_mm: Sequence[float]) -> list[float]:
        """Where a place in the world lies in the box, ``(z, y, x)``, to a tenth of a voxel."""
        return [round(float(v), 1) for v in self.ct.geometry.to_index(xyz_mm)]


def read_shown(one: ScanEntry) -> Shown | None:
    """The volumes of a scan as far as they are there; None without a CT on the working grid.

    Raises
    ------
    DamagedOutputError
        If an output cannot be read.
    """
    resample = one.folder("resample")
    if resample is None:
        return None
    ct = volume_file.read_hu(resample / "ct.h5")
    layers, truth, detected = [], None, None
    lungs = _volume(one, "segment-lungs", "lungs.h5")
    if lungs is not None:
        layers += [
            Layer("right lung", "right", lungs, 1, 1),
            Layer("left lung", "left", lungs, 2, 2),
        ]
    folder = one.folder("annotate-nodules")
    if folder is not None:
        truth = read_nodules(folder)
        votes = volume_file.read(folder / "votes.h5")
        most = min(int(votes.array.max()), _MOST_VOTES) if truth.nodules else 0
        layers += [Layer(_readers(k), f"votes{k}", votes, k) for k in range(1, most + 1)]
    candidates = one.candidates() or []
    folder = one.folder("reduce-false-positives")
    if folder is not None:
        detected = volume_file.read(folder / "nodules.h5")
        layers.append(Layer("prediction", "found", detected))
    box = _box(ct, lungs, truth, candidates)
    return Shown(
        ct.crop(box),
        [Layer(a.name, a.key, a.labels.crop(box), a.low, a.high) for a in layers],
        candidates,
        truth,
        None if detected is None else detected.crop(box),
    )


def _readers(count: int) -> str:
    return (
        "drawn by 1 annotator"
        if count == 1
        else f"by {count} or more"
        if count < _MOST_VOTES
        else "by 4"
    )


def _volume(one: ScanEntry, stage: str, file: str) -> AnyVolume | None:
    folder = one.folder(stage)
    return None if folder is None else volume_file.read(folder / file)


def _box(
    ct: Volume[HU],
    lungs: AnyVolume | None,
    truth: NoduleList | None,
    candidates: Sequence[Detection],
) -> Box:
    """The lungs and everything drawn or found, with a margin; the whole scan without lungs."""
    found = None if lungs is None else bounding_box(lungs.array > 0)
    if found is None:
        return (slice(0, ct.shape[0]), slice(0, ct.shape[1]), slice(0, ct.shape[2]))
    low = np.array([s.start for s in found], float)
    high = np.array([s.stop - 1 for s in found], float)
    nodules = truth.nodules if truth else ()
    places = [(n.centroid_xyz_mm, n.diameter_mm) for n in nodules]
    places += [(c.xyz_mm, c.diameter_mm) for c in candidates]
    for xyz_mm, diameter_mm in places:
        at = ct.geometry.to_index(xyz_mm)
        reach = (0.0 if np.isnan(diameter_mm) else diameter_mm / 2) / np.asarray(ct.spacing_mm)
        low, high = np.minimum(low, at - reach), np.maximum(high, at + reach)
    margin = _MARGIN_MM / np.asarray(ct.spacing_mm)
    first = np.floor(low - margin).clip(0, np.asarray(ct.shape) - 1).astype(int)
    last = np.ceil(high + margin).clip(0, np.asarray(ct.shape) - 1).astype(int)
    z, y, x = (slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))
    return z, y, x


def candidate_rows(shown: Shown) -> list[dict[str, Any]]:
    """Each candidate for the page: where it is, how likely, and on which drawn nodule it lies."""
    masked: set[int] = set()
    if shown.detected is not None:
        masked = set(np.unique(shown.detected.array).tolist())
    return [
        {
            "rank": rank,
            "at": shown.voxel(c.xyz_mm),
            "xyz_mm": [round(mm, 1) for mm in c.xyz_mm],
            "probability": round(c.probability, 4),
            "calibrated": c.calibrated,
            "net": c.found_probability,
            "reducer": c.reducer_probability,
            "diameter_mm": None if np.isnan(c.diameter_mm) else round(c.diameter_mm, 1),
            "mask": rank in masked,
            "where": f"{c.around.side} {c.around.third}" if c.around and c.around.side else "",
            "touches": _touches(c),
            "facts": _facts(c),
            "nodule": _nodule_at(c, shown.truth),
        }
        for rank, c in enumerate(shown.candidates, 1)
    ]


def _touches(one: Detection) -> list[str]:
    """What a candidate touches, in a word each; empty if it was not measured."""
    around = one.around
    if around is None:
        return []
    told = (("vessel", around.vessels), ("rib", around.touches_rib), ("end", around.at_scan_end))
    return [word for word, touched in told if touched]


def _facts(one: Detection) -> list[tuple[str, str]]:
    """Where a candidate lies and what it touches, as rows of names and values."""
    around = one.around
    if around is None:
        return []
    rows = _place(around.side, around.third, around.edge_mm)
    rows.append(("vessels", _vessels(around.vessels)))
    rows.append(("touches a rib", "yes" if around.touches_rib else "no"))
    return rows + ([("end of the scan", "cuts it")] if around.at_scan_end else [])


def _vessels(count: int) -> str:
    return f"{many(count, 'strand')} of a vessel's shape" if count else "none"


def _place(side: str, third: str, edge_mm: float | None) -> list[tuple[str, str]]:
    rows = [("lies in", f"{side} lung, {third} third" if side else "no lung")]
    if edge_mm is not None:
        far = " or more" if edge_mm >= FARTHEST_MM else ""
        rows.append(("to the lung's edge", f"{edge_mm:.1f} mm{far}"))
    return rows


def _nodule_at(one: Detection, truth: NoduleList | None) -> int | None:
    """The drawn nodule in whose radius the candidate lies, or None: LUNA16's rule."""
    for nodule in truth.nodules if truth else ():
        away = np.linalg.norm(np.subtract(one.xyz_mm, nodule.centroid_xyz_mm))
        if away < radius_mm(nodule.diameter_mm):
            return nodule.label
    return None


def nodule_rows(shown: Shown) -> list[dict[str, Any]]:
    """Each nodule of the truth for the page."""
    return [
        {
            "label": n.label,
            "at": shown.voxel(n.centroid_xyz_mm),
            "xyz_mm": [round(mm, 1) for mm in n.centroid_xyz_mm],
            "diameter_mm": round(n.diameter_mm, 1),
            "volume_mm3": round(n.volume_mm3, 1),
            "readers": n.readers,
            "share_in_lungs": round(n.share_in_lungs, 3),
            "facts": _place(n.side, n.third, n.edge_mm) if n.side else [],
            "ratings": {name: round(v, 2) for name, v in n.ratings_median.items()},
        }
        for n in (shown.truth.nodules if shown.truth else ())
    ]


def net_of(one: ScanEntry) -> dict[str, Any]:
    """Which net predicted, as `predict` told; empty if nothing was predicted."""
    folder = one.folder("predict")
    file: Path | None = folder / "net.json" if folder else None
    if file is None or not file.is_file():
        return {}
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return told
