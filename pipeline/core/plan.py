"""The plan: what each stage will do on each scan, and why, decided before anything runs.

`decide` is pure but for looking records up; `status`, `--dry-run` and the runner all act on it.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lungseg.core import record as records
from lungseg.core.config import did_you_mean
from lungseg.core.disk.trust import Found, fault_in
from lungseg.core.errors import ConfigError
from lungseg.core.fingerprint import effective_params, fingerprint
from lungseg.core.record import Record
from lungseg.core.stage import DatasetStage, Params, Reads, Scalar, ScanStage, Stage, shown
from lungseg.core.store import Store

REUSE = "reuse"
RUN = "run"
FAILED = records.FAILED
SKIPPED = records.SKIPPED
BLOCKED = "blocked"

Settings = Mapping[str, Params]


@dataclass(frozen=True)
class ScanRef:
    """One scan of the data set: its id, its patient, and the identity of its source files."""

    scan: str
    patient: str
    identity: str


@dataclass(frozen=True)
class Action:
    """What a stage will do on one scan (or on the data set, where `scan` is empty).

    Attributes
    ----------
    do
        ``reuse``, ``run``, ``failed`` or ``skipped`` (known from an earlier run), ``blocked``.
    why
        The reason, for a person.
    fingerprint
        Name of the output.
    inputs
        Fingerprint of each input.
    record
        The complete, failed or skipped record, if there is one.
    damaged
        What is wrong with an output that lies there and cannot be used; it is made again.
    """

    stage: str
    scan: str
    do: str
    why: str
    fingerprint: str
    inputs: Mapping[str, str]
    record: Record | None = None
    damaged: str = ""


@dataclass(frozen=True)
class Request:
    """What is asked of a flow: which stages, on which scans, with which settings.

    `impossible` names stages that cannot run in this work folder, each with the reason. Outputs of
    the stages in `read_out` will be read by who asks: they are reused only if every byte is right.
    """

    flow: Sequence[Stage]
    targets: tuple[str, ...]
    scans: Sequence[ScanRef]
    settings: Settings
    force: frozenset[str] = frozenset()
    retry: bool = False
    impossible: Mapping[str, str] = field(default_factory=dict)
    read_out: frozenset[str] = frozenset()


def stages_for(flow: Sequence[Stage], targets: Iterable[str]) -> list[Stage]:
    """The stages `targets` names and all that they need, in the flow's order."""
    by_name = {stage.name: stage for stage in flow}
    wanted: set[str] = set()
    queue = list(targets)
    while queue:
        name = queue.pop()
        if name not in by_name:
            raise ConfigError(f"no stage is named {shown(name)}{did_you_mean(name, by_name)}")
        if name not in wanted:
            wanted.add(name)
            queue += by_name[name].needs
    return [stage for stage in flow if stage.name in wanted]


class Planner:
    """Decides what each stage does, from the records in the store and what is already decided."""

    def __init__(self, store: Store, request: Request) -> None:
        self.store = store
        self.request = request
        self.stages = stages_for(request.flow, request.targets)
        self.actions: dict[tuple[str, str], Action] = {}
        # What lies at paths is looked at once a plan, not once a scan.
        self._effective: dict[str, Mapping[str, Scalar]] = {}

    def decide(self) -> list[Action]:
        """Decide for every stage and scan, assuming that what runs will succeed."""
        for stage in self.stages:
            self.decide_stage(stage)
        return list(self.actions.values())

    def decide_stage(self, stage: Stage, scans: Container[str] | None = None) -> list[Action]:
        """Decide for one stage, on all scans or those named; what it needs is decided before."""
        if isinstance(stage, DatasetStage):
            actions = [self._dataset_action(stage)]
        else:
            refs = self.request.scans
            chosen = refs if scans is None else [ref for ref in refs if ref.scan in scans]
            actions = [self._scan_action(stage, ref) for ref in chosen]
        for action in actions:
            self.actions[action.stage, action.scan] = action
        return actions

    def usable(self, stage: str, scan: str = "") -> bool:
        """True if that output is there, or will be."""
        return self.actions[stage, scan].do in {REUSE, RUN}

    def _scan_action(self, stage: ScanStage, ref: ScanRef) -> Action:
        needs = {name: self._upstream(name, ref.scan) for name in stage.needs}
        inputs = {name: action.fingerprint for name, action in needs.items()}
        if not stage.needs:
            inputs = {"source": ref.identity}
        name = self._fingerprint(stage, inputs)
        if stage.name in self.request.impossible:
            why = self.request.impossible[stage.name]
            return Action(stage.name, ref.scan, BLOCKED, why, name, inputs)
        for need, action in needs.items():
            if action.do not in {REUSE, RUN}:
                why = f"{need} failed" if action.do == FAILED else action.why
                do = SKIPPED if action.do == SKIPPED else BLOCKED
                return Action(stage.name, ref.scan, do, why, name, inputs)
        rerun = next((n for n, action in needs.items() if action.do == RUN), None)
        return self._look_up(stage, ref.scan, name, inputs, rerun)

    def _dataset_action(self, stage: DatasetStage) -> Action:
        inputs, rerun = self._dataset_inputs(stage)
        if stage.name in self.request.impossible:
            name = self._fingerprint(stage, inputs)
            why = self.request.impossible[stage.name]
            return Action(stage.name, "", BLOCKED, why, name, inputs)
        if stage.reads and rerun is None and all(self.usable(need) for need in stage.needs):
            part = self._part_read(stage, stage.reads, inputs)
            if part is None:
                return self._dataset_action(stage)
            inputs = {"what it reads": part}
        name = self._fingerprint(stage, inputs)
        for need in stage.needs:
            action = self.actions.get((need, ""))
            if action and action.do not in {REUSE, RUN}:
                why = f"{need} {action.do}" if action.do != BLOCKED else action.why
                return Action(stage.name, "", BLOCKED, why, name, inputs)
        return self._look_up(stage, "", name, inputs, rerun)

    def _part_read(
        self, stage: DatasetStage, reads: Reads, inputs: Mapping[str, str]
    ) -> str | None:
        """Identity of the part that a stage reads; None if an input must be made again first."""
        folders = {need: self.store.folder(need, inputs[need]) for need in stage.needs}
        try:
            return reads(self.request.settings[stage.name], folders)
        except Exception:
            # A damaged file may make its reader fail in any way: then its digest tells.
            faulty = [n for n, folder in folders.items() if fault_in(folder, n, inputs[n])]
            if not faulty:
                raise
        for need in self.stages:
            if need.name in faulty:
                self.decide_stage(need)
        return None

    def _dataset_inputs(self, stage: DatasetStage) -> tuple[dict[str, str], str | None]:
        inputs = {}
        rerun = None
        for need in stage.needs:
            if (need, "") in self.actions:
                inputs[need] = self.actions[need, ""].fingerprint
                rerun = need if self.actions[need, ""].do == RUN else rerun
        for scan in self.complete_scans(stage):
            for need in self._scan_needs(stage):
                action = self.actions[need, scan]
                inputs[f"{need}/{scan}"] = action.fingerprint
                rerun = need if action.do == RUN else rerun
        return inputs, rerun

    def complete_scans(self, stage: DatasetStage) -> list[str]:
        """Scans for which everything that a data-set stage needs is there, or will be."""
        needs = self._scan_needs(stage)
        scans = sorted(ref.scan for ref in self.request.scans)
        return [s for s in scans if needs and all(self.usable(need, s) for need in needs)]

    def _scan_needs(self, stage: DatasetStage) -> list[str]:
        kinds = {item.name: item for item in self.stages}
        return [need for need in stage.needs if isinstance(kinds[need], ScanStage)]

    def _fingerprint(self, stage: Stage, inputs: Mapping[str, str]) -> str:
        params = self.request.settings[stage.name]
        if stage.name not in self._effective:
            self._effective[stage.name] = effective_params(params)
        return fingerprint(stage, params, inputs, self._effective[stage.name])

    def _upstream(self, name: str, scan: str) -> Action:
        return self.actions.get((name, scan)) or self.actions[name, ""]

    def _look_up(
        self, stage: Stage, scan: str, name: str, inputs: Mapping[str, str], rerun: str | None
    ) -> Action:
        params = self.request.settings[stage.name]
        looked = self._look(stage.name, name, scan)
        found = looked.record
        if stage.name in self.request.force:
            return Action(stage.name, scan, RUN, "forced", name, inputs)
        if looked.fault:
            why = f"damaged: {looked.fault}"
            return Action(stage.name, scan, RUN, why, name, inputs, damaged=looked.fault)
        if found is None:
            earlier = self.store.all(stage.name, scan)
            changed = why_stale(earlier[-1], stage, params, inputs) if earlier else ""
            upstream = f"{rerun} runs" if rerun else ""
            why = changed or upstream or ("output is gone" if earlier else "not done yet")
            return Action(stage.name, scan, RUN, why, name, inputs)
        if found.state == records.DONE:
            return Action(stage.name, scan, REUSE, "in the cache", name, inputs, found)
        if self.request.retry:
            return Action(stage.name, scan, RUN, f"{found.state} before", name, inputs)
        return Action(stage.name, scan, found.state, found.error, name, inputs, found)

    def _look(self, stage: str, name: str, scan: str) -> Found:
        if stage in self.request.read_out:
            fault_in(self.store.folder(stage, name, scan), stage, name, scan)
        return self.store.look(stage, name, scan)


def why_stale(earlier: Record, stage: Stage, params: Params, inputs: Mapping[str, str]) -> str:
    """What differs between an earlier output and the one asked for, for a person."""
    if earlier.version != stage.version:
        return f"version {earlier.version} -> {stage.version}"
    now = effective_params(params)
    changes = [
        f"{name} {_short(earlier.params.get(name))} -> {_short(value)}"
        for name, value in now.items()
        if earlier.params.get(name) != value
    ]
    if changes:
        return ", ".join(changes)
    before = earlier.inputs
    if isinstance(stage, DatasetStage):
        gone, new = len(before.keys() - inputs.keys()), len(inputs.keys() - before.keys())
        moved = sum(before[key] != inputs[key] for key in before.keys() & inputs.keys())
        return f"inputs: {new} new, {gone} gone, {moved} changed"
    moved_names = [name for name, value in inputs.items() if before.get(name) != value]
    return f"input changed: {', '.join(moved_names)}" if moved_names else ""


def _short(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else text[:10] + "..."
