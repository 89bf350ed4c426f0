"""Open the work folder that a report is about, and say on stderr how far it is."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from lungseg.commands.own_scans.again import session_at
from lungseg.commands.report.collect import ScanEntry
from lungseg.commands.report.report import Wanted, Written, write_report
from lungseg.session.messages import named


def report_of_work(options: Mapping[str, Any], wanted: Wanted, *, quiet: bool) -> Written:
    """Write the report of the work folder that click's `options` name.

    Raises
    ------
    ConfigError
        If there is no such work folder, there is nothing in it, or `out` is someone else's.
    """
    session = session_at(options)
    session.check_scans()
    return write_report(session, wanted, progress(quiet=quiet))


def progress(*, quiet: bool) -> Callable[[ScanEntry], None]:
    """What says on stderr which scan's page is being made."""

    def tell(one: ScanEntry) -> None:
        if not quiet:
            click.echo(f"report: {named(one.scan, one.patient)}", err=True)

    return tell
