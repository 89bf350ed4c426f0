"""A session: one work folder, its scans, its settings, and what is asked of the flow."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from lungseg import flow
from lungseg.core import config
from lungseg.core.errors import ConfigError, DataError
from lungseg.core.executor import EngineOptions
from lungseg.core.json_file import write_json
from lungseg.core.plan import REUSE, Action, Planner, Request, ScanRef
from lungseg.core.runner import Run, Summary, Watch
from lungseg.core.stage import Params
from lungseg.core.store import Store, folder_name
from lungseg.io.annotations.coordinates import read_coordinates, unknown_scans
from lungseg.io.sources.index import LeftOut, Source, find_scans, read_source, write_source
from lungseg.session import presets

CONFIG_NAME = "lungseg.toml"
_PLACES = "places.json"


@dataclass(frozen=True)
class CommandOptions:
    """What a command line says beside its stages: where settings come from, and which scans."""

    config: Path | None = None
    preset: str = ""
    assignments: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    retry: bool = False


@dataclass(frozen=True)
class Session:
    """A work folder with the settings of this command.

    Attributes
    ----------
    work
        The work folder; it need not exist yet.
    settings
        Parameters of every stage.
    sources
        The scans, by id.
    left_out
        What was found beside them and is no scan, each with its reason.
    """

    work: Path
    settings: Mapping[str, Params]
    sources: Mapping[str, Source]
    left_out: Sequence[LeftOut]
    choice: CommandOptions

    @property
    def store(self) -> Store:
        """The cache in the work folder."""
        return Store(self.work)

    @property
    def refs(self) -> list[ScanRef]:
        """The scans of this session, for the plan."""
        return [ScanRef(s.scan, s.patient, s.identity) for s in self.sources.values()]

    def request(self, targets: Sequence[str]) -> Request:
        """What to ask of the flow to have the stages `targets`."""
        return Request(
            flow=flow.FLOW,
            targets=tuple(targets),
            scans=self.refs,
            settings=self.settings,
            force=frozenset(self.choice.force),
            retry=self.choice.retry,
        )

    def plan(self, targets: Sequence[str]) -> list[Action]:
        """What a run would do, and why; nothing is run."""
        return Planner(self.store, self.request(targets)).decide()

    def folders(self) -> dict[str, dict[str, Path]]:
        """Folder of every complete output by scan (the data set's under ``""``), then by stage."""
        found: dict[str, dict[str, Path]] = {scan: {} for scan in ("", *self.sources)}
        for action in self.plan([stage.name for stage in flow.FLOW]):
            if action.do == REUSE:
                place = self.store.folder(action.stage, action.fingerprint, action.scan)
                found[action.scan][action.stage] = place
        return found

    def notes(self) -> list[str]:
        """What no scan's own record can tell: rows of nodule lists that are about no scan here."""
        params: Any = self.settings["annotate-nodules"]
        if not params.coordinates:
            return []
        path = Path(params.coordinates)
        database = Path(params.database) if params.database else None
        listed = read_coordinates(path, database=database, unknown_size=True)
        unusable = [problem.text for problem in listed.problems]
        return [*unusable, *unknown_scans(listed, self.sources.keys(), path.name)]

    def run(self, targets: Sequence[str], options: EngineOptions, watch: Watch) -> Summary:
        """Run `targets` and what is missing before them."""
        _remember_places(self.work, self.choice, self.settings)
        paths = {scan: self._source_path(scan) for scan in self.sources}
        summary = Run(self.store, self.request(targets), paths, options).execute(watch)
        if self.choice.scans:
            return summary
        faults = sum(item.fault for item in self.left_out)
        return replace(
            summary,
            expected=summary.expected + len(self.left_out),
            failed=summary.failed + faults,
            skipped=summary.skipped + len(self.left_out) - faults,
        )

    def _source_path(self, scan: str) -> Path:
        return self.work / "sources" / f"{folder_name(scan)}.json"


def open_session(
    work: Path, choice: CommandOptions, roots: Sequence[Path] = (), look: bool = False
) -> Session:
    """Open a work folder.

    Parameters
    ----------
    work
        The work folder.
    choice
        Settings and selection.
    roots
        Folders or files to take the scans from; they replace those of before.
    look
        Look at the remembered roots again, for what is new there.

    Raises
    ------
    ConfigError
        If a setting is wrong, a root does not exist, or a scan named is not there.
    """
    chosen = config.settings(flow.FLOW, _overrides(work, choice))
    unknown = set(choice.force) - set(chosen)
    if unknown:
        raise ConfigError(f"--force {min(unknown)}: there is no such stage")
    remembered = _remembered_roots(work)
    if roots or (look and remembered):
        sources, left_out = _look_at(work, list(roots) or remembered)
    else:
        sources, left_out = _remembered(work)
    by_scan = {source.scan: source for source in sources}
    return Session(work, chosen, _selected(by_scan, choice.scans), left_out, choice)


def _overrides(work: Path, choice: CommandOptions) -> list[config.Override]:
    found = [
        config.Override(stage, name, place, f"remembered in {work / _PLACES}")
        for stage, places in _places(work).items()
        for name, place in places.items()
    ]
    if choice.preset:
        if choice.preset not in presets.PRESETS:
            meant = config.did_you_mean(choice.preset, presets.PRESETS)
            raise ConfigError(f"there is no preset {choice.preset!r}{meant}")
        found += config.from_preset(presets.PRESETS[choice.preset], choice.preset)
    places = [choice.config] if choice.config else [Path(CONFIG_NAME), work / CONFIG_NAME]
    file = next((place for place in places if place.is_file()), choice.config)
    if file is not None:
        found += config.from_toml(file)
    return found + config.from_assignments(choice.assignments)


def _remember_places(work: Path, choice: CommandOptions, chosen: Mapping[str, Params]) -> None:
    """Keep where things are, as `--src` is kept, so that no command is told it twice."""
    places = _places(work)
    for said in config.from_assignments(choice.assignments):
        stage, name = said.stage.replace("_", "-"), said.name.replace("-", "_")
        specs = {spec.name: spec for spec in fields(chosen[stage])}
        if specs[name].metadata["path"]:
            value = str(getattr(chosen[stage], name))
            places.setdefault(stage, {})[name] = str(Path(value).resolve()) if value else ""
    if places != _places(work):
        work.mkdir(parents=True, exist_ok=True)
        write_json(places, work / _PLACES)


def _places(work: Path) -> dict[str, dict[str, str]]:
    file = work / _PLACES
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _look_at(work: Path, roots: Sequence[Path]) -> tuple[list[Source], list[LeftOut]]:
    missing = [root for root in roots if not root.exists()]
    if missing:
        raise ConfigError(f"--src {missing[0]}: there is no such file or folder")
    (work / "sources").mkdir(parents=True, exist_ok=True)
    sources, left_out = find_scans(roots, work / "headers.cache")
    for source in sources:
        write_source(source, work / "sources" / f"{folder_name(source.scan)}.json")
    listing = {
        "roots": [str(root.resolve()) for root in roots],
        "scans": [source.scan for source in sources],
        "left_out": [asdict(item) for item in left_out],
    }
    write_json(listing, work / "sources.json")
    return sources, left_out


def _remembered(work: Path) -> tuple[list[Source], list[LeftOut]]:
    listing = _listing(work)
    folder = work / "sources"
    sources = [read_source(folder / f"{folder_name(scan)}.json") for scan in listing["scans"]]
    return sources, [LeftOut(**item) for item in listing["left_out"]]


def _remembered_roots(work: Path) -> list[Path]:
    return [Path(root) for root in _listing(work)["roots"]]


def _listing(work: Path) -> dict[str, list[Any]]:
    path = work / "sources.json"
    if not path.is_file():
        return {"roots": [], "scans": [], "left_out": []}
    try:
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); run preprocess --src again") from error


def _selected(sources: Mapping[str, Source], scans: Sequence[str]) -> Mapping[str, Source]:
    if not scans:
        return sources
    chosen = {}
    for wanted in scans:
        found = [s for s in sources if s == wanted] or [
            s for s, source in sources.items() if s.endswith(wanted) or source.patient == wanted
        ]
        if not found:
            raise ConfigError(
                f"--scan {wanted}: no scan has this id, ends in it, or is of this patient; "
                "`lungseg-cli status` lists them"
            )
        chosen.update({scan: sources[scan] for scan in found})
    return chosen
