"""Models: the nets that there are, what made them, and whom they have seen."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError, DataError
from lungseg.core.fingerprint import digest_of_file
from lungseg.core.json_file import json_text
from lungseg.core.shown import many
from lungseg.io.csv_file import CsvFile
from lungseg.io.sources.index import find_scans
from lungseg.io.sources.pseudonyms import KEY_FILE, is_pseudonym, key_above
from lungseg.io.sources.scan_ids import series_of
from lungseg.model.model_record import UNKNOWN, ModelRecord, read_model_record
from lungseg.model.nets import NET, current_net, find_net, shipped_nets
from lungseg.model.shipping.card import read_card

SCAN_NAMES = ("seriesuid", "scan", "seriesinstanceuid", "series_uid")
PATIENT_NAMES = ("patient", "patientid", "patient_id")
_SHOWN = 20
_OTHER = "no"


@dataclass(frozen=True)
class Asked:
    """A scan, or a patient, of whom one wants to know; what is not known of them is empty."""

    scan: str
    patient: str


def listed(work: Path | None, *, as_json: bool) -> str:
    """The nets that come with the package, and those of a work folder, for a person or as JSON."""
    rows = [_row(name, file, "comes with the package") for name, file in shipped_nets().items()]
    rows += _of_folder(work) if work else []
    if as_json:
        return json_text({"models": rows})
    if not rows:
        where = f" nor in {work}" if work else ""
        return (
            f"no net comes with the package{where}: train one with `lungseg-cli train`; "
            "`lungseg-cli models --work WORK` lists those of a work folder"
        )
    return "\n".join(_line(row) for row in rows)


def _line(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"{row['name']}  not usable: {row['error']}"
    return (
        f"{row['name']}  {row['target']} in {row['kind']}, {many(row['patients'], 'patient')}, "
        f"{row['megabytes']:.1f} MB  {row['origin']}"
    )


def _of_folder(work: Path) -> Iterator[dict[str, Any]]:
    now = current_net(work)
    for file in sorted(work.glob(f"dataset/train/*/{NET}")):
        is_current = now is not None and file.resolve() == now.file.resolve()
        yield _row(str(file), file, "the current one" if is_current else "trained here")
    if now and not now.file.resolve().is_relative_to(work.resolve()):
        yield _row(str(now.file), now.file, f"the current one ({now.origin})")


def _row(name: str, file: Path, origin: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "file": str(file), "origin": origin, "error": ""}
    try:
        record = read_model_record(file)
    except DataError as error:
        return row | {"error": str(error)}
    return row | {
        "target": record.target,
        "kind": record.kind,
        "patients": len(record.train_patients),
        "scores": record.scores,
        "megabytes": round(file.stat().st_size / 1e6, 3),
    }


def card(name: str, *, as_json: bool) -> str:
    """All that is known of a net, for a person or as JSON.

    Raises
    ------
    ConfigError
        If there is none of this name.
    """
    file = find_net(name)
    record = read_model_record(file)
    beside = read_card(file)
    known = {
        "file": str(file),
        "bytes": file.stat().st_size,
        "sha256": digest_of_file(file),
        **asdict(record),
    }
    if as_json:
        return json_text(known | {"card": beside})
    measured = bool(beside) and beside["scores"]["measured"]
    lines = [
        f"{file}",
        f"  {known['bytes']} bytes, sha256 {known['sha256']}",
        f"finds      {record.target} in {record.kind}",
        f"network    {_told(record.network)}",
        f"trained on {_people(record.train_patients, record.train_scans)}",
        f"validated  {_people(record.validation_patients, record.validation_scans)}",
        f"table      {record.table_fingerprint[:16]}, split {record.split_hash[:16]}",
        f"input      {_input(record)}",
        f"best epoch {record.best_epoch}",
        *([f"scores     {_told(record.scores)}"] if record.scores or not measured else []),
        f"settings   {_told(record.params)}",
        f"packages   {_told(record.packages)}",
    ]
    return "\n".join([*lines, *(_essence(beside, file) if beside else ())])


def _essence(told: Mapping[str, Any], file: Path) -> Iterator[str]:
    yield ""
    yield f"{told['title']}. {told['not_a_medical_device']}"
    for score in told["scores"]["measured"]:
        has_bounds = score["low"] is not None
        bounds = f" ({score['low']:.3f} to {score['high']:.3f})" if has_bounds else ""
        yield f"measured   {score['name']} {score['value']:.3f}{bounds}, {score['of']}"
    yield f"           {told['scores']['net']}"
    yield from (f"limit      {limit}" for limit in told["limits"])
    yield from (f"data       {one['name']}, {one['licence']}" for one in told["data"])
    yield f"licence    {told['licence']}; all of it: {file.with_suffix('.md')}"


def _input(record: ModelRecord) -> str:
    spacing = " x ".join(f"{mm:g}" for mm in record.spacing_mm)
    return (
        f"{record.crop_px} x {record.crop_px} pixels, voxels of {spacing} mm (z, y, x), "
        f"{2 * record.context + 1} slices at once, {record.low:g} to {record.high:g}"
        + (", lungs alone" if record.inside_lungs else "")
        + (f"; scans at half their size, too ({record.halvings} x)" if record.halvings else "")
    )


def _people(patients: Sequence[str], scans: Sequence[str]) -> str:
    # Slices around a nodule are an entry of their own.
    n = len({series_of(scan) for scan in scans})
    of_scans = f", {n} scan{'' if n == 1 else 's'}" if scans else ""
    more = f" and {len(patients) - _SHOWN} more" if len(patients) > _SHOWN else ""
    names = ", ".join(sorted(patients)[:_SHOWN])
    of = f"{len(patients)} patient{'' if len(patients) == 1 else 's'}"
    return f"{of}{of_scans}" + (f": {names}{more}" if names else "")


def _told(values: Mapping[str, Any]) -> str:
    short = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in values.items()}
    return ", ".join(f"{name} {value}" for name, value in short.items()) or "not told"


def saw(name: str, places: Sequence[Path], *, as_json: bool) -> tuple[str, int]:
    """Which scans or patients a net was trained or validated on, and the exit status.

    That is 1 if there are any, 2 if it cannot be told of some, else 0.

    Parameters
    ----------
    name
        The net: a name, a file, or a work folder.
    places
        Files and folders of scans, of which the headers are read; and CSV files with a column of
        scans or patients.
    as_json
        For machines.

    Raises
    ------
    ConfigError
        If a place is not there or tells of nobody, or the net does not tell what is asked: then
        nothing is proved.
    """
    file = find_net(name)
    record, key = read_model_record(file), key_above(file)
    people = list(dict.fromkeys(_asked(places)))
    _check_answerable(record, people, key)
    parts = {one: record.part_of(one.patient, one.scan, key) for one in people}
    seen = [(one, part) for one, part in parts.items() if part in {"train", "validation"}]
    # Who is asked for by scan alone is told of below.
    unknown = sum(part == UNKNOWN and one.patient != "" for one, part in parts.items())
    status = 1 if seen else 2 * bool(unknown)
    if as_json:
        rows = [
            {"scan": one.scan, "patient": one.patient, "seen": _OTHER if p == "test" else p}
            for one, p in parts.items()
        ]
        return json_text(
            {"net": name, "asked": len(people), "seen": len(seen), "rows": rows}
        ), status
    lines = [f"{part:<10} {one.patient} {one.scan}".rstrip() for one, part in seen]
    counts = {part: sum(p == part for _, p in seen) for part in ("train", "validation")}
    lines.append(
        f"of {len(people)} asked for, the net was trained on {counts['train']} and validated on "
        f"{counts['validation']}; {len(people) - len(seen) - unknown} it has never seen"
    )
    if unknown:
        lines.append(
            f"of {unknown} it cannot be told: it has not seen their scans, and knows patients by "
            f"pseudonyms whose key is not in the folder it lies in ({KEY_FILE} of the work folder "
            "that made it)"
        )
    lonely = sum(not one.patient for one in people)
    if lonely:
        lines.append(
            f"{lonely} were looked up by their scan alone: another scan of the same patient would "
            "go unnoticed; a column patient tells"
        )
    return "\n".join(lines), status


def _check_answerable(record: ModelRecord, people: Sequence[Asked], key: bytes | None) -> None:
    if not record.train_patients and not record.train_scans:
        raise ConfigError("the net does not tell whom it was trained on, so nothing can be proved")
    if not record.train_scans and any(not one.patient for one in people):
        raise ConfigError(
            "the net tells its patients and not its scans: ask with scans, or a CSV that has a "
            "column patient"
        )
    if record.strangers(key) and not all(one.scan or is_pseudonym(one.patient) for one in people):
        raise ConfigError(
            "the net knows its patients by pseudonyms, and the key is not in the folder it lies "
            f"in: ask with scans, or put {KEY_FILE} of the work folder that made it beside it"
        )


def _asked(places: Sequence[Path]) -> Iterator[Asked]:
    roots = []
    for place in places:
        if not place.exists():
            raise ConfigError(f"{place}: there is no such file or folder")
        if place.is_file() and place.suffix.lower() == ".csv":
            yield from _of_csv(place)
        else:
            roots.append(place)
    if not roots:
        return
    with tempfile.TemporaryDirectory() as folder:
        sources, _ = find_scans(roots, Path(folder) / "headers.cache")
    if not sources:
        where = " and ".join(str(root) for root in roots)
        raise ConfigError(f"there are no scans in {where}, so nothing can be said of them")
    for source in sources:
        yield Asked(source.scan, source.patient)


def _of_csv(path: Path) -> Iterator[Asked]:
    file = CsvFile(path, "CSV of patients or scans", ConfigError)
    columns = file.names()
    scan = next((name for name in SCAN_NAMES if name in columns), None)
    patient = next((name for name in PATIENT_NAMES if name in columns), None)
    if scan is None and patient is None:
        raise ConfigError(
            f"{path} has the columns {', '.join(columns) or '(none)'}; expected one that is called "
            f"{', '.join(SCAN_NAMES + PATIENT_NAMES)}"
        )
    found = []
    for row in file.rows():
        if row.fault:
            raise ConfigError(f"{path}, line {row.line}: {row.fault}")
        found.append(Asked(row.named.get(scan or "", ""), row.named.get(patient or "", "")))
    found = [one for one in found if one.scan or one.patient]
    if not found:
        raise ConfigError(f"{path} names nobody: its columns of scans and patients are empty")
    yield from found
