"""Sources: which scans lie under the roots that the user named, known by headers, not by names.

A DICOM scan is all files of one SeriesInstanceUID, wherever they lie; any other scan is a file. The
headers are kept in a small database, and a file is opened again only if its path, size or time of
change differ: a second look at 250,000 files costs their stats.
"""

import contextlib
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from lungseg.core.disk.checked_json import read_checked, write_checked
from lungseg.core.errors import DamagedOutputError
from lungseg.core.shown import path_as_text, path_of_text, shown
from lungseg.io.sources.files import EMPTY, FOREIGN_HEADER, Found, examine
from lungseg.io.sources.header_cache import HeaderCache
from lungseg.io.sources.series import SourceRules, identity_of, lone_slices, parts_of, patients_of
from lungseg.io.sources.walk import Entry, Unseen, unreadable, walk
from lungseg.io.volumes import headers

ID_BYTES = 72
"""Longest id of a scan or patient, in UTF-8; a longer one is cut, and ends in a digest of it."""
_DIGEST = 8
_VOLUMES = set(headers.READ.values())


@dataclass(frozen=True)
class Source:
    """One scan and its files.

    Attributes
    ----------
    scan
        SeriesInstanceUID, or the file's name without its suffix.
    patient
        PatientID; the scan's id where there is none.
    kind
        ``dicom``, ``metaimage``, ``nifti`` or ``nrrd``.
    files
        Absolute paths in the order of their names.
    identity
        SHA-256 over kind, scan and patient, and over the files' names below their common folder,
        sizes and times of change; of a ``.mhd`` or ``.nhdr`` also over those of its voxels' file;
        of a series of several acquisitions also over the rule for them.
    """

    scan: str
    patient: str
    kind: str
    files: tuple[str, ...]
    identity: str


@dataclass(frozen=True)
class LeftOut:
    """A file, or several alike, that was found and is not used.

    Attributes
    ----------
    path
        The file; of several, the first.
    reason
        Why, in words.
    fault
        True if it should have been a scan (it counts as failed), False if it is not a CT (skipped).
    scan
        SeriesInstanceUID, or the name that several volumes have; empty where there is none.
    modality
        DICOM Modality, where there is one.
    setting
        The field of the settings, and its value, by which it is used after all; may be empty.
    """

    path: str
    reason: str
    fault: bool
    scan: str = ""
    modality: str = ""
    setting: str = ""


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    size: int
    mtime_ns: int
    found: Found
    hidden: str = ""


def find_scans(
    roots: Sequence[Path],
    cache: Path | None,
    passed_over: Set[Path] = frozenset(),
    rules: SourceRules | None = None,
) -> tuple[list[Source], list[LeftOut]]:
    """Find the scans under `roots`, in the order of their ids, and what was left out.

    Every path is told of, but for ``._*``, ``.DS_Store`` and what this program itself wrote.

    Parameters
    ----------
    roots
        Folders, walked to their ends, or single files.
    cache
        File that keeps the headers for the next time; None: they are not kept.
    passed_over
        Folders and files to pass over, by their real paths: what this program itself wrote.
    rules
        What is taken for one scan; None: each series, as it lies.
    """
    rules = rules or SourceRules()
    files: list[_File] = []
    left_out: list[LeftOut] = []
    with HeaderCache(cache) as known:
        for item in walk(roots, {str(path) for path in passed_over}):
            if isinstance(item, Unseen):
                left_out.append(LeftOut(shown(item.path), item.reason, item.fault))
            else:
                files.append(_looked_at(item, known, rules))
    sources, not_used = _dicom_scans([f for f in files if f.found.kind == "dicom"], rules)
    volumes, faults = _volume_scans(files, {source.scan for source in sources})
    left_out += not_used + faults + list(_others(files))
    sources += volumes
    return (
        sorted(sources, key=lambda source: source.scan),
        sorted(left_out, key=lambda item: (item.path, item.scan)),
    )


def _looked_at(entry: Entry, known: HeaderCache, rules: SourceRules) -> _File:
    found = known.get(entry.path, entry.size, entry.mtime_ns)
    if found is None:
        try:
            found = examine(Path(entry.path))
            found = replace(found, patient=rules.patient(found.patient))
        except OSError as error:  # not kept: rights and disks are mended without a trace
            found = Found("other", unreadable(error), fault=True)
        except Exception as error:  # one file that no one thought of must not end the others
            said = f"{type(error).__name__}: {shown(error)}".rstrip(": ")[:300]
            found = Found("other", f"unreadable: its reader failed ({said})", fault=True)
        else:
            known.put(entry.path, entry.size, entry.mtime_ns, found)
    return _File(entry.path, entry.size, entry.mtime_ns, found, entry.hidden)


def _others(files: Sequence[_File]) -> Iterator[LeftOut]:
    # What is no scan: each file by itself, what lies beside scans and in hidden folders together.
    named: set[str] = set()
    foreign: set[str] = set()
    for file in files:
        if headers.suffix_of(Path(file.path)) in {".mhd", ".nhdr", ".hdr"}:
            is_foreign = file.found.reason == FOREIGN_HEADER
            data = headers.data_file_of(Path(file.path))
            (foreign if is_foreign else named).add(str(data))
    beside: list[_File] = []
    hidden: Mapping[str, list[_File]] = defaultdict(list)
    for file in files:
        found = file.found
        if found.kind in {"dicom", *_VOLUMES} or file.path in named:
            continue
        if file.hidden and (not found.fault or found.reason == EMPTY):
            hidden[file.hidden].append(file)
        elif found.kind == "beside":
            beside.append(file)
        elif file.path in foreign:
            yield LeftOut(shown(file.path), f"voxels of {FOREIGN_HEADER}", fault=False)
        elif found.kind == "voxels":
            reason = "voxels without their header: no .mhd, .nhdr or .hdr beside it names it"
            yield LeftOut(shown(file.path), reason, fault=True)
        else:
            yield LeftOut(shown(file.path), found.reason, found.fault, modality=found.modality)
    for place, within in hidden.items():
        reason = f"hidden, and no scan: {_counted(within)}"
        yield LeftOut(shown(place), reason, fault=False)
    if beside:
        reason = f"beside the scans, no images themselves: {_counted(beside)}"
        yield LeftOut(shown(beside[0].path), reason, fault=False)


def _counted(files: Sequence[_File]) -> str:
    endings = Counter(os.path.splitext(file.path)[1].lower() for file in files)  # noqa: PTH122
    told = ", ".join(f"{count} {shown(end) or 'without'}" for end, count in endings.most_common(5))
    return f"{len(files)} file{'s' * (len(files) > 1)} ({told}{', ...' * (len(endings) > 5)})"


def write_source(source: Source, path: Path) -> None:
    """Write one source as JSON, whole or not at all; one that is there already is left alone."""
    with contextlib.suppress(DamagedOutputError):
        if read_source(path) == source:
            return
    files = [path_as_text(file) for file in source.files]
    write_checked({**asdict(source), "files": files}, path)


def read_source(path: Path) -> Source:
    """Read a source that `write_source` wrote.

    Raises
    ------
    DamagedOutputError
        If it is damaged or gone.
    """
    try:
        found = read_checked(path, _FIELDS)
        return Source(**{**found, "files": tuple(map(path_of_text, found["files"]))})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedOutputError(
            f"{path} does not describe a scan ({error}); name its folder again"
        ) from error


_FIELDS = frozenset(spec.name for spec in fields(Source))


def _dicom_scans(files: Sequence[_File], rules: SourceRules) -> tuple[list[Source], list[LeftOut]]:
    by_series: Mapping[str, list[_File]] = defaultdict(list)
    for file in files:
        by_series[file.found.series].append(file)
    slices: dict[str, list[_File]] = {}
    left_out: list[LeftOut] = []
    for series, members in by_series.items():
        used = [file for file in members if _is_used(file.found, rules)]
        others = [file for file in members if not _is_used(file.found, rules)]
        if others:
            left_out.append(_not_used("" if used else series, others))
        patients = patients_of([file.found for file in used])
        if len(patients) > 1:
            left_out.append(_several_patients(series, used, patients))
        elif used:
            slices[series] = _without_copies(used)
            left_out += _copies(used, slices[series])
    left_out += _join_lone_slices(slices, rules)
    sources = [
        _source(part.scan, part.patient, "dicom", [members[i] for i in part.members], rules)
        for series, members in slices.items()
        for part in parts_of(series, [file.found for file in members], rules)
    ]
    return sources, left_out


def _is_used(found: Found, rules: SourceRules) -> bool:
    return not found.reason or (found.captured and rules.secondary_capture)


def _several_patients(series: str, files: Sequence[_File], patients: Sequence[str]) -> LeftOut:
    reason = (
        f"patients: {len(files)} slices of one SeriesInstanceUID have {len(patients)} PatientIDs "
        f"({', '.join(patients[:3])}{', ...' if len(patients) > 3 else ''}); a scan is of one "
        "patient: export the series again, or correct the ids"
    )
    return LeftOut(shown(files[0].path), reason, fault=True, scan=series, modality="CT")


def _join_lone_slices(slices: dict[str, list[_File]], rules: SourceRules) -> list[LeftOut]:
    # Said once for a study, not once for each of its slices.
    single = {series: files[0].found for series, files in slices.items() if len(files) == 1}
    left_out = []
    for scan, series in lone_slices(single).items():
        files = [file for one in series for file in slices.pop(one)]
        if rules.join_series:
            slices[scan] = files
            continue
        reason = (
            f"too-few-slices: {len(series)} series of one slice each in one study, alike in "
            "direction, matrix and spacing: slices of one scan that were exported as series of "
            "their own"
        )
        setting = "join_series=true to join them"
        left_out.append(LeftOut(shown(files[0].path), reason, True, scan, "CT", setting))
    return left_out


def _not_used(series: str, files: Sequence[_File]) -> LeftOut:
    first = files[0].found
    more = f" ({len(files)} files)" if len(files) > 1 else ""
    setting = "secondary_capture=true to use them" if first.captured else ""
    place = shown(files[0].path)
    return LeftOut(place, first.reason + more, first.fault, series, first.modality, setting)


def _without_copies(files: list[_File]) -> list[_File]:
    # The same image in two folders is one; two images under one UID in one folder stay both, and
    # their pixels decide when they are read.
    folders = {os.path.dirname(file.path) for file in files}  # noqa: PTH120
    if len(folders) == 1:
        return files
    kept: dict[tuple[str, int, str], _File] = {}
    unique = []
    for file in files:
        key = (file.found.instance, file.size, file.found.position)
        first = kept.setdefault(key, file)
        same_folder = os.path.dirname(first.path) == os.path.dirname(file.path)  # noqa: PTH120
        if first is file or same_folder:
            unique.append(file)
    return unique


def _copies(files: Sequence[_File], kept: Sequence[_File]) -> list[LeftOut]:
    paths = {file.path for file in kept}
    copies = [file.path for file in files if file.path not in paths]
    if not copies:
        return []
    reason = f"copies of slices that are used ({len(copies)} file{'s' * (len(copies) > 1)})"
    return [LeftOut(shown(copies[0]), reason, fault=False)]


def _volume_scans(files: Sequence[_File], taken: Set[str]) -> tuple[list[Source], list[LeftOut]]:
    by_stem: Mapping[str, list[_File]] = defaultdict(list)
    for file in files:
        if file.found.kind in _VOLUMES:
            by_stem[_stem(file.path)].append(file)
    sources: list[Source] = []
    left_out: list[LeftOut] = []
    for members in by_stem.values():
        for scan, namesakes in _told_apart(members).items():
            if scan in taken:  # LUNA16 names its copies of LIDC's scans by their series
                reason = "the same scan is there as DICOM, which is used"
                left_out.append(LeftOut(shown(namesakes[0].path), reason, fault=False))
                continue
            if len(namesakes) == 1:
                sources.append(_source(scan, scan, namesakes[0].found.kind, namesakes))
                continue
            names = " and ".join(shown(file.path) for file in namesakes)
            reason = f"duplicates: {names} are both scan {scan!r}; rename or remove one"
            place = shown(namesakes[0].path)
            left_out.append(LeftOut(place, reason, fault=True, scan=scan))
    return sources, left_out


def _stem(path: str) -> str:
    name = os.path.basename(path)  # noqa: PTH119
    return name[: len(name) - len(headers.suffix_of(Path(name)))]


def _told_apart(files: list[_File]) -> Mapping[str, list[_File]]:
    # Files named alike (case1/ct.nii.gz, case2/ct.nii.gz) get the names of their folders
    # in front, as many as it takes.
    for depth in range(6):
        named: Mapping[str, list[_File]] = defaultdict(list)
        for file in files:
            above = Path(file.path).parent.parts[1:]
            name = "_".join((*above[len(above) - depth :], _stem(file.path)))
            named[_short(shown(name))].append(file)
        if all(len(group) == 1 for group in named.values()):
            break
    return named


def _short(name: str) -> str:
    # The tables, and file systems, keep names of some length only.
    raw = name.encode()
    if len(raw) <= ID_BYTES:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:_DIGEST]
    return f"{raw[: ID_BYTES - _DIGEST - 1].decode(errors='ignore')}-{digest}"


def _source(
    scan: str, patient: str, kind: str, files: Sequence[_File], rules: SourceRules | None = None
) -> Source:
    scan, patient = _short(scan), _short(patient)
    ordered = sorted(files, key=lambda file: file.path)
    paths = [file.path for file in ordered]
    top = len(os.path.commonpath({os.path.dirname(path) for path in paths}))  # noqa: PTH120
    digest = hashlib.sha256(f"{kind}\0{scan}\0{patient}".encode(errors="surrogateescape"))
    if rules and (told := identity_of([file.found for file in files], rules)):
        digest.update(f"\0{told}".encode())
    for file in ordered:
        name = file.path[top:]
        digest.update(f"\0{name}\0{file.size}\0{file.mtime_ns}".encode(errors="surrogateescape"))
    for path in paths:
        data = headers.data_file_of(Path(path)) if kind != "dicom" else None
        if data is not None and data.is_file():
            stat = data.stat()
            digest.update(
                f"\0{data.name}\0{stat.st_size}\0{stat.st_mtime_ns}".encode(
                    errors="surrogateescape"
                )
            )
    return Source(scan, patient, kind, tuple(paths), digest.hexdigest())
