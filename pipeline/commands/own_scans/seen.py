"""Seen: whether the lung net has learnt from a scan that it is asked about."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lungseg.commands.own_scans.hand_out import Outcome
from lungseg.io.sources.pseudonyms import key_in
from lungseg.model.lung_net.opinion import SHIPPED
from lungseg.model.model_record import read_model_record
from lungseg.session.work_folder import Session


def seen_by_lung_net(one: Outcome, session: Session) -> str:
    """``train``, ``validation``, ``no`` or ``unknown``; empty if the net was not asked."""
    if "net_against_ml" not in one.facts.get("segment-lungs", {}):
        return ""
    params: Any = session.settings["segment-lungs"]
    record = read_model_record(Path(params.lung_net) if params.lung_net else SHIPPED)
    part = record.part_of(one.patient, one.scan, key_in(session.work))
    return "no" if part == "test" else part


def lines_on_lung_net(outcomes: Sequence[Outcome], session: Session) -> Iterator[str]:
    """A line for every scan that is done and that the lung net has seen."""
    for one in outcomes:
        seen = seen_by_lung_net(one, session) if one.state == "done" else ""
        if seen in {"train", "validation"}:
            yield (
                f"seen     {one.patient} {one.scan}: the lung net has seen it ({seen}); what it "
                "says of this scan, it may remember"
            )
