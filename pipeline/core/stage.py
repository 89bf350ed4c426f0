"""What a stage is: a name, a version, typed parameters, what it needs, and a function.

A stage is data plus a function. `Params` declares every setting once: default, help, unit (in
its name) and range; the command line, the TOML file, the README's table and the fingerprint all
read it from here.
"""

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError

# Whole numbers up to here are the same as floating-point numbers.
_LARGEST = 2**53
# The longest path that Linux takes has 4096.
_LONGEST = 4000

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
    ignores: tuple[str, ...] = (),
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
    ignores
        Members of the archive named that are no matter for the stage: with other ones, or
        without, it is the same to the fingerprint.
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
        "ignores": ignores,
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
    if type(value) is int and abs(value) > _LARGEST:
        raise ConfigError(f"{name} must lie within {-_LARGEST} to {_LARGEST}, not {shown(value)}")
    if type(value) is int and kind is float:
        return float(value)
    if type(value) is not kind:
        found = f"{shown(value)} ({type(value).__name__})"
        raise ConfigError(f"{name} must be {kind.__name__}, not {found}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, not {value}")
    if isinstance(value, str):
        _check_text(name, value)
    return value


def _check_text(name: str, value: str) -> None:
    if len(value) > _LONGEST:
        raise ConfigError(
            f"{name} must have at most {_LONGEST} characters, not {len(value)}: {shown(value)}"
        )
    odd = next((letter for letter in value if ord(letter) < 32 or ord(letter) == 127), "")
    if odd:
        raise ConfigError(f"{name} must be plain text, without {odd!r}: {shown(value)}")


def shown(value: Any, *, quotes: bool = True) -> str:
    """A value as a message shows it: in quotes if it is text, and never longer than a line.

    Examples
    --------
    >>> shown("a"), shown(2.5), shown("a", quotes=False)
    ("'a'", '2.5', 'a')
    >>> len(shown("x" * 5000)), len(shown([[1] * 5000]))
    (101, 102)
    """
    try:
        text = value if isinstance(value, str) and not quotes else repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number of too many digits
        return f"a {type(value).__name__}"
    return text if len(text) <= 160 else f"{text[:60]}...{text[-20:]} ({len(text)} characters)"


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

    `run(params, inputs, out)` gets the folder of every needed stage's output by stage name, and as
    ``inputs["source"]`` a JSON file that describes the scan's files, and writes into the empty
    folder `out`. `in_parent` keeps a stage that owns an accelerator out of the workers.
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
