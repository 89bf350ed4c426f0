"""Run stages in a work folder, and say what came of it: what most commands do."""

import json
import logging
import os
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from lungseg.commands.results import FOLDER, look_in, update_results, write_pictures
from lungseg.core.engine.running_cluster import Cluster
from lungseg.core.errors import ConfigError
from lungseg.core.executor import EngineOptions
from lungseg.core.fingerprint import digest_of, identity_of_path
from lungseg.core.json_file import write_json
from lungseg.core.shown import shown
from lungseg.flow import COMMANDS
from lungseg.io.annotations import lidc_xml
from lungseg.io.annotations.coordinates import read_coordinates, unknown_scans
from lungseg.io.annotations.nodule_segments import told_of
from lungseg.io.sources.scan_ids import series_of
from lungseg.session import messages
from lungseg.session.scans import changed_since
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import Session, open_session

_NOTES_SHOWN = 10
# What is remembered of the notes that a command has told.
_TOLD = "told.json"
# Where a command puts its report, within the folder that it writes to.
REPORT = "report"


@dataclass(frozen=True)
class HowToRun:
    """What a command line says of a run, beside what is to be run."""

    engine: EngineOptions
    quiet: bool
    as_json: bool
    dry_run: bool
    report: bool = False
    viewer: bool = False


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
        typed=options.get("typed", {}),
    )


def how_to_run(options: Mapping[str, Any]) -> HowToRun:
    """Engine and output, from click's options."""
    jobs = options["jobs"] or os.cpu_count() or 1
    files = [options[name] for name in ("tls_ca_file", "tls_cert", "tls_key")]
    if any(files) and not options["scheduler"]:
        raise ConfigError("--tls-ca-file, --tls-cert and --tls-key are for --scheduler")
    cluster = Cluster(options["scheduler"], *files) if options["scheduler"] else None
    engine = EngineOptions(jobs, options["memory_limit"], options["time_limit"], cluster)
    engine.check()
    viewer = options.get("viewer", False)
    return HowToRun(
        engine,
        options["quiet"],
        options["as_json"],
        options["dry_run"],
        report=viewer or options.get("with_report", False),
        viewer=viewer,
    )


def log_to_stderr(*, verbose: bool) -> None:
    """Show what happens inside, or warnings alone."""
    level = logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


def session_of(
    options: Mapping[str, Any], roots: Sequence[Path] = (), *, look: bool = False
) -> Session:
    """The work folder that click's options mean."""
    log_to_stderr(verbose=options.get("verbose", False))
    dry = options.get("dry_run", False)
    return open_session(options["work"], command_options(options), roots, look=look, dry=dry)


def run_stages(session: Session, command: str, how: HowToRun, *, pictures: bool = False) -> int:
    """Run a command's stages, or one stage; print what came of it; return the exit status.

    With `pictures`, a picture of every scan is written among the results.
    """
    asked = COMMANDS.get(command, (command,))
    targets, not_run = session.targets(asked)
    if how.dry_run:
        actions = session.plan(targets)
        click.echo(messages.plan_json(actions) if how.as_json else messages.plan_text(actions))
        return 0
    if how.report:
        may_take_report(session.work)
    progress = messages.Progress(how.quiet, session.patients)
    start = time.perf_counter()
    try:
        summary = session.run(targets, how.engine, progress.watch())
    finally:
        progress.close()
    render = messages.summary_json if how.as_json else messages.summary_text
    click.echo(render(summary, session.sources, session.beside, time.perf_counter() - start))
    if pictures:
        for path in write_pictures(session):
            click.echo(f"picture  {path}", err=how.as_json)
    notes = update_results(session)
    for line in notes:
        click.echo(f"results  {line}", err=how.as_json)
    if not how.as_json:
        for line in (*_changed(session), *messages.after_run(session, targets, not_run)):
            click.echo(line)
        for line in look_in(session.work):
            click.echo(line)
    if how.report:
        tell_report(session, session.work, how)
    return 1 if summary.failed or summary.dataset_failed else 0


def bring_up_to_date(session: Session) -> None:
    """Let the results, if there are any, be those of the present settings; say what is not so."""
    if (session.work / FOLDER).is_dir():
        for line in update_results(session):
            click.echo(f"results  {line}", err=True)


def may_take_report(out: Path) -> None:
    """See, before anything runs, that a report may be put into the folder `out`.

    Raises
    ------
    ConfigError
        If what has its name there is someone else's.
    """
    from lungseg.report.pages import check_folder

    check_folder(out / REPORT)


def tell_report(session: Session, out: Path, how: HowToRun) -> None:
    """Write the report of what was run into the folder `out`, and say where it is."""
    from lungseg.commands.report.report import Wanted, write_report
    from lungseg.commands.report.run_report import progress

    written = write_report(
        session, Wanted(out / REPORT, viewer=how.viewer), progress(quiet=how.quiet)
    )
    for line in written.lines():
        click.echo(line, err=how.as_json)


def preprocess(session: Session, how: HowToRun, *, pictures: bool) -> int:
    """Run the stages of ``preprocess``, with notes on its lists before and pictures after."""
    for line in _notes(session, told_once=True, keep=not how.dry_run):
        click.echo(line, err=True)
    return run_stages(session, "preprocess", how, pictures=pictures)


def status(session: Session, *, as_json: bool, stages: Container[str] | None = None) -> str:
    """What is done, what is not and why, with which settings and net, and where results lie.

    With `stages`, of these alone.
    """
    actions = [one for one in session.state() if stages is None or one.stage in stages]
    if as_json:
        return messages.status_json(session.sources, session.left_out, actions)
    lines = [messages.status_text(session.sources, session.left_out, actions)]
    lines += _notes(session, told_once=False, keep=False)
    lines += _changed(session)
    lines += [f"net      {line}" for line in session.net_notes()]
    lines += [line for line in [messages.settings_line(session)] if line]
    return "\n".join([*lines, *look_in(session.work)])


@dataclass(frozen=True)
class _Told:
    """What a work folder remembers of notes.

    Attributes
    ----------
    digests
        Of the notes that a command has told.
    segments, segments_of
        Notes on segmentations, which take long to find, and the digest of what they were found in.
    """

    digests: list[str] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    segments_of: str = ""


def _notes(session: Session, *, told_once: bool, keep: bool) -> Iterator[str]:
    """Notes on the lists of nodules; with `told_once`, those that no command has told before."""
    file = session.work / _TOLD
    before = _told(file)
    segments_of, segments = _about_segments(session, before)
    told = [*segments, *_about_readings(session), *_about_rows(session)]
    notes = {digest_of(note): note for note in told}
    known = before.digests if told_once else []
    new = [note for digest, note in notes.items() if digest not in known]
    yield from (f"note     {note}" for note in new[:_NOTES_SHOWN])
    if len(new) > _NOTES_SHOWN:
        yield f"note     ... and {len(new) - _NOTES_SHOWN} more of the kind"
    now = _Told(sorted(notes), segments, segments_of)
    if keep and now != before:
        write_json(asdict(now), file)


def _changed(session: Session) -> Iterator[str]:
    """A line for every folder of scans that may hold others than those known here."""
    for root in changed_since(session.work):
        yield (
            f"note     {shown(root)} was changed since it was looked at; new scans in it are not "
            "used before `lungseg-cli preprocess` looks again"
        )


def _about_segments(session: Session, before: _Told) -> tuple[str, list[str]]:
    """What no scan's own record can tell of segmentations, and the digest of what it is found in.

    To find it the head of every file in the folder is read: seconds a thousand.
    """
    params: Any = session.settings["annotate-nodules"]
    if not params.segmentations:
        return "", []
    folder, series = Path(params.segmentations), _series(session)
    listing = identity_of_path(folder, "segmentations")
    digest = digest_of([version("lungseg-cli"), str(folder), listing, sorted(series)])
    known = digest == before.segments_of
    return digest, before.segments if known else told_of(folder, series)


def _about_readings(session: Session) -> list[str]:
    """What no scan's own record can tell of XML files: how many are of the scans here."""
    params: Any = session.settings["annotate-nodules"]
    return [lidc_xml.told_of(Path(params.xml), _series(session))] if params.xml else []


def _about_rows(session: Session) -> list[str]:
    """What no scan's own record can tell of coordinates: rows about no scan here."""
    params: Any = session.settings["annotate-nodules"]
    if not params.coordinates:
        return []
    path = Path(params.coordinates)
    database = Path(params.database) if params.database else None
    listed = read_coordinates(path, database=database, unknown_size=True)
    unusable = [problem.text for problem in listed.problems]
    known = {*session.all_sources, *_series(session)}
    return [*unusable, *unknown_scans(listed, known, path.name)]


def _series(session: Session) -> set[str]:
    return {series_of(scan) for scan in session.all_sources}


def _told(file: Path) -> _Told:
    # Torn, or of an older version, it costs notes that are told once more.
    try:
        return _Told(**json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return _Told()
