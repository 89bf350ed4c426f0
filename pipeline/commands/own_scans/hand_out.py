"""Hand out: scans from anywhere, run to one stage, whose files are copied out under plain names.

What `lungs` and `detect` share: the folder they write to, its work folder, names, what became of
every scan and of everything that was found beside them.
"""

import functools
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lungseg.commands.own_scans import ledger
from lungseg.commands.own_scans.place import Before, Place
from lungseg.commands.run_stages import HowToRun, command_options, how_to_run, log_to_stderr
from lungseg.core.errors import ConfigError
from lungseg.core.runner import Watch
from lungseg.core.shown import shown
from lungseg.core.stage import Scalar
from lungseg.core.worker import FAILED, RAN, REUSED, SKIPPED, Result
from lungseg.io.results.plain_names import UID_END, plain_names
from lungseg.io.sources.index import Source
from lungseg.io.volumes.headers import suffix_of
from lungseg.session import messages
from lungseg.session.scans import remembered_scans
from lungseg.session.settings import CommandOptions
from lungseg.session.tally import NOT_DONE, state_of
from lungseg.session.work_folder import Session

Row = dict[str, Scalar]


@dataclass(frozen=True)
class Product:
    """What a command hands out of each scan.

    Attributes
    ----------
    command, stage
        The command, and the stage that writes its files.
    endings
        What may stand behind a scan's name in the folder, for all formats.
    tables
        Names of the files over all scans.
    files
        From the names of the files in the stage's output, by which ending each is handed out;
        those that are missing stay in the cache.
    not_own
        What stands behind names that end like this command's, but are another's.
    """

    command: str
    stage: str
    endings: tuple[str, ...]
    tables: tuple[str, ...]
    files: Callable[[Sequence[str]], Mapping[str, str]]
    not_own: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What a command line asks for: where to write, with which settings, how to run."""

    place: Place
    options: CommandOptions
    how: HowToRun


def asked_of(options: Mapping[str, Any], **settings: str) -> Asked:
    """What click's `options` ask for; those named in `settings` stand for a ``stage.name``."""
    log_to_stderr(verbose=options["verbose"])
    told = {
        f"{at}={value}": f"--{name.replace('_', '-')} {_as_typed(value)}"
        for name, at in settings.items()
        if (value := options[name]) is not None
    }
    all_told = {**options, "assignments": (*options["assignments"], *told), "typed": told}
    place = Place(options["out"], options["work"], options["no_cache"])
    before = Before(
        place.out.exists(),
        place.work_folder.exists(),
        ledger.notes(place.out),
        remembered_scans(place.work_folder),
    )
    return Asked(replace(place, before=before), command_options(all_told), how_to_run(options))


def _as_typed(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Outcome:
    """What became of one scan, or of something that was found and is none.

    Attributes
    ----------
    scan, patient, source
        Its id, patient and file (or the folder that its files have in common).
    state
        ``done``, ``failed``, ``skipped`` or ``not done`` (the run was broken off).
    reason
        Why it is not done.
    seconds
        Time that its stages took, whenever they ran.
    files
        What was handed out, by the ending of its name.
    facts
        Facts of its stages, by stage.
    folder
        Output of the stage; None if it is not done.
    """

    scan: str
    patient: str
    source: str
    state: str
    reason: str = ""
    seconds: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    folder: Path | None = None


class HandOut:
    """One run of a command that hands files out."""

    def __init__(self, product: Product, place: Place, session: Session) -> None:
        self.product = product
        self.place = place
        self.session = session
        self.names = plain_names(
            {scan: name_choices(source) for scan, source in session.sources.items()},
            product.endings,
        )
        self.results: dict[str, dict[str, Result]] = {scan: {} for scan in session.sources}
        self.files: dict[str, dict[str, str]] = {}
        self.not_copied: dict[str, str] = {}

    def run(self, how: HowToRun) -> None:
        """Run the stages on every scan; copy out what each leaves as soon as it is there."""
        progress = messages.Progress(how.quiet, self.session.patients)
        shown = progress.watch()

        def take(result: Result) -> None:
            shown.result(result)
            self.take(result)

        try:
            self.session.run(
                [self.product.stage], how.engine, Watch(shown.begin, take, shown.damaged)
            )
        finally:
            progress.close()

    def take(self, result: Result) -> None:
        """A stage ended on a scan: keep what came of it; copy out the last one's files."""
        if not result.scan:
            return
        self.results[result.scan][result.stage] = result
        if result.stage != self.product.stage or result.state not in {RAN, REUSED}:
            return
        folder = self._folder(result)
        try:
            self.files[result.scan] = self._copy(folder, self.names[result.scan])
        except OSError as error:
            self.not_copied[result.scan] = (
                f"its files could not be copied to {self.place.out} ({error.strerror or error})"
            )

    def is_begun(self) -> bool:
        """True once a stage has ended on a scan."""
        return any(self.results.values())

    def outcomes(self) -> list[Outcome]:
        """What became of every scan, and of everything that was found beside them."""
        found = [self._outcome(source) for source in self.session.sources.values()]
        found += [
            Outcome(item.scan, "", self._told(item.path), state_of(item), item.reason)
            for item in self.session.left_out
        ]
        return found

    def _outcome(self, source: Source) -> Outcome:
        results = self.results[source.scan]
        last = results.get(self.product.stage)
        bad = next((r for r in results.values() if r.state in {FAILED, SKIPPED}), None)
        state, reason = NOT_DONE, "the run was broken off; the same command goes on"
        if source.scan in self.not_copied:
            state, reason = FAILED, self.not_copied[source.scan]
        elif last and last.state in {RAN, REUSED}:
            state, reason = "done", ""
        elif bad:
            state, reason = bad.state, f"{bad.stage}: {bad.error}"
        records = {stage: r.record for stage, r in results.items() if r.record}
        return Outcome(
            source.scan,
            source.patient,
            self._told(place_of(source)),
            state,
            reason,
            round(sum(record.seconds for record in records.values()), 2),
            self.files.get(source.scan, {}),
            {stage: record.facts for stage, record in records.items()},
            self._folder(last) if last and state == "done" else None,
        )

    def _told(self, path: str) -> str:
        # Folders and files are named after patients: where those have pseudonyms, neither is told.
        ingest: Any = self.session.settings["ingest"]
        return "" if ingest.pseudonyms else path

    def _folder(self, result: Result) -> Path:
        return self.session.store.folder(result.stage, result.fingerprint, result.scan)

    def _copy(self, folder: Path, name: str) -> dict[str, str]:
        files = self.product.files(sorted(file.name for file in folder.iterdir()))
        # Copies, so that nobody can spoil the cache through them.
        copies = {
            name + ending: functools.partial(shutil.copyfile, folder / inner)
            for inner, ending in files.items()
        }
        ledger.place_files(self.place.out, copies)
        return {ending: name + ending for ending in files.values()}


def name_choices(source: Source) -> list[str]:
    """What a scan's files would like to be called, the dearest first.

    A file's own name; for DICOM the patient and the end of the series' UID, else all of it.
    """
    if source.kind == "dicom":
        whose = "" if source.patient == source.scan else f"{source.patient}_"
        return [f"{whose}{source.scan[-UID_END:]}", f"{whose}{source.scan}"]
    file = Path(source.files[0])
    # The scan's id has names of folders before it where files are called alike.
    return [shown(file.name[: len(file.name) - len(suffix_of(file))]), source.scan]


def place_of(source: Source) -> str:
    """The scan's file, or the folder that its files have in common, as it is shown."""
    if len(source.files) == 1:
        return shown(source.files[0])
    folders = [os.path.dirname(file) for file in source.files]  # noqa: PTH120
    return shown(os.path.commonpath(folders))


def claim(handing: HandOut) -> None:
    """Make `out`, and sure that no file of anyone else's will be written over.

    Raises
    ------
    ConfigError
        If one would be.
    """
    out, product = handing.place.out, handing.product
    wanted = [name + ending for name in handing.names.values() for ending in product.endings]
    there = {path.name.casefold(): path for path in out.iterdir()} if out.is_dir() else {}
    written = ledger.written(out)
    ours = {name.casefold(): mark for name, mark in written.items()}
    for name in (*product.tables, *wanted):
        path = there.get(name.casefold())
        if path is None or ledger.mark_of(path) in ours.get(name.casefold(), []):
            continue
        changed = (
            "was changed since such a command wrote it"
            if name.casefold() in ours
            else "was not written by such a command"
        )
        raise ConfigError(
            f"{path} would be written over, and it {changed}; move it away, or name another --out"
        )
    # What --no-cache may remove is what was made here.
    made = {"work": True} if not handing.place.work and not handing.place.before.work else {}
    ledger.note(out, **made)


def with_params(session: Session, stage: str, **values: Any) -> Session:
    """The session with parameters that the command itself demands; they are not kept."""
    params = dict(session.settled.params)
    params[stage] = replace(params[stage], **values)
    return replace(session, settled=replace(session.settled, params=params))
