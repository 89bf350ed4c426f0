"""Scans of a work folder, run as far as a net needs them to learn from."""

from collections.abc import Sequence
from pathlib import Path

import click

from lungseg.core.executor import EngineOptions
from lungseg.session.messages import Progress
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import Session, open_session


def run_scans(work: Path, stages: Sequence[str], options: CommandOptions, jobs: int) -> Session:
    """Run stages on the scans of a work folder, whose own settings and net stay as they are.

    Scans that fail are told, and the others are there.
    """
    session = open_session(work, options, passing=True)
    session.check_scans()
    summary = session.run(stages, EngineOptions(jobs), Progress(patients=session.patients).watch())
    for (stage, scan), result in summary.results.items():
        if result.state == "failed":
            click.echo(f"failed   {scan} {stage}: {result.error}", err=True)
    return session
