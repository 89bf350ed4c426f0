"""What a command says: tables for people, one JSON object for machines."""

import difflib
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from lungseg.core.json_file import json_text
from lungseg.core.plan import Action
from lungseg.core.runner import Summary, Watch, scan_state
from lungseg.core.shown import many
from lungseg.core.stage import Scalar
from lungseg.core.worker import RAN, Result
from lungseg.flow import FLOW
from lungseg.io.sources.index import LeftOut, Source
from lungseg.session.settings import Difference
from lungseg.session.tally import (
    FAILED,
    SKIPPED,
    Tally,
    Trouble,
    doubts_of_files,
    lines_of,
    notes_on_files,
    state_of,
)
from lungseg.session.work_folder import NO_SCANS, Session

# What `status` tells of a scan, and whose fact it is: others have facts of the same name.
_OF_SCAN = (
    ("ingest", "slices"), ("segment-lungs", "lung_ml"), ("segment-lungs", "verdict"),
    ("annotate-nodules", "truth"), ("annotate-nodules", "nodules"),
    ("reduce-false-positives", "candidates"),
)  # fmt: skip
# Scans whose doubts were told before that are named.
_NAMED = 3
_STATES = ("ran", "reused", "failed", "blocked", "skipped")


class Progress:
    """Progress on stderr: a bar where it is a terminal, plain lines elsewhere."""

    def __init__(self, quiet: bool = False, patients: Mapping[str, str] | None = None) -> None:
        self.quiet = quiet
        self.patients = patients or {}
        self.bar: Any = None
        self.name = ""
        self.total = 0
        self.ended: set[str] = set()

    def watch(self) -> Watch:
        """The two callbacks that the runner wants."""
        return Watch(begin=self.begin, result=self.result, damaged=self.damaged)

    def begin(self, name: str, tasks: int) -> None:
        """A group of stages starts, with `tasks` scans to do."""
        self.close()
        self.name, self.total, self.ended = name, tasks, set()
        if self.quiet or not tasks:
            return
        if name == "train":  # has its own bar, and says what it runs on
            click.echo("train", err=True)
        elif sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=tasks, desc=name, unit="scan", file=sys.stderr, leave=True)
        else:
            click.echo(f"{name}: {tasks} to do", err=True)
        if "predict" in name.split(" + "):
            from lungseg.model.devices import runs_on

            self._line(f"predict runs on {runs_on()}")

    def result(self, result: Result) -> None:
        """One stage ended on one scan."""
        if self.quiet or result.state not in {"ran", "failed"}:
            return
        if result.state == "failed":
            whose = self._named(result.scan) if result.scan else "the data set"
            self._line(f"{result.stage} failed on {whose}: {result.error}")
        if self.bar is None and result.state == "ran":
            seconds = result.record.seconds if result.record else 0.0
            self._line(f"  {result.stage} {self._named(result.scan)} {seconds:.1f} s")
        if self.bar is not None and result.scan not in self.ended:
            last = result.state == "failed" or self.name.endswith(result.stage)
            if last:
                self.ended.add(result.scan)
                self.bar.update(1)

    def damaged(self, result: Result) -> None:
        """An output was found damaged, and is made again."""
        if not self.quiet:
            whose = self._named(result.scan) if result.scan else "the data set"
            self._line(f"{result.stage} of {whose} is made again: {result.error}")

    def close(self) -> None:
        """The run is over."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _named(self, scan: str) -> str:
        return named(scan, self.patients.get(scan, ""))

    def _line(self, text: str) -> None:
        if self.bar is not None:
            self.bar.write(text, file=sys.stderr)
        else:
            click.echo(text, err=True)


def named(scan: str, patient: str) -> str:
    """A scan for a person: its patient, then its id; the id alone where it says both."""
    return f"{patient} {scan}" if patient not in {"", scan} else scan


def summary_text(
    summary: Summary, sources: Mapping[str, Source], left_out: Sequence[LeftOut], seconds: float
) -> str:
    """The end of a run for a person: counts by stage, then everything that was not done."""
    lines = [stage_table(summary.results)]
    lines += lines_of(
        Trouble(
            FAILED,
            named(scan, sources[scan].patient) if scan else "the data set",
            f"{stage}: {result.error}",
            is_scan=True,
        )
        for (stage, scan), result in summary.results.items()
        if result.state == FAILED
    )
    # What was skipped on purpose is skipped again, and told below.
    known = len({s for (_, s), r in summary.results.items() if r.known and r.state == FAILED})
    if known:
        lines.append(f"known    failure of {many(known, 'scan')}, not tried again without --retry")
    for (stage, scan), fault in summary.damaged.items():
        whose = named(scan, sources[scan].patient) if scan else "the data set"
        again = "was" if summary.results[stage, scan].state == "ran" else "could not be"
        lines.append(f"damaged  {whose}\n         {stage}: {fault}; it {again} made again")
    why = {s: r.error for (_, s), r in summary.results.items() if s and r.state == SKIPPED}
    lines += lines_of(
        Trouble(SKIPPED, named(scan, sources[scan].patient), reason, is_scan=True)
        for scan, reason in why.items()
    )
    lines += _suspects(summary, sources)
    lines += lines_of(
        Trouble("note", named(scan, sources[scan].patient), f"{stage}: {note}", is_scan=True)
        for (stage, scan), result in summary.results.items()
        if stage == "ingest" and result.record
        for note in (*doubts_of_files(result.record.facts), *notes_on_files(result.record.facts))
    )
    for (stage, scan), result in summary.results.items():
        if not scan and result.record and result.state in {"ran", "reused"}:
            told = ", ".join(f"{k} {_told(v)}" for k, v in result.record.facts.items())
            lines.append(f"{stage}: {told}")
    lines += lines_of(Trouble(state_of(item), item.path, item.reason) for item in left_out)
    lost = [
        stage for (stage, scan), r in summary.results.items() if not scan and r.state == "failed"
    ]
    count = Tally(summary.done, summary.failed, summary.skipped)
    # Tables of pictures are made without scans.
    lines.append(
        f"{f'{count}; ' if count.expected else ''}{seconds:.1f} s"
        + "".join(f"; {stage} failed" for stage in lost)
    )
    return "\n".join(lines)


def _told(value: Scalar) -> str:
    return value[:12] if isinstance(value, str) else "none" if value is None else str(value)


def _suspects(summary: Summary, sources: Mapping[str, Source]) -> list[str]:
    """In full what this run found; by name what an earlier command told, where this did more."""
    doubts = {
        place: str(result.record.facts.get("reasons", ""))
        for place, result in summary.results.items()
        if result.record and result.record.facts.get("verdict") == "suspect"
    }
    ran = {place for place, result in summary.results.items() if result.state == RAN}
    new = [place for place in doubts if place in ran or not ran]
    lines = [
        f"suspect  {named(scan, sources[scan].patient)}\n         {stage}: {doubts[stage, scan]}"
        for stage, scan in new
    ]
    old = list(dict.fromkeys(scan for stage, scan in doubts if (stage, scan) not in new))
    if old:
        names = ", ".join(named(scan, sources[scan].patient) for scan in old[:_NAMED])
        more = f" and {len(old) - _NAMED} more" if len(old) > _NAMED else ""
        lines.append(
            f"suspect  {many(len(old), 'scan')}, as an earlier command told: {names}{more}"
        )
    return lines


def stage_table(results: Mapping[tuple[str, str], Result]) -> str:
    """Counts of every state by stage."""
    stages = list(dict.fromkeys(stage for stage, _ in results))
    width = max((len(stage) for stage in stages), default=5)
    lines = [f"{'stage':<{width}}  " + "  ".join(f"{state:>7}" for state in _STATES)]
    for stage in stages:
        counts = Counter(r.state for (name, _), r in results.items() if name == stage)
        lines.append(
            f"{stage:<{width}}  " + "  ".join(f"{counts.get(state, 0):>7}" for state in _STATES)
        )
    return "\n".join(lines)


def summary_json(
    summary: Summary, sources: Mapping[str, Source], left_out: Sequence[LeftOut], seconds: float
) -> str:
    """The end of a run as one JSON object."""
    scans = []
    results: dict[str, dict[str, Result]] = defaultdict(dict)
    for (stage, scan), result in summary.results.items():
        results[scan][stage] = result
    for scan, source in sources.items():
        mine = results[scan]
        scans.append(
            {
                "id": scan,
                "patient": source.patient,
                "state": scan_state(list(mine.values())),
                "stages": {stage: _result_json(result) for stage, result in mine.items()},
            }
        )
    dataset = results[""]
    return json_text(
        {
            "expected": summary.expected,
            "done": summary.done,
            "failed": summary.failed,
            "skipped": summary.skipped,
            "seconds": round(seconds, 3),
            "scans": scans,
            "dataset": {stage: _result_json(result) for stage, result in dataset.items()},
            "damaged": [
                {"stage": stage, "id": scan, "reason": fault}
                for (stage, scan), fault in summary.damaged.items()
            ],
            "left_out": [left_out_json(item) for item in left_out],
        }
    )


def left_out_json(item: LeftOut) -> dict[str, str]:
    """Something that was found and is no scan, for machines."""
    return {
        "id": item.scan,
        "path": item.path,
        "modality": item.modality,
        "state": state_of(item),
        "reason": item.reason,
    }


def _result_json(result: Result) -> dict[str, Any]:
    record = result.record
    return {
        "state": result.state,
        "seconds": record.seconds if record else 0.0,
        "cpu_seconds": record.cpu_seconds if record else 0.0,
        "facts": dict(record.facts) if record else {},
        "error": result.error,
        "known": result.known,
        "fingerprint": result.fingerprint,
    }


def plan_text(actions: Sequence[Action]) -> str:
    """A plan for a person: by stage, how many are reused, and why the others will run."""
    lines = []
    for stage in dict.fromkeys(action.stage for action in actions):
        mine = [action for action in actions if action.stage == stage]
        counts = Counter((a.do, "" if a.do == "reuse" else a.why) for a in mine)
        for (do, why), count in counts.most_common():
            lines.append(f"{stage:<17} {do:<8} {count:>5}  {why}".rstrip())
    return "\n".join(lines) or NO_SCANS


def plan_json(actions: Sequence[Action]) -> str:
    """A plan as one JSON object."""
    rows = [
        {"stage": a.stage, "scan": a.scan, "do": a.do, "why": a.why, "fingerprint": a.fingerprint}
        for a in actions
    ]
    return json_text({"actions": rows})


def status_text(
    sources: Mapping[str, Source], left_out: Sequence[LeftOut], actions: Sequence[Action]
) -> str:
    """What is done and what is not, for a person: by stage, then a line a scan."""
    if not sources and all(action.record is None for action in actions):
        return NO_SCANS
    lines = [plan_text(actions), ""]
    by_scan = _by_scan(actions)
    for scan, source in sources.items():
        mine = {action.stage: action for action in by_scan[scan]}
        records = {stage: action.record for stage, action in mine.items() if action.record}
        facts = {
            name: records[stage].facts[name]
            for stage, name in _OF_SCAN
            if stage in records and name in records[stage].facts
        }
        done = sum(a.do == "reuse" for a in mine.values())
        told = "  ".join(f"{name} {value}" for name, value in facts.items())
        lines.append(
            f"{source.patient:<15} ...{scan[-20:]:<20} {done} of its {len(mine)} stages  {told}"
        )
    lines += [f"left out        {item.path}: {item.reason}" for item in left_out]
    return "\n".join(lines)


def status_json(
    sources: Mapping[str, Source], left_out: Sequence[LeftOut], actions: Sequence[Action]
) -> str:
    """What is done and what is not, as one JSON object."""

    def told(action: Action) -> dict[str, Any]:
        facts = dict(action.record.facts) if action.record else {}
        return {
            "do": action.do, "why": action.why, "fingerprint": action.fingerprint, "facts": facts,
        }  # fmt: skip

    by_scan = _by_scan(actions)
    scans = [
        {
            "id": scan,
            "patient": source.patient,
            "stages": {action.stage: told(action) for action in by_scan[scan]},
        }
        for scan, source in sources.items()
    ]
    dataset = {a.stage: told(a) for a in actions if not a.scan}
    left = [left_out_json(item) for item in left_out]
    return json_text({"scans": scans, "dataset": dataset, "left_out": left})


def _by_scan(actions: Sequence[Action]) -> Mapping[str, list[Action]]:
    grouped: dict[str, list[Action]] = defaultdict(list)
    for action in actions:
        grouped[action.scan].append(action)
    return grouped


def not_a_command(word: str, commands: Iterable[str], *, stages: bool) -> str:
    """What may have been meant by a word that is no command; empty if nothing is known.

    Parameters
    ----------
    word
        What was typed.
    commands
        Names of the commands that there are.
    stages
        Look among the stages, too.
    """
    names = {stage.name for stage in FLOW} if stages else set()
    name = word.lower().replace("_", "-")[:100]
    if name in names:
        return f"It is a stage: `lungseg-cli run {name}` runs it."
    close = difflib.get_close_matches(name, [*commands, *names], n=1, cutoff=0.6)
    if not close:
        return ""
    if close[0] in names - set(commands):
        return f"Did you mean the stage {close[0]}? `lungseg-cli run {close[0]}` runs it."
    return f"Did you mean {close[0]}?"


def differences_text(differences: Sequence[Difference]) -> str:
    """Settings that are not at their defaults, for a person."""
    lines = [f"{d.setting} = {d.value}  (default {d.default}; {d.origin})" for d in differences]
    return "\n".join(lines) or "all settings are at their defaults"


def settings_line(session: Session) -> str:
    """The preset and what else is not at its default, in one line; empty if nothing is."""
    preset = session.settled.kept.preset
    told = [f"preset {preset}"] if preset else []
    told += [
        f"{d.setting}={d.value}" for d in session.differences() if d.origin != f"preset {preset}"
    ]
    return f"settings {', '.join(told)}" if told else ""


def after_run(session: Session, targets: Sequence[str], not_run: Sequence[str]) -> Iterator[str]:
    """What a command says after its summary: what holds, which net, what was not run."""
    if not_run:
        yield f"not run  {', '.join(not_run)}: over all scans; leave --scan out for it"
    if {"predict", "find-nodules", "reduce-false-positives", "evaluate"} & set(targets):
        yield from (f"net      {line}" for line in session.net_notes())
    line = settings_line(session)
    if line:
        yield line
