"""Lungs: the lung masks of any scans, and a table of what they measure."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lungseg.commands.own_scans.hand_out import HandOut, Outcome, Product, Row, asked_of
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
from lungseg.flow import HANDED_OUT
from lungseg.io.standards.objects import SEG
from lungseg.io.volumes.formats import FORMATS
from lungseg.session.tally import doubts_of_files
from lungseg.session.work_folder import Session

TABLE = "lungs.csv"
FIGURES = (
    "right_ml", "left_ml", "mean_hu", "p5_hu", "p50_hu", "p95_hu", "share_below_950",
    "spacing_z_mm", "spacing_y_mm", "spacing_x_mm", "lung_ml", "air_ml", "right_air_ml",
    "left_air_ml", "p15_hu", "share_above_250", "hu_check",
)  # fmt: skip
COLUMNS = (
    "scan",
    "patient",
    "source",
    *FIGURES,
    "verdict",
    "reasons",
    "seconds",
    "net_seen",
    "file",
    "segmentation",
)
_PICTURE = "_lungs.png"
_SEG = f"_lungs{SEG}"
_SHOWN = 20


def _handed_out(files: Sequence[str]) -> Mapping[str, str]:
    endings = {name: f"_{name}" for name in files if name.startswith("lungs.")}
    return endings | {name: _PICTURE for name in files if name == "picture.png"}


LUNGS = Product(
    command="lungs",
    stage=HANDED_OUT["lungs"],
    endings=(*(f"_lungs.{kind}" for kind in FORMATS), _SEG, _PICTURE),
    tables=(TABLE,),
    files=_handed_out,
)


def lungs(roots: Sequence[Path], options: Mapping[str, Any]) -> int:
    """Write the lung mask of every scan under `roots`, and ``lungs.csv``; the exit status.

    The table is written, with what is done, even if the run is broken off.

    Raises
    ------
    ConfigError
        If a setting is wrong, a root holds nothing, or someone's file would be written over.
    """
    asked = asked_of(
        options,
        format="write-lungs.format",
        pictures="write-lungs.pictures",
        dicom="write-lungs.dicom",
    )
    session = opened(asked.place, roots, asked.options, dry=asked.how.dry_run)
    report = Report(functools.partial(_tables, session), _as_text, _as_json)
    return run_and_report(HandOut(LUNGS, asked.place, session), asked.how, report)


def _tables(session: Session, outcomes: Sequence[Outcome]) -> Mapping[str, Table]:
    seen = seen_by_lung_net(outcomes, session)
    return {TABLE: Table(COLUMNS, [_row(*one) for one in zip(outcomes, seen, strict=True)])}


def _row(one: Outcome, seen: str) -> Row:
    facts = one.facts.get(LUNGS.stage, {}) if one.state == "done" else {}
    masks = [name for ending, name in one.files.items() if ending not in {_PICTURE, _SEG}]
    # A mask cannot be better than the scan that it was found in.
    doubts = list(doubts_of_files(one.facts.get("ingest", {}))) if facts else []
    reasons = [one.reason or facts.get("reasons", ""), *doubts]
    return {
        "scan": one.scan,
        "patient": one.patient,
        "source": one.source,
        **{name: facts.get(name) for name in FIGURES},
        "verdict": "suspect" if doubts else facts.get("verdict", one.state),
        "reasons": "; ".join(str(reason) for reason in reasons if reason),
        "seconds": one.seconds,
        "net_seen": seen,
        "file": masks[0] if masks else "",
        "segmentation": one.files.get(_SEG, ""),
    }


def _as_text(end: End) -> Iterator[str]:
    rows = end.tables[TABLE].rows
    done = [row for one, row in zip(end.outcomes, rows, strict=True) if one.state == "done"]
    for row in done[:_SHOWN]:
        # A name without a Latin letter is a digest in the file's.
        whose = "" if str(row["patient"]).isascii() else f"{row['patient']} "
        yield (
            f"{row['verdict']:<8} {whose}{row['file']}  right {row['right_ml']:.0f} ml, left "
            f"{row['left_ml']:.0f} ml, mean {row['mean_hu']:.0f} HU, "
            f"{row['share_below_950']:.1%} below -950 HU"
        )
    if len(done) > _SHOWN:
        yield f"         ... and {len(done) - _SHOWN} more"
    for row in done:
        if row["verdict"] == "suspect":
            yield f"suspect  {row['patient']} {row['file']}\n         {row['reasons']}"
    yield from lines_on_lung_net(end.outcomes, (str(row["net_seen"]) for row in rows))
    yield from trouble(end.outcomes)
    yield from notes(end.outcomes)
    yield from without_dicom(end.outcomes, LUNGS.stage)
    yield from end.earlier.lines(TABLE)
    yield f"{counted(end.outcomes)}; {end.seconds:.1f} s"
    yield f"where to look: {end.place.out / TABLE}, and the masks beside it"


def _as_json(end: End) -> Mapping[str, Any]:
    return {
        "out": str(end.place.out),
        "table": str(end.place.out / TABLE),
        **counted(end.outcomes).as_dict(),
        "seconds": round(end.seconds, 3),
        "earlier": end.earlier.as_dict(),
        "scans": list(end.tables[TABLE].rows),
    }
