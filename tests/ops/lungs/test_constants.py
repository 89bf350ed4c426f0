"""docs/lung-constants.md lists every constant of the lung segmentation with the value it has."""

from dataclasses import fields
from pathlib import Path

import pytest

from lungseg.ops.lungs import (
    airways,
    dense_lung,
    doubts,
    find,
    in_blocks,
    left_right,
    outline,
    outside_air,
    shape,
    verdict,
)
from lungseg.ops.lungs.airless import fluid, mirror, missing
from lungseg.ops.lungs.bowel import gas, loops, pockets
from lungseg.ops.lungs.enclosed import far_sides, masses, sight, vessel_nodules, wall_side
from lungseg.ops.lungs.opinion import added, close_up, completed, denied

PAGE = Path(__file__).parents[3] / "docs" / "lung-constants.md"
MODULES = (
    outside_air,
    airways,
    pockets,
    gas,
    loops,
    find,
    dense_lung,
    left_right,
    shape,
    sight,
    masses,
    far_sides,
    vessel_nodules,
    wall_side,
    outline,
    verdict,
    doubts,
    in_blocks,
    mirror,
    fluid,
    missing,
    added,
    denied,
    completed,
    close_up,
)
# Labels, lengths in blocks that follow from the grid, what defines HU, what is held at once.
NO_ANATOMY = {
    "RIGHT",
    "LEFT",
    "FACES",
    "CHANNELS",
    "ANSWERS",
    "EDGES",
    "UNIT",
    "PURE_AIR_HU",
    "FAR",
    "SLAB",
}
# Values that are tried one after the other.
TOGETHER = {"GROW_HU", "GROW_MEAN_HU", "CLOSER_LUMEN_HU"}


def named():
    for spec in fields(find.LungSettings):
        yield spec.name, "find", f"{spec.default:g}"
    for module in MODULES:
        room = module.__name__.rpartition(".")[2]
        for name, value in vars(module).items():
            if not name.isupper() or name in NO_ANATOMY:
                continue
            if name in TOGETHER:
                yield name, room, ", ".join(f"{one:g}" for one in value)
            elif isinstance(value, tuple):
                yield from ((f"{name}[{k}]", room, f"{one:g}") for k, one in enumerate(value))
            elif isinstance(value, int | float):
                yield name, room, f"{value:g}"


def rows():
    lines = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return {(cells[1].strip(" `"), cells[2].strip(" `")): cells[3].strip() for cells in lines}


@pytest.mark.parametrize(("name", "room", "value"), list(named()))
def test_the_page_gives_the_value_of(name, room, value):
    shown = rows()[name, room]
    assert shown == value or shown.startswith(f"{value} "), shown


def test_the_page_lists_nothing_else():
    assert set(rows()) == {(name, room) for name, room, _ in named()}
