"""The scans of a work folder: found under ``--src``, remembered, and selected by ``--scan``."""

import json
import os
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError, DataError, ScanError
from lungseg.core.json_file import write_json
from lungseg.core.shown import path_as_text, path_of_text, shown
from lungseg.core.stage import Params
from lungseg.core.store import folder_name
from lungseg.io.sources.index import LeftOut, Source, find_scans, read_source, write_source
from lungseg.io.sources.pseudonyms import make_key, mark_of
from lungseg.io.sources.series import SourceRules
from lungseg.io.sources.walk import WORK_FOLDER

_LISTED = 12


def look_at(
    work: Path,
    roots: Sequence[Path],
    rules: SourceRules,
    *,
    remember: bool = True,
    passed_over: Set[Path] = frozenset(),
) -> tuple[list[Source], list[LeftOut]]:
    """Find the scans under `roots`, and remember them in `work`.

    `work` itself is passed over, and so is `passed_over`. Without `remember`, the work folder's
    own scans stay what they were.

    Raises
    ------
    ConfigError
        If a root does not exist.
    """
    missing = [root for root in roots if not os.path.exists(root)]  # noqa: PTH110 - of any length
    if missing:
        raise ConfigError(f"--src {missing[0]}: there is no such file or folder")
    source_path(work, "any", guest=not remember).parent.mkdir(parents=True, exist_ok=True)
    own = work.resolve()
    cache = _header_cache(work, rules)
    sources, left_out = find_scans(roots, cache, {own, *passed_over}, rules)
    if own not in passed_over and any(own.is_relative_to(root.resolve()) for root in roots):
        left_out.append(LeftOut(shown(own), WORK_FOLDER, fault=False))
    left_out = [_advised(item) for item in left_out]
    for source in sources:
        path = source_path(work, source.scan, guest=not remember)
        if not _stands(source, path):
            write_source(source, path)
    if not remember:
        return sources, left_out
    listing = {
        "roots": [path_as_text(str(root.resolve())) for root in roots],
        "scans": [source.scan for source in sources],
        "left_out": [asdict(item) for item in left_out],
        "rules": rules.told,
    }
    write_json(listing, work / "sources.json")
    return sources, left_out


def _stands(source: Source, path: Path) -> bool:
    """True if this very source is written there."""
    try:
        return read_source(path) == source
    except (OSError, ScanError):
        return False


def remembered(work: Path) -> tuple[list[Source], list[LeftOut]]:
    """The scans of before, without a look at their files."""
    listing = _listing(work)
    sources = [read_source(source_path(work, scan)) for scan in listing["scans"]]
    return sources, [LeftOut(**item) for item in listing["left_out"]]


def remembered_roots(work: Path) -> list[Path]:
    """What ``--src`` named last."""
    return [Path(path_of_text(root)) for root in _listing(work)["roots"]]


def rules_of(work: Path, params: Mapping[str, Params]) -> SourceRules:
    """What the settings take for one scan; the key of pseudonyms is made if there is none."""
    ingest: Any = params["ingest"]
    rules: SourceRules = ingest.source_rules(make_key(work) if ingest.pseudonyms else b"")
    return rules


def _header_cache(work: Path, rules: SourceRules) -> Path:
    # A cache of true PatientIDs does not stay once there are pseudonyms.
    plain = work / "headers.cache"
    if not rules.key:
        return plain
    plain.unlink(missing_ok=True)
    return work / f"headers-{mark_of(rules.key)}.cache"


def remembered_by(work: Path, rules: SourceRules) -> bool:
    """True if the remembered scans were found by these rules."""
    return bool(_listing(work).get("rules", SourceRules().told) == rules.told)


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


def _listing(work: Path) -> dict[str, Any]:
    path = work / "sources.json"
    if not path.is_file():
        return {"roots": [], "scans": [], "left_out": []}
    try:
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); run preprocess --src again") from error
