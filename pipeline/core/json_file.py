"""JSON files: written whole or not at all, in one form everywhere."""

import json
from pathlib import Path
from typing import Any

from lungseg.core.disk.whole_file import write_bytes


def json_text(value: Any) -> str:
    """`value` as JSON text for people and machines: indented, without NaN.

    Raises
    ------
    ValueError
        If a number is NaN or infinite, which JSON does not know.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        # A file's name that is no UTF-8: only escaped can it be written, and read back.
        return json.dumps(value, indent=1, allow_nan=False)
    return text


def write_json(value: Any, path: Path) -> None:
    """Write `value` as JSON to the file `path`; a reader sees the old file or the new one.

    Raises
    ------
    ValueError
        If a number is NaN or infinite; the old file stays.
    """
    write_text(json_text(value) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Write `text` to the file `path` as UTF-8; a reader sees the old file or the new one.

    Raises
    ------
    OSError
        As `lungseg.core.disk.whole_file.write_bytes`.
    """
    write_bytes(text.encode(), path)
