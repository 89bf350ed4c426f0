"""The runner: takes a plan through the engine, stage group by stage group, and counts.

Consecutive scan stages run as one chain a scan, so that a scan's volume stays warm in one worker;
a data-set stage waits for all scans. Every run ends with expected = done + failed + skipped.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from lungseg.core import plan, record, worker
from lungseg.core.disk import trust
from lungseg.core.engine.bounds import WorkerKilledError
from lungseg.core.executor import EngineOptions, run_tasks
from lungseg.core.fingerprint import effective_params
from lungseg.core.interrupt import StoppedError, exit_status, stoppable
from lungseg.core.limits import memory_limit
from lungseg.core.plan import Action, Planner, Request
from lungseg.core.stage import DatasetInputs, DatasetStage, ScanStage, Stage
from lungseg.core.store import Store
from lungseg.core.worker import Result, ScanTask, Step

Report = Callable[[Result], None]
Begin = Callable[[str, int], None]


# How often in one run an output is made again that was found damaged when it was to be read.
_REPAIRS = 2
# Threads that read files to compare them: as many requests as a disk likes at once.
_READERS = 4


@dataclass(frozen=True)
class Watch:
    """Who wants to know.

    `begin` hears of a group of stages and its tasks, `result` of each end, `damaged` of each output
    that cannot be used as it is, and is made again.
    """

    begin: Begin = field(default=lambda _name, _tasks: None)
    result: Report = field(default=lambda _result: None)
    damaged: Report = field(default=lambda _result: None)


@dataclass(frozen=True)
class Summary:
    """What came of a run: every result by (stage, scan), and the counts over scans.

    `damaged` tells of each output, by (stage, scan), that was found damaged and made again.
    """

    results: Mapping[tuple[str, str], Result]
    expected: int
    done: int
    failed: int
    skipped: int
    damaged: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def dataset_failed(self) -> bool:
        """True if a stage over the whole data set did not succeed."""
        bad = {worker.FAILED, worker.BLOCKED}
        return any(not scan and r.state in bad for (_, scan), r in self.results.items())


class Run:
    """One run of a request over a store."""

    def __init__(
        self, store: Store, request: Request, sources: Mapping[str, Path], options: EngineOptions
    ) -> None:
        self.store = store
        self.request = request
        self.sources = sources
        self.options = options
        self.planner = Planner(store, request)
        self.results: dict[tuple[str, str], Result] = {}
        self.damaged: dict[tuple[str, str], str] = {}
        self.patients = {ref.scan: ref.patient for ref in request.scans}

    def execute(self, watch: Watch | None = None) -> Summary:
        """Run what is not in the cache; return what came of all of it.

        Raises
        ------
        StoppedError
            If Ctrl-C or SIGTERM broke it off.
        """
        watch = watch or Watch()
        self.store.sweep()
        stage = ""
        try:
            with stoppable(), memory_limit(self.options.memory):
                for group in stage_groups(self.planner.stages):
                    if isinstance(group[0], DatasetStage):
                        stage = group[0].name
                        self._run_dataset_stage(group[0], watch)
                    else:
                        stage = ""
                        self._run_scan_stages([s for s in group if isinstance(s, ScanStage)], watch)
        except KeyboardInterrupt as stop:
            done, parts = self._through()
            of_all = f"{stage} was not finished; " if stage else ""
            outputs = f"stage output{'s' * (parts > 1)}"
            of_others = f", and {parts} {outputs} of the others" if parts else ""
            raise StoppedError(
                f"stopped; {of_all}{done} of {len(self.patients)} scans done and kept{of_others}; "
                "the same command goes on",
                exit_status(stop),
            ) from stop
        return self._summary()

    def _through(self) -> tuple[int, int]:
        """How many scans are through all stages, and how many outputs the others have.

        By the store: workers may be ahead of us.
        """
        actions = Planner(self.store, replace(self.request, force=frozenset())).decide()
        left = {a.scan for a in actions if a.do != plan.REUSE}
        parts = sum(a.do == plan.REUSE and a.scan in left for a in actions if a.scan)
        return sum(scan not in left for scan in self.patients), parts

    def _run_scan_stages(
        self,
        stages: Sequence[ScanStage],
        watch: Watch,
        scans: Container[str] | None = None,
        repairs: int = 0,
    ) -> None:
        actions = [action for stage in stages for action in self.planner.decide_stage(stage, scans)]
        by_scan: dict[str, list[Action]] = {}
        for action in actions:
            by_scan.setdefault(action.scan, []).append(action)
            self._tell_damage(action, watch)
        tasks = []
        for scan in sorted(by_scan):
            steps = tuple(self._step(a) for a in by_scan[scan] if a.do == plan.RUN)
            for action in by_scan[scan]:
                # What follows a stage that is about to run is decided by how that run ends.
                if action.do != plan.RUN:
                    self._settle(action, watch)
            if steps:
                tasks.append(ScanTask(self.store, scan, self.patients[scan], steps))
        if tasks or not repairs:
            watch.begin(" + ".join(stage.name for stage in stages), len(tasks))
        inline = any(stage.in_parent for stage in stages)
        # One process at a time owns the accelerator: this one, or one that can be ended.
        options = replace(self.options, jobs=1, cluster=None) if inline else self.options
        again: dict[str, list[Result]] = {}
        for task, outcome in run_tasks(worker.run_chain, tasks, options):
            results = (
                _broken(self.store, task, outcome)
                if isinstance(outcome, WorkerKilledError)
                else outcome
            )
            for place, result in enumerate(results):
                if result.state == worker.AGAIN and repairs < _REPAIRS:
                    again[task.scan] = results[place:]
                    break
                self._note(_given_up(result), watch)
        if again:
            damaged = {self._key(n, s) for s, results in again.items() for n in results[0].damaged}
            self._make_again(damaged, again, stages[-1], watch, repairs + 1)

    def _run_dataset_stage(self, stage: DatasetStage, watch: Watch, repairs: int = 0) -> None:
        (action,) = self.planner.decide_stage(stage)
        damaged = self._damaged_inputs(stage, action)
        if damaged and repairs < _REPAIRS:
            scans = {scan for _, scan in damaged if scan}
            self._make_again(damaged.keys(), scans, stage, watch, repairs + 1)
            self._run_dataset_stage(stage, watch, repairs + 1)
            return
        self._tell_damage(action, watch)
        watch.begin(stage.name, int(action.do == plan.RUN))
        if action.do != plan.RUN:
            self._settle(action, watch)
            return
        if damaged:
            why = "; ".join(damaged.values())
            result = Result(stage.name, "", worker.AGAIN, action.fingerprint, why)
            self._note(_given_up(result), watch)
            return
        inputs = self._dataset_inputs(stage, action)
        self._note(worker.run_dataset_step(self.store, self._step(action), inputs), watch)

    def _make_again(
        self,
        damaged: Container[tuple[str, str]],
        scans: Collection[str],
        last: Stage,
        watch: Watch,
        repairs: int,
    ) -> None:
        """Make outputs again that turned out damaged when `last` was to read them."""
        for group in stage_groups(self.planner.stages):
            first = group[0]
            if isinstance(first, ScanStage):
                if scans:
                    chain = [stage for stage in group if isinstance(stage, ScanStage)]
                    self._run_scan_stages(chain, watch, scans, repairs)
            elif first is not last and (first.name, "") in damaged:
                self._run_dataset_stage(first, watch, repairs)
            if last in group:
                return

    def _damaged_inputs(self, stage: DatasetStage, action: Action) -> dict[tuple[str, str], str]:
        """What is wrong with the inputs of a stage that is about to read them all."""
        needs = [(need, "") for need in stage.needs if (need, "") in self.planner.actions]
        found = {key: self.planner.actions[key].damaged for key in needs}
        if action.do == plan.RUN:
            needs += [
                (need, scan)
                for scan in self.planner.complete_scans(stage)
                for need in stage.needs
                if (need, scan) in self.planner.actions
            ]
            with ThreadPoolExecutor(_READERS) as readers:
                found |= dict(zip(needs, readers.map(self._fault_in, needs), strict=True))
        return {key: fault for key, fault in found.items() if fault}

    def _fault_in(self, key: tuple[str, str]) -> str:
        (stage, scan), name = key, self.planner.actions[key].fingerprint
        return trust.fault_in(self.store.folder(stage, name, scan), stage, name, scan)

    def _tell_damage(self, action: Action, watch: Watch) -> None:
        if action.damaged:
            self.damaged[action.stage, action.scan] = action.damaged
            watch.damaged(
                Result(action.stage, action.scan, worker.AGAIN, action.fingerprint, action.damaged)
            )

    def _settle(self, action: Action, watch: Watch) -> None:
        """Note a stage that is not run; of one that this run has done, that stands."""
        result = _settled(action)
        before = self.results.get((action.stage, action.scan))
        if before and before.state in {worker.RAN, result.state}:
            return
        self._note(result, watch)

    def _dataset_inputs(self, stage: DatasetStage, action: Action) -> DatasetInputs:
        kinds = {item.name: item for item in self.planner.stages}
        scan_needs = [need for need in stage.needs if isinstance(kinds[need], ScanStage)]
        params = effective_params(self.request.settings[stage.name])
        alike = [
            earlier
            for earlier in self.store.all(stage.name)
            # Who forces a stage wants it made from nothing.
            if stage.name not in self.request.force
            and earlier.state == record.DONE
            and earlier.version == stage.version
            and earlier.params == params
            and earlier.fingerprint != action.fingerprint
        ]
        return DatasetInputs(
            scans={
                scan: {need: self._folder(need, scan) for need in scan_needs}
                for scan in self.planner.complete_scans(stage)
            },
            stages={need: self._folder(need, "") for need in stage.needs if need not in scan_needs},
            previous=next(self._sound(alike), None),
        )

    def _sound(self, earlier: Sequence[record.Record]) -> Iterator[Path]:
        """Folders of earlier outputs of the data set, the newest first, of which all is right."""
        for each in reversed(earlier):
            folder = self.store.folder(each.stage, each.fingerprint)
            if not trust.fault_in(folder, each.stage, each.fingerprint):
                yield folder

    def _step(self, action: Action) -> Step:
        stage = next(s for s in self.planner.stages if s.name == action.stage)
        folders = {need: self._folder(need, action.scan) for need in stage.needs if action.scan}
        if action.scan:
            folders["source"] = self.sources[action.scan]
        return Step(
            stage,
            self.request.settings[stage.name],
            action.fingerprint,
            action.inputs,
            folders,
            force=stage.name in self.request.force,
        )

    def _key(self, stage: str, scan: str) -> tuple[str, str]:
        return (stage, scan) if (stage, scan) in self.planner.actions else (stage, "")

    def _folder(self, stage: str, scan: str) -> Path:
        key = self._key(stage, scan)
        return self.store.folder(stage, self.planner.actions[key].fingerprint, key[1])

    def _note(self, result: Result, watch: Watch) -> None:
        key = (result.stage, result.scan)
        self.results[key] = result
        done = result.state in {worker.RAN, worker.REUSED}
        self.planner.actions[key] = replace(
            self.planner.actions[key],
            do=plan.REUSE if done else result.state,
            why=result.error or result.state,
            record=result.record,
            damaged="",
        )
        watch.result(result)

    def _summary(self) -> Summary:
        results: dict[str, list[Result]] = {scan: [] for scan in self.patients}
        for (_, scan), result in self.results.items():
            if scan:
                results[scan].append(result)
        states = {scan: scan_state(mine) for scan, mine in results.items()}
        counted = Counter(states.values())
        counts = {state: counted[state] for state in ("done", "failed", "skipped")}
        return Summary(dict(self.results), len(states), damaged=dict(self.damaged), **counts)


def scan_state(results: Sequence[Result]) -> str:
    """``done``, ``failed`` or ``skipped``: what became of a scan over all its stages."""
    states = {result.state for result in results}
    if states & {worker.FAILED, worker.BLOCKED}:
        return "failed"
    return "skipped" if worker.SKIPPED in states else "done"


def stage_groups(stages: Sequence[Stage]) -> Iterator[list[Stage]]:
    """Stages that run together: consecutive scan stages of one kind, or one data-set stage."""
    numbered = enumerate(stages)

    def kind(item: tuple[int, Stage]) -> object:
        place, stage = item
        return place if isinstance(stage, DatasetStage) or stage.in_parent else "scans"

    for _, group in itertools.groupby(numbered, kind):
        yield [stage for _, stage in group]


def _settled(action: Action) -> Result:
    state = worker.REUSED if action.do == plan.REUSE else action.do
    error = "" if action.do == plan.REUSE else action.why
    return Result(
        action.stage,
        action.scan,
        state,
        action.fingerprint,
        error,
        action.record,
        known=action.do in {plan.FAILED, plan.SKIPPED},
    )


def _given_up(result: Result) -> Result:
    """A result as it is; a failure where an input was damaged every time that it was made."""
    if result.state != worker.AGAIN:
        return result
    why = f"{result.error}; made again, it was damaged again: the disk or memory may be at fault"
    return replace(result, state=worker.FAILED, error=why)


def _broken(store: Store, task: ScanTask, error: WorkerKilledError) -> list[Result]:
    """Results of a chain that broke off, or whose worker died: what it had done is in the store."""
    results: list[Result] = []
    for step in task.steps:
        name = step.stage.name
        found = store.find(name, step.fingerprint, task.scan)
        if results and results[-1].state != worker.RAN:
            blocked = f"{next(r.stage for r in results if r.state != worker.RAN)} failed"
            results.append(Result(name, task.scan, worker.BLOCKED, step.fingerprint, blocked))
        elif found is not None and found.state == record.DONE:
            results.append(Result(name, task.scan, worker.RAN, step.fingerprint, record=found))
        else:
            results.append(Result(name, task.scan, worker.FAILED, step.fingerprint, str(error)))
    return results
