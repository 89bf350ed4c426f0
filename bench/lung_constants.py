"""What each anatomical constant of the lung segmentation is worth: all at half and at double.

    python -m bench.lung_constants [--jobs 2] [--only NAME ...] [--json]

Each constant of `lungseg.ops.lungs` and each default of `SegmentLungs` is changed by itself:

- lengths, areas, volumes, ratios, costs and differences of HU are halved and doubled;
- of shares above one half, what they leave of the whole is halved and doubled;
- values on the HU scale move 100 HU down and up, since its zero means water and not nothing
  (`AIR_BETWEEN_HU` 50, because its two bounds would cross).

Scans: the four with lungs drawn by hand, and two phantoms. Dice is taken on the drawing's own grid;
where the truth tells right from left, a voxel on the wrong side counts as wrong.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bench.lungs import DATA, DRAWN, drawn_lungs
from lungseg.core.errors import ScanError
from lungseg.io.sources.index import find_scans
from lungseg.ops.grid.resample import to_grid
from lungseg.ops.lungs import (
    airways,
    dense_lung,
    find,
    left_right,
    outline,
    outside_air,
    shape,
    verdict,
)
from lungseg.ops.lungs.bowel import gas, loops, pockets
from lungseg.phantom.anatomy import Build
from lungseg.phantom.chest import Chest
from lungseg.phantom.nodules import place
from lungseg.phantom.render import render
from lungseg.phantom.small_chest import NODULES
from lungseg.stages.ingest import Ingest, ct_of_source
from lungseg.stages.resample import Resample, on_working_grid
from lungseg.stages.segment_lungs import SegmentLungs
from lungseg.volume import AnyVolume, Geometry

MODULES = (
    outside_air, airways, pockets, gas, loops, find,
    dense_lung, left_right, shape, outline, verdict,
)  # fmt: skip
# Labels, lengths in blocks that follow from the grid, and what defines HU.
NO_ANATOMY = {"RIGHT", "LEFT", "FACES", "EDGES", "UNIT", "PURE_AIR_HU"}
ON_THE_HU_SCALE = {
    "AIR_BETWEEN_HU": 50,
    "SHELL_ABOVE_HU": 100,
    "COUNTED_HU": 100,
    "BELOW_HU": 100,
    "SOFT_BELOW_HU": 100,
    "LIGHT_HU": 100,
    "BONE_HU": 100,
    "MEAN_HU": 100,
    "threshold_min_hu": 100,
    "threshold_max_hu": 100,
}
# Thresholds in a row, which keep their order only if they are changed together.
CHANGED_AS_ONE = {"GROW_HU", "GROW_MEAN_HU", "CLOSER_LUMEN_HU"}
PHANTOMS = {
    "phantom, lungs touch, open trachea, contrast": Chest(
        build=Build(junction=True), open_trachea=True, contrast=True
    ),
    "phantom, arms down, effusion, padding, noise": Chest(
        arms_down=True, effusion=True, padding_hu=-2000, noise_hu=30.0
    ),
}
PHANTOM_SHAPE = (140, 200, 256)
PHANTOM_GRID = Geometry((2.5, 1.5, 1.5), origin_xyz_mm=(-192.0, -140.0, -190.0))


@dataclass(frozen=True, kw_only=True)
class Constant:
    """One number (or row of numbers) of a module, or a default of `LungSettings`."""

    module: ModuleType
    name: str
    place: int | None = None

    @property
    def value(self) -> Any:
        """What it is now."""
        if self.is_setting:
            return getattr(SegmentLungs(), self.name)
        value = getattr(self.module, self.name)
        return value if self.place is None else value[self.place]

    @property
    def is_setting(self) -> bool:
        """Whether it is a default of the stage, not a constant of a module."""
        return self.name.islower()

    @property
    def label(self) -> str:
        """Name as the docs give it."""
        return self.name if self.place is None else f"{self.name}[{self.place}]"

    def changed(self, up: bool) -> Any:
        """Its value at double, or at half."""
        value = self.value
        if isinstance(value, tuple):
            return tuple(_changed(self.name, one, up) for one in value)
        return _changed(self.name, value, up)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A scan on the working grid, and the truth on the grid it was drawn on."""

    name: str
    ct: AnyVolume
    field_of_view: Any
    truth: AnyVolume
    nodules: Any = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Lungs of one scan, how well they agree with the truth, and what is thought of them."""

    lungs: find.Lungs | None
    dice: float
    nodules: float
    verdict: str


def _changed(name: str, value: float, up: bool) -> float:
    if name in ON_THE_HU_SCALE:
        step = ON_THE_HU_SCALE[name]
        return value + step if up else value - step
    if "SHARE" in name and value > 0.5:
        return round(1 - (1 - value) / 2 if up else 1 - 2 * (1 - value), 6)
    changed = 2 * value if up else value / 2
    return max(1, round(changed)) if isinstance(value, int) else changed


def constants() -> Iterator[Constant]:
    """All there are, in the order in which the lungs are found."""
    for spec in fields(find.LungSettings):
        yield Constant(module=find, name=spec.name)
    for module in MODULES:
        for name, value in vars(module).items():
            if not name.isupper() or name in NO_ANATOMY:
                continue
            if isinstance(value, tuple) and name not in CHANGED_AS_ONE:
                yield from (Constant(module=module, name=name, place=k) for k in range(len(value)))
            elif isinstance(value, int | float | tuple):
                yield Constant(module=module, name=name)


@cache
def scans() -> tuple[Scan, ...]:
    """All scans on the working grid; made once a process."""
    return (*_drawn(), *_phantoms())


def _drawn() -> Iterator[Scan]:
    for name, drawing, _ in DRAWN:
        with tempfile.TemporaryDirectory() as folder:
            (source,), _ = find_scans([DATA / "lungs" / name], Path(folder))
        ct, padding_hu, _ = ct_of_source(source, Ingest(min_slices=2))
        padding = float("nan") if padding_hu is None else float(padding_hu)
        working, view = on_working_grid(ct, padding, Resample())
        yield Scan(
            name=name.partition(".")[0],
            ct=working,
            field_of_view=None if view is None else view.array,
            truth=drawn_lungs(DATA / "lungs" / drawing),
        )


def _phantoms() -> Iterator[Scan]:
    for name, chest in PHANTOMS.items():
        nodules = place(chest.build, NODULES, chest.seed, (-190.0, 160.0))
        phantom = render(replace(chest, nodules=nodules), PHANTOM_SHAPE, PHANTOM_GRID)
        padding = float("nan") if chest.padding_hu is None else float(chest.padding_hu)
        working, view = on_working_grid(phantom.ct, padding, Resample())
        yield Scan(
            name=name,
            ct=working,
            field_of_view=None if view is None else view.array,
            truth=phantom.lungs,
            nodules=phantom.nodule.array,
        )


def outcome(scan: Scan, params: SegmentLungs, lungs: find.Lungs | None = None) -> Outcome:
    """Find the lungs of `scan`, unless they are given, and judge them."""
    try:
        lungs = lungs or find.find_lungs(scan.ct, scan.field_of_view, params.settings)
    except ScanError:
        return Outcome(lungs=None, dice=0.0, nodules=0.0, verdict="no lungs found")
    judged = verdict.judge(scan.ct, lungs.labels, lungs.threshold_hu, lungs.airways_ml)
    truth = scan.truth.array
    found = to_grid(lungs.labels, scan.truth.shape, scan.truth.geometry, "nearest").array
    right = (found == truth) & (found > 0) if truth.max() == left_right.LEFT else found * truth
    dice = 2 * np.count_nonzero(right) / (np.count_nonzero(found) + np.count_nonzero(truth))
    inside = 1.0 if scan.nodules is None else float((found > 0)[scan.nodules].mean())
    word = str(judged.as_facts()["verdict"])
    return Outcome(lungs=lungs, dice=float(dice), nodules=inside, verdict=word)


@cache
def baseline() -> tuple[Outcome, ...]:
    """What every scan gives as things are."""
    return tuple(outcome(scan, SegmentLungs()) for scan in scans())


def measure(constant: Constant, up: bool) -> dict[str, Any]:
    """How the outcome of all scans changes with one constant."""
    before, value, changed = baseline(), constant.value, constant.changed(up)
    told: dict[str, Any] = {"module": constant.module.__name__.rpartition(".")[2]}
    told |= {"constant": constant.label, "value": value, "changed_to": changed}
    params, whole = SegmentLungs(), None
    if constant.is_setting:
        params = SegmentLungs(**{constant.name: changed})
    else:
        whole = getattr(constant.module, constant.name)
        new = changed if constant.place is None else _with(whole, constant.place, changed)
        setattr(constant.module, constant.name, new)
    try:
        # The verdict's own constants leave the lungs as they are.
        known = [b.lungs if constant.module is verdict else None for b in before]
        after = [outcome(scan, params, k) for scan, k in zip(scans(), known, strict=True)]
    finally:
        if not constant.is_setting:
            setattr(constant.module, constant.name, whole)
    return told | _compared(before, after)


def _with(values: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    return (*values[:place], value, *values[place + 1 :])


def _compared(before: tuple[Outcome, ...], after: list[Outcome]) -> dict[str, Any]:
    pairs = list(zip(scans(), before, after, strict=True))
    dice = [new.dice - old.dice for _, old, new in pairs]
    nodules = [new.nodules - old.nodules for scan, old, new in pairs if scan.nodules is not None]
    return {
        "worst": round(min(dice), 4),
        "mean": round(sum(dice) / len(dice), 4),
        "worst_scan": pairs[int(np.argmin(dice))][0].name,
        "voxels": round(max(_differ(old.lungs, new.lungs) for _, old, new in pairs), 4),
        "nodules": round(min(nodules), 4),
        "verdicts": [
            f"{scan.name}: {old.verdict} -> {new.verdict}"
            for scan, old, new in pairs
            if old.verdict != new.verdict
        ],
    }


def _differ(old: find.Lungs | None, new: find.Lungs | None) -> float:
    """Voxels with another label, as a share of the lungs there were."""
    if old is None or new is None:
        return float(old is not new)
    if old is new:
        return 0.0
    was = old.labels.array
    return float(np.count_nonzero(was != new.labels.array) / max(np.count_nonzero(was), 1))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--only", nargs="*", help="names of constants; all by default")
    asked = parser.parse_args()
    if not DATA.is_dir():
        print(f"no scans to measure: {DATA} is absent; set LUNGSEG_TEST_DATA")
        return
    chosen = [k for k, c in enumerate(constants()) if not asked.only or c.name in asked.only]
    with ProcessPoolExecutor(asked.jobs) as pool:
        running = [pool.submit(_row, k, up) for k in chosen for up in (False, True)]
        for row in (future.result() for future in running):
            if asked.json:
                print(json.dumps(row), flush=True)
                continue
            print(
                f"{row['module']:11} {row['constant']:20} {row['value']!s:>8} -> "
                f"{row['changed_to']!s:8} Dice {row['worst']:+.4f} worst {row['mean']:+.4f} mean, "
                f"nodules {row['nodules']:+.3f}, voxels {row['voxels']:.2%}"
                f"{', '.join(['', *row['verdicts']])}",
                flush=True,
            )


def _row(k: int, up: bool) -> dict[str, Any]:
    # A module cannot be sent to another process: a constant goes by its place among all.
    return measure(list(constants())[k], up)


if __name__ == "__main__":
    main()
