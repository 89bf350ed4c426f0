"""Every file of a folder that a person named, whatever links it is made of."""

import os
from pathlib import Path

from lungseg.core.errors import ConfigError


def files_in_tree(folder: Path) -> list[Path]:
    """Every file in a folder and below it, sorted; links to folders are followed, each folder once.

    Raises
    ------
    ConfigError
        If something below it cannot be read: what is missing there would be missing in silence.

    Examples
    --------
    >>> here = Path(__file__)
    >>> here in files_in_tree(here.parent)
    True
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for top, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        stat = Path(top).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        # In this order a folder that two links lead to has the same name every time.
        folders.sort()
        for path in (Path(top, name) for name in names):
            if path.is_file():
                found.append(path)
            elif path.is_symlink() and not path.exists():
                raise ConfigError(
                    f"{path} is a link that leads nowhere; mend it, or take it out of the folder"
                )
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise ConfigError(
        f"{error.filename} cannot be read ({error.strerror}); allow it, or take it out of the "
        "folder"
    )
