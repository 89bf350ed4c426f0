"""From files to scans: which slices are one scan, by series, patient and acquisition."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lungseg.io.sources.files import Found
from lungseg.io.sources.pseudonyms import mark_of, pseudonym
from lungseg.io.sources.scan_ids import part_of_series
from lungseg.ops.grid.acquisitions import split_acquisitions
from lungseg.volume import FloatArray

REFUSE, SPLIT, JOIN = "refuse", "split", "join"
_LEAST_STACK = 3


@dataclass(frozen=True, kw_only=True)
class SourceRules:
    """What is taken for one scan.

    Attributes
    ----------
    acquisitions
        What becomes of a series with acquisitions that overlap: ``refuse`` it when it is read,
        ``split`` it into a scan each, or ``join`` them as they lie.
    join_series
        True joins the series of one slice each that make a stack in their study.
    secondary_capture
        True takes slices that are stored as Secondary Capture.
    key
        Key of the pseudonyms that take the place of PatientIDs; empty: they stay.
    """

    acquisitions: str = REFUSE
    join_series: bool = False
    secondary_capture: bool = False
    key: bytes = field(default=b"", repr=False)

    def patient(self, name: str) -> str:
        """PatientID as it is written anywhere."""
        return pseudonym(name, self.key) if self.key and name else name

    @property
    def told(self) -> dict[str, str | bool]:
        """The rules as they are kept beside the scans; of the key its mark."""
        mark = mark_of(self.key) if self.key else ""
        return {
            "acquisitions": self.acquisitions,
            "join_series": self.join_series,
            "secondary_capture": self.secondary_capture,
            "pseudonyms": mark,
        }


@dataclass(frozen=True)
class Part:
    """Slices that make one scan: its id, its PatientID, and which of the files they are."""

    scan: str
    patient: str
    members: tuple[int, ...]


def parts_of(series: str, found: Sequence[Found], rules: SourceRules) -> list[Part]:
    """Scans of one series."""
    patient = next((one.patient for one in found if one.patient), "")
    every = Part(series, patient or series, tuple(range(len(found))))
    if rules.acquisitions != SPLIT or not all(one.stack for one in found):
        return [every]
    places = _places_mm(found)
    if places is None:
        return [every]
    parts = split_acquisitions([one.acquisition for one in found], places)
    return [
        Part(part_of_series(series, label), patient or series, tuple(members))
        for label, members in parts.items()
    ]


def identity_of(found: Sequence[Found], rules: SourceRules) -> str:
    """What of the rules makes the scan another one, though its files are the same."""
    if rules.acquisitions == REFUSE or len({one.acquisition for one in found}) == 1:
        return ""
    return rules.acquisitions


def patients_of(found: Sequence[Found]) -> list[str]:
    """PatientIDs that one series has; more than one is a fault."""
    return sorted({one.patient for one in found} - {""})


def lone_slices(single: Mapping[str, Found]) -> dict[str, list[str]]:
    """Series of one slice that make a stack in their study, by the id that the stack would have.

    Parameters
    ----------
    single
        By series: its only slice.
    """
    stacks: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for series, one in single.items():
        if one.study and one.stack:
            stacks[one.study, one.patient, one.stack].append(series)
    found: dict[str, list[str]] = {}
    numbers: dict[str, int] = defaultdict(int)
    for (study, _, _), members in sorted(stacks.items()):
        if len({single[series].position for series in members}) >= _LEAST_STACK:
            numbers[study] += 1
            found[part_of_series(study, f"s{numbers[study]}")] = members
    return found


def _places_mm(found: Sequence[Found]) -> FloatArray | None:
    try:
        axes = np.array([float(value) for value in found[0].stack.split()[:6]]).reshape(2, 3)
        positions = [[float(v) for v in one.position.split("\\")] for one in found]
        places = np.array(positions).reshape(-1, 3) @ np.cross(axes[0], axes[1])
    except ValueError:
        return None
    return np.asarray(places) if np.isfinite(places).all() else None
