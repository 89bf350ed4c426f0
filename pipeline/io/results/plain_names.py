"""Plain names: what the files of a scan are called outside of the cache."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

# With the longest ending well below the 255 bytes that file systems allow.
LONGEST = 80
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")
# Devices to Windows, with whatever ending.
_RESERVED = {
    *("CON", "PRN", "AUX", "NUL"),
    *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10)),
}
_DIGEST = 8
# Of a UID, as much as tells series apart in a name.
UID_END = 8


def uid_end(scan: str) -> str:
    """The end of a UID, without a dot before it.

    Examples
    --------
    >>> uid_end("1.3.6.1.4.1.275227")
    '1.275227'
    """
    return scan[-UID_END:].lstrip(".")


def safe_name(text: str) -> str:
    """`text` as the beginning of a file's name that is safe on any system: one part, no path.

    Letters lose their accents; what is then no letter, digit, dot, underscore or minus becomes
    an underscore. A name that is too long ends in a digest of all of it.

    Examples
    --------
    >>> safe_name("../../x"), safe_name("Müller, A"), safe_name("CON"), safe_name("")
    ('x', 'Muller_A', 'CON_', 'scan')
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    if not plain and text:
        plain = _digest(text)
    name = _FOREIGN.sub("_", plain).strip("._-") or "scan"
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - _DIGEST - 1]}-{_digest(text)}"
    first, dot, rest = name.partition(".")
    return f"{first}_{dot}{rest}" if first.upper() in _RESERVED else name


def patients_names(scan: str, patient: str) -> list[str]:
    """What a scan would like to be called: by its patient, and by its id where it needs to.

    Examples
    --------
    >>> patients_names("1.3.6.1.275227", "LIDC-IDRI-0314")
    ['LIDC-IDRI-0314', 'LIDC-IDRI-0314_1.275227', 'LIDC-IDRI-0314_1.3.6.1.275227']
    >>> patients_names("case7", "case7")
    ['case7']
    """
    if patient == scan:
        return [scan]
    return [patient, f"{patient}_{uid_end(scan)}", f"{patient}_{scan}"]


def plain_names(wanted: Mapping[str, Sequence[str]], endings: Iterable[str]) -> dict[str, str]:
    """A name for each scan, such that no file of one scan is called as a file of another.

    Capital and small letters count as equal, as some file systems have it. Scans that collide all
    take the next of their names, and a number once they have no other; so a name does not depend
    on the order in which the scans were found.

    Parameters
    ----------
    wanted
        By scan, the names that it would like, the dearest first; at least one each.
    endings
        What is put behind the name for the files of one scan, e.g. ``_lungs.nii.gz``.

    Examples
    --------
    >>> plain_names({"1.2.77": ["A_7", "A_1.2.77"], "1.3.77": ["A_7", "A_1.3.77"]}, [".png"])
    {'1.2.77': 'A_1.2.77', '1.3.77': 'A_1.3.77'}
    """
    behind = [ending.casefold() for ending in endings]
    rank = dict.fromkeys(wanted, 0)
    while True:
        names = {scan: safe_name(choices[rank[scan]]) for scan, choices in wanted.items()}
        undecided = [
            scan for scan in _colliding(names, behind) if rank[scan] + 1 < len(wanted[scan])
        ]
        if not undecided:
            return _numbered(names, behind)
        for scan in undecided:
            rank[scan] += 1


def _colliding(names: Mapping[str, str], behind: Sequence[str]) -> list[str]:
    owners: Mapping[str, list[str]] = defaultdict(list)
    for scan, name in names.items():
        for ending in behind:
            owners[name.casefold() + ending].append(scan)
    return sorted({scan for scans in owners.values() if len(scans) > 1 for scan in scans})


def _numbered(names: Mapping[str, str], behind: Sequence[str]) -> dict[str, str]:
    colliding = set(_colliding(names, behind))
    taken = {
        name.casefold() + ending
        for scan, name in names.items()
        if scan not in colliding
        for ending in behind
    }
    given = {}
    for scan in sorted(names):
        name, number = names[scan], 1
        if scan in colliding:
            while any(name.casefold() + ending in taken for ending in behind):
                number += 1
                name = f"{names[scan]}_{number}"
            taken.update(name.casefold() + ending for ending in behind)
        given[scan] = name
    return {scan: given[scan] for scan in names}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_DIGEST]
