"""Fingerprints: the name of every output, known before anything runs."""

import functools
import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from lungseg.core.disk.folder_tree import files_in_tree
from lungseg.core.errors import ConfigError
from lungseg.core.stage import Params, Scalar, Stage, as_dict

_CHUNK = 1 << 20
_LARGEST_UNPACKED = 4 << 30


def fingerprint(
    stage: Stage,
    params: Params,
    inputs: Mapping[str, str],
    effective: Mapping[str, Scalar] | None = None,
) -> str:
    """SHA-256 (hex) over the stage's name and version, its params, and its inputs' fingerprints.

    Parameters
    ----------
    stage
        Its `name` and `version` count.
    params
        Parameters that do not affect the output are left out; of a path, what lies there counts
        and not its name.
    inputs
        Fingerprint of each input, by name.
    effective
        `effective_params` of `params`, where they are known already.
    """
    return digest_of(
        {
            "stage": stage.name,
            "version": stage.version,
            "params": effective_params(params) if effective is None else effective,
            "inputs": dict(inputs),
        }
    )


def effective_params(params: Params) -> dict[str, Scalar]:
    """The parameters that make the output what it is."""
    values = as_dict(params)
    for spec in fields(params):
        if not spec.metadata.get("affects_output", True):
            del values[spec.name]
        elif spec.metadata.get("path") and values[spec.name]:
            path, ignores = Path(str(values[spec.name])), spec.metadata.get("ignores", ())
            values[spec.name] = identity_of_path(path, spec.name, ignores)
    return values


def identity_of_path(path: Path, name: str = "path", ignores: tuple[str, ...] = ()) -> str:
    """SHA-256 of a file's bytes, or of the names, sizes and times of all files in a folder.

    Where members of archives are to be ignored, it is of the names and bytes of all others.

    Raises
    ------
    ConfigError
        If there is nothing at `path`, or what lies below it cannot be read.
    """
    if path.is_dir():
        listing = [
            (str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns)
            for file in files_in_tree(path)
        ]
        return digest_of(listing)
    if not path.is_file():
        raise ConfigError(f"{name} names {path}, where there is no file or folder")
    stat = path.stat()
    if ignores and zipfile.is_zipfile(path):
        return _digest_of_members(path, ignores, stat.st_size, stat.st_mtime_ns)
    return _digest_of_file(path, stat.st_size, stat.st_mtime_ns)


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of `value` as canonical JSON: equal values, equal digests, on any machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


@functools.lru_cache(maxsize=256)
def _digest_of_file(path: Path, _size: int, _mtime_ns: int) -> str:
    return digest_of_file(path)


@functools.lru_cache(maxsize=256)
def _digest_of_members(path: Path, ignores: tuple[str, ...], _size: int, _mtime_ns: int) -> str:
    with zipfile.ZipFile(path) as archive:
        names = sorted(set(archive.namelist()) - set(ignores))
        # A damaged archive is another one, and one without end, too; who loads it says what is
        # wrong with it.
        if sum(item.file_size for item in archive.infolist()) > _LARGEST_UNPACKED:
            return digest_of_file(path)
        try:
            return digest_of([[name, _digest_of_member(archive, name)] for name in names])
        except (zipfile.BadZipFile, OSError, ValueError):
            return digest_of_file(path)


def _digest_of_member(archive: zipfile.ZipFile, name: str) -> str:
    sha = hashlib.sha256()
    with archive.open(name) as member:
        while chunk := member.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()
