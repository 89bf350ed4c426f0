"""Nets: what a name for one means, and which one a work folder predicts with."""

import logging
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from lungseg.core import record as records
from lungseg.core.disk.checked_json import read_checked, write_checked
from lungseg.core.disk.trust import fault_in
from lungseg.core.errors import ConfigError, DataError
from lungseg.core.record import read_record
from lungseg.core.store import Store

log = logging.getLogger(__name__)

FILE = "net.json"
NET = "model.keras"
SUFFIX = ".keras"
TRAINED = Path(__file__).parents[1] / "trained"


@dataclass(frozen=True)
class CurrentNet:
    """The net that a work folder predicts with.

    Attributes
    ----------
    file
        The net's own file.
    origin
        How it came to be the current one, for a person: ``trained here``, or what named it.
    """

    file: Path
    origin: str


def current_net(work: Path) -> CurrentNet | None:
    """The net that ``train`` completed last in `work`, or that was named since; or None."""
    path = work / FILE
    try:
        raw = read_checked(path, {"file", "origin"})
        # A work folder may be moved as a whole, with its nets.
        chosen = CurrentNet(work / raw["file"], str(raw["origin"]))
        if chosen.file.is_file():
            return chosen
        gone = f"{chosen.file} ({chosen.origin})"
    except FileNotFoundError:
        gone = ""
    except (OSError, ValueError, KeyError, TypeError):
        gone = f"the net that {path} named"
    trained = _last_trained(work)
    if gone and trained is None:
        raise ConfigError(f"{gone} is gone; name another, or train one")
    if gone:
        log.warning("%s is gone; the net that was trained last is used", gone)
    return CurrentNet(trained, "trained here") if trained else None


def choose_net(work: Path, file: Path, origin: str) -> None:
    """Make `file` the net that `work` predicts with."""
    chosen = file.resolve()
    home = work.resolve()
    within = chosen.relative_to(home) if chosen.is_relative_to(home) else chosen
    write_checked(asdict(CurrentNet(within, origin)) | {"file": str(within)}, work / FILE)


def fault_of(net: CurrentNet) -> str:
    """Why a net in a work folder's cache is not what training left there; empty if it is."""
    folder = net.file.resolve().parent
    if folder.parent.name != "train" or folder.parent.parent.name != "dataset":
        return ""
    try:
        return fault_in(folder, "train", read_record(folder).fingerprint)
    except DataError as error:
        return str(error)


def find_net(name: str) -> Path:
    """The file of the net that `name` means: one of the package's, a file, or a work folder's.

    A bare name of the package's nets means that net, wherever one stands: a folder ``nodules``
    beside the scans is ``./nodules``.

    Raises
    ------
    ConfigError
        If it means none, or a file that is none.
    """
    shipped = TRAINED / f"{name}{SUFFIX}"
    if shipped.is_file() and name == shipped.stem:
        return shipped
    path = Path(name)
    if path.is_file():
        _check_named(path, name)
        return path
    if path.is_dir():
        beside = path / NET
        found = current_net(path)
        if found is None and not beside.is_file():
            raise ConfigError(
                f"net {name}: there is no trained net in this folder; name a {SUFFIX} file, or "
                "a work folder in which training has come to its end"
            )
        return found.file if found else beside
    known = ", ".join(shipped_nets()) or "none"
    raise ConfigError(
        f"net {name}: there is no such file or folder, and no net of this name comes with the "
        f"package (it has {known})"
    )


def named_net(name: str, how: str) -> CurrentNet:
    """The net that `name` means; its origin is the package, or else `how` it was named.

    Raises
    ------
    ConfigError
        If it means none.
    """
    file = find_net(name)
    shipped = file in shipped_nets().values()
    if not shipped:
        _check_archive(file, name)
    return CurrentNet(file, "comes with the package" if shipped else how)


def shipped_nets() -> dict[str, Path]:
    """The nets that come with the package, by name."""
    return {path.stem: path for path in sorted(TRAINED.glob(f"*{SUFFIX}"))}


def _check_archive(file: Path, name: str) -> None:
    # Told here, as what was typed wrongly, and not by each scan.
    if not zipfile.is_zipfile(file):
        raise ConfigError(f"net {name}: it is no {SUFFIX} file; name one that `train` wrote")


def _check_named(file: Path, name: str) -> None:
    """See that a file that was named as a net is one that this program trained.

    Raises
    ------
    ConfigError
        If it is none.
    """
    from lungseg.model.model_record import read_model_record

    _check_archive(file, name)
    try:
        read_model_record(file)
    except DataError as error:
        raise ConfigError(f"net {name}: {error}") from error


def _last_trained(work: Path) -> Path | None:
    store = Store(work)
    done = [found for found in store.all("train") if found.state == records.DONE]
    files = [store.folder("train", found.fingerprint) / NET for found in done]
    return next((file for file in reversed(files) if file.is_file()), None)
