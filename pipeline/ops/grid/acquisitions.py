"""Several acquisitions under one series: slices told apart by number, phase, time or kernel.

Scanners number what they acquire, and a series holds one acquisition, or several that follow each
other along the patient (step and shoot: a number for each turn). Where groups of slices overlap
instead, they are breath-holds, phases or kernels, and no volume: their slices would be mixed.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from lungseg.volume import FloatArray

KINDS = ("AcquisitionNumber", "TemporalPositionIdentifier", "AcquisitionTime", "ConvolutionKernel")
"""What tells acquisitions apart, in the order in which it is looked at."""
_LETTERS = "aptk"
# A time is often the slice's own, and two slices may share one: fewer are no acquisition.
_LEAST_SLICES = (2, 2, 3, 3)
_AT_ONE_PLACE_MM = 0.05


def overlapping_by(keys: Sequence[str], places_mm: FloatArray) -> str:
    """Which of `KINDS` forms groups that overlap along the normal; "" if none does.

    Parameters
    ----------
    keys
        Of each slice: its values of `KINDS`, with backslashes between.
    places_mm
        Of each slice: its place along the normal, ``(n,)``.

    Examples
    --------
    >>> overlapping_by(["1", "1", "1", "2", "2", "2"], np.array([0.0, 2, 4, 1, 3, 5]))
    'AcquisitionNumber'
    >>> overlapping_by(["1", "1", "1", "2", "2", "2"], np.array([0.0, 2, 4, 6, 8, 10]))
    ''
    """
    for number, kind in enumerate(KINDS):
        groups = _groups(keys, number)
        sets = [np.unique(places_mm[members]) for members in groups.values()]
        sets = [places for places in sets if len(places) >= _LEAST_SLICES[number]]
        if len(sets) > 1 and _any_overlap(sets):
            return kind
    return ""


def split_acquisitions(keys: Sequence[str], places_mm: FloatArray) -> dict[str, list[int]]:
    """Slices of each acquisition by its label; one without a label if nothing overlaps.

    A label is a letter for what tells them apart and the number: ``a2`` is AcquisitionNumber 2,
    ``p1``, ``t1`` and ``k1`` are the first phase, time and kernel. Parameters as above.

    Examples
    --------
    >>> split_acquisitions(["7", "9", "7", "9", "7", "9"], np.arange(6.0))
    {'a7': [0, 2, 4], 'a9': [1, 3, 5]}
    """
    kind = overlapping_by(keys, places_mm)
    if not kind:
        return {"": list(range(len(keys)))}
    number = KINDS.index(kind)
    found: dict[str, list[int]] = {}
    for rank, (value, members) in enumerate(_groups(keys, number).items(), 1):
        own = value if kind == KINDS[0] and value.isdecimal() else str(rank)
        rest = [_without(keys[i], number) for i in members]
        for label, chosen in split_acquisitions(rest, places_mm[members]).items():
            name = f"{_LETTERS[number]}{own}{label}"
            found.setdefault(name, []).extend(members[i] for i in chosen)
    return found


def _groups(keys: Sequence[str], number: int) -> Mapping[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for i, key in enumerate(keys):
        parts = key.split("\\")
        groups.setdefault(parts[number] if number < len(parts) else "", []).append(i)
    return groups


def _without(key: str, number: int) -> str:
    parts = key.split("\\")
    return "\\".join("" if k <= number else part for k, part in enumerate(parts))


def _any_overlap(sets: Sequence[FloatArray]) -> bool:
    # Sorted by their lower ends, only those that begin before another's end need a look.
    ordered = sorted(sets, key=lambda places: float(places[0]))
    for i, one in enumerate(ordered):
        for other in ordered[i + 1 :]:
            if other[0] > one[-1] + _AT_ONE_PLACE_MM:
                break
            if _overlap(one, other):
                return True
    return False


def _overlap(one: FloatArray, other: FloatArray) -> bool:
    low, high = max(one[0], other[0]), min(one[-1], other[-1])
    within = [
        int(((places >= low - _AT_ONE_PLACE_MM) & (places <= high + _AT_ONE_PLACE_MM)).sum())
        for places in (one, other)
    ]
    if min(within) >= 2:
        return True
    nearest = np.abs(one[:, None] - other[None, :]).min()
    return bool(nearest <= _AT_ONE_PLACE_MM)
