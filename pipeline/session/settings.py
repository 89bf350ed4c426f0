"""Settings: where each value comes from, and what is kept of what a command was told.

Defaults <- preset <- TOML file <- what was set by hand before <- ``--set`` now. What a command
that runs stages is told is kept in the work folder and holds for every later one.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungseg.core import config
from lungseg.core.config import Override
from lungseg.core.errors import ConfigError
from lungseg.core.stage import Params, Stage, shown
from lungseg.session import presets
from lungseg.session.kept import FILE, Kept, read_kept

if TYPE_CHECKING:
    from lungseg.model.model_record import ModelRecord

CONFIG_NAME = "lungseg.toml"


@dataclass(frozen=True)
class CommandOptions:
    """What a command line says beside its stages: where settings come from, and which scans.

    `typed` has, of the assignments that other options stand for, what the user typed for them.
    """

    config: Path | None = None
    preset: str = ""
    assignments: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    retry: bool = False
    model: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Settled:
    """The settings of one command.

    Attributes
    ----------
    params
        Parameters of every stage.
    origins
        Where each value that is not a default was told, by stage and name.
    kept
        What the work folder keeps once the command runs.
    """

    params: Mapping[str, Params]
    origins: Mapping[tuple[str, str], str]
    kept: Kept


@dataclass(frozen=True)
class Difference:
    """A setting that is not at its default: ``stage.name``, its value, the default, its origin."""

    setting: str
    value: Any
    default: Any
    origin: str


def settle(flow: Sequence[Stage], work: Path, options: CommandOptions) -> Settled:
    """The settings of a command in the work folder `work`.

    Raises
    ------
    ConfigError
        If a name, a value or a file is wrong; then nothing of it will be kept.
    """
    before = read_kept(work)
    now = config.from_assignments(options.assignments, options.typed)
    preset, file = options.preset or before.preset, _file(work, options, before)
    layers = _preset(preset, work, kept=not options.preset)
    layers += config.from_toml(file) if file else []
    layers += [
        Override(stage, name, value, f"set before, {work / FILE}")
        for stage, values in before.values.items()
        for name, value in values.items()
    ]
    layers += now
    params = config.settings(flow, layers)
    origins = {_key(layer): layer.origin for layer in layers}
    named = str(options.config.resolve()) if options.config else before.config
    kept = Kept(preset, named, before.values)
    for stage, name in map(_key, now):
        kept = kept.with_value(stage, name, _value_to_keep(params[stage], name))
    return Settled(params, origins, kept)


def differences(flow: Sequence[Stage], settled: Settled) -> Iterator[Difference]:
    """Every setting that is not at its default, in the flow's order."""
    for stage in flow:
        defaults, now = stage.params(), settled.params[stage.name]
        for spec in fields(now):
            value, default = getattr(now, spec.name), getattr(defaults, spec.name)
            origin = settled.origins.get((stage.name, spec.name), "")
            if value != default and origin:
                yield Difference(f"{stage.name}.{spec.name}", value, default, origin)


def check_stages_named(options: CommandOptions, stages: Collection[str]) -> None:
    """See that ``--force`` names stages.

    Raises
    ------
    ConfigError
        If it names another thing.
    """
    unknown = set(options.force) - set(stages)
    if unknown:
        word = min(unknown)
        meant = config.did_you_mean(word, stages)
        raise ConfigError(f"--force {shown(word, quotes=False)}: there is no such stage{meant}")


def check_can_be_forced(options: CommandOptions, run: Sequence[str]) -> None:
    """See that ``--force`` names stages that the command runs.

    Raises
    ------
    ConfigError
        If it would do nothing.
    """
    idle = set(options.force) - set(run)
    if idle:
        raise ConfigError(
            f"--force {min(idle)}: this command does not run that stage; it runs {', '.join(run)}"
        )


def absolute_paths(settings: Mapping[str, Params]) -> tuple[dict[str, Params], list[Path]]:
    """The settings with every path made absolute, and those paths."""
    changed: dict[str, Params] = {}
    paths: list[Path] = []
    for stage, params in settings.items():
        names = [spec.name for spec in fields(params) if spec.metadata["path"]]
        found = {
            name: Path(getattr(params, name)).resolve() for name in names if getattr(params, name)
        }
        paths += found.values()
        changed[stage] = replace(params, **{name: str(path) for name, path in found.items()})
    return changed, paths


def _preset(name: str, work: Path, *, kept: bool) -> list[Override]:
    if not name:
        return []
    if name not in presets.PRESETS:
        meant = config.did_you_mean(name, presets.PRESETS)
        where = f" ({work / FILE} names it)" if kept else ""
        raise ConfigError(f"there is no preset {name!r}{where}{meant}")
    return config.from_preset(presets.PRESETS[name], name)


def _file(work: Path, options: CommandOptions, kept: Kept) -> Path | None:
    if options.config:
        return options.config
    if kept.config:
        if not Path(kept.config).is_file():
            raise ConfigError(
                f"the settings file {kept.config}, which {work / FILE} names, is gone; name it "
                "anew with --config, or take its line out"
            )
        return Path(kept.config)
    places = (Path(CONFIG_NAME), work / CONFIG_NAME)
    return next((place for place in places if place.is_file()), None)


def _key(said: Override) -> tuple[str, str]:
    return said.stage.replace("_", "-"), said.name.replace("-", "_")


def _value_to_keep(params: Params, name: str) -> Any:
    """A value in the form that holds from any folder: paths are made absolute.

    Raises
    ------
    ConfigError
        If it names a path where there is nothing.
    """
    value = getattr(params, name)
    spec = next(spec for spec in fields(params) if spec.name == name)
    if not (spec.metadata["path"] and value):
        return value
    path = Path(value).resolve()
    if not path.exists():
        raise ConfigError(f"{name} names {value}, where there is no file or folder")
    return str(path)


def changes_since(record: "ModelRecord", train: Params, scans: int) -> list[str]:
    """What differs from what a net was trained with, for a person.

    Parameters
    ----------
    record
        The net's.
    train
        The settings of `train` now.
    scans
        Scans that there are now.
    """
    changes = []
    more = scans - record.scans_then
    if record.scans_then and more:
        noun = "scan" if abs(more) == 1 else "scans"
        changes.append(f"{abs(more)} {noun} {'more' if more > 0 else 'fewer'}")
    for spec in fields(train):
        then, value = record.params.get(spec.name), getattr(train, spec.name)
        if spec.metadata["affects_output"] and spec.name in record.params and then != value:
            changes.append(f"train.{spec.name} {then} -> {value}")
    return changes
