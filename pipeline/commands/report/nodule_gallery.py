"""Small pictures of nodules on the first page: the best, median and worst, or the likeliest."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.commands.report.collect import Collected, ScanEntry
from lungseg.commands.report.scores import scored_rows
from lungseg.core.errors import LungsegError
from lungseg.io.volumes import volume_file
from lungseg.ops.overlay import LUNG_WINDOW_HU, windowed
from lungseg.report.pages import write_bytes
from lungseg.report.planes import outline
from lungseg.volume import HuArray, MaskArray

FOLDER = "nodules"
# Of each kind, and how many mm of the slice are shown.
_EACH, _SIDE_MM = 4, 48.0


@dataclass(frozen=True)
class _Pick:
    """One picture: of which scan, where, what stands below it, and where it leads."""

    entry: ScanEntry
    xyz_mm: tuple[float, float, float]
    head: str
    told: str
    anchor: str


def galleries(around: Collected, out: Path) -> list[dict[str, Any]]:
    """Groups of pictures, written into the report `out`; none without scores and candidates."""
    groups = list(_scored(around)) or list(_likeliest(around))
    wanted = {f"{title}{k}": pick for title, _, picks in groups for k, pick in enumerate(picks)}
    drawn = dict(_draw(wanted, out))
    told, found = [], []
    for title, said, picks in groups:
        nodules = [one for k in range(len(picks)) if (one := drawn.get(f"{title}{k}"))]
        if nodules:
            found.append(nodules)
            told.append({"title": title, "said": said, "nodules": nodules, "legend": ""})
    if told:
        paths = [kind for group in found for one in group for _, kind in one["paths"]]
        drawn_too = "yellow: what half of the annotators drew; " if "votes1" in paths else ""
        told[-1]["legend"] = (
            f"{_SIDE_MM:g} mm of the axial slice through the middle; {drawn_too}white, dashed: "
            "what the net marked."
        )
    return told


def _scored(around: Collected) -> Iterator[tuple[str, str, list[_Pick]]]:
    entries = {one.scan: one for one in around.scans}
    rows = [
        (float(row["dice"]), row)
        for row in scored_rows(around, "per_nodule.csv")
        if row.get("dice") and row.get("seriesuid") in entries
    ]
    rows.sort(key=lambda one: -one[0])
    if not rows:
        return
    n = len(rows)
    middle = max(0, (n - _EACH) // 2)
    # With few nodules none is shown twice: the best and the worst come first.
    best, worst = rows[: min(_EACH, (n + 1) // 2)], rows[max((n + 1) // 2, n - _EACH) :]
    shown = {id(row) for _, row in best + worst}
    median = [one for one in rows[middle : middle + _EACH] if id(one[1]) not in shown]
    for title, said, some in (
        ("Best nodules", "by Dice of the mask", best),
        ("Median nodules", "", median),
        ("Worst nodules", "the last is the worst", worst),
    ):
        if some:
            yield title, said, [_of_row(entries[row["seriesuid"]], row) for _, row in some]


def _of_row(entry: ScanEntry, row: Mapping[str, str]) -> _Pick:
    found = row.get("probability")
    hit = f"found, score {float(found):.2f}" if found else "not found"
    return _Pick(
        entry,
        (float(row["coordX"]), float(row["coordY"]), float(row["coordZ"])),
        f"Dice {float(row['dice']):.2f}",
        f"{float(row['diameter_mm']):.1f} mm, {row.get('readers', '?')} annotators, {hit}",
        f"nodule={row['label']}",
    )


def _likeliest(around: Collected) -> Iterator[tuple[str, str, list[_Pick]]]:
    """Of scans that the net has not seen before those that it remembers."""
    picks: list[tuple[bool, float, _Pick]] = []
    for entry in around.scans:
        seen = entry.facts("predict").get("part") in {"train", "validation"}
        for rank, one in enumerate(entry.candidates() or (), 1):
            place = one.around
            where = f"{place.side} {place.third}" if place and place.side else f"candidate {rank}"
            head = f"Score {one.probability:.2f}"
            if one.calibrated is not None:
                head += f", {100 * one.calibrated:.0f} % of such are nodules"
            told = f"{one.diameter_mm:.1f} mm, {where}" + (", seen by the net" if seen else "")
            pick = _Pick(entry, one.xyz_mm, head, told, f"candidate={rank}")
            picks.append((seen, -one.probability, pick))
    picks.sort(key=lambda one: one[:2])
    if picks:
        yield "Likeliest candidates", "of all scans", [pick for *_, pick in picks[: 2 * _EACH]]


def _draw(picks: Mapping[str, _Pick], out: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    folder = out / FOLDER
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.webp"):
        old.unlink()
    numbers = {key: k for k, key in enumerate(picks)}
    by_scan: dict[str, list[str]] = {}
    for key, pick in picks.items():
        by_scan.setdefault(pick.entry.scan, []).append(key)
    for keys in by_scan.values():
        try:
            slices = _slices([picks[key] for key in keys])
        except (LungsegError, OSError, ValueError):
            # Its page says that its volumes cannot be read.
            continue
        for key, (hu, paths) in zip(keys, slices, strict=True):
            pick, name = picks[key], f"{numbers[key]:02d}.webp"
            write_bytes(_webp(hu), folder / name)
            yield (
                key,
                {
                    "image": f"{FOLDER}/{name}",
                    "link": f"scans/{pick.entry.name}/index.html#{pick.anchor}",
                    "side": hu.shape[0],
                    "paths": paths,
                    "head": pick.head,
                    "told": pick.told,
                    "patient": pick.entry.patient,
                },
            )


def _slices(picks: Sequence[_Pick]) -> list[tuple[HuArray, list[tuple[str, str]]]]:
    """Of one scan, the piece of a slice around each place, and outlines on it."""
    entry = picks[0].entry
    folder = entry.folder("resample")
    if folder is None:
        raise ValueError(f"{entry.scan} has no volume on the working grid")
    ct = volume_file.read_hu(folder / "ct.h5")
    marks: list[tuple[str, Any]] = []
    truth, found = entry.folder("annotate-nodules"), entry.folder("reduce-false-positives")
    if truth:
        votes = volume_file.read(truth / "votes.h5").array
        labels = volume_file.read(truth / "nodules.h5").array
        from lungseg.io.annotations.nodule_list import read_nodules

        marks.append(("votes1", _consensus(votes, labels, read_nodules(truth).readers)))
    if found:
        marks.append(("found", volume_file.read(found / "nodules.h5").array > 0))
    side = round(_SIDE_MM / ct.spacing_mm[1])
    pieces = []
    for pick in picks:
        z, y, x = np.rint(ct.geometry.to_index(pick.xyz_mm)).astype(int)
        z = int(np.clip(z, 0, ct.shape[0] - 1))
        cut = _cut(ct.array[z], int(y), int(x), side, -1024)
        paths = [(outline(_cut(mask[z], int(y), int(x), side, 0)), key) for key, mask in marks]
        pieces.append((cut, [(path, key) for path, key in paths if path]))
    return pieces


def _consensus(votes: Any, labels: Any, readers: Mapping[int, int]) -> MaskArray:
    """Where at least half of a nodule's annotators drew it."""
    of = np.zeros(int(labels.max()) + 1, np.float32)
    for label, count in readers.items():
        if label < len(of):
            of[label] = count
    return np.asarray((labels > 0) & (2 * votes >= of[labels]))


def _cut(plane: Any, y: int, x: int, side: int, beyond: int) -> Any:
    """A square of a slice around a pixel; `beyond` where it leaves the slice."""
    whole = np.full((side, side), beyond, plane.dtype)
    top, left = y - side // 2, x - side // 2
    a, b = max(top, 0), max(left, 0)
    part = plane[a : max(top + side, 0), b : max(left + side, 0)]
    whole[a - top : a - top + part.shape[0], b - left : b - left + part.shape[1]] = part
    return whole


def _webp(hu: HuArray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    picture = Image.fromarray(windowed(hu, LUNG_WINDOW_HU)).resize(
        (192, 192), Image.Resampling.BICUBIC
    )
    picture.save(file, "WEBP", quality=70)
    return file.getvalue()
