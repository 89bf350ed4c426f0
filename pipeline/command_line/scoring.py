"""`lungseg-cli froc` and `compare`: scores of anybody's results."""

from pathlib import Path
from typing import Any

import click

_FILE = click.Path(dir_okay=False, path_type=Path)


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
@click.option(
    "--max-marks",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Of a scan's candidates so many count, the likeliest; 0: all.",
)
@click.option(
    "--bootstraps",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Draws of scans for the 95 % intervals.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--plot", type=_FILE, help="The curve and its band as PNG.")
def froc(**options: Any) -> None:
    """Score any submission in LUNA16's form by the rules of LUNA16's script: FROC and CPM.

    Positions are in world mm.
    """
    from lungseg.commands.scoring.froc import froc as scored

    click.echo(scored(**options))
