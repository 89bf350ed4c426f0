"""Selection: the rows of the table for training and validation, and the nodules they show."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lungseg.io.annotations.nodule_list import UNANNOTATED
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import NO_MASK, encoded
from lungseg.model.samples import IGNORE, InputSpec, Rows, Samples
from lungseg.volume import IntArray

# Rows read at a time.
BLOCK = 32


@dataclass(frozen=True, eq=False)
class NoduleRows:
    """Rows that show a nodule, ascending, and the middle ``(y, x)`` of the box around it."""

    rows: Rows
    centre: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows of some patients: `positives`, with any target, and `negatives`, without.

    `nodules` are the targets of the positives, where they were asked for.
    """

    positives: Rows
    negatives: Rows
    nodules: tuple[NoduleRows, ...] = ()

    @property
    def rows(self) -> Rows:
        """All of them, ascending."""
        return np.sort(np.concatenate([self.positives, self.negatives]))


def select(samples: Samples, patients: Iterable[str], *, by_nodule: bool = False) -> Selection:
    """Rows of `patients` that training and validation can use, and their nodules if asked for.

    Slices with neither lung nor target are left out. So are scans that were not annotated, unless
    the target is the lungs: whether their slices have nodules is not known.
    """
    tables, input_spec = samples.tables, samples.input_spec
    slices = tables.slices
    wanted = np.isin(slices["patient"], [encoded(name, "patient") for name in patients])
    if input_spec.target == "lungs":
        # Windows around nodules have no lung mask; all that is known counts as lung there.
        masked = slices["verdict"] != NO_MASK.encode()
        rows = np.flatnonzero(wanted & masked & (slices["lung_mm2"] > 0))
        return Selection(rows, np.empty(0, np.int64))
    wanted &= slices["truth"] != UNANNOTATED.encode()
    nodules: tuple[NoduleRows, ...] = ()
    if not by_nodule and _same_consensus(tables, input_spec):
        shows = slices["target_mm2"] > 0
    else:
        nodules = _nodules(samples, wanted)
        shows = np.zeros(len(slices), bool)
        for nodule in nodules:
            shows[nodule.rows] = True
    # A nodule at the lungs' end may lie on a slice without lung, and is a target there, too.
    wanted &= (slices["lung_mm2"] > 0) | shows
    return Selection(np.flatnonzero(wanted & shows), np.flatnonzero(wanted & ~shows), nodules)


def _same_consensus(tables: Tables, input_spec: InputSpec) -> bool:
    if input_spec.soft_targets:
        return False
    settings = json.loads(tables.attributes.get("params", "{}"))
    consensus = settings.get("min_readers"), settings.get("consensus_level")
    return consensus == (input_spec.min_readers, input_spec.level)


def _nodules(
    samples: Samples, wanted: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> tuple[NoduleRows, ...]:
    """Nodules with any target in the rows that are wanted, in the order of the table."""
    tables = samples.tables
    voted = np.flatnonzero(wanted & (tables.slices["nodule_mm2_1"] > 0))
    rows: dict[tuple[int, int], list[int]] = {}
    boxes: dict[tuple[int, int], list[IntArray]] = {}
    for first in range(0, len(voted), BLOCK):
        block = voted[first : first + BLOCK]
        for row, code, names in zip(
            block, samples.codes(block), tables.read("nodule", block), strict=True
        ):
            if code is None:
                continue
            y, x = np.nonzero((code > 0) & (code != IGNORE))
            label_of = names[y, x]
            for label in np.unique(label_of):
                name = int(tables.slices["scan_row"][row]), int(label)
                ys, xs = y[label_of == label], x[label_of == label]
                rows.setdefault(name, []).append(int(row))
                ends = np.array([[ys.min(), xs.min()], [ys.max(), xs.max()]])
                boxes.setdefault(name, []).append(ends)
    return tuple(
        NoduleRows(np.array(rows[name], np.int64), _middle(boxes[name])) for name in sorted(rows)
    )


def _middle(boxes: list[IntArray]) -> tuple[float, float]:
    ends = np.array(boxes)
    y, x = (ends[:, 0].min(axis=0) + ends[:, 1].max(axis=0)) / 2
    return float(y), float(x)
