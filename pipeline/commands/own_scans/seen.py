"""Seen: whether the lung net has learnt from a scan that it is asked about."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lungseg.commands.own_scans.hand_out import Outcome
from lungseg.io.sources.pseudonyms import key_in
from lungseg.model.lung_net.opinion import SHIPPED
from lungseg.model.model_record import read_model_record
from lungseg.session.work_folder import Session


def seen_by_lung_net(outcomes: Sequence[Outcome], session: Session) -> list[str]:
    """Of each ``train``, ``validation``, ``no`` or ``unknown``; empty if the net was not asked."""
    asked = ["net_against_ml" in one.facts.get("segment-lungs", {}) for one in outcomes]
    if not any(asked):
        return [""] * len(asked)
    params: Any = session.settings["segment-lungs"]
    record = read_model_record(Path(params.lung_net) if params.lung_net else SHIPPED)
    key = key_in(session.work)
    parts = [
        record.part_of(one.patient, one.scan, key) if was else ""
        for one, was in zip(outcomes, asked, strict=True)
    ]
    return ["no" if part == "test" else part for part in parts]


def lines_on_lung_net(outcomes: Iterable[Outcome], seen: Iterable[str]) -> Iterator[str]:
    """A line for every scan that is done and that the lung net has `seen`."""
    for one, part in zip(outcomes, seen, strict=True):
        if one.state == "done" and part in {"train", "validation"}:
            yield (
                f"seen     {one.patient} {one.scan}: the lung net has seen it ({part}); what it "
                "says of this scan, it may remember"
            )
