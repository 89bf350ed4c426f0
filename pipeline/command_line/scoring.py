"""`lungseg-cli froc` and `compare`: scores of anybody's results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lungseg.command_line.options import Command, bootstraps_option, json_option

_FILE = click.Path(dir_okay=False, path_type=Path)
_AS_FROC = "Of submissions, as `froc` takes it."


def _max_marks(told: str) -> Callable[[Command], Command]:
    return click.option(
        "--max-marks", type=click.IntRange(min=0), default=100, show_default=True, help=told
    )


@click.command()
@click.option(
    "--annotations", required=True, type=_FILE, help="CSV: seriesuid, coordX to Z, diameter_mm."
)
@click.option(
    "--excluded", type=_FILE, help="The same of findings on which candidates are ignored."
)
@click.option("--seriesuids", type=_FILE, help="The scans that count, one a line.")
@click.option(
    "--results", required=True, type=_FILE, help="CSV: seriesuid, coordX to Z, probability."
)
@_max_marks("Of a scan's candidates so many count, the likeliest; 0: all.")
@bootstraps_option("scans for the 95 % intervals")
@json_option
@click.option("--plot", type=_FILE, help="The curve and its band as PNG.")
def froc(**options: Any) -> None:
    """Score any submission in LUNA16's form by the rules of LUNA16's script: FROC and CPM.

    Positions are in world mm.
    """
    from lungseg.commands.scoring.froc import froc as scored

    click.echo(scored(**options))


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--annotations", type=_FILE, help="For submissions, as `froc` takes it.")
@click.option("--excluded", type=_FILE, help="For submissions, as `froc` takes it.")
@click.option("--seriesuids", type=_FILE, help="For submissions, as `froc` takes it.")
@_max_marks(_AS_FROC)
@bootstraps_option("scans for the 95 % intervals, the same for all results")
@click.option(
    "--at",
    type=click.FloatRange(min=0),
    metavar="RATE",
    help="Found is what is found at so many false positives a scan.  [default: by any candidate]",
)
@click.option(
    "--common", is_flag=True, help="Compare the scans and nodules that all have; leave out others."
)
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for pictures of nodules that not all found.  [default: `compared` in the first "
    "work folder]",
)
@json_option
def compare(results: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Put two or more RESULTS side by side; the first is what the others are compared with.

    A result is a work folder, a scores.json, or a submission in LUNA16's form.
    """
    from lungseg.commands.scoring.compare import HowToCompare
    from lungseg.commands.scoring.compare import compare as compared
    from lungseg.commands.scoring.outcomes import ScoredBy

    names = ("annotations", "excluded", "seriesuids", "max_marks")
    scored_by = ScoredBy(**{name: options.pop(name) for name in names})
    click.echo(compared(results, HowToCompare(**options), scored_by, as_json))
