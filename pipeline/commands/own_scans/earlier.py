"""Earlier: what earlier runs left in a folder, so that no file there tells of what is not so.

Files of this run's scans that it did not write again are outdated: of a scan that failed now, in
another format, more close-ups than now. They are put aside. Files of other scans stay, and are
named, since the tables tell of the last run alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lungseg.commands.own_scans import ledger
from lungseg.commands.own_scans.hand_out import HandOut
from lungseg.core.shown import many
from lungseg.session.tally import NOT_DONE

FOLDER = "earlier"
_SHOWN = 4


@dataclass(frozen=True)
class Earlier:
    """What is left of earlier runs.

    Attributes
    ----------
    put_aside
        Files put aside into `FOLDER`.
    not_listed
        Files that no table lists now.
    scans
        Scans that the work folder knew, and this run did not look at.
    """

    put_aside: tuple[str, ...] = ()
    not_listed: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()

    def lines(self, tables: str) -> Iterator[str]:
        """The same for a person; `tables` are the names of this run's tables."""
        if self.put_aside:
            yield (
                f"earlier  {_counted(self.put_aside)} of these scans, of an earlier run and not "
                f"written again, put into {FOLDER}/: {_named(self.put_aside)}"
            )
        if self.not_listed:
            yield (
                f"earlier  {_counted(self.not_listed)} of other scans, of earlier runs, as they "
                f"were; {tables} tells of this run alone: {_named(self.not_listed)}"
            )
        if self.scans:
            yield (
                f"earlier  {many(len(self.scans), 'scan')} of earlier runs: status, report, export "
                "and prune know this run's alone; name all folders of scans to have all of them "
                "again"
            )

    def as_dict(self) -> Mapping[str, list[str]]:
        """The same for machines."""
        return {
            "put_aside": list(self.put_aside),
            "not_listed": list(self.not_listed),
            "scans": list(self.scans),
        }


def set_apart(handing: HandOut) -> Earlier:
    """Put aside what is outdated, and tell what else is there of earlier runs."""
    out, product = handing.place.out, handing.product
    now = {name for files in handing.files.values() for name in files.values()}
    settled = {one.scan for one in handing.outcomes() if one.state != NOT_DONE}
    whose = {
        name + ending: scan for scan, name in handing.names.items() for ending in product.endings
    }
    outdated, others = [], []
    for name, marks in sorted(ledger.written(out).items()):
        path = out / name
        is_of_command = name.endswith(product.endings) and not name.endswith(product.not_own)
        if "/" in name or name in now or not is_of_command or not path.is_file():
            continue
        if whose.get(name) in settled:
            # One that was changed by hand has stopped the run before.
            if ledger.mark_of(path) in marks:
                outdated.append(name)
        elif name not in whose:
            others.append(name)
    for name in outdated:
        ledger.move(out, name, _place_for(name, out))
    session = handing.session
    known = () if session.guest else handing.place.before.scans
    gone = tuple(scan for scan in known if scan not in session.all_sources)
    return Earlier(tuple(outdated), tuple(others), gone)


def _place_for(name: str, out: Path) -> str:
    """Where a file is put: over an older one of ours, and beside whatever else is there."""
    ours = ledger.written(out)
    number = 1
    while True:
        wanted = f"{FOLDER}/{name}" if number == 1 else f"{FOLDER}/{number}-{name}"
        path = out / wanted
        if not path.exists() or ledger.mark_of(path) in ours.get(wanted, []):
            return wanted
        number += 1


def _counted(names: tuple[str, ...]) -> str:
    return f"{len(names)} file{'' if len(names) == 1 else 's'}"


def _named(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
