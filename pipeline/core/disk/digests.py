"""Digests of files: how what was kept is known again. A digest names its algorithm.

XXH3 reads as fast as memory does, where SHA-256 takes longer than reading the disk. It tells
what a disk, a cable or a careless program changed; against an attacker it is no protection.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xxhash

_XXH3 = "xxh3_128"
_CHUNK = 1 << 20

# Records up to release 0.2 name no algorithm: theirs is SHA-256.
_ALGORITHMS: dict[str, Callable[[], Any]] = {_XXH3: xxhash.xxh3_128, "": hashlib.sha256}


def digest_of_bytes(data: bytes | memoryview) -> str:
    """XXH3 of `data`, with the algorithm's name before it."""
    return f"{_XXH3}:{xxhash.xxh3_128_hexdigest(data)}"


def digest_of_contents(path: Path) -> str:
    """XXH3 of a file's bytes, with the algorithm's name before it."""
    return f"{_XXH3}:{_hexdigest(path, _XXH3)}"


def has_digest(path: Path, digest: str) -> bool:
    """True if the file's bytes have `digest`, by the algorithm that it names.

    One of an unknown algorithm is had by no file: what cannot be checked is not trusted.
    """
    algorithm, _, value = digest.rpartition(":")
    return algorithm in _ALGORITHMS and _hexdigest(path, algorithm) == value


def _hexdigest(path: Path, algorithm: str) -> str:
    state = _ALGORITHMS[algorithm]()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return str(state.hexdigest())
