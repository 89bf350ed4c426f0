"""Detect: nodule candidates of any scans, by a trained net: masks, lists, tables and pictures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lungseg.commands.own_scans.hand_out import (
    HandOut,
    Outcome,
    Product,
    Row,
    asked_of,
    with_params,
)
from lungseg.commands.own_scans.lungs import LUNGS
from lungseg.commands.own_scans.place import opened
from lungseg.commands.own_scans.report import (
    End,
    Report,
    Table,
    counted,
    notes,
    run_and_report,
    trouble,
    without_dicom,
)
from lungseg.commands.own_scans.seen import lines_on_lung_net, seen_by_lung_net
from lungseg.core.errors import ConfigError
from lungseg.core.shown import many
from lungseg.core.stage import as_dict
from lungseg.flow import HANDED_OUT
from lungseg.io.results.candidate_list import PLACE_COLUMNS
from lungseg.io.standards.objects import MARKUPS, SEG, SR
from lungseg.io.volumes.formats import FORMATS
from lungseg.model.model_record import UNKNOWN, ModelRecord, read_model_record
from lungseg.model.nets import current_net, find_net, shipped_nets
from lungseg.session.settings import CommandOptions
from lungseg.session.tally import doubts_of_files
from lungseg.session.work_folder import NO_NET, Session

CANDIDATES = "candidates.csv"
SCANS = "scans.csv"
COLUMNS = (
    "seriesuid", "coordX", "coordY", "coordZ", "probability", "patient", "diameter_mm",
    "voxel_z", "voxel_y", "voxel_x", "mean_hu", "threshold", "picture", "rank", "seen",
    "calibrated", *PLACE_COLUMNS,
)  # fmt: skip
SCAN_COLUMNS = (
    "scan", "patient", "source", "candidates", "with_mask", "best_probability", "seen", "lungs",
    "state", "reasons", "seconds", "mask", "list", "picture", "markups", "segmentation", "report",
)  # fmt: skip
SHIPPED = "nodules"
CLOSE_UPS = tuple(f"_nodule{rank:02d}.png" for rank in range(1, 21))
OBJECTS = {
    "markups": f"_nodules{MARKUPS}",
    "segmentation": f"_nodules{SEG}",
    "report": f"_nodules{SR}",
}
_SHOWN = 20


def _handed_out(files: Sequence[str]) -> Mapping[str, str]:
    endings = {name: f"_{name}" for name in files if name.startswith("nodule")}
    return endings | {name: ".png" for name in files if name == "picture.png"}


DETECT = Product(
    command="detect",
    stage=HANDED_OUT["detect"],
    endings=(
        *(f"_nodules.{kind}" for kind in FORMATS),
        *OBJECTS.values(),
        *("_nodules.json", ".png"),
        *CLOSE_UPS,
    ),
    tables=(CANDIDATES, SCANS),
    files=_handed_out,
    not_own=LUNGS.endings,
)


def detect(roots: Sequence[Path], options: Mapping[str, Any]) -> int:
    """Find nodules in every scan under `roots`, and write what was found; the exit status.

    The tables are written, with what is done, even if the run is broken off.

    Raises
    ------
    ConfigError
        If a setting is wrong, there is no net or it finds no nodules in CT, a root holds nothing,
        or someone's file would be written over.
    """
    asked = asked_of(
        options,
        format="write-detections.format",
        dicom="write-detections.dicom",
        threshold="find-nodules.threshold",
        max_candidates="find-nodules.max_candidates",
    )
    place = asked.place
    told, record = with_net(asked.options, place.work_folder)
    session = _for_net(opened(place, roots, told, dry=asked.how.dry_run), record)
    report = Report(_tables, _as_text, _as_json)
    return run_and_report(HandOut(DETECT, place, session), asked.how, report)


def _tables(outcomes: Sequence[Outcome]) -> Mapping[str, Table]:
    candidates = [row for one in outcomes for row in _candidate_rows(one)]
    return {
        CANDIDATES: Table(COLUMNS, candidates),
        SCANS: Table(SCAN_COLUMNS, [_scan_row(one) for one in outcomes]),
    }


def with_net(options: CommandOptions, work: Path) -> tuple[CommandOptions, ModelRecord]:
    """The options with a net: the one named, the work folder's own, or the package's; its record.

    Raises
    ------
    ConfigError
        If there is none, or it finds no nodules in CT.
    """
    own = None if options.model else current_net(work)
    if not options.model and own is None:
        if SHIPPED not in shipped_nets():
            raise ConfigError(NO_NET)
        options = replace(options, model=SHIPPED)
    file = own.file if own else find_net(options.model)
    record = read_model_record(file)
    if record.target != "nodules" or record.kind != "ct":
        raise ConfigError(
            f"{file} finds {record.target} in {record.kind}; detect needs a net that finds "
            "nodules in ct"
        )
    return options, record


def _for_net(session: Session, record: ModelRecord) -> Session:
    """The session on the net's grid, unless another was asked for, and for every scan."""
    session = with_params(session, "predict", part="all")
    if ("resample", "spacing_mm") not in session.settled.origins:
        # The rows of a table are slices of an even grid; a net knows that one alone.
        session = with_params(session, "resample", spacing_mm=record.grid_mm)
    return session


def _scan_row(one: Outcome) -> Row:
    facts = one.facts.get(DETECT.stage, {}) if one.state == "done" else {}
    lungs = one.facts.get("segment-lungs", {})
    masks = [n for end, n in one.files.items() if end.removeprefix("_nodules.") in FORMATS]
    doubts = [f"lungs: {lungs['reasons']}"] if lungs.get("reasons") else []
    doubts += doubts_of_files(one.facts.get("ingest", {}))
    return {
        "scan": one.scan,
        "patient": one.patient,
        "source": one.source,
        "candidates": facts.get("candidates"),
        # Not nodules: many a candidate with a mask is none.
        "with_mask": facts.get("nodules"),
        **{name: facts.get(name) for name in ("best_probability", "seen")},
        "lungs": lungs.get("verdict"),
        "state": one.state,
        "reasons": one.reason or "; ".join(doubts),
        "seconds": one.seconds,
        "mask": masks[0] if masks else "",
        "list": one.files.get("_nodules.json", ""),
        "picture": one.files.get(".png", ""),
        **{what: one.files.get(ending, "") for what, ending in OBJECTS.items()},
    }


def _candidate_rows(one: Outcome) -> Iterator[Row]:
    if one.folder is None:
        return
    told = json.loads((one.folder / "nodules.json").read_text(encoding="utf-8"))
    for item in told["candidates"]:
        x, y, z = item["world_xyz_mm"]
        voxel_z, voxel_y, voxel_x = item["voxel_zyx"]
        yield {
            "seriesuid": one.scan,
            "coordX": x,
            "coordY": y,
            "coordZ": z,
            "probability": item["probability"],
            "patient": one.patient,
            "diameter_mm": item["diameter_mm"],
            "voxel_z": voxel_z,
            "voxel_y": voxel_y,
            "voxel_x": voxel_x,
            "mean_hu": item["mean_hu"],
            "threshold": told["threshold"],
            "picture": one.files.get(f"_nodule{item['rank']:02d}.png", ""),
            "rank": item["rank"],
            "seen": told["seen"],
            "calibrated": "" if item["calibrated"] is None else item["calibrated"],
            **{name: item.get(name) for name in PLACE_COLUMNS},
        }


def _found(candidates: Sequence[Mapping[str, Any]], most: object) -> str:
    """How many candidates, the first one's score, and what its calibration makes of it."""
    kept = ", as many as are kept" if len(candidates) == most else ""
    if not candidates:
        return "0 candidates"
    first = candidates[0]
    n = f"{len(candidates)} candidate{'' if len(candidates) == 1 else 's'}"
    if first["calibrated"] == "":
        return f"{n}{kept}; the likeliest {first['probability']:.3f}"
    likely = sum(one["calibrated"] >= 0.5 for one in candidates)
    more = f"; {likely} likelier to be a nodule than not" if likely else ""
    return (
        f"{n}{kept}; the first scores {first['probability']:.3f}, "
        f"and {100 * first['calibrated']:.0f} % of such are nodules{more}"
    )


def _as_text(end: End) -> Iterator[str]:
    done = [row for row in end.tables[SCANS].rows if row["state"] == "done"]
    most = as_dict(end.session.settings["find-nodules"])["max_candidates"]
    for row in done[:_SHOWN]:
        of_scan = [one for one in end.tables[CANDIDATES].rows if one["seriesuid"] == row["scan"]]
        yield f"done     {row['patient']}  {_found(of_scan, most)}  {row['picture']}"
    if len(done) > _SHOWN:
        yield f"         ... and {len(done) - _SHOWN} more"
    for row in done:
        if row["reasons"]:
            yield f"suspect  {row['patient']} {row['scan']}\n         {row['reasons']}"
    yield from trouble(end.outcomes)
    yield from notes(end.outcomes)
    yield from without_dicom(end.outcomes, DETECT.stage)
    for row in done:
        if row["seen"] in {"train", "validation"}:
            yield (
                f"seen     {row['patient']} {row['scan']}: the net has seen it ({row['seen']}); "
                "its candidates show what the net remembers"
            )
    yield from lines_on_lung_net(end.outcomes, seen_by_lung_net(end.outcomes, end.session))
    unknown = sum(row["seen"] == UNKNOWN for row in done)
    if unknown:
        yield (
            f"seen     of {many(unknown, 'scan')} it cannot be told whether the net has seen their "
            "patients: it knows patients by pseudonyms of another key"
        )
    yield from end.earlier.lines(f"{CANDIDATES} and {SCANS}")
    yield f"{counted(end.outcomes)}; {end.seconds:.1f} s"
    net = end.session.net
    if net:
        yield f"net      {net.file} ({net.origin})"
    count = many(len(end.tables[CANDIDATES].rows), "candidate")
    yield (
        f"where to look: {end.place.out / CANDIDATES} ({count}), {SCANS}, masks and "
        "pictures beside it"
    )


def _as_json(end: End) -> Mapping[str, Any]:
    net = end.session.net
    return {
        "out": str(end.place.out),
        "tables": [str(end.place.out / name) for name in DETECT.tables],
        "net": str(net.file) if net else "",
        **counted(end.outcomes).as_dict(),
        "seconds": round(end.seconds, 3),
        "earlier": end.earlier.as_dict(),
        "scans": list(end.tables[SCANS].rows),
        "candidates": list(end.tables[CANDIDATES].rows),
    }
