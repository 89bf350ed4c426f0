"""The end of `lungs` and `detect`: run, write the tables, say what came of it."""

import csv
import functools
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lungseg.commands.own_scans import ledger
from lungseg.commands.own_scans.again import note_how
from lungseg.commands.own_scans.earlier import Earlier, set_apart
from lungseg.commands.own_scans.hand_out import (
    HandOut,
    Outcome,
    Row,
    claim,
)
from lungseg.commands.own_scans.place import Place, nothing_if_refused, remove_cache
from lungseg.commands.run_stages import HowToRun, may_take_report, tell_report
from lungseg.core.errors import ConfigError
from lungseg.core.json_file import json_text, write_text
from lungseg.core.worker import FAILED, SKIPPED
from lungseg.session import messages
from lungseg.session.tally import Tally, Trouble, lines_of, notes_on_files, tally
from lungseg.session.work_folder import Session


@dataclass(frozen=True)
class Table:
    """Columns and rows of a CSV file."""

    columns: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class End:
    """A run that is over.

    Attributes
    ----------
    outcomes
        What became of every scan.
    tables
        What was written, by the name of its file.
    place
        Where it was written.
    session
        The work folder it was done in.
    seconds
        How long it took.
    earlier
        What earlier runs left in its folder.
    """

    outcomes: Sequence[Outcome]
    tables: Mapping[str, Table]
    place: Place
    session: Session
    seconds: float
    earlier: Earlier


Ended = tuple[Sequence[Outcome], Mapping[str, Table], Earlier]


@dataclass(frozen=True)
class Report:
    """What a command makes of a run.

    Attributes
    ----------
    tables
        Tables, by the name of their files, of what became of the scans.
    text
        Lines for a person.
    json
        The same for machines.
    """

    tables: Callable[[Sequence[Outcome]], Mapping[str, Table]]
    text: Callable[[End], Iterator[str]]
    json: Callable[[End], Mapping[str, Any]]


def run_and_report(handing: HandOut, how: HowToRun, report: Report) -> int:
    """Run the stages, copy the files out, write the tables, say the end; the exit status.

    The tables are written, with what is done, even if the run is broken off; not if it is refused
    before anything ran.
    """
    start = time.perf_counter()
    session, place = handing.session, handing.place
    if how.dry_run:
        targets, _ = session.targets([handing.product.stage])
        actions = session.plan(targets)
        click.echo(messages.plan_json(actions) if how.as_json else messages.plan_text(actions))
        return 0
    if how.report:
        may_take_report(place.out)
    outcomes, tables, earlier = _handed_out(handing, how, report)
    end = End(outcomes, tables, place, session, time.perf_counter() - start, earlier)
    if how.as_json:
        click.echo(json_text(report.json(end)))
    else:
        for line in (*report.text(end), messages.settings_line(session)):
            click.echo(line, nl=bool(line))
    if how.report:
        tell_report(session, place.out, how)
    if place.no_cache:
        click.echo(remove_cache(place), err=True)
    return int(any(one.state == FAILED for one in outcomes))


def _handed_out(handing: HandOut, how: HowToRun, report: Report) -> Ended:
    with nothing_if_refused(handing.place, handing.is_begun):
        claim(handing)
        note_how(handing)
        try:
            handing.run(how)
        except BaseException as stop:
            if handing.is_begun() or not isinstance(stop, ConfigError):
                _ended(handing, report)
            raise
        return _ended(handing, report)


def _ended(handing: HandOut, report: Report) -> Ended:
    out, outcomes = handing.place.out, handing.outcomes()
    tables = report.tables(outcomes)
    write = {n: functools.partial(write_table, t.columns, t.rows) for n, t in tables.items()}
    ledger.place_files(out, write)
    earlier = set_apart(handing)
    ledger.note(out)
    return outcomes, tables, earlier


def write_table(columns: Sequence[str], rows: Sequence[Row], path: Path) -> None:
    """Write rows as CSV, whole or not at all; what a row does not have stays empty."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(
        {name: str(v).lower() if isinstance(v, bool) else v for name, v in row.items()}
        for row in rows
    )
    # A file's name that is no UTF-8 is written with escapes, so that the table can be read.
    write_text(text.getvalue().encode(errors="backslashreplace").decode(), path)


def counted(outcomes: Sequence[Outcome]) -> Tally:
    """How many there were, and what became of them."""
    return tally(one.state for one in outcomes)


def without_dicom(outcomes: Sequence[Outcome], stage: str) -> Iterator[str]:
    """A line for every scan that is done, but without all the DICOM objects asked for, and why."""
    for one in outcomes:
        why = one.facts.get(stage, {}).get("no_dicom") if one.state == "done" else ""
        if why:
            yield f"no DICOM {one.patient} {one.scan}\n         {why}"


def trouble(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for everything that is not done, and why; many of one reason share theirs."""
    yield from lines_of(
        # What is no scan has no patient.
        Trouble(one.state, _whose(one), one.reason, is_scan=bool(one.patient))
        for one in outcomes
        if one.state in {FAILED, SKIPPED}
    )


def notes(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for every scan that has files which were not used."""
    yield from lines_of(
        Trouble("note", _whose(one), f"ingest: {note}", is_scan=True)
        for one in outcomes
        for note in notes_on_files(one.facts.get("ingest", {}))
    )


def _whose(one: Outcome) -> str:
    return f"{one.patient} {one.source}" if one.patient not in {"", one.scan} else one.source
