"""Files of outputs as the report reads them: what is not there is empty."""

import csv
import json
import math
from pathlib import Path
from typing import Any


def json_of(folder: Path | None, name: str) -> dict[str, Any]:
    """The JSON object in a file of an output; empty without the output or the file."""
    if folder is None or not (folder / name).is_file():
        return {}
    told: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return told


def rows_of(folder: Path | None, name: str) -> list[dict[str, str]]:
    """The rows of a CSV of an output; none without the output or the file."""
    if folder is None or not (folder / name).is_file():
        return []
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number_of(text: str | None) -> float | None:
    """A cell's number; None if it has none, or no finite one."""
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
