"""A session: one work folder, its scans, its settings, and what is asked of the flow."""

import contextlib
import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lungseg import flow
from lungseg.core.errors import ConfigError, DamagedOutputError
from lungseg.core.executor import EngineOptions
from lungseg.core.plan import REUSE, Action, Planner, Request, ScanRef, stages_for
from lungseg.core.runner import Run, Summary, Watch
from lungseg.core.shown import path_as_text
from lungseg.core.stage import DatasetStage, Params
from lungseg.core.store import Store
from lungseg.io.sources.index import LeftOut, Source
from lungseg.io.sources.pseudonyms import key_in
from lungseg.model.nets import NET, CurrentNet, choose_net, current_net, fault_of, named_net
from lungseg.session import scans as of_folder
from lungseg.session.kept import write_kept
from lungseg.session.settings import (
    CommandOptions,
    Difference,
    Settled,
    absolute_paths,
    changes_since,
    check_can_be_forced,
    check_stages_named,
    differences,
    settle,
)
from lungseg.session.tally import tally

log = logging.getLogger(__name__)

NO_SCANS = (
    "no scans here yet: name a folder of chest CT with `lungseg-cli preprocess --src FOLDER`, or "
    "the work folder of an earlier run with --work"
)
_OF_THE_NET = ("predict", "reduce-false-positives")
# Given to people, or told of: compared byte by byte before; the table's many files by their reader.
_READ_OUT = frozenset({*flow.HANDED_OUT.values(), "split-patients", "train", "evaluate"})
NO_NET = (
    "there is no net in this work folder: train one with `lungseg-cli train`, or name one with "
    "--model (`lungseg-cli models` lists those that there are)"
)


@dataclass(frozen=True)
class Session:
    """A work folder with the settings of this command.

    Attributes
    ----------
    work
        The work folder; it need not exist yet.
    settled
        The settings: values, where they come from, what will be kept of them.
    all_sources
        All scans of the folder, by id.
    sources
        Those that ``--scan`` selects; all, without it.
    left_out
        What was found beside them and is no scan, each with its reason.
    options
        What the command line said.
    net
        The net to predict with; None if there is none.
    guest, passing
        True if the folder's own scans, settings and net, or the last two, are left alone.
    looked
        A look for scans that the folder does not know of yet; None if there was none.
    """

    work: Path
    settled: Settled
    all_sources: Mapping[str, Source]
    sources: Mapping[str, Source]
    left_out: Sequence[LeftOut]
    options: CommandOptions
    net: CurrentNet | None = None
    guest: bool = False
    passing: bool = False
    looked: of_folder.Looked | None = None

    @property
    def store(self) -> Store:
        """The cache in the work folder."""
        return Store(self.work)

    @property
    def settings(self) -> Mapping[str, Params]:
        """Parameters of every stage; those that use the current net have it."""
        params = dict(self.settled.params)
        if self.net:
            for stage in _OF_THE_NET:
                of_stage: Any = params[stage]
                params[stage] = replace(of_stage, model=str(self.net.file))
        return params

    @property
    def patients(self) -> Mapping[str, str]:
        """The patient of each scan that is selected."""
        return {scan: source.patient for scan, source in self.sources.items()}

    @property
    def has_pictures(self) -> bool:
        """True if tables are made of pictures or nodule slices, and no scans are needed."""
        tables: Any = self.settings["build-tables"]
        return bool(tables.images or tables.nodule_slices)

    def differences(self) -> list[Difference]:
        """What is not at its default, and where it was told."""
        return list(differences(flow.FLOW, self.settled))

    def request(self, targets: Sequence[str], *, every_scan: bool = False) -> Request:
        """What to ask of the flow to have the stages `targets`."""
        chosen = self.all_sources if every_scan else self.sources
        return Request(
            flow=flow.FLOW,
            targets=tuple(targets),
            scans=[ScanRef(s.scan, s.patient, s.identity) for s in chosen.values()],
            settings=self.settings,
            force=frozenset(self.options.force),
            retry=self.options.retry,
            impossible={} if self.net else dict.fromkeys(("predict", "evaluate"), NO_NET),
            read_out=_READ_OUT & set(targets),
        )

    def plan(self, targets: Sequence[str]) -> list[Action]:
        """What a run would do, and why; nothing is run.

        With ``--scan``, the stages over the whole data set are decided for all scans, and the
        others shown for those selected.
        """
        if not self.options.scans:
            return Planner(self.store, self.request(targets)).decide()
        actions = Planner(self.store, self.request(targets, every_scan=True)).decide()
        return [action for action in actions if not action.scan or action.scan in self.sources]

    def state(self) -> list[Action]:
        """What is done and what is not; of what `lungs` and `detect` hand out, what is done."""
        actions = self.plan([stage.name for stage in flow.FLOW])
        handed_out = set(flow.HANDED_OUT.values())
        return [a for a in actions if a.stage not in handed_out or a.do == REUSE]

    def folders(self) -> dict[str, dict[str, Path]]:
        """Folder of every complete output by scan (the data set's under ``""``), then by stage."""
        found: dict[str, dict[str, Path]] = {scan: {} for scan in ("", *self.sources)}
        for action in self.plan([stage.name for stage in flow.FLOW]):
            if action.do == REUSE:
                place = self.store.folder(action.stage, action.fingerprint, action.scan)
                found[action.scan][action.stage] = place
        return found

    def dataset_folder(self, stage: str) -> Path | None:
        """Folder of the data set's complete output, to be read; None if there is none.

        Raises
        ------
        DamagedOutputError
            If its files are not what was kept.
        """
        (action,) = [a for a in self.plan([stage]) if a.stage == stage]
        return self.store.trusted_folder(stage, action.fingerprint) if action.do == REUSE else None

    def check_scans(self) -> None:
        """See that there is something to work on.

        Raises
        ------
        ConfigError
            If there is none.
        """
        if not (self.all_sources or self.left_out or self.has_pictures):
            raise ConfigError(NO_SCANS)

    def targets(self, asked: Sequence[str]) -> tuple[list[str], list[str]]:
        """Which of the stages asked for are run, and which are not because of ``--scan``.

        A stage over the whole data set sees all scans or is not run.

        Raises
        ------
        ConfigError
            If a stage is unknown, there are no scans, no stage is left, one is forced that is not
            run, or one needs a net and there is none.
        """
        wanted = stages_for(flow.FLOW, asked)
        self.check_scans()
        run, not_run = list(asked), []
        if self.options.scans:
            whole = {stage.name for stage in wanted if isinstance(stage, DatasetStage)}
            not_run = [name for name in asked if name in whole]
            run = [name for name in asked if name not in whole]
        if not run:
            raise ConfigError(
                f"{' and '.join(not_run)} is over all scans of the work folder; leave --scan out"
            )
        needed = [stage.name for stage in stages_for(flow.FLOW, run)]
        check_can_be_forced(self.options, needed)
        if "predict" in needed and self.net is None:
            raise ConfigError(NO_NET)
        return run, not_run

    def net_notes(self) -> list[str]:
        """Which net predicts, and what has changed since it was trained; at most one line."""
        if self.net is None:
            return []
        from lungseg.model.model_record import read_model_record

        record = read_model_record(self.net.file)
        # What this folder would train says nothing of a net from elsewhere.
        own = self.net.file.is_relative_to(self.work)
        changes = (
            changes_since(record, self.settings["train"], len(self.all_sources)) if own else []
        )
        since = f"; since it was trained: {', '.join(changes)}" if changes else ""
        strangers = (
            "; it knows patients by pseudonyms of another key, so that only scans can be told seen"
            if record.strangers(key_in(self.work))
            else ""
        )
        return [f"{self.net.file} ({self.net.origin}){since}{strangers}"]

    def _in_use(self) -> contextlib.AbstractContextManager[None]:
        if self.options.force:
            return self.store.alone("a run with --force")
        return self.store.in_use("a run")

    @property
    def beside(self) -> Sequence[LeftOut]:
        """What was found beside the scans and counts; nothing where some scans are asked for."""
        return () if self.options.scans else self.left_out

    def run(self, asked: Sequence[str], engine: EngineOptions, watch: Watch) -> Summary:
        """Run the stages asked for and what is missing before them; keep what was told."""
        targets, _ = self.targets(asked)
        if self.net and "predict" in {stage.name for stage in stages_for(flow.FLOW, targets)}:
            fault = fault_of(self.net)
            if fault:
                raise ConfigError(
                    f"{fault}; `lungseg-cli train` makes the net again, or name another with "
                    "--model"
                )
        self.keep()
        paths = {
            scan: of_folder.source_path(self.work, scan, guest=self.guest) for scan in self.sources
        }
        store, request = self.store, self.request(targets)
        if engine.cluster:
            # Workers elsewhere have another working directory.
            store = Store(self.work.resolve())
            paths = {scan: path.resolve() for scan, path in paths.items()}
            settings, told = absolute_paths(request.settings)
            request = replace(request, settings=settings)
            files = (Path(source.files[0]) for source in self.sources.values())
            cluster = replace(
                engine.cluster, work=store.work, must_see=(*told, *paths.values(), *files)
            )
            engine = replace(engine, cluster=cluster)
        with self._in_use():
            summary = Run(store, request, paths, engine).execute(watch)
        trained = summary.results.get(("train", ""))
        if "train" in targets and trained and trained.state in {"ran", "reused"}:
            file = self.store.folder("train", trained.fingerprint) / NET
            choose_net(self.work, file, "trained here")
        beside = tally((), self.beside)
        return replace(
            summary,
            expected=summary.expected + beside.expected,
            failed=summary.failed + beside.failed,
            skipped=summary.skipped + beside.skipped,
        )

    def keep(self) -> None:
        """Keep in the work folder what this command was told: scans, settings, net.

        A guest and a passer-by leave neither settings nor net.
        """
        if self.looked:
            self.looked.keep(self.work, guest=self.guest)
        if self.guest or self.passing:
            return
        told = (self.options.preset, self.options.config, self.options.assignments)
        if any(told):
            self.work.mkdir(parents=True, exist_ok=True)
            write_kept(self.settled.kept, self.work)
        if self.options.model and self.net:
            self.work.mkdir(parents=True, exist_ok=True)
            choose_net(self.work, self.net.file, self.net.origin)


def open_session(  # noqa: PLR0913 - a folder, and how it is opened
    work: Path,
    options: CommandOptions,
    roots: Sequence[Path] = (),
    look: bool = False,
    *,
    passing: bool = False,
    dry: bool = False,
) -> Session:
    """Open a work folder; nothing is kept in it before `Session.keep`.

    Parameters
    ----------
    work
        The work folder.
    options
        Settings and selection.
    roots
        Folders or files to take the scans from; they replace those of before.
    look
        Look at the remembered roots again, for what is new there.
    passing
        What is told is for this run alone, and not kept.
    dry
        Nothing will be run: nothing at all is made.

    Raises
    ------
    ConfigError
        If a setting is wrong, a root does not exist, or a scan or net named is not there.
    """
    settled, net = _settle(work, options)
    rules = of_folder.rules_of(work, settled.params, dry=dry)
    before = list(roots) or of_folder.remembered_roots(work)
    looked = None
    if roots or (before and (look or not of_folder.remembered_by(work, rules))):
        looked = of_folder.look(work, before, rules, dry=dry)
    else:
        try:
            sources, left_out = of_folder.remembered(work)
        except DamagedOutputError as error:
            log.warning("%s: this is done now", error)
            looked = of_folder.look(work, before, rules, dry=dry)
    if looked:
        sources, left_out = looked.sources, looked.left_out
    by_scan = {source.scan: source for source in sources}
    if options.scans and not (by_scan or left_out):
        raise ConfigError(NO_SCANS)
    chosen = of_folder.selected(by_scan, options.scans, rules)
    session = Session(work, settled, by_scan, chosen, left_out, options, net, passing=passing)
    return session if dry else replace(session, looked=looked)


def open_for(  # noqa: PLR0913 - a folder, and how it is opened
    work: Path,
    options: CommandOptions,
    roots: Sequence[Path],
    passed_over: Set[Path] = frozenset(),
    *,
    guest: bool = False,
    dry: bool = False,
) -> Session:
    """Open a work folder for the scans under `roots`, whatever others it has; see `open_session`.

    Parameters
    ----------
    work
        The work folder.
    options
        Settings; all scans are selected.
    roots
        Folders or files to take the scans from.
    passed_over
        Files and folders in them that are no matter, by their real paths.
    guest
        Leave the scans, settings and net that the folder remembers as they are.

    Raises
    ------
    ConfigError
        If a setting is wrong, or a root or the net named does not exist.
    """
    settled, net = _settle(work, options)
    rules = of_folder.rules_of(work, settled.params, dry=dry)
    looked = of_folder.look(work, roots, rules, passed_over=passed_over, dry=dry)
    by_scan = {source.scan: source for source in looked.sources}
    return Session(
        work, settled, by_scan, by_scan, looked.left_out, options, net, guest, looked=looked
    )


def _settle(work: Path, options: CommandOptions) -> tuple[Settled, CurrentNet | None]:
    if path_as_text(str(work)) != str(work).replace("\\", "\\x5c"):
        raise ConfigError(
            f"--work {work}: its name is no UTF-8, and HDF5 writes no file there; name another "
            "folder"
        )
    for text in options.assignments:
        name = text.partition("=")[0].strip()
        if name in {f"{stage}.model" for stage in _OF_THE_NET}:
            raise ConfigError(f"--set {name}: name the net with --model instead")
    settled = settle(flow.FLOW, work, options)
    check_stages_named(options, settled.params)
    told = options.model
    return settled, named_net(told, f"--model {told}") if told else current_net(work)
