"""Options that several commands take, as decorators for click's commands."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lungseg.core.errors import ConfigError

Command = Callable[..., Any]


def work_option(command: Command) -> Command:
    """The work folder and the settings: what every command takes."""
    options = [
        click.option(
            "--work",
            type=click.Path(file_okay=False, path_type=Path),
            default=lambda: os.environ.get("LUNGSEG_WORK", "lungseg-work"),
            help="Work folder with all state.  [default: $LUNGSEG_WORK or lungseg-work]",
        ),
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="TOML file of settings.  [default: lungseg.toml here or in the work folder]",
        ),
        click.option(
            "--preset",
            default="",
            help="Named settings: small (minutes), lidc (the whole of LIDC, a GPU), xray (films). "
            "Kept, as --set is, once stages have run with it.",
        ),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="STAGE.NAME=VALUE",
            help="One setting; may be given often. `lungseg-cli params` lists them.",
        ),
        click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout."),
        click.option("-v", "--verbose", is_flag=True, help="Log what happens inside."),
    ]
    return _with_options(command, options)


def run_options(command: Command) -> Command:
    """How to run: what every command that runs stages takes."""
    options = [
        click.option(
            "--jobs",
            type=click.IntRange(min=0),
            default=0,
            help="Processes; 1 runs inline.  [default: one a core]",
        ),
        click.option("--scheduler", default="", help="Address of a running Dask scheduler."),
        click.option(
            "--memory-limit",
            default="auto",
            help="Memory of one process, e.g. 4GB; it is restarted above it.",
        ),
        click.option(
            "--scan",
            "scans",
            multiple=True,
            help="Only this scan: its id or an end of it, or a patient or a part of the name.",
        ),
        click.option(
            "--model",
            default="",
            metavar="NAME|FILE|WORK",
            help="Net to predict with, from now on.  [default: the one trained last here]",
        ),
        click.option("--force", multiple=True, metavar="STAGE", help="Run this stage again."),
        click.option("--retry", is_flag=True, help="Try again what failed or was skipped before."),
        click.option("--dry-run", is_flag=True, help="Say what would run, and why; run nothing."),
        click.option("--quiet", is_flag=True, help="No progress on stderr."),
    ]
    return work_option(_with_options(command, options))


def _with_options(command: Command, options: list[Command]) -> Command:
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


def sources_option(command: Command) -> Command:
    """Where the scans are."""
    return click.option(
        "--src",
        "roots",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Folder (or file) of scans; may be given often. Remembered; replaces those of before.",
    )(command)


def pairs_option(command: Command) -> Command:
    """Where the pictures and their masks are, for tables of pictures; see `with_pairs`."""
    options = [
        click.option(
            "--images",
            type=click.Path(path_type=Path),
            help="Folder of 2-D pictures to learn lungs from, instead of scans. Remembered.",
        ),
        click.option(
            "--masks",
            type=click.Path(path_type=Path),
            help="Folder of their masks: that of a.png is called a or a_mask.",
        ),
    ]
    return _with_options(command, options)


def with_pairs(options: dict[str, Any]) -> dict[str, Any]:
    """`options` with the folders of `pairs_option` as the settings that they stand for.

    Raises
    ------
    ConfigError
        If only one of the two is given.
    """
    pairs = {name: options.pop(name) for name in ("images", "masks")}
    if sum(path is not None for path in pairs.values()) == 1:
        raise ConfigError("--images and --masks go together; for one folder of both name it twice")
    extra = [f"build-tables.{name}={path}" for name, path in pairs.items() if path]
    options["assignments"] = (*options["assignments"], *extra)
    return options
