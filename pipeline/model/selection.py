"""Selection: which rows of the table are trained on, and in which order."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lungseg.io.annotations.nodule_list import UNANNOTATED
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import encoded
from lungseg.model.samples import TARGET, InputSpec, Rows, Samples


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows of some patients: those that show the target and those that do not."""

    positives: Rows
    negatives: Rows

    @property
    def rows(self) -> Rows:
        """All of them, ascending."""
        return np.sort(np.concatenate([self.positives, self.negatives]))


def select(samples: Samples, patients: Iterable[str]) -> Selection:
    """Rows of `patients` that can teach, or score, what the input_spec looks for.

    Slices without lung are left out. Of scans that nobody read, nothing is known of nodules:
    they are neither positive nor negative.
    """
    tables, input_spec = samples.tables, samples.input_spec
    slices = tables.slices
    wanted = np.isin(slices["patient"], [encoded(name, "patient") for name in patients])
    if input_spec.target == "lungs":
        rows = np.flatnonzero(wanted & (slices["lung_mm2"] > 0))
        return Selection(rows, np.empty(0, np.int64))
    wanted &= slices["truth"] != UNANNOTATED.encode()
    shows = (
        slices["target_mm2"] > 0 if _same_consensus(tables, input_spec) else _drawn(samples, wanted)
    )
    # A nodule at the lungs' end may lie on a slice without lung; it is one to learn from.
    wanted &= (slices["lung_mm2"] > 0) | shows
    return Selection(np.flatnonzero(wanted & shows), np.flatnonzero(wanted & ~shows))


def epoch_rows(
    selection: Selection,
    key: tuple[int, int],
    negatives_per_positive: float,
    slices: int = 0,
) -> Rows:
    """Rows of one epoch, in the order they are shown, by ``key = (seed, epoch)`` alone.

    Parameters
    ----------
    selection
        Rows to draw from.
    key
        Seed and epoch.
    negatives_per_positive
        How many rows without the target go with each that shows it, drawn anew each epoch;
        below 0 takes all.
    slices
        Length of the epoch: so many are drawn, in the same mixture; 0 takes all positives.
    """
    rng = np.random.default_rng(key)
    positives, negatives = selection.positives, selection.negatives
    share = (
        len(negatives)
        if negatives_per_positive < 0 or not positives.size
        else round(negatives_per_positive * len(positives))
    )
    chosen = rng.permutation(negatives)[:share]
    rows = rng.permutation(np.concatenate([positives, chosen]))
    if not slices or not rows.size:
        return rows
    # More than there are: the same rows again in another order, augmented otherwise.
    again = [rng.permutation(rows) for _ in range((slices - 1) // len(rows))]
    return np.concatenate([rows, *again])[:slices]


def _same_consensus(tables: Tables, input_spec: InputSpec) -> bool:
    settings = json.loads(tables.attributes.get("params", "{}"))
    made_by = settings.get("min_readers"), settings.get("consensus_level")
    return made_by == (input_spec.min_readers, input_spec.level)


def _drawn(
    samples: Samples, wanted: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    shows = np.zeros(len(wanted), bool)
    for row in np.flatnonzero(wanted & (samples.tables.slices["nodule_mm2_1"] > 0)):
        codes = samples.codes([row])[0]
        shows[row] = codes is not None and bool((codes == TARGET).any())
    return shows
