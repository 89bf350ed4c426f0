"""Options of `models` and its subcommands that are more than a name."""

from pathlib import Path

import click

from lungseg.command_line.options import (
    Command,
    bootstraps_option,
    device_option,
    json_option,
    with_options,
)

_SEED = click.option("--seed", type=int, default=1, show_default=True, help="Of all chance.")
_JOBS = click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True)


def _new_file(told: str) -> Command:
    """Where a net goes that a command makes."""
    return click.option(
        "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help=told
    )


def score_options(command: Command) -> Command:
    """Slices with several annotators, and how a net is scored on them: `models score`."""
    options: list[Command] = [
        click.option(
            "--slices",
            "folder",
            required=True,
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Folder of slices around nodules, with slices.csv.",
        ),
        click.option(
            "--out",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Write all scores as JSON, and a CSV of the same name with a line per nodule.",
        ),
        click.option(
            "--pictures",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder for pictures of the best, the median and the ten worst nodules.",
        ),
        click.option(
            "--part",
            type=click.Choice(["test", "validation", "train", "all"]),
            default="test",
            show_default=True,
            help="Whose nodules, by what the net has seen; test: of patients it has not.",
        ),
        click.option(
            "--patients",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="CSV of patients to score: one a line, or those that a column part calls test.",
        ),
        click.option(
            "--threshold",
            type=click.FloatRange(0, 1, min_open=True),
            help="Voxels at least this probable are found.  [default: the net's own]",
        ),
        click.option(
            "--sure",
            type=click.FloatRange(0, 1),
            help="Of what is found so, regions that nowhere are as likely as this are left out.  "
            "[default: the net's own]",
        ),
        click.option(
            "--mirrors/--no-mirrors",
            default=True,
            show_default=True,
            help="Mean of the answers to the windows as they are and mirrored along y, x and both.",
        ),
        bootstraps_option("patients for the 95 % intervals", "draws"),
        click.option("--seed", type=int, default=1, show_default=True, help="Of the draws."),
        json_option,
    ]
    return device_option(with_options(command, options))


def calibrate_options(command: Command) -> Command:
    """Where the curve comes from, and where the net goes: `models calibrate`."""
    options = [
        click.argument("scores", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
        _new_file("File of the net with the curve."),
        click.option(
            "--threshold",
            type=click.FloatRange(0, 1, min_open=True),
            help="Also: voxels at least this probable are found, where nodules are scored one by "
            "one; choose it on validation patients.  [default: the net's own]",
        ),
        click.option(
            "--sure",
            type=click.FloatRange(0, 1),
            help="Also: of what is found so, regions that nowhere are as likely as this are left "
            "out.  [default: the net's own]",
        ),
    ]
    return with_options(command, options)


def pack_options(command: Command) -> Command:
    """What a packed net is called, and what its card tells: `models pack`."""
    options = [
        click.option("--name", required=True, help="What the packed net will be called."),
        click.option(
            "--scores",
            type=click.Path(path_type=Path),
            help="JSON of what was measured.  [default: as in the card that it has]",
        ),
        click.option(
            "--facts",
            type=click.Path(path_type=Path),
            help="TOML of task, data, licences and limits.  [default: NAME.toml in OUT]",
        ),
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder.  [default: that of the nets that come with the package]",
        ),
    ]
    return with_options(command, options)


def teach_options(command: Command) -> Command:
    """What a reducer learns from, and where the net goes: `models teach`."""
    options = [
        click.option(
            "--work",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            required=True,
            help="Work folder with annotated scans of patients that the net was trained on.",
        ),
        click.option(
            "--slices",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Also: slices around nodules, of patients that the net was trained on.",
        ),
        _new_file("File of the net with its reducer."),
        click.option(
            "--epochs", type=click.IntRange(min=1), default=20, show_default=True,
            help="Times 100 batches.",
        ),
        _SEED,
        click.option(
            "--halvings", type=click.IntRange(0, 3),
            help="How many times the net is also shown scans at half their size, from now on; "
            "masses are found there.  [default: as the net's file says]",
        ),
        _JOBS,
    ]  # fmt: skip
    return device_option(with_options(command, options))


def teach_lungs_options(command: Command) -> Command:
    """What a lung or tumour net learns from, and where it goes: `models teach-lungs`."""
    options = [
        click.option(
            "--work",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            required=True,
            help="Work folder; scans whose lung mask is sound, by its verdict, are learnt from.",
        ),
        _new_file("File of the net."),
        click.option(
            "--tumours", is_flag=True,
            help="Teach the tumour net instead: close up, in blocks of 2 mm, tumours at the "
            "lungs' surface.",
        ),
        click.option(
            "--leave-out",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="CSV of patients or scans to leave out, one a line, to judge the net by them.",
        ),
        click.option(
            "--phantoms", type=click.IntRange(min=0),
            help="How many made-up chests are learnt from, too.  [default: 60; 3 with --tumours]",
        ),
        click.option(
            "--epochs", type=click.IntRange(min=1), default=30, show_default=True,
            help="Times 50 batches, of two chests or four tumours.",
        ),
        _SEED,
        click.option(
            "--precision",
            type=click.Choice(["float32", "mixed_bfloat16"]), default="float32", show_default=True,
            help="mixed_bfloat16 takes half the time on processors with AMX; the net is saved in "
            "float32 all the same.",
        ),
        _JOBS,
    ]  # fmt: skip
    return device_option(with_options(command, options))
