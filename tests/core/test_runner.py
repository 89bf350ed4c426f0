"""The runner, and the runner under faults."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lungseg.core import runner
from lungseg.core.engine.bounds import WorkerKilledError
from lungseg.core.errors import ConfigError
from lungseg.core.executor import EngineOptions, run_tasks
from lungseg.core.interrupt import StoppedError
from lungseg.core.plan import Planner
from lungseg.core.runner import Run, _broken
from lungseg.core.stage import DatasetInputs
from lungseg.core.store import Store
from lungseg.core.worker import ScanTask, Step, run_dataset_step, run_scan_step
from tests.core.stages import (
    BACK,
    FIRST,
    FLOW,
    JOIN,
    READ,
    UPPER,
    Read,
    Upper,
    make_request,
    make_sources,
)
from tests.core.test_repair import OTHER_MARK, file_of, rot

ROOT = Path(__file__).parents[2]
TWO_WORKERS = EngineOptions(jobs=2)


def run(tmp_path, texts, settings=None, options=None, **more):
    refs, paths = make_sources(tmp_path / "src", **texts)
    store = Store(tmp_path / "work")
    return Run(
        store, make_request(refs, settings, **more), paths, options or EngineOptions()
    ).execute()


def states(summary):
    return {key: result.state for key, result in summary.results.items()}


def read_output(tmp_path, summary, stage, scan, name):
    result = summary.results[stage, scan]
    return (Store(tmp_path / "work").folder(stage, result.fingerprint, scan) / name).read_text()


def test_a_run_does_everything_and_the_next_reuses_everything(tmp_path):
    first = run(tmp_path, {"a": "one", "b": "two"})
    assert set(states(first).values()) == {"ran"}
    assert (first.expected, first.done, first.failed, first.skipped) == (2, 2, 0, 0)
    assert read_output(tmp_path, first, "join", "", "all.txt") == "ONE! TWO!"
    second = run(tmp_path, {"a": "one", "b": "two"})
    assert set(states(second).values()) == {"reused"}
    assert second.results["read", "a"].record.facts == {"letters": 3}


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (
            {"a": "stop", "b": "one"},
            "0 of 2 scans done and kept, and 1 stage output of the others;",
        ),
        (
            {"a": "one", "b": "stop"},
            "1 of 2 scans done and kept, and 1 stage output of the others;",
        ),
        (
            {"a": "one", "b": "two"},
            "join was not finished; 0 of 2 scans done and kept, and 4 stage",
        ),
    ],
)
def test_a_run_that_is_stopped_counts_scans_and_the_stage_outputs_of_others(tmp_path, texts, told):
    def stopped_upper(params, inputs, out):
        if (inputs["read"] / "text.txt").read_text() == "stop":
            raise KeyboardInterrupt
        return UPPER.run(params, inputs, out)

    def stopped_join(*_):
        raise KeyboardInterrupt

    refs, paths = make_sources(tmp_path / "src", **texts)
    flow = (READ, replace(UPPER, run=stopped_upper), replace(JOIN, run=stopped_join), BACK)
    target = "upper" if "stop" in texts.values() else "back"
    request = replace(make_request(refs, targets=(target,)), flow=flow)
    with pytest.raises(StoppedError, match=f"stopped; {told}"):
        Run(Store(tmp_path / "work"), request, paths, EngineOptions()).execute()


def test_one_changed_parameter_reruns_its_stage_and_what_depends_on_it_only(tmp_path):
    run(tmp_path, {"a": "one"})
    changed = run(tmp_path, {"a": "one"}, {"upper": Upper(mark="?")})
    assert states(changed) == {
        ("read", "a"): "reused",
        ("upper", "a"): "ran",
        ("join", ""): "ran",
        ("back", "a"): "ran",
    }


def test_a_stage_that_reads_a_part_of_its_inputs_is_valid_while_that_part_is(tmp_path):
    flow = (*FLOW[:3], FIRST)

    def run_first(texts):
        refs, paths = make_sources(tmp_path / "src", **texts)
        request = replace(make_request(refs, targets=("first",)), flow=flow)
        request = replace(request, settings={**request.settings, "first": FIRST.params()})
        return states(Run(Store(tmp_path / "work"), request, paths, EngineOptions()).execute())

    assert run_first({"a": "one"})["first", ""] == "ran"
    more = run_first({"a": "one", "b": "two"})
    assert (more["join", ""], more["first", ""]) == ("ran", "reused")
    other = run_first({"a": "three", "b": "two"})
    assert (other["join", ""], other["first", ""]) == ("ran", "ran")


def test_a_memory_limit_that_is_no_size_is_refused(tmp_path):
    refs, paths = make_sources(tmp_path / "src", a="one", b="two")
    options = EngineOptions(jobs=2, memory_limit="lots")
    with pytest.raises(ConfigError, match="--memory-limit lots: expected a size such as 4GB"):
        Run(Store(tmp_path / "work"), make_request(refs), paths, options).execute()


def test_what_is_impossible_here_is_blocked_with_the_reason_and_so_is_what_needs_it(tmp_path):
    refs, paths = make_sources(tmp_path / "src", a="one")
    request = replace(make_request(refs), impossible={"upper": "no ink"})
    done = Run(Store(tmp_path / "work"), request, paths, EngineOptions()).execute()
    assert states(done)["read", "a"] == "ran"
    assert states(done)["upper", "a"] == "blocked"
    assert done.results["back", "a"].error == "no ink"


def test_a_parameter_that_only_changes_speed_reruns_nothing(tmp_path):
    run(tmp_path, {"a": "one"})
    assert set(states(run(tmp_path, {"a": "one"}, {"read": Read(jobs_hint=7)})).values()) == {
        "reused"
    }


def test_the_content_of_a_path_parameter_counts_and_its_name_does_not(tmp_path):
    table, copy = tmp_path / "t.csv", tmp_path / "copy.csv"
    table.write_text("1")
    copy.write_text("1")
    run(tmp_path, {"a": "one"}, {"read": Read(table=str(table))})
    same = run(tmp_path, {"a": "one"}, {"read": Read(table=str(copy))})
    assert set(states(same).values()) == {"reused"}
    copy.write_text("22")
    assert (
        states(run(tmp_path, {"a": "one"}, {"read": Read(table=str(copy))}))["read", "a"] == "ran"
    )


def test_a_bad_scan_is_named_and_the_others_finish(tmp_path):
    summary = run(tmp_path, {"a": "bad", "b": "two", "c": "xray", "d": "bug"})
    assert (summary.expected, summary.done, summary.failed, summary.skipped) == (4, 1, 2, 1)
    assert summary.results["read", "a"].error == (
        "found 'bad', expected words; set read.table=FILE of words"
    )
    assert summary.results["upper", "a"].state == "blocked"
    assert summary.results["upper", "c"].state == "skipped"
    assert "ZeroDivisionError: a fault of ours (traceback: " in summary.results["read", "d"].error
    assert read_output(tmp_path, summary, "join", "", "all.txt") == "TWO!"


def test_a_record_tells_whose_it_is_and_how_long_it_took(tmp_path):
    summary = run(tmp_path, {"a": "one", "b": "bad"})
    of_scan, of_all = (summary.results[key].record for key in (("read", "a"), ("join", "")))
    assert (of_scan.scan, of_scan.patient) == ("a", "patient-a")
    assert (of_all.scan, of_all.patient) == ("", "")
    assert 0 <= of_scan.seconds < 2.9
    assert summary.results["upper", "b"].error == "read failed"


def test_a_fault_of_ours_leaves_its_traceback_beside_the_outputs_of_its_scan(tmp_path):
    summary = run(tmp_path, {"a": "bug"}, targets=("read",))
    place = summary.results["read", "a"].error.partition("(traceback: ")[2].removesuffix(")")
    assert Path(place).parent == tmp_path / "work" / "scans" / "a" / "read"
    assert "in run_read" in Path(place).read_text()


def test_a_fault_without_words_is_told_by_its_kind(tmp_path):
    summary = run(tmp_path, {"a": "memory"}, targets=("read",))
    assert summary.results["read", "a"].error.startswith(
        "MemoryError; memory ran out: try fewer --jobs (traceback: "
    )


def test_a_traceback_that_cannot_be_written_is_said(tmp_path, monkeypatch, caplog):
    write_text = Path.write_text

    def refuse(path, *arguments, **more):
        if path.name.endswith(".traceback.txt"):
            raise PermissionError("no")
        return write_text(path, *arguments, **more)

    monkeypatch.setattr(Path, "write_text", refuse)
    summary = run(tmp_path, {"a": "bug"}, targets=("read",))
    assert summary.results["read", "a"].error.endswith("(traceback: not written)")
    assert "no traceback could be written to" in caplog.text


def test_a_damaged_output_is_reported_with_the_commands_that_find_and_remake_it(tmp_path):
    summary = run(tmp_path, {"a": "damaged"})
    assert summary.results["read", "a"].error == "text.txt is not what was written"


def test_a_known_failure_is_not_tried_again_until_asked_but_a_bug_is(tmp_path):
    texts = {"a": "bad", "d": "bug"}
    run(tmp_path, texts, targets=("upper",))
    refs, _ = make_sources(tmp_path / "src", **texts)
    store = Store(tmp_path / "work")
    plan = {(a.stage, a.scan): a.do for a in Planner(store, make_request(refs)).decide()}
    assert plan["read", "a"] == "failed"
    assert plan["read", "d"] == "run"
    retried = Planner(store, make_request(refs, retry=True)).decide()
    assert {(a.stage, a.scan): a.do for a in retried}["read", "a"] == "run"


def test_what_does_not_fit_into_memory_is_refused_and_tried_again(tmp_path):
    summary = run(tmp_path, {"a": "huge", "b": "two"}, targets=("upper",))
    assert summary.results["read", "a"].error.startswith("a text of 2^60 letters needs 107374182")
    assert summary.results["read", "a"].error.endswith("; set read.repeat=1 for a shorter one")
    assert (summary.done, summary.failed) == (1, 1)
    refs, _ = make_sources(tmp_path / "src", a="huge")
    plan = Planner(Store(tmp_path / "work"), make_request(refs)).decide()
    assert plan[0].do == "run"
    assert not list(tmp_path.rglob("*.traceback.txt"))


def test_force_runs_a_stage_again(tmp_path):
    run(tmp_path, {"a": "one"})
    forced = run(tmp_path, {"a": "one"}, force=frozenset({"read"}))
    assert states(forced)["read", "a"] == "ran"
    assert states(forced)["upper", "a"] == "reused"


def test_force_replaces_what_was_there(tmp_path):
    first = run(tmp_path, {"a": "one"}, targets=("read",))
    folder = Store(tmp_path / "work").folder("read", first.results["read", "a"].fingerprint, "a")
    (folder / "text.txt").write_text("spoilt")
    forced = run(tmp_path, {"a": "one"}, targets=("read",), force=frozenset({"read"}))
    assert read_output(tmp_path, forced, "read", "a", "text.txt") == "one"


def test_a_step_is_run_by_its_own_kind_alone(tmp_path):
    store = Store(tmp_path)
    join = Step(JOIN, JOIN.params(), "j" * 64, {}, {})
    with pytest.raises(TypeError, match="join is not a stage of scans"):
        run_scan_step(ScanTask(store, "a", "p", (join,)), join)
    read = Step(READ, Read(), "r" * 64, {}, {})
    with pytest.raises(TypeError, match="read is not a stage of the data set"):
        run_dataset_step(store, read, DatasetInputs(scans={}, stages={}, previous=None))


def test_a_failed_stage_of_the_data_set_blocks_what_follows(tmp_path):
    summary = run(tmp_path, {"a": "one"}, {"join": JOIN.params(least=5)})
    assert states(summary)["join", ""] == "failed"
    assert states(summary)["back", "a"] == "blocked"
    assert summary.dataset_failed


def test_a_data_set_stage_is_given_its_previous_output_to_build_on(tmp_path):
    run(tmp_path, {"a": "one"})
    more = run(tmp_path, {"a": "one", "b": "two"})
    assert more.results["join", ""].record.facts == {"words": 2, "had_previous": True}


def test_an_output_of_another_version_or_other_settings_is_not_built_on(tmp_path):
    run(tmp_path, {"a": "one"}, targets=("join",))
    flow = tuple(replace(s, version=2) if s is JOIN else s for s in FLOW)
    refs, paths = make_sources(tmp_path / "src", a="one", b="two")
    request = replace(make_request(refs, targets=("join",)), flow=flow)
    newer = Run(Store(tmp_path / "work"), request, paths, EngineOptions()).execute()
    assert newer.results["join", ""].record.facts == {"words": 2, "had_previous": False}
    texts = {"a": "one", "b": "two", "c": "three"}
    other = run(tmp_path, texts, {"join": JOIN.params(least=2)}, targets=("join",))
    assert other.results["join", ""].record.facts == {"words": 3, "had_previous": False}


def test_what_must_run_in_the_parent_does_and_the_rest_in_workers(tmp_path, monkeypatch):
    jobs = {}

    def inline(function, tasks, options):
        jobs[tuple(step.stage.name for step in tasks[0].steps)] = options.jobs
        return run_tasks(function, tasks, EngineOptions())

    monkeypatch.setattr(runner, "run_tasks", inline)
    run(tmp_path, {"a": "one", "b": "two"}, options=TWO_WORKERS)
    assert jobs == {("read", "upper"): 2, ("back",): 1}


def hang(_params, _inputs, _out):
    time.sleep(600)


def test_what_must_run_in_the_parent_is_held_to_the_limits_in_one_process(tmp_path, monkeypatch):
    refs, paths = make_sources(tmp_path / "src", a="one")
    flow = (*FLOW[:3], replace(BACK, run=hang))
    request = replace(make_request(refs), flow=flow)
    options = EngineOptions(jobs=2, time_limit=1.5)
    summary = Run(Store(tmp_path / "work"), request, paths, options).execute()
    assert states(summary)["join", ""] == "ran"
    assert summary.results["back", "a"].error.startswith("it was not done after 1.5 s, and was")
    taken = []
    monkeypatch.setattr(runner, "run_tasks", lambda *words: taken.append(words[2]) or iter(()))
    Run(Store(tmp_path / "work"), request, paths, options).execute()
    assert taken == [options, replace(options, jobs=1)]


def test_libraries_in_a_worker_run_one_thread(monkeypatch):
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert dict(run_tasks(os.getenv, names, TWO_WORKERS)) == dict.fromkeys(names, "1")


def test_workers_give_what_inline_gives(tmp_path):
    texts = {"a": "one", "b": "two", "c": "bad"}
    inline = run(tmp_path / "inline", texts)
    workers = run(tmp_path / "workers", texts, options=TWO_WORKERS)
    assert states(inline) == states(workers)
    for scan in "ab":
        assert read_output(tmp_path / "inline", inline, "upper", scan, "upper.txt") == read_output(
            tmp_path / "workers", workers, "upper", scan, "upper.txt"
        )


def test_a_killed_worker_costs_its_own_scan_only(tmp_path):
    texts = {"a": "one", "b": "kill", "c": "three", "d": "four"}
    summary = run(tmp_path, texts, options=TWO_WORKERS, targets=("upper",))
    assert (summary.expected, summary.done, summary.failed) == (4, 3, 1)
    assert "worker was killed" in summary.results["read", "b"].error
    assert summary.results["upper", "b"].state == "blocked"


def test_what_a_killed_worker_had_completed_is_kept(tmp_path):
    read = run(tmp_path, {"a": "one"}, targets=("read",)).results["read", "a"].fingerprint
    steps = (
        Step(READ, Read(), read, {}, {}),
        Step(UPPER, Upper(), "u" * 64, {}, {}),
        Step(BACK, BACK.params(), "b" * 64, {}, {}),
    )
    store = Store(tmp_path / "work")
    task = ScanTask(store, "a", "patient-a", steps)
    results = _broken(store, task, WorkerKilledError("out of memory"))
    assert [(r.stage, r.state, r.error) for r in results] == [
        ("read", "ran", ""),
        ("upper", "failed", "out of memory"),
        ("back", "blocked", "upper failed"),
    ]


def test_after_kill_minus_nine_the_next_run_finishes_the_rest(tmp_path):
    texts = {"a": "one", "b": "slow"}
    program = (
        "from tests.core.test_runner import run\n"
        "from pathlib import Path\n"
        f"run(Path({str(tmp_path)!r}), {texts!r}, targets=('upper',))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    done_a = tmp_path / "work" / "scans" / "a" / "upper"
    half_b = tmp_path / "work" / "scans" / "b" / "read"
    deadline = time.monotonic() + 20
    while not (list(done_a.glob("*/stage.json")) and list(half_b.glob(".*.partial"))):
        assert time.monotonic() < deadline, "the run never reached its second scan"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(half_b.glob(".*.partial"))
    resumed = run(tmp_path, texts, targets=("upper",))
    assert states(resumed) == {
        ("read", "a"): "reused",
        ("upper", "a"): "reused",
        ("read", "b"): "ran",
        ("upper", "b"): "ran",
    }
    assert not list(half_b.glob(".*.partial"))
    unbroken = run(tmp_path / "fresh", texts, targets=("upper",))
    for scan in "ab":
        assert read_output(tmp_path, resumed, "upper", scan, "upper.txt") == read_output(
            tmp_path / "fresh", unbroken, "upper", scan, "upper.txt"
        )


def test_two_runs_at_once_on_one_work_folder_both_succeed(tmp_path):
    texts = {"a": "slow", "b": "slow"}
    program = (
        "from tests.core.test_runner import run\n"
        "from pathlib import Path\n"
        f"s = run(Path({str(tmp_path)!r}), {texts!r}, targets=('upper',))\n"
        "assert s.done == 2, s\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert set(states(run(tmp_path, texts, targets=("upper",))).values()) == {"reused"}


def test_two_runs_at_once_that_make_the_same_damaged_outputs_again_both_succeed(tmp_path):
    """Each finds the damage, and each makes the output again: a sound one stands in the end."""
    texts = {"a": "slow", "b": "two", "c": "six"}
    first = run(tmp_path, texts)
    for scan, harm in {"a": rot, "b": Path.unlink, "c": lambda path: path.write_text("si")}.items():
        harm(file_of(tmp_path, first, "read", scan, "text.txt"))
    rot(file_of(tmp_path, first, "join", "", "all.txt"))
    program = (
        "from tests.core.test_runner import run\n"
        "from tests.core.test_repair import OTHER_MARK\n"
        "from pathlib import Path\n"
        f"s = run(Path({str(tmp_path)!r}), {texts!r}, OTHER_MARK)\n"
        "assert s.done == 3, s\n"
        "print(*(scan for _, scan in s.damaged))\n"
    )
    command = [sys.executable, "-c", program]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    # One of them may come when the other has made it again already.
    assert set(" ".join(told).split()) == {"a", "b", "c"}
    now = run(tmp_path, texts, OTHER_MARK)
    assert set(states(now).values()) == {"reused"}
    assert read_output(tmp_path, now, "join", "", "all.txt") == "SLOW? TWO? SIX?"
    for scan, text in texts.items():
        assert read_output(tmp_path, now, "read", scan, "text.txt") == text
    again = run(tmp_path, texts, {"join": JOIN.params(least=1)})
    assert read_output(tmp_path, again, "join", "", "all.txt") == "SLOW! TWO! SIX!"


def test_no_engine_starts_when_everything_is_in_the_cache(tmp_path, monkeypatch):
    run(tmp_path, {"a": "one", "b": "two"}, targets=("upper",))
    monkeypatch.setattr("lungseg.core.executor._run_distributed", lambda *_: pytest.fail("started"))
    run(tmp_path, {"a": "one", "b": "two"}, options=TWO_WORKERS, targets=("upper",))


def test_a_full_disk_is_said_and_not_remembered(tmp_path, monkeypatch):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("lungseg.core.store.write_record", full)
        summary = run(tmp_path, {"a": "one"}, targets=("upper",))
    assert "the disk is full" in summary.results["read", "a"].error
    assert not list(tmp_path.glob("work/scans/a/read/*/"))
    assert run(tmp_path, {"a": "one"}, targets=("upper",)).done == 1


def test_flow_order_is_kept():
    assert [stage.name for stage in FLOW] == ["read", "upper", "join", "back"]
