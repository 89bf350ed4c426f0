"""What a stage is: a name, a version, typed parameters, what it needs, and a function.

A stage is data plus a function. `Params` declares every setting once: default, help, unit (in
its name) and range; the command line, the TOML file, the README's table and the fingerprint all
read it from here.
"""

import dataclasses
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError

Scalar = str | int | float | bool | None
Facts = Mapping[str, Scalar]


def param(  # noqa: PLR0913 - a declaration, each part of it optional and named
    default: Any,
    help: str,
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
    path: bool = False,
    affects_output: bool = True,
    was: str = "",
) -> Any:
    """Declare one parameter: its default, help and range.

    Parameters
    ----------
    default
        A scalar; its type is the parameter's.
    help
        What it does, in one line, without the unit that its name already tells.
    gt, ge, lt, le
        Bounds: ``> gt``, ``>= ge``, ``< lt``, ``<= le``.
    choices
        The only values allowed, for a string.
    path
        The string names a file or folder (or is empty); what lies there is part of the
        fingerprint.
    affects_output
        False for what changes speed alone; it is then left out of the fingerprint.
    was
        The name it had in an earlier release; whoever still uses that is told the new one.
    """
    bounds = {"gt": gt, "ge": ge, "lt": lt, "le": le}
    metadata = {
        "help": help,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
        "choices": choices,
        "path": path,
        "affects_output": affects_output,
        "was": was,
    }
    return field(default=default, metadata=metadata)


_HOLDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "gt": (">", lambda value, bound: value > bound),
    "ge": (">=", lambda value, bound: value >= bound),
    "lt": ("<", lambda value, bound: value < bound),
    "le": ("<=", lambda value, bound: value <= bound),
}


@dataclass(frozen=True, kw_only=True)
class Params:
    """Base of every stage's parameters: a frozen dataclass of scalars declared with `param`.

    Raises
    ------
    ConfigError
        If a value has the wrong type or lies outside its range.
    """

    def __post_init__(self) -> None:
        kinds = types_of(type(self))
        for spec in fields(self):
            value = _as_declared(spec.name, getattr(self, spec.name), kinds[spec.name])
            object.__setattr__(self, spec.name, value)
            _check_range(spec.name, value, spec.metadata)


def types_of(params: type[Params]) -> dict[str, type]:
    """The scalar type of each field of `params`, e.g. ``{"wall_mm": float}``."""
    hints = typing.get_type_hints(params)
    return {spec.name: hints[spec.name] for spec in fields(params)}


def _as_declared(name: str, value: Any, kind: type) -> Any:
    # bool is an int to Python, never to a user; an int for a float is that float, else 10 and
    # 10.0 would get two cache keys.
    if type(value) is int and kind is float:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{name} must be {kind.__name__}, not {value!r} ({type(value).__name__})")
    return value


def _check_range(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
    for kind, bound in metadata.get("bounds", {}).items():
        sign, holds = _HOLDS[kind]
        if not holds(value, bound):
            raise ConfigError(f"{name} must be {sign} {bound:g}, not {value!r}")
    choices = metadata.get("choices", ())
    if choices and value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}; not {value!r}")


@dataclass(frozen=True)
class DatasetInputs:
    """What a stage over the whole data set reads.

    Attributes
    ----------
    scans
        Folder of each needed scan stage's output, by scan id, then by stage name; only scans
        for which all of them are done, in the order of their ids.
    stages
        Folder of each needed data-set stage's output, by stage name.
    previous
        Newest complete output of this same stage, version and params over other inputs, to
        build on without redoing; None if there is none.
    """

    scans: Mapping[str, Mapping[str, Path]]
    stages: Mapping[str, Path]
    previous: Path | None = None


ScanRun = Callable[[Any, Mapping[str, Path], Path], Facts]
DatasetRun = Callable[[Any, DatasetInputs, Path], Facts]
Reads = Callable[[Any, Mapping[str, Path]], str]


@dataclass(frozen=True, kw_only=True)
class ScanStage:
    """A stage that runs on each scan by itself.

    `run(params, inputs, out)` gets the folder of every needed stage's output by stage name (the
    first stage of a flow gets ``inputs["source"]``, a JSON file that describes the scan's
    files) and writes into the empty folder `out`. `in_parent` keeps a stage that owns an
    accelerator out of the workers.
    """

    name: str
    version: int
    help: str
    params: type[Params]
    run: ScanRun
    needs: tuple[str, ...] = ()
    in_parent: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetStage:
    """A stage that runs once over all scans, in the parent process.

    `reads(params, folders)` is for a stage that reads a part of its inputs only: from the folder
    of each needed data-set stage's complete output it tells the identity of that part, by which
    the stage's own output is then known. What else changes in the inputs leaves it valid.
    """

    name: str
    version: int
    help: str
    params: type[Params]
    run: DatasetRun
    needs: tuple[str, ...] = ()
    reads: Reads | None = None


Stage = ScanStage | DatasetStage


def as_dict(params: Params) -> dict[str, Scalar]:
    """Parameters as a plain dictionary, in the order of their declaration."""
    return dataclasses.asdict(params)
