"""The runner: takes a plan through the engine, stage group by stage group, and counts.

Consecutive scan stages run as one chain a scan, so that a scan's volume stays warm in one worker;
a data-set stage waits for all scans. Every run ends with expected = done + failed + skipped.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lungseg.core import plan, record, worker
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


@dataclass(frozen=True)
class Watch:
    """Who wants to know: `begin` hears of a group of stages and its tasks, `result` of each end."""

    begin: Begin = field(default=lambda _name, _tasks: None)
    result: Report = field(default=lambda _result: None)


@dataclass(frozen=True)
class Summary:
    """What came of a run: every result by (stage, scan), and the counts over scans."""

    results: Mapping[tuple[str, str], Result]
    expected: int
    done: int
    failed: int
    skipped: int

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
            done = self._through()
            of_all = f"{stage} was not finished; " if stage else ""
            raise StoppedError(
                f"stopped; {of_all}{done} of {len(self.patients)} scans done and kept; the same "
                "command goes on",
                exit_status(stop),
            ) from stop
        return self._summary()

    def _through(self) -> int:
        """How many scans are through all stages, by the store: workers may be ahead of us."""
        request = replace(self.request, force=frozenset())
        left = {a.scan for a in Planner(self.store, request).decide() if a.do != plan.REUSE}
        return sum(scan not in left for scan in self.patients)

    def _run_scan_stages(self, stages: Sequence[ScanStage], watch: Watch) -> None:
        actions = [action for stage in stages for action in self.planner.decide_stage(stage)]
        tasks = []
        for scan in sorted(self.patients):
            mine = [action for action in actions if action.scan == scan]
            steps = tuple(self._step(a) for a in mine if a.do == plan.RUN)
            for action in mine:
                # What follows a stage that is about to run is decided by how that run ends.
                if action.do != plan.RUN:
                    self._note(_settled(action), watch)
            if steps:
                tasks.append(ScanTask(self.store, scan, self.patients[scan], steps))
        watch.begin(" + ".join(stage.name for stage in stages), len(tasks))
        inline = any(stage.in_parent for stage in stages)
        options = EngineOptions() if inline else self.options
        for task, outcome in run_tasks(worker.run_chain, tasks, options):
            results = (
                _killed(self.store, task, outcome)
                if isinstance(outcome, WorkerKilledError)
                else outcome
            )
            for result in results:
                self._note(result, watch)

    def _run_dataset_stage(self, stage: DatasetStage, watch: Watch) -> None:
        (action,) = self.planner.decide_stage(stage)
        watch.begin(stage.name, int(action.do == plan.RUN))
        if action.do != plan.RUN:
            self._note(_settled(action), watch)
            return
        inputs = self._dataset_inputs(stage, action)
        self._note(worker.run_dataset_step(self.store, self._step(action), inputs), watch)

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
            previous=self.store.folder(stage.name, alike[-1].fingerprint) if alike else None,
        )

    def _step(self, action: Action) -> Step:
        stage = next(s for s in self.planner.stages if s.name == action.stage)
        folders = {need: self._folder(need, action.scan) for need in stage.needs if action.scan}
        if not stage.needs and action.scan:
            folders["source"] = self.sources[action.scan]
        return Step(
            stage,
            self.request.settings[stage.name],
            action.fingerprint,
            action.inputs,
            folders,
            force=stage.name in self.request.force,
        )

    def _folder(self, stage: str, scan: str) -> Path:
        key = (stage, scan) if (stage, scan) in self.planner.actions else (stage, "")
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
        )
        watch.result(result)

    def _summary(self) -> Summary:
        states = {scan: scan_state(self._of(scan)) for scan in self.patients}
        counts = {
            state: list(states.values()).count(state) for state in ("done", "failed", "skipped")
        }
        return Summary(dict(self.results), expected=len(states), **counts)

    def _of(self, scan: str) -> list[Result]:
        return [result for (_, other), result in self.results.items() if other == scan]


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
    return Result(action.stage, action.scan, state, action.fingerprint, error, action.record)


def _killed(store: Store, task: ScanTask, error: WorkerKilledError) -> list[Result]:
    """Results of a chain whose worker died: what it had completed is in the store."""
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
