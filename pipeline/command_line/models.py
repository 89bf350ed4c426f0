"""`lungseg-cli models`: the nets that there are, and what can be done with a net's file."""

import sys
from pathlib import Path
from typing import Any

import click

from lungseg.command_line.command_group import Group
from lungseg.command_line.model_options import (
    calibrate_options,
    pack_options,
    score_options,
    teach_lungs_options,
    teach_options,
)
from lungseg.command_line.options import json_option


@click.group(cls=Group, invoke_without_command=True)
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help="Name the nets of this work folder, too.",
)
@json_option
@click.pass_context
def models(ctx: click.Context, work: Path | None, as_json: bool) -> None:
    """List the nets that there are; `models show`, `models saw` tell more of one."""
    if ctx.invoked_subcommand is None:
        from lungseg.commands.nets.models import listed

        click.echo(listed(work, as_json=as_json))


@models.command("show")
@click.argument("model", metavar="NAME|FILE|WORK")
@json_option
def models_show(model: str, as_json: bool) -> None:
    """Print what a net was trained on and with, its scores, and its file."""
    from lungseg.commands.nets.models import card

    click.echo(card(model, as_json=as_json))


@models.command("saw")
@click.argument("model", metavar="NAME|FILE|WORK")
@click.argument(
    "places", nargs=-1, required=True, metavar="SRC...|CSV", type=click.Path(path_type=Path)
)
@json_option
def models_saw(model: str, places: tuple[Path, ...], as_json: bool) -> None:
    """Say which of these scans or patients a net was trained or validated on; status 1 if any.

    SRC are scans; a CSV has a column seriesuid, scan or patient.
    """
    from lungseg.commands.nets.models import saw

    told, status = saw(model, places, as_json=as_json)
    click.echo(told)
    sys.exit(status)


@models.command("pack")
@click.argument("model", metavar="NAME|FILE|WORK")
@pack_options
def models_pack(model: str, **options: Any) -> None:
    """Make a net small, and write its card, to ship it or to give it to others."""
    from lungseg.commands.nets.pack_net import pack_net

    given = {name: value for name, value in options.items() if value is not None}
    for line in pack_net(model, **given):
        click.echo(line)


@models.command("score")
@click.argument("model", metavar="[NAME|FILE|WORK]", default="nodules")
@score_options
def models_score(model: str, **options: Any) -> None:
    """Score a nodule net per nodule, beside annotators, on patients that it has not seen."""
    from lungseg.commands.nets.score_nodules import score

    click.echo(score(model, **options))


@models.command("calibrate")
@click.argument("model", metavar="NAME|FILE|WORK")
@calibrate_options
def models_calibrate(model: str, **options: Any) -> None:
    """Give a net the curve, of evaluate's SCORES.json, by which probabilities become shares."""
    from lungseg.commands.nets.calibrate_net import calibrate_net

    click.echo(calibrate_net(model, **options))


@models.command("average")
@click.argument("nets", nargs=-1, required=True, metavar="NET...")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the new net.",
)
def models_average(nets: tuple[str, ...], out: Path) -> None:
    """Write the mean of nets that were trained on from one net: steadier than each.

    NET are names, files or work folders.
    """
    from lungseg.commands.nets.average_nets import average

    click.echo(average(nets, out))


@models.command("teach-lungs")
@teach_lungs_options
def models_teach_lungs(**options: Any) -> None:
    """Teach a lung net, which knows lung without air: on the sound masks of a work folder.

    `segment-lungs` asks it about every scan, and the tumour net, which `--tumours` teaches, about
    those where no lung seems to be missing.
    """
    from lungseg.commands.nets.teach_lungs import teach_lungs

    click.echo(teach_lungs(**options))


@models.command("teach")
@click.argument("model", metavar="NAME|FILE|WORK")
@teach_options
def models_teach(model: str, **options: Any) -> None:
    """Give a net a reducer: a small net that judges its candidates once more.

    It learns from the candidates of annotated scans of the net's training patients. With it,
    `reduce-false-positives` lists nodules before vessels and scars.
    """
    from lungseg.commands.nets.teach_reducer import teach_reducer

    click.echo(teach_reducer(model, **options))
