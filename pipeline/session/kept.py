"""What a work folder keeps of what commands were told: ``settings.toml``, readable and editable.

preset = "small"              the preset named last
config = "/data/mine.toml"    the TOML file named last

[train]
epochs = 5                    what was set by hand, stage by stage
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError
from lungseg.core.json_file import write_text
from lungseg.core.stage import shown

FILE = "settings.toml"
_HEADER = (
    "What commands in this folder were told, and what later ones go by. Edit it, or let\n"
    "`lungseg-cli params --reset [STAGE[.NAME]]` forget; `params --why` says where a value is from."
)
_TOP = ("preset", "config")


@dataclass(frozen=True)
class Kept:
    """Settings that hold until others are told.

    Attributes
    ----------
    preset
        Name of the preset; its values are looked up anew by each command.
    config
        TOML file; it is read anew by each command.
    values
        What was set by hand: stage, name, value.
    """

    preset: str = ""
    config: str = ""
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def with_value(self, stage: str, name: str, value: Any) -> "Kept":
        """The same, with one value set by hand."""
        values = {key: dict(those) for key, those in self.values.items()}
        values.setdefault(stage, {})[name] = value
        return Kept(self.preset, self.config, values)

    def without(self, what: str) -> "Kept":
        """The same, with nothing set by hand for ``stage`` or ``stage.name``; "": nothing at all.

        Raises
        ------
        ConfigError
            If nothing of the kind is kept.
        """
        if not what:
            return Kept()
        stage, _, name = what.partition(".")
        stage = stage.replace("_", "-")
        held = self.values.get(stage, {})
        if not held or (name and name not in held):
            told = ", ".join(f"{s}.{n}" for s, those in self.values.items() for n in those)
            raise ConfigError(f"--reset {what}: nothing was set for it; set are {told or 'none'}")
        left = {n: v for n, v in held.items() if name and n != name}
        values = {s: dict(those) for s, those in self.values.items() if s != stage}
        return Kept(self.preset, self.config, values | ({stage: left} if left else {}))


def read_kept(work: Path) -> Kept:
    """What `work` keeps; nothing, if it keeps nothing.

    Raises
    ------
    ConfigError
        If the file is no TOML of this form.
    """
    path = work / FILE
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except FileNotFoundError:
        return Kept()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise ConfigError(
            f"{path} is not valid TOML ({error}); mend it, or forget what it says with "
            "`lungseg-cli params --reset`"
        ) from error
    if not text:  # it is never written so
        raise ConfigError(
            f"{path} is empty: what was set in it is lost; set it again after "
            "`lungseg-cli params --reset`"
        )
    values = {key: value for key, value in raw.items() if key not in _TOP}
    wrong = [key for key, value in values.items() if not isinstance(value, dict)]
    wrong += [key for key in _TOP if not isinstance(raw.get(key, ""), str)]
    if wrong:
        raise ConfigError(
            f"{path}: {wrong[0]} = {shown(raw[wrong[0]])} stands outside a table; write "
            "[stage-name] above it"
        )
    return Kept(raw.get("preset", ""), raw.get("config", ""), values)


def write_kept(kept: Kept, work: Path) -> None:
    """Keep `kept` in `work`; what a person wrote beside it, comments too, stays."""
    import tomlkit

    path = work / FILE
    if path.is_file():
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
    else:
        document = tomlkit.document()
        for line in _HEADER.splitlines():
            document.add(tomlkit.comment(line))
    for name in _TOP:
        value = getattr(kept, name)
        if value:
            document[name] = value
        else:
            document.pop(name, None)
    for stage in [key for key in document if key not in _TOP and key not in kept.values]:
        del document[stage]
    for stage, values in kept.values.items():
        if stage not in document:
            document[stage] = tomlkit.table()
        table: Any = document[stage]
        for name in [name for name in table if name not in values]:
            del table[name]
        for name, value in values.items():
            if table.get(name) != value or type(table.get(name)) is not type(value):
                table[name] = value
    write_text(tomlkit.dumps(document), path)


def reset_kept(work: Path, what: str) -> None:
    """Forget what was set for ``stage`` or ``stage.name``; "": all, even what is not readable.

    Raises
    ------
    ConfigError
        If nothing of the kind is kept.
    """
    if what:
        write_kept(read_kept(work).without(what), work)
    else:
        (work / FILE).unlink(missing_ok=True)
