"""What became of scans, and of the files beside them: one count, and a line for those alike."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from lungseg.core.shown import many
from lungseg.core.stage import Scalar
from lungseg.io.sources.index import LeftOut

DONE, FAILED, SKIPPED, NOT_DONE = "done", "failed", "skipped", "not done"
# So many of one reason are told one by one, and so many scans of one are named.
_ONE_BY_ONE = 2
_NAMED = 10


@dataclass(frozen=True)
class Tally:
    """How many are done, failed, skipped, and not done because the run was broken off."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    not_done: int = 0

    @property
    def expected(self) -> int:
        """All of them."""
        return self.done + self.failed + self.skipped + self.not_done

    def as_dict(self) -> dict[str, int]:
        """The same for machines."""
        return {"expected": self.expected, **asdict(self)}

    def __str__(self) -> str:
        broken = f" + {self.not_done} not done" if self.not_done else ""
        return (
            f"{self.expected} expected = {self.done} done + {self.failed} failed"
            f" + {self.skipped} skipped{broken}"
        )


@dataclass(frozen=True)
class Trouble:
    """Something to be told: what it is (``failed``, ``note``), of a scan or a file, and why."""

    state: str
    whose: str
    reason: str
    is_scan: bool = False


def state_of(item: LeftOut) -> str:
    """What something counts as that was found and is no scan: ``failed`` or ``skipped``."""
    return FAILED if item.fault else SKIPPED


def tally(states: Iterable[str], left_out: Iterable[LeftOut] = ()) -> Tally:
    """The count over scans of these states and what was found beside them.

    Examples
    --------
    >>> beside = [LeftOut("a.nii", "it is cut short", fault=True)]
    >>> str(tally(["done", "failed", "done"], beside))
    '4 expected = 2 done + 2 failed + 0 skipped'
    """
    every = [*states, *map(state_of, left_out)]
    return Tally(*(every.count(state) for state in (DONE, FAILED, SKIPPED, NOT_DONE)))


def doubts_of_files(facts: Mapping[str, Scalar]) -> Iterator[str]:
    """What the facts of `ingest` tell of a scan that is done and yet may not be what was scanned.

    Examples
    --------
    >>> print(*doubts_of_files({"filled_slices": 1, "gaps": "4 mm between 2.00 and 6.00 mm"}))
    1 slice is missing and interpolated, no image: 4 mm between 2.00 and 6.00 mm
    """
    filled = facts.get("filled_slices")
    if isinstance(filled, int) and filled:
        are = many(filled, "slice is", "slices are")
        yield f"{are} missing and interpolated, no image: {facts.get('gaps')}"
    check = facts.get("hu_check", "ok")
    if check != "ok":
        yield f"HU are doubtful: {check}"


def notes_on_files(facts: Mapping[str, Scalar]) -> Iterator[str]:
    """What the facts of `ingest` tell of a scan's files that were not used, though it is done.

    Examples
    --------
    >>> list(notes_on_files({"duplicate_slices": 2, "broken_copies": ""}))
    ['2 copies of slices, equal in every pixel, are left out']
    """
    copies = facts.get("duplicate_slices")
    if isinstance(copies, int) and copies:
        told = "a copy of a slice" if copies == 1 else f"{copies} copies of slices"
        yield f"{told}, equal in every pixel, {'is' if copies == 1 else 'are'} left out"
    if broken := facts.get("broken_copies"):
        yield f"broken copies of slices are left out, intact ones are used: {broken}"


def lines_of(troubles: Iterable[Trouble]) -> Iterator[str]:
    """Lines on what is not done, or to be noted; many of one reason share theirs.

    Examples
    --------
    >>> print(*lines_of(Trouble("failed", f"{n}.nii", "it is empty") for n in range(14)))
    failed   14 files; first: 0.nii
             it is empty
    >>> print(*lines_of([Trouble("failed", "A", "ingest: 2 slices", is_scan=True)]))
    failed   A
             ingest: 2 slices
    """
    groups: dict[tuple[str, bool, str], list[Trouble]] = {}
    for one in troubles:
        # Many a reason names the file itself.
        alike = one.reason.replace(one.whose, "") if one.whose else one.reason
        groups.setdefault((one.state, one.is_scan, alike), []).append(one)
    for those in groups.values():
        if len(those) <= _ONE_BY_ONE:
            yield from (f"{one.state:<8} {one.whose}\n         {one.reason}" for one in those)
        else:
            yield f"{those[0].state:<8} {_together(those)}\n         {those[0].reason}"


def _together(those: list[Trouble]) -> str:
    first = those[0]
    if not first.is_scan:
        return many(len(those), "file") + (f"; first: {first.whose}" if first.whose else "")
    names = "; ".join(one.whose for one in those[:_NAMED])
    more = f"; and {len(those) - _NAMED} more" if len(those) > _NAMED else ""
    return f"{many(len(those), 'scan')}: {names}{more}"
