"""JSON files that tell whether they are what was written: their last entry is their digest."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lungseg.core.disk.digests import digest_of_bytes
from lungseg.core.disk.whole_file import write_bytes
from lungseg.core.json_file import json_text

_CHECK = "check"
_MARK = f'\n "{_CHECK}": "'


def write_checked(value: Mapping[str, Any], path: Path) -> None:
    """Write a mapping, and last the digest of all that is before it.

    Raises
    ------
    ValueError
        If a number is NaN or infinite; the old file stays.
    OSError
        As `write_bytes`.
    """
    text = json_text(dict(value))
    head = (text.removesuffix("\n}") + "," if value else "{").encode()
    end = f'{_MARK}{digest_of_bytes(head)}"\n}}\n'
    write_bytes(head + end.encode(), path)


def read_checked(path: Path, known: Collection[str]) -> dict[str, Any]:
    """Read a mapping that `write_checked` wrote.

    Parameters
    ----------
    path
        The file.
    known
        Entries that a file without a digest may have, as releases up to 0.2 wrote it. With others
        it has lost its digest.

    Raises
    ------
    ValueError
        If it is no such mapping, or not what was written.
    OSError
        If it cannot be read.
    """
    data = path.read_bytes()
    try:
        found = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"expected an object, found {type(found).__name__}")  # noqa: TRY004
    if _CHECK not in found:
        strange = sorted(found.keys() - set(known))
        if strange:
            raise ValueError(f"unknown entry {strange[0]!r}, and no digest")
        return found
    head, _, _ = data.rpartition(_MARK.encode())
    if found.pop(_CHECK) != digest_of_bytes(head):
        raise ValueError("its contents do not fit its digest: it was damaged, or changed by hand")
    return found
