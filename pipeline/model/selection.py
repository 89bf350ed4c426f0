"""Selection: the rows of the table for training, and their order in each epoch."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lungseg.io.annotations.nodule_list import UNANNOTATED
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import NO_MASK, encoded
from lungseg.model.samples import TARGET, InputSpec, Rows, Samples


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows of some patients: `positives`, with any target, and `negatives`, without."""

    positives: Rows
    negatives: Rows

    @property
    def rows(self) -> Rows:
        """All of them, ascending."""
        return np.sort(np.concatenate([self.positives, self.negatives]))


def select(samples: Samples, patients: Iterable[str]) -> Selection:
    """Rows of `patients` that training and validation can use.

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
    shows = (
        slices["target_mm2"] > 0
        if _same_consensus(tables, input_spec)
        else _has_target(samples, wanted)
    )
    # A nodule at the lungs' end may lie on a slice without lung, and is a target there, too.
    wanted &= (slices["lung_mm2"] > 0) | shows
    return Selection(np.flatnonzero(wanted & shows), np.flatnonzero(wanted & ~shows))


def epoch_rows(
    selection: Selection,
    key: tuple[int, int],
    negatives_per_positive: float,
    slices: int = 0,
) -> Rows:
    """Rows of one epoch in their order, which ``key = (seed, epoch)`` alone decides.

    Parameters
    ----------
    selection
        Rows to choose from.
    key
        Seed and epoch.
    negatives_per_positive
        Number of negatives for each positive, drawn again for each epoch; below 0 takes all. So
        does a selection without positives.
    slices
        Number of rows: so many of the positives and the negatives drawn, some of them repeated
        where there are fewer; 0 takes each once.
    """
    rng = np.random.default_rng(key)
    positives, negatives = selection.positives, selection.negatives
    wanted = (
        len(negatives)
        if negatives_per_positive < 0 or not positives.size
        else round(negatives_per_positive * len(positives))
    )
    drawn = rng.permutation(negatives)[:wanted]
    rows = rng.permutation(np.concatenate([positives, drawn]))
    if not slices or not rows.size:
        return rows
    # More than there are: the same rows again, in another order and with another augmentation.
    again = [rng.permutation(rows) for _ in range((slices - 1) // len(rows))]
    return np.concatenate([rows, *again])[:slices]


def _same_consensus(tables: Tables, input_spec: InputSpec) -> bool:
    settings = json.loads(tables.attributes.get("params", "{}"))
    consensus = settings.get("min_readers"), settings.get("consensus_level")
    return consensus == (input_spec.min_readers, input_spec.level)


def _has_target(
    samples: Samples, wanted: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    shows = np.zeros(len(wanted), bool)
    for row in np.flatnonzero(wanted & (samples.tables.slices["nodule_mm2_1"] > 0)):
        codes = samples.codes([row])[0]
        shows[row] = codes is not None and bool((codes == TARGET).any())
    return shows
