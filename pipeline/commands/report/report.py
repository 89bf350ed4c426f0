"""Write the report of a work folder: pages of the scans, the first page, scripts and styles."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lungseg.commands.report.collect import Collected, ScanEntry, collect
from lungseg.commands.report.overview import candidates_of, remarks_of, write_overview
from lungseg.commands.report.scan_page import write_scan_page
from lungseg.core.errors import LungsegError
from lungseg.core.fingerprint import digest_of
from lungseg.core.json_file import write_json
from lungseg.core.plan import SKIPPED
from lungseg.core.shown import many
from lungseg.report.pages import INDEX, OURS, SCANS, claim, notes_of, remove_pages, write_assets
from lungseg.report.scripts import TABLES, VIEWER
from lungseg.session.work_folder import Session

# Raised when a scan's page comes out otherwise from the same outputs.
_PAGE_VERSION = 4


@dataclass(frozen=True)
class Wanted:
    """What a report is to hold.

    Attributes
    ----------
    out
        Its folder.
    viewer
        A page with the volume itself for each scan, too.
    pages
        False: the first page alone.
    """

    out: Path
    viewer: bool = False
    pages: bool = True


@dataclass(frozen=True)
class Written:
    """What came of a report.

    Attributes
    ----------
    index
        Its first page.
    scans, made, kept
        Scans in it; pages written now; pages that were there and are as they would be made.
    without_pictures
        By scan, why its page has no planes, for scans that are done.
    remarks
        How many things there are to look at first.
    """

    index: Path
    scans: int
    made: int
    kept: int
    without_pictures: Mapping[str, str]
    remarks: int
    seconds: float

    def lines(self) -> Iterator[str]:
        """The same for a person."""
        for scan, why in self.without_pictures.items():
            yield f"report   {scan}: no planes, {why}"
        yield (
            f"report   {self.index} ({many(self.scans, 'scan')}: {many(self.made, 'page')} made, "
            f"{self.kept} as they were; {self.remarks} to look at first; {self.seconds:.1f} s)"
        )

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "report": str(self.index),
            "scans": self.scans,
            "pages_made": self.made,
            "pages_kept": self.kept,
            "without_pictures": dict(self.without_pictures),
            "to_look_at": self.remarks,
            "seconds": round(self.seconds, 3),
        }


def write_report(
    session: Session, wanted: Wanted, progress: Callable[[ScanEntry], object] = lambda _: None
) -> Written:
    """Write, or bring up to date, the report of what is done in a work folder by now.

    A page that was made of the same outputs stays as it is.

    Raises
    ------
    ConfigError
        If the folder is someone else's.
    DataError
        If a script that a package ships is not there.
    """
    start = time.perf_counter()
    claim(wanted.out)
    # While it lasts, nothing that it reads is removed.
    with session.store.in_use("a report"):
        return _write(collect(session), wanted, progress, start)


def _write(
    around: Collected, wanted: Wanted, progress: Callable[[ScanEntry], object], start: float
) -> Written:
    out = wanted.out
    credits = write_assets(out, [*TABLES, *(VIEWER if wanted.viewer else ())])
    context = {"version": version("lungseg-cli"), "credits": credits, "root": ""}
    before, after, without, candidates = notes_of(out), {}, {}, {}
    made = 0
    for place, one in enumerate(around.scans):
        try:
            candidates[one.scan] = candidates_of(one)
        except LungsegError as error:
            without[one.scan] = str(error)
        if not wanted.pages:
            continue
        key = digest_of([_PAGE_VERSION, wanted.viewer, context["version"], one.scan, one.patient,
                         one.fingerprints, _beside(around, place)])  # fmt: skip
        known = before.get(one.name, {})
        if known.get("of") == key and (out / SCANS / one.name / INDEX).is_file():
            after[one.name] = known
        else:
            progress(one)
            fault = write_scan_page(
                one, around, out, viewer=wanted.viewer, context={**context, "root": "../../"}
            )
            after[one.name] = {"of": key, "fault": fault}
            made += 1
            write_json(before | after, out / OURS)
        if after[one.name]["fault"] and one.folder("resample"):
            without[one.scan] = after[one.name]["fault"]
    if wanted.pages:
        remove_pages(out, {one.name for one in around.scans})
        write_json(after, out / OURS)
    write_overview(around, candidates, out, context)
    kept = len(after) - made
    # What was left out on purpose is told on the page, and is nothing to look at first.
    remarks = sum(one.count for one in remarks_of(around) if one.kind != SKIPPED)
    return Written(
        out / INDEX, len(around.scans), made, kept, without, remarks, time.perf_counter() - start
    )


def _beside(around: Collected, place: int) -> list[str]:
    """The pages before and after a scan's: it leads to them."""
    names = [one.name for one in around.scans]
    return names[max(place - 1, 0) : place] + names[place + 1 : place + 2]
