"""Run stages in a work folder, and say what came of it: what most commands do."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lungseg.core.errors import ConfigError
from lungseg.core.executor import EngineOptions
from lungseg.flow import COMMANDS
from lungseg.session import messages
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import Session, open_session
from lungseg.steps.pictures_of_scan import write_overlays

_NOTES_SHOWN = 10


@dataclass(frozen=True)
class HowToRun:
    """What a command line says of a run, beside what is to be run."""

    engine: EngineOptions
    quiet: bool
    as_json: bool
    dry_run: bool


def command_options(options: Mapping[str, Any]) -> CommandOptions:
    """Settings and selection, from click's options."""
    return CommandOptions(
        config=options["config"],
        preset=options["preset"],
        assignments=tuple(options["assignments"]),
        scans=tuple(options.get("scans", ())),
        force=tuple(options.get("force", ())),
        retry=options.get("retry", False),
        model=options.get("model", ""),
    )


def how_to_run(options: Mapping[str, Any]) -> HowToRun:
    """Engine and output, from click's options."""
    jobs = options["jobs"] or os.cpu_count() or 1
    engine = EngineOptions(jobs, options["scheduler"], options["memory_limit"])
    return HowToRun(engine, options["quiet"], options["as_json"], options["dry_run"])


def log_to_stderr(*, verbose: bool) -> None:
    """Show what happens inside, or warnings alone."""
    level = logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


def session_of(
    options: Mapping[str, Any], roots: Sequence[Path] = (), *, look: bool = False
) -> Session:
    """The work folder that click's options mean."""
    log_to_stderr(verbose=options.get("verbose", False))
    return open_session(options["work"], command_options(options), roots, look=look)


def run_stages(session: Session, command: str, how: HowToRun) -> int:
    """Run a command's stages, or one stage; print what came of it; return the exit status."""
    asked = COMMANDS.get(command, (command,))
    targets, not_run = session.targets(asked)
    if how.dry_run:
        actions = session.plan(targets)
        click.echo(messages.plan_json(actions) if how.as_json else messages.plan_text(actions))
        return 0
    progress = messages.Progress(quiet=how.quiet)
    start = time.perf_counter()
    try:
        summary = session.run(targets, how.engine, progress.watch())
    finally:
        progress.close()
    render = messages.summary_json if how.as_json else messages.summary_text
    click.echo(render(summary, session.sources, session.left_out, time.perf_counter() - start))
    if not how.as_json:
        for line in messages.after_run(session, targets, not_run):
            click.echo(line)
    return 1 if summary.failed or summary.dataset_failed else 0


def preprocess(session: Session, roots: Sequence[Path], how: HowToRun, *, pictures: bool) -> int:
    """Run the stages of ``preprocess``, with notes on its lists before and pictures after."""
    if roots and not session.all_sources and not session.left_out:
        where = " and ".join(str(root) for root in roots)
        raise ConfigError(f"there are no scans in {where}: name a folder of chest CT with --src")
    notes = session.notes()
    for note in notes[:_NOTES_SHOWN]:
        click.echo(f"note     {note}", err=True)
    if len(notes) > _NOTES_SHOWN:
        click.echo(f"note     ... and {len(notes) - _NOTES_SHOWN} more of the kind", err=True)
    status = run_stages(session, "preprocess", how)
    if pictures and not how.dry_run:
        for folders in session.folders().values():
            if "resample" in folders:
                for path in write_overlays(folders, session.work / "pictures"):
                    click.echo(f"picture  {path}", err=how.as_json)
    return status
