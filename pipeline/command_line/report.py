"""`lungseg-cli report`, and the option that other commands have for it."""

import sys
from pathlib import Path
from typing import Any

import click

from lungseg.command_line.options import Command, with_options, work_option
from lungseg.core.json_file import json_text


def report_option(command: Command) -> Command:
    """A report at the end of the command, with or without the volumes themselves."""
    return with_options(
        command,
        [
            click.option(
                "--report",
                "with_report",
                is_flag=True,
                help="Pages to look at in a browser, from disk.",
            ),
            click.option(
                "--viewer",
                is_flag=True,
                help="The same, with the volume itself of each scan (12 to 17 MB each).",
            ),
        ],
    )


def _report_options(command: Command) -> Command:
    options = [
        click.option(
            "--out",
            required=True,
            type=click.Path(path_type=Path),
            help="Folder for the report; open its index.html.",
        ),
        click.option(
            "--viewer", is_flag=True, help="A page with the volume itself for each scan, too."
        ),
        click.option(
            "--pages/--no-pages", default=True, help="A page for each scan, or the overview alone."
        ),
        click.option("--quiet", is_flag=True, help="No progress on stderr."),
    ]
    return with_options(command, options)


@click.command()
@_report_options
@work_option
def report(out: Path, viewer: bool, pages: bool, quiet: bool, **options: Any) -> None:
    """Write what a work folder holds as pages that open from disk in any browser.

    What is done is shown, however far it is; pages made of the same outputs stay as they are.
    --work may also name a folder that `lungs` or `detect` wrote to.
    """
    from lungseg.commands.report.report import Wanted
    from lungseg.commands.report.run_report import report_of_work

    written = report_of_work(options, Wanted(out, viewer, pages), quiet=quiet)
    if options["as_json"]:
        click.echo(json_text(written.as_dict()))
    else:
        for line in written.lines():
            click.echo(line)
    sys.exit(0)
