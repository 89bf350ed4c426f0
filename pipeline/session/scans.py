"""The scans of a work folder: found under ``--src``, remembered, and selected by ``--scan``."""

import contextlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lungseg.core.disk.checked_json import read_checked, write_checked
from lungseg.core.errors import ConfigError, DataError
from lungseg.core.shown import path_as_text, path_of_text, shown
from lungseg.core.stage import Params
from lungseg.core.store import folder_name
from lungseg.io.sources.index import LeftOut, Source, find_scans, read_source, write_source
from lungseg.io.sources.pseudonyms import key_in, make_key, mark_of
from lungseg.io.sources.series import SourceRules
from lungseg.io.sources.walk import WORK_FOLDER, root_path

_FILE = "sources.json"
_LISTED = 12


@dataclass(frozen=True)
class Looked:
    """What a look under some roots found; the work folder knows it once it is kept there."""

    roots: Sequence[Path]
    rules: SourceRules
    sources: list[Source]
    left_out: list[LeftOut]

    def keep(self, work: Path, *, guest: bool = False) -> None:
        """Remember it in `work`; of a `guest` the scans' files alone, beside the folder's own."""
        place = source_path(work, "any", guest=guest).parent
        place.mkdir(parents=True, exist_ok=True)
        for source in self.sources:
            write_source(source, source_path(work, source.scan, guest=guest))
        if self.rules.key:
            _keep_private(place)
        if guest or not (self.sources or self.left_out):
            return
        listing = {
            "roots": [path_as_text(root_path(root)) for root in self.roots],
            "scans": [source.scan for source in self.sources],
            "left_out": [asdict(item) for item in self.left_out],
            "rules": self.rules.told,
        }
        write_checked(listing, work / _FILE)
        if self.rules.key:
            _keep_private(work / _FILE)


def look(
    work: Path,
    roots: Sequence[Path],
    rules: SourceRules,
    *,
    passed_over: Set[Path] = frozenset(),
    dry: bool = False,
) -> Looked:
    """Find the scans under `roots`.

    `work` itself is passed over, and so is `passed_over`. Headers are kept in `work` for the next
    look; where it is `dry`, no folder is made for them.

    Raises
    ------
    ConfigError
        If a root does not exist, or had scans and is empty now; if nothing below the roots is a
        scan or may be one, or nothing is and the folder has scans.
    """
    before = _before(work)
    for root in roots:
        _check_there(root, before)
    if not dry:
        work.mkdir(parents=True, exist_ok=True)
    own = work.resolve()
    cache = None if dry and not _has_place(work, rules) else _header_cache(work, rules, dry=dry)
    sources, left_out = find_scans(roots, cache, {own, *passed_over}, rules)
    if not sources:
        _check_worth(roots, left_out, before)
    if own not in passed_over and any(own.is_relative_to(root.resolve()) for root in roots):
        left_out.append(LeftOut(shown(own), WORK_FOLDER, fault=False))
    if rules.key and cache:
        _keep_private(cache)
    return Looked(roots, rules, sources, [_advised(item) for item in left_out])


def remembered(work: Path) -> tuple[list[Source], list[LeftOut]]:
    """The scans of before, without a look at their files.

    Raises
    ------
    DamagedOutputError
        If what is known of one is damaged; another look at its folder mends it.
    """
    listing = _listing(work)
    return [read_source(source_path(work, scan)) for scan in listing.scans], listing.left_out


def remembered_scans(work: Path) -> tuple[str, ...]:
    """Their ids alone; none where what is known of them is damaged."""
    return tuple(_before(work).scans)


def remembered_roots(work: Path) -> list[Path]:
    """What ``--src`` named last."""
    return [Path(path_of_text(root)) for root in _listing(work).roots]


def changed_since(work: Path) -> list[Path]:
    """Remembered folders into which something was put, or out of which, since the last look.

    Their own time of change tells it, which is free to ask; what changed further below does not
    show.
    """
    listing = work / _FILE
    if not listing.is_file():
        return []
    then = listing.stat().st_mtime_ns
    changed = []
    for root in remembered_roots(work):
        # One that is gone, or closed to who asks, tells nothing.
        with contextlib.suppress(OSError):
            if root.is_dir() and root.stat().st_mtime_ns > then:
                changed.append(root)
    return changed


def rules_of(work: Path, params: Mapping[str, Params], *, dry: bool = False) -> SourceRules:
    """What the settings take for one scan; the key of pseudonyms is made if there is none.

    Where it is `dry`, a key that is not kept stands for the one that is not made yet.
    """
    ingest: Any = params["ingest"]
    key = b""
    if ingest.pseudonyms:
        key = (key_in(work) or secrets.token_bytes(32)) if dry else make_key(work)
    rules: SourceRules = ingest.source_rules(key)
    return rules


def _keep_private(place: Path) -> None:
    # They tell where files lie, and folders are named after patients.
    if place.exists():
        place.chmod(0o700 if place.is_dir() else 0o600)


def _has_place(work: Path, rules: SourceRules) -> bool:
    return work.is_dir() and (not rules.key or key_in(work) == rules.key)


def _header_cache(work: Path, rules: SourceRules, *, dry: bool) -> Path:
    plain = work / "headers.cache"
    if not rules.key:
        return plain
    if not dry:
        # A cache of true PatientIDs does not stay once there are pseudonyms.
        plain.unlink(missing_ok=True)
    return work / f"headers-{mark_of(rules.key)}.cache"


def remembered_by(work: Path, rules: SourceRules) -> bool:
    """True if the remembered scans were found by these rules."""
    told = _listing(work).rules
    return bool((SourceRules().told if told is None else told) == rules.told)


def _advised(item: LeftOut) -> LeftOut:
    if not item.setting:
        return item
    return replace(item, reason=f"{item.reason}; set ingest.{item.setting}", setting="")


def source_path(work: Path, scan: str, *, guest: bool = False) -> Path:
    """The file that describes a scan's files to its first stage.

    A `guest` may be a copy of one of the work folder's own scans that lies elsewhere.
    """
    return work / ("guests" if guest else "sources") / f"{folder_name(scan)}.json"


def selected(
    sources: Mapping[str, Source], wanted: Sequence[str], rules: SourceRules | None = None
) -> dict[str, Source]:
    """The scans that ``--scan`` means; all, where it says nothing.

    A word is a scan's id or a patient (where there are pseudonyms, the true one too); else the
    beginning or the end of an id, or a part of a patient's name, if it fits one patient alone.

    Raises
    ------
    ConfigError
        If a word fits none, or several patients.
    """
    if not wanted:
        return dict(sources)
    chosen = {}
    for word in wanted:
        found = _meant(sources, word) or _meant(sources, (rules or SourceRules()).patient(word))
        if not found:
            raise ConfigError(
                f"--scan {word}: no scan's id begins or ends so, and no patient's name holds it; "
                "`lungseg-cli status` lists them"
            )
        if len({sources[scan].patient for scan in found}) > 1:
            shown = ", ".join(f"{sources[scan].patient} {scan}" for scan in found[:_LISTED])
            more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
            raise ConfigError(f"--scan {word} fits {len(found)} scans; say more: {shown}{more}")
        chosen.update({scan: sources[scan] for scan in found})
    return chosen


def _meant(sources: Mapping[str, Source], word: str) -> list[str]:
    rules: list[Callable[[str, str], bool]] = [
        lambda scan, _: scan == word,
        lambda _, patient: patient == word,
        lambda scan, patient: scan.startswith(word) or scan.endswith(word) or word in patient,
    ]
    for rule in rules:
        found = [scan for scan, source in sources.items() if rule(scan, source.patient)]
        if found:
            return found
    return []


@dataclass(frozen=True)
class _Listing:
    roots: list[str] = field(default_factory=list)
    scans: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    rules: Any = None


def _listing(work: Path) -> _Listing:
    path = work / _FILE
    try:
        found = read_checked(path, {spec.name for spec in fields(_Listing)})
        left_out = [LeftOut(**item) for item in found["left_out"]]
        listing = _Listing(list(found["roots"]), list(found["scans"]), left_out, found.get("rules"))
        if not all(isinstance(text, str) for text in (*listing.roots, *listing.scans)):
            raise TypeError("a name is no text")  # noqa: TRY301 - said with the others below
    except FileNotFoundError:
        return _Listing()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged ({error}); name the scans again: "
            "`lungseg-cli preprocess --src FOLDER`"
        ) from error
    return listing


def _before(work: Path) -> _Listing:
    # Who names folders need not be able to read which were named before.
    try:
        return _listing(work)
    except DataError:
        return _Listing()


def _check_there(root: Path, before: _Listing) -> None:
    """See that a folder of scans did not vanish with its disk.

    Raises
    ------
    ConfigError
        If it did, so that no scan is forgotten.
    """
    if not os.path.exists(root):  # noqa: PTH110 - of any length
        raise ConfigError(f"--src {root}: there is no such file or folder")
    if not (before.scans and path_as_text(root_path(root)) in before.roots and root.is_dir()):
        return
    with contextlib.suppress(PermissionError):
        if not any(root.iterdir()):
            raise ConfigError(
                f"{root} is empty, and scans were found there before: is its disk there? If they "
                "are gone for good, name another folder with --src"
            )


def _check_worth(roots: Sequence[Path], left_out: Sequence[LeftOut], before: _Listing) -> None:
    """See that what was found, no scans, is worth a run, and does not take the place of scans.

    Raises
    ------
    ConfigError
        If nothing of it may be a scan, or the work folder has scans.
    """
    if any(item.fault or item.setting for item in left_out) and not before.scans:
        return
    where = " and ".join(str(root) for root in roots)
    found = sorted(map(_advised, left_out), key=lambda item: not item.fault)
    instead = f"; found was {found[0].path} ({found[0].reason})" if found else ""
    more = f", and {len(found) - 1} more such" if len(found) > 1 else ""
    kept = f" (the {len(before.scans)} of before stay)" if before.scans else ""
    raise ConfigError(
        f"there are no scans in {where}: name folders or files of chest CT{kept}{instead}{more}"
    )
