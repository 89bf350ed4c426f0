"""Configuration: defaults <- preset <- lungseg.toml <- --set, each value typed and checked.

A wrong name gets a "did you mean"; a wrong value says what was expected and where it came from.
"""

import contextlib
import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError
from lungseg.core.stage import Params, Stage, as_dict, shown, types_of

_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}
_LONGEST_FILE = 5_000_000
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Override:
    """One value that is not a default: ``stage``, ``name``, ``value``, and where it was said."""

    stage: str
    name: str
    value: Any
    origin: str


def from_toml(path: Path) -> list[Override]:
    """Overrides in a TOML file of one table a stage.

    Raises
    ------
    ConfigError
        If the file is missing or is not such a file.
    """
    tables = read_toml(path)
    found = []
    for stage, values in tables.items():
        if not isinstance(values, dict):
            raise ConfigError(
                f"{path}: {shown(stage, quotes=False)} = {shown(values)} stands outside a table; "
                "write [stage-name] above it"
            )
        found += [Override(stage, name, value, str(path)) for name, value in values.items()]
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says.

    Raises
    ------
    ConfigError
        If there is none, it cannot be read, it has no end, or it is no TOML.
    """
    try:
        # A pipe or a device may have no end.
        with path.open("rb") as file:
            text = file.read(_LONGEST_FILE + 1)
        if len(text) > _LONGEST_FILE:
            raise ConfigError(
                f"{path} is larger than {_LONGEST_FILE // 1_000_000} MB; expected a settings file, "
                "which has a few kB"
            )
        return tomllib.loads(text.decode("utf-8").replace("\r\n", "\n"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no configuration file {path}") from error
    except RecursionError as error:
        raise ConfigError(
            f"{path} is nested too deeply; expected [stage-name] and name = value"
        ) from error
    except (ValueError, OSError) as error:
        why = shown(str(error), quotes=False)
        raise ConfigError(f"{path} is not valid TOML: {why}") from error


def from_assignments(
    assignments: Iterable[str], typed: Mapping[str, str] | None = None
) -> list[Override]:
    """Overrides of ``--set stage.name=value``.

    Those that another option stands for are in `typed`, with what the user typed for them.

    Raises
    ------
    ConfigError
        If one has another form.
    """
    found = []
    for text in assignments:
        target, equals, value = text.partition("=")
        stage, dot, name = target.strip().partition(".")
        if not (equals and dot and stage and name):
            raise ConfigError(
                f"--set {shown(text, quotes=False)}: expected stage.name=value, e.g. "
                "resample.spacing_mm=2"
            )
        origin = shown((typed or {}).get(text, f"--set {text}"), quotes=False)
        found.append(Override(stage, name, _Text(value.strip()), origin))
    return found


def from_preset(values: Mapping[str, Any], preset: str) -> list[Override]:
    """Overrides of a preset, whose keys are ``stage.name``."""
    split = ((*key.partition(".")[::2], value) for key, value in values.items())
    return [Override(stage, name, value, f"preset {preset}") for stage, name, value in split]


def settings(stages: Sequence[Stage], overrides: Iterable[Override]) -> dict[str, Params]:
    """Parameters of every stage: its defaults, changed by `overrides`, later ones winning.

    Raises
    ------
    ConfigError
        If a name is unknown, or a value has the wrong type or range.
    """
    by_name = {stage.name: stage for stage in stages}
    values: dict[str, dict[str, Override]] = {name: {} for name in by_name}
    for override in overrides:
        stage_name = override.stage.replace("_", "-")
        stage = by_name.get(stage_name)
        if stage is None:
            raise ConfigError(
                f"{override.origin}: there is no stage {shown(override.stage)}"
                f"{did_you_mean(stage_name, by_name)}"
            )
        name = override.name.replace("-", "_")
        _check_name(stage, name, override.origin)
        values[stage_name][name] = override
    return {name: _build(stage, values[name]) for name, stage in by_name.items()}


def _check_name(stage: Stage, name: str, origin: str) -> None:
    specs = dataclasses.fields(stage.params)
    names = [spec.name for spec in specs]
    if name in names:
        return
    renamed = {spec.metadata["was"]: spec.name for spec in specs if spec.metadata["was"]}
    meant = (
        f" any more: it is called {renamed[name]} now"
        if name in renamed
        else did_you_mean(name, names)
    )
    raise ConfigError(f"{origin}: {stage.name} has no parameter {shown(name)}{meant}")


def _build(stage: Stage, overrides: Mapping[str, Override]) -> Params:
    kinds = types_of(stage.params)
    values = {}
    for name, override in overrides.items():
        try:
            raw = override.value
            values[name] = parse(raw, kinds[name]) if isinstance(raw, _Text) else raw
        except ConfigError as error:
            raise ConfigError(f"{override.origin}: {stage.name}.{name}: {error}") from error
    try:
        # All at once, since a check may compare two of them.
        return stage.params(**values)
    except ConfigError as error:
        about = [o.origin for name, o in overrides.items() if str(error).startswith(f"{name} ")]
        origins = about or sorted({o.origin for o in overrides.values()})
        raise ConfigError(f"{', '.join(origins)}: {stage.name}: {error}") from error


def parse(text: str, kind: type) -> Any:
    """`text` as a value of type `kind`."""
    if kind is bool and text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if kind in {int, float}:
        with contextlib.suppress(ValueError):
            return kind(text)
    if kind is str:
        return str(text)
    raise ConfigError(f"expected {_KINDS[kind]}, found {shown(str(text))}")


def to_toml(stages: Sequence[Stage], chosen: Mapping[str, Params]) -> str:
    """All parameters as commented TOML that `from_toml` reads back."""
    lines = []
    for stage in stages:
        lines += [f"# {stage.help}", f"[{stage.name}]"]
        values = as_dict(chosen[stage.name])
        for spec in dataclasses.fields(stage.params):
            value = values[spec.name]
            lines.append(f"# {spec.metadata['help']}{_range(spec.metadata)}")
            lines.append(f"{spec.name} = {_toml_value(value)}")
        lines.append("")
    return "\n".join(lines)


def describe_range(metadata: Mapping[str, Any]) -> str:
    """The allowed values of a parameter, e.g. ``> 0, <= 4``; empty if anything goes."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    bounds = [f"{signs[kind]} {bound:g}" for kind, bound in metadata.get("bounds", {}).items()]
    return ", ".join(bounds) or " | ".join(metadata.get("choices", ()))


def _range(metadata: Mapping[str, Any]) -> str:
    text = describe_range(metadata)
    return f" ({text})" if text else ""


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return repr(value)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the one that is most like it, or all."""
    names = list(known)
    # The time it takes grows with the square of the length.
    close = difflib.get_close_matches(name[:100], names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}"


class _Text(str):
    """A value still to be read as its parameter's type."""

    __slots__ = ()
