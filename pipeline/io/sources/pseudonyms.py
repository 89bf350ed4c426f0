"""Pseudonyms of patients: a keyed hash, the same for one patient wherever the key is the same.

HMAC-SHA256 under a random key: who has no key cannot try out all PatientIDs there are. The key is
the only secret, and the only way back: the patients are hashed again and compared.
"""

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from lungseg.core.errors import ConfigError
from lungseg.core.shown import shown

KEY_FILE = "pseudonyms.key"
_KEY_BYTES = 32
_FORM = re.compile(r"anon-([0-9a-f]{6})-[0-9a-f]{20}")


def pseudonym(patient: str, key: bytes) -> str:
    """What stands for `patient`: a mark of the key, then one of the patient.

    Examples
    --------
    >>> pseudonym("LIDC-IDRI-0001", bytes(32))
    'anon-66687a-cd43c646cd051e6aa9e9'
    >>> pseudonym("LIDC-IDRI-0001", bytes(32)) == pseudonym("LIDC-IDRI-0002", bytes(32))
    False
    """
    if is_pseudonym(patient):
        return patient
    digest = hmac.new(key, patient.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()
    return f"anon-{mark_of(key)}-{digest[:20]}"


def is_pseudonym(patient: str) -> bool:
    """True if it has the form of a pseudonym, whatever the key."""
    return _FORM.fullmatch(patient) is not None


def mark_of(key: bytes) -> str:
    """What shows that two pseudonyms are of one key, and does not give it away."""
    return hashlib.sha256(key).hexdigest()[:6]


def key_in(work: Path) -> bytes | None:
    """The key that a work folder keeps; None if it has none.

    Raises
    ------
    ConfigError
        If the file is no key.
    """
    path = work / KEY_FILE
    try:
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(_damaged(path)) from error
    if len(key) != _KEY_BYTES:
        raise ConfigError(_damaged(path))
    return key


def key_above(place: Path) -> bytes | None:
    """The key of the work folder in which `place` lies; None if it has none, or is in no such."""
    for folder in place.absolute().parents:
        if (folder / KEY_FILE).is_file():
            return key_in(folder)
    return None


def other_marks(patients: Iterable[str], key: bytes | None) -> set[str]:
    """Marks of keys, other than `key`, by which some of `patients` are known."""
    marks = {match.group(1) for match in map(_FORM.fullmatch, patients) if match}
    return marks - ({mark_of(key)} if key else set())


def comparable(patient: str, names: Iterable[str], key: bytes | None) -> bool:
    """True if it can be told of each of `names` whether it is `patient`.

    Two true names can be compared, and two pseudonyms of one key; a true name with a pseudonym
    where that key is at hand.

    Examples
    --------
    >>> comparable("Smith", ["Jones"], None)
    True
    >>> other = pseudonym("Jones", bytes(32))
    >>> comparable("Smith", [other], None), comparable("Smith", [other], bytes(32))
    (False, True)
    """
    own = _mark_in(patient)
    own_key = mark_of(key) if key else None
    return all(
        mark == own or ("" in {mark, own} and own_key in {mark, own})
        for mark in set(map(_mark_in, names))
    )


def _mark_in(name: str) -> str:
    match = _FORM.fullmatch(name)
    return match.group(1) if match else ""


def without_names(text: str, files: Sequence[str]) -> str:
    """A message about a scan's files that tells each by its number, from 1, and not by its name.

    Examples
    --------
    >>> without_names("/Smith/b.dcm ends too early", ["/Smith/a.dcm", "/Smith/b.dcm"])
    'file 2 of 2 ends too early'
    """
    for whole in (True, False):
        for number, file in enumerate(files, 1):
            name = shown(file if whole else Path(file).name)
            if name and name in text:
                text = text.replace(name, f"file {number} of {len(files)}")
    return text


def make_key(work: Path) -> bytes:
    """The key of a work folder, made and kept, for its owner's eyes alone, if it has none."""
    kept = key_in(work)
    if kept is not None:
        return kept
    work.mkdir(parents=True, exist_ok=True)
    text = secrets.token_bytes(_KEY_BYTES).hex() + "\n"
    # Written aside and linked: two runs at once end with one key, and it is whole.
    aside = work / f".{KEY_FILE}.{secrets.token_hex(4)}.tmp"
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        with contextlib.suppress(FileExistsError):
            (work / KEY_FILE).hardlink_to(aside)
    finally:
        aside.unlink()
    made = key_in(work)
    if made is None:
        raise ConfigError(_damaged(work / KEY_FILE))
    return made


def _damaged(path: Path) -> str:
    return (
        f"{path} is not readable as a key of {_KEY_BYTES} bytes in hexadecimal digits; put the "
        "right one back: with another key every patient gets another pseudonym"
    )
