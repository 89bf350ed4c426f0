"""The report's folder: pages from templates, its own assets, scripts out of installed packages."""

import json
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence, Set
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lungseg.core.errors import ConfigError
from lungseg.core.json_file import write_text
from lungseg.report.scripts import Shipped, text_of

INDEX = "index.html"
ASSETS = "assets"
SCANS = "scans"
# By which a folder is known to be a report's; what each page was made of stands in it.
OURS = ".lungseg-report.json"
_NOTHING = "\N{EN DASH}"
_OWN = ("report.css", "page.js", "overview.js", "scan.js", "viewer.js")


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("lungseg.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["figure"] = figure
    found.filters["rounded"] = rounded
    found.filters["told"] = told
    return found


def figure(value: Any) -> str:
    """A value of a record for a person: few digits, yes and no, a long dash where there is none.

    Examples
    --------
    >>> [figure(v) for v in (True, 3865.3, 0.0589, 12, "good", 1e-7)]
    ['yes', '3,865', '0.0589', '12', 'good', '1e-07']
    """
    if value is None or value == "":
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)


def told(text: str) -> Markup:
    """A message for a page: escaped, and what stands between backticks as code.

    Examples
    --------
    >>> told("a < b; `lungseg-cli status` says why")
    Markup('a &lt; b; <code>lungseg-cli status</code> says why')
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def rounded(value: float | None) -> float | None:
    """A number without its decimals; None without one.

    Examples
    --------
    >>> rounded(970.2), rounded(None)
    (970.0, None)
    """
    return None if value is None else float(round(value))


def check_folder(out: Path) -> None:
    """See that a report may be written into the folder `out`.

    Raises
    ------
    ConfigError
        If it is a file, or a folder with something else in it.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder for the report")
    if out.is_dir() and not (out / OURS).is_file() and any(out.iterdir()):
        raise ConfigError(
            f"--out {out} is not empty and holds no report; name another folder, or a new one in it"
        )


def claim(out: Path) -> None:
    """Make the folder `out`, as a report's.

    Raises
    ------
    ConfigError
        As `check_folder`.
    """
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / OURS).exists():
        write_text("{}\n", out / OURS)


def write_assets(out: Path, shipped: Sequence[Shipped]) -> list[str]:
    """Write styles and scripts into the report `out`; whose they are, and their licences."""
    folder = out / ASSETS
    folder.mkdir(parents=True, exist_ok=True)
    for name in _OWN:
        text = files("lungseg.report").joinpath(ASSETS, name).read_text(encoding="utf-8")
        write_text(text, folder / name)
    for one in shipped:
        write_text(text_of(one), folder / one.name)
    return [one.credit for one in shipped]


def write_page(template: str, context: Mapping[str, Any], path: Path) -> None:
    """Write one page, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _environment().get_template(template).render(context)
    # An id that is no UTF-8 is written with escapes, so that the page can be read.
    write_text(text.encode(errors="backslashreplace").decode(), path)


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file, whole or not at all."""
    partial = path.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def notes_of(out: Path) -> dict[str, Any]:
    """What each page of the report `out` was made of, by its name; empty if that is not known."""
    try:
        notes: dict[str, Any] = json.loads((out / OURS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def remove_pages(out: Path, names: Set[str]) -> None:
    """Remove pages of scans that the report `out` no longer has."""
    folder = out / SCANS
    for name in notes_of(out):
        page = folder / name
        if name not in names and page.parent == folder and page.is_dir():
            shutil.rmtree(page)
