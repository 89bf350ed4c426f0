"""What a report tells of each scan, and of what was found beside them: from records alone."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lungseg import flow
from lungseg.core.errors import LungsegError
from lungseg.core.plan import FAILED, REUSE, SKIPPED, Action
from lungseg.core.record import Record
from lungseg.core.stage import ScanStage
from lungseg.io.results.candidate_list import NAME as CANDIDATES
from lungseg.io.results.candidate_list import Detection, read_detections
from lungseg.io.results.plain_names import patients_names, plain_names, uid_end
from lungseg.io.sources.index import LeftOut, Source
from lungseg.model.nets import current_net
from lungseg.session.tally import DONE, NOT_DONE, Tally, doubts_of_files, state_of, tally
from lungseg.session.work_folder import Session

# Beyond these a scan is skipped because of the split, which is no fault of it.
_OF_THE_NET = (
    "predict", "find-nodules", "reduce-false-positives", "locate-candidates", "write-detections",
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """What became of one scan in one stage: `state`, and `why` where it is not done."""

    stage: str
    state: str
    why: str = ""
    record: Record | None = None
    folder: Path | None = None

    def told(self) -> dict[str, Any]:
        """Everything that its record says, but for dates and paths."""
        record = self.record
        params = record.params.items() if record else ()
        return {
            "stage": self.stage,
            "state": "done" if self.state == REUSE else self.state,
            "why": self.why,
            "facts": dict(record.facts) if record else {},
            "params": {name: value for name, value in params if not is_path(value)},
            "seconds": record.seconds if record else None,
            "cpu_seconds": record.cpu_seconds if record else None,
            "version": record.version if record else None,
        }


def is_path(value: object) -> bool:
    """True for a text that may name a folder or file, which may be called after a patient."""
    return isinstance(value, str) and ("/" in value or "\\" in value)


@dataclass(frozen=True)
class Remark:
    """Something that a person should look at.

    Attributes
    ----------
    kind
        ``failed``, ``suspect`` or ``look``.
    whose
        The scan, or what it is, for a person.
    reason, remedy
        What was found, and what can be done.
    page
        Name of the scan's page; empty if it has none.
    count
        How many of the kind the remark stands for.
    """

    kind: str
    whose: str
    reason: str
    remedy: str = ""
    page: str = ""
    count: int = 1


class Facts(dict[str, Any]):
    """Facts of a record; None for what it does not have, as records of other versions may not."""

    def __missing__(self, name: str) -> None:
        """What is not known."""


@dataclass(frozen=True)
class ScanEntry:
    """One scan: its steps in the order of the flow, and what is said of it."""

    scan: str
    patient: str
    name: str
    state: str
    reason: str
    steps: Mapping[str, Step]
    remarks: tuple[Remark, ...] = ()

    def facts(self, stage: str) -> Facts:
        """What the stage found; empty if it is not done."""
        step = self.steps.get(stage)
        return Facts(step.record.facts if step and step.state == REUSE and step.record else {})

    def folder(self, stage: str) -> Path | None:
        """The stage's output, or None."""
        step = self.steps.get(stage)
        return step.folder if step and step.state == REUSE else None

    def candidates(self) -> list[Detection] | None:
        """Its candidates, the likeliest first; None if nothing was predicted.

        Raises
        ------
        DataError
            If their list cannot be read.
        """
        # Where they lie and what they touch is known once they are located.
        folder = self.folder("locate-candidates") or self.folder("reduce-false-positives")
        return None if folder is None else read_detections(folder / CANDIDATES)

    @property
    def short(self) -> str:
        """The end of the scan's id, where its patient does not say it all."""
        return "" if self.patient == self.scan else f"…{uid_end(self.scan)}"

    @property
    def fingerprints(self) -> dict[str, str]:
        """What its page is made of."""
        return {
            name: f"{step.state} {step.record.fingerprint if step.record else step.why}"
            for name, step in self.steps.items()
        }


@dataclass(frozen=True)
class Collected:
    """All of a work folder that the report tells.

    Attributes
    ----------
    scans
        In the order of the folder.
    dataset
        Steps over all scans: tables, split, training, scores.
    left_out
        What was found beside the scans, by reason.
    stages
        Names of the stages over single scans that some scan has gone through.
    """

    session: Session
    scans: Sequence[ScanEntry]
    dataset: Mapping[str, Step]
    left_out: Sequence[Remark]
    stages: Sequence[str] = field(default=())

    @property
    def count(self) -> Tally:
        """What became of the scans and of what was found beside them, as commands count it."""
        return tally((one.state for one in self.scans), self.session.left_out)

    def folder(self, stage: str) -> Path | None:
        """Output of a stage over all scans, or None."""
        step = self.dataset.get(stage)
        return step.folder if step and step.state == REUSE else None


def collect(session: Session) -> Collected:
    """What is done by now, and what is not and why; volumes are not read."""
    # What a run was told to do again is done by now; a report is about all scans.
    now = replace(
        session,
        sources=session.all_sources,
        options=replace(session.options, scans=(), force=(), retry=False),
        net=session.net or current_net(session.work),
    )
    actions, fault = _planned(now)
    by_scan: dict[str, dict[str, Step]] = {scan: {} for scan in ("", *now.all_sources)}
    hide = Paths([source.files for source in now.all_sources.values()])
    for action in actions:
        by_scan[action.scan][action.stage] = _step(now, action, hide)
    gone_through = {
        stage
        for scan, steps in by_scan.items()
        if scan
        for stage, step in steps.items()
        if step.state in {REUSE, FAILED}
    }
    stages = [stage.name for stage in flow.FLOW if stage.name in gone_through]
    names = page_names(now.all_sources)
    scans = [
        _entry(source, names[scan], {name: by_scan[scan][name] for name in stages})
        for scan, source in now.all_sources.items()
    ]
    left_out = [*_left_out(now.left_out, hide), *fault]
    return Collected(now, scans, by_scan[""], left_out, stages)


def _planned(session: Session) -> tuple[list[Action], list[Remark]]:
    """What is done; where outputs over all scans are damaged, of single scans alone."""
    try:
        return session.plan([stage.name for stage in flow.FLOW]), []
    except LungsegError as error:
        alone = [stage.name for stage in flow.FLOW if isinstance(stage, ScanStage)]
        reason, remedy = reason_and_remedy(Paths([]).out_of(str(error)))
        remark = Remark(FAILED, "tables, net and scores", reason, remedy or "`lungseg-cli verify`")
        return session.plan(alone), [remark]


def page_names(sources: Mapping[str, Source]) -> dict[str, str]:
    """What each scan's page is called: by its patient, and by its id where it needs to."""
    wanted = {scan: patients_names(scan, source.patient) for scan, source in sources.items()}
    return plain_names(wanted, [""])


class Paths:
    """Takes paths out of what is told: folders and files may be named after patients.

    Examples
    --------
    >>> Paths([]).out_of("/data/DOE JANE/1.dcm: 2 slices")
    '…: 2 slices'
    >>> Paths([["/data/DOE JANE/1.dcm"]]).out_of("in /data/DOE JANE/1.dcm, 3 of /data/DOE JANE")
    'in …, 3 of …'
    """

    _ABSOLUTE = re.compile(r"(?:(?<=[\s(\"'])|^)(?:/|[A-Za-z]:\\)[^:;,\n]*[/\\][^:;,)\s]*")

    def __init__(self, files: Sequence[Sequence[str]]) -> None:
        folders = {str(Path(file).parent) for some in files for file in some}
        known = {file for some in files if len(some) == 1 for file in some} | folders
        # The longest first: a folder's name stands within its files'.
        self.known = sorted(known - {".", "/", ""}, key=len, reverse=True)

    def out_of(self, text: str) -> str:
        """The text without paths."""
        if "/" not in text and "\\" not in text:
            return text
        for path in self.known:
            if path in text:
                text = re.sub(re.escape(path) + r"(?:[/\\][^:;,)\s]*)?", "…", text)
        return self._ABSOLUTE.sub("…", text)


def reason_and_remedy(text: str) -> tuple[str, str]:
    """What was found, and what to try: messages name it in their end.

    Examples
    --------
    >>> reason_and_remedy("too few slices: 2; set ingest.min_slices=2 to accept it")
    ('too few slices: 2', 'set ingest.min_slices=2 to accept it')
    >>> reason_and_remedy("it is empty")
    ('it is empty', '')
    """
    found = re.search(r"[;:,.] (?=(?:set|run|name|try|give|look|make|lower|train) )", text)
    return (text[: found.start()], text[found.end() :]) if found else (text, "")


def _step(session: Session, action: Action, hide: Paths) -> Step:
    folder = None
    if action.do == REUSE:
        folder = session.store.folder(action.stage, action.fingerprint, action.scan)
    why = "" if action.do == REUSE else hide.out_of(action.why)
    return Step(action.stage, action.do, why, action.record, folder)


def _entry(source: Source, name: str, steps: Mapping[str, Step]) -> ScanEntry:
    state, reason = DONE, ""
    bad = next((step for step in steps.values() if step.state == FAILED), None)
    skipped = next(
        (s for s in steps.values() if s.state == SKIPPED and s.stage not in _OF_THE_NET), None
    )
    waiting = [s.stage for s in steps.values() if s.state not in {REUSE, FAILED, SKIPPED}]
    if bad:
        state, reason = FAILED, f"{bad.stage}: {bad.why}"
    elif skipped:
        state, reason = SKIPPED, f"{skipped.stage}: {skipped.why}"
    elif waiting or not steps:
        state, reason = (
            NOT_DONE,
            f"{waiting[0]} is not done: {steps[waiting[0]].why}" if steps else "",
        )
    entry = ScanEntry(source.scan, source.patient, name, state, reason, steps)
    return replace(entry, remarks=tuple(_remarks(entry)))


def _remarks(one: ScanEntry) -> Iterator[Remark]:
    whose = f"{one.patient} {one.short}".strip()
    if one.state in {FAILED, SKIPPED}:
        reason, remedy = reason_and_remedy(one.reason)
        yield Remark(one.state, whose, reason, remedy, one.name)
    lungs = one.facts("segment-lungs")
    if lungs.get("verdict") == "suspect":
        yield Remark(
            "suspect",
            whose,
            f"lungs: {lungs.get('reasons') or 'the mask is doubtful'}",
            "look at the outlines on its page; if the mask is right, nothing is to be done",
            one.name,
        )
    for doubt in doubts_of_files(one.facts("ingest")):
        yield Remark(
            "suspect", whose, doubt,
            "see on its page whether all slices are there, and air is near -1000 HU, blood near 40",
            one.name,
        )  # fmt: skip
    truth = one.facts("annotate-nodules")
    if truth.get("verdict") == "suspect":
        yield Remark(
            "suspect", whose, f"drawn nodules: {truth['reasons']}",
            "see on its page whether the lung mask leaves it out", one.name,
        )  # fmt: skip


def _left_out(items: Sequence[LeftOut], hide: Paths) -> Iterator[Remark]:
    """Remarks on what is no scan, those of one reason together; files are not named."""
    counts: dict[tuple[str, str], int] = {}
    for item in items:
        key = (state_of(item), hide.out_of(item.reason))
        counts[key] = counts.get(key, 0) + 1
    for (kind, text), count in counts.items():
        reason, remedy = reason_and_remedy(text)
        what = "one file or folder" if count == 1 else f"{count} files or folders"
        yield Remark(
            kind,
            what,
            reason,
            remedy or "`lungseg-cli status` of this folder names them",
            count=count,
        )
