"""What is damaged is made again in the same run; what the machine did is tried again."""

import os
import re
from dataclasses import replace

import pytest

from lungseg.core import runner, worker
from lungseg.core.errors import DamagedOutputError, LimitError, NotProvenError, ScanError, is_proven
from lungseg.core.executor import EngineOptions
from lungseg.core.plan import Planner
from lungseg.core.runner import Run, Watch
from lungseg.core.store import Store
from tests.core.stages import FIRST, FLOW, JOIN, READ, Upper, make_request, make_sources

TEXTS = {"a": "one", "b": "two"}
OTHER_MARK = {"upper": Upper(mark="?")}


class Listener:
    def __init__(self):
        self.damaged = []

    def watch(self):
        return Watch(damaged=lambda result: self.damaged.append((result.stage, result.scan)))


def run(tmp_path, texts=None, settings=None, flow=FLOW, listener=None, **more):
    refs, paths = make_sources(tmp_path / "src", **(texts or TEXTS))
    request = make_request(refs, settings, **more)
    defaults = {stage.name: stage.params() for stage in flow}
    request = replace(request, flow=flow, settings={**defaults, **request.settings})
    watch = listener.watch() if listener else None
    return Run(Store(tmp_path / "work"), request, paths, EngineOptions()).execute(watch)


def states(summary):
    return {key: result.state for key, result in summary.results.items()}


def file_of(tmp_path, summary, stage, scan, name):
    fingerprint = summary.results[stage, scan].fingerprint
    return Store(tmp_path / "work").folder(stage, fingerprint, scan) / name


def rot(path):
    before = path.stat()
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_an_input_that_rotted_is_made_again_in_the_run_that_reads_it(tmp_path):
    first = run(tmp_path)
    path = file_of(tmp_path, first, "read", "a", "text.txt")
    rot(path)
    listener = Listener()
    second = run(tmp_path, settings=OTHER_MARK, listener=listener)
    assert path.read_text() == "one"
    assert file_of(tmp_path, second, "upper", "a", "upper.txt").read_text() == "ONE?"
    assert file_of(tmp_path, second, "join", "", "all.txt").read_text() == "ONE? TWO?"
    assert states(second)["read", "a"] == "ran"
    assert states(second)["read", "b"] == "reused"
    assert second.damaged == {
        ("read", "a"): f"{path} is not what was kept: its digest differs",
    }
    assert listener.damaged == [("read", "a")]
    assert (second.done, second.failed) == (2, 0)
    assert set(states(run(tmp_path, settings=OTHER_MARK)).values()) == {"reused"}


@pytest.mark.parametrize("harm", [rot, lambda path: path.unlink(), lambda p: p.write_text("")])
def test_a_stage_over_all_scans_has_its_inputs_made_again_first(tmp_path, harm):
    first = run(tmp_path)
    path = file_of(tmp_path, first, "upper", "b", "upper.txt")
    harm(path)
    second = run(tmp_path, settings={"join": JOIN.params(least=2)})
    assert file_of(tmp_path, second, "join", "", "all.txt").read_text() == "ONE! TWO!"
    assert list(second.damaged) == [("upper", "b")]
    assert states(second)["upper", "b"] == "ran"
    assert states(second)["upper", "a"] == "reused"


def test_an_output_of_the_data_set_that_rotted_is_made_again_for_the_scans_that_read_it(tmp_path):
    first = run(tmp_path)
    path = file_of(tmp_path, first, "join", "", "all.txt")
    rot(path)
    file_of(tmp_path, first, "back", "a", "share.txt").unlink()
    second = run(tmp_path)
    assert path.read_text() == "ONE! TWO!"
    assert file_of(tmp_path, second, "back", "a", "share.txt").read_text() == "9"
    assert list(second.damaged) == [("back", "a"), ("join", "")]
    assert states(second)["join", ""] == "ran"


@pytest.mark.parametrize("harm", [rot, lambda path: path.write_bytes(b""), lambda p: p.unlink()])
def test_a_stage_that_reads_a_part_of_a_damaged_input_has_it_made_again(tmp_path, harm):
    flow = (*FLOW[:3], FIRST)
    first = run(tmp_path, flow=flow, targets=("first",))
    path = file_of(tmp_path, first, "join", "", "all.txt")
    harm(path)
    second = run(tmp_path, flow=flow, targets=("first",))
    assert path.read_text() == "ONE! TWO!"
    assert states(second) == {
        ("read", "a"): "reused", ("read", "b"): "reused",
        ("upper", "a"): "reused", ("upper", "b"): "reused",
        ("join", ""): "ran", ("first", ""): "reused",
    }  # fmt: skip


def test_a_reader_that_breaks_on_a_damaged_input_does_not_end_the_run(tmp_path):
    flow = (*FLOW[:3], FIRST)
    first = run(tmp_path, flow=flow, targets=("first",))
    path = file_of(tmp_path, first, "join", "", "all.txt")
    before = path.stat()
    path.write_bytes(b"\xff" * before.st_size)  # no text at all
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = run(tmp_path, flow=flow, targets=("first",))
    assert (states(second)["join", ""], states(second)["first", ""]) == ("ran", "reused")
    assert list(second.damaged) == [("join", "")]


def test_a_reader_that_breaks_on_a_sound_input_is_a_fault_of_ours(tmp_path):
    def breaks(_params, _folders):
        raise ZeroDivisionError("ours")

    flow = (*FLOW[:3], replace(FIRST, reads=breaks))
    with pytest.raises(ZeroDivisionError, match="ours"):
        run(tmp_path, flow=flow, targets=("first",))


def test_an_older_output_that_rotted_is_not_built_on(tmp_path):
    first = run(tmp_path, targets=("join",))
    rot(file_of(tmp_path, first, "join", "", "all.txt"))
    more = run(tmp_path, {**TEXTS, "c": "three"}, targets=("join",))
    assert more.results["join", ""].record.facts == {"words": 3, "had_previous": False}


def test_what_is_handed_out_is_compared_byte_by_byte(tmp_path):
    first = run(tmp_path)
    path = file_of(tmp_path, first, "upper", "a", "upper.txt")
    rot(path)
    assert run(tmp_path, targets=("upper",)).damaged == {}
    rot(path)
    rot(path)
    handed = run(tmp_path, targets=("upper",), read_out=frozenset({"upper"}))
    assert list(handed.damaged) == [("upper", "a")]
    assert path.read_text() == "ONE!"


def test_what_is_damaged_each_time_it_is_made_is_a_failure_that_says_so(tmp_path, monkeypatch):
    first = run(tmp_path)
    rot(file_of(tmp_path, first, "read", "a", "text.txt"))
    real = Store.keep

    def keep_and_rot(store, scratch, record):
        done = real(store, scratch, record)
        if (record.stage, record.scan) == ("read", "a"):
            rot(store.folder("read", record.fingerprint, "a") / "text.txt")
        return done

    monkeypatch.setattr(Store, "keep", keep_and_rot)
    second = run(tmp_path, settings=OTHER_MARK)
    assert states(second)["upper", "a"] == "failed"
    assert second.results["upper", "a"].error.endswith(
        "text.txt is not what was kept: its digest differs; made again, it was damaged again: "
        "the disk or memory may be at fault"
    )
    assert (second.done, second.failed) == (1, 1)
    monkeypatch.undo()
    third = run(tmp_path, settings=OTHER_MARK)
    assert (third.done, third.failed) == (2, 0)


def test_what_no_stage_foresaw_fails_its_own_scan_alone(tmp_path, monkeypatch):
    real = worker.run_chain

    def chain(task):
        if task.scan == "a":
            raise RuntimeError("a fault of ours")
        return real(task)

    monkeypatch.setattr(runner.worker, "run_chain", chain)
    summary = run(tmp_path, targets=("upper",))
    assert summary.results["read", "a"].error == "RuntimeError: a fault of ours"
    assert states(summary)["upper", "a"] == "blocked"
    assert states(summary)["upper", "b"] == "ran"


def raising(error):
    def fail(_params, _inputs, _out):
        raise error

    return (replace(READ, run=fail), *FLOW[1:])


def from_cause(cause):
    error = ScanError("cannot be read")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "proven"),
    [
        (ScanError("two slices lie at one place"), True),
        (from_cause(ValueError("no number")), True),
        (from_cause(OSError("broken data stream")), True),
        (from_cause(OSError(5, "Input/output error")), False),
        (from_cause(FileNotFoundError(2, "No such file")), False),
        (from_cause(MemoryError()), False),
        (from_cause(from_cause(PermissionError(13, "Permission denied"))), False),
        (NotProvenError("the source is not there"), False),
        (LimitError("too large"), False),
        (DamagedOutputError("not what was kept"), False),
        (OSError(28, "No space left on device"), False),
        (ZeroDivisionError("ours"), False),
    ],
)
def test_only_what_the_bytes_prove_is_remembered(tmp_path, error, proven):
    assert is_proven(error) == proven
    run(tmp_path, {"a": "one"}, flow=raising(error), targets=("read",))
    refs, _ = make_sources(tmp_path / "src", a="one")
    (action,) = Planner(Store(tmp_path / "work"), make_request(refs, targets=("read",))).decide()
    assert action.do == ("failed" if proven else "run")


def test_a_loop_of_causes_has_an_end():
    error = ScanError("x")
    error.__context__ = cause = ValueError("y")
    cause.__context__ = error
    assert is_proven(error)


def test_a_failure_of_before_is_marked_as_known(tmp_path):
    first = run(tmp_path, {"a": "bad"})
    assert not first.results["read", "a"].known
    assert run(tmp_path, {"a": "bad"}).results["read", "a"].known
    assert not run(tmp_path, {"a": "bad"}, retry=True).results["read", "a"].known


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (28, "the disk is full: free some, or put --work elsewhere, and run again"),
        (27, "no file may grow so large here"),
        (5, "the disk, or the way to it, fails: the next run tries again"),
        (2, r"is its disk there\? The next run tries again"),
    ],
)
def test_what_the_system_refused_is_told_with_what_to_do_and_without_a_traceback(
    tmp_path, number, hint
):
    error = OSError(number, os.strerror(number), "ct.h5")
    summary = run(tmp_path, {"a": "one"}, flow=raising(error), targets=("read",))
    assert re.search(hint, summary.results["read", "a"].error)
    assert "traceback" not in summary.results["read", "a"].error


def test_a_librarys_back_trace_is_in_the_file_and_its_last_word_on_the_screen(tmp_path):
    error = ZeroDivisionError("HDF5 error back trace\n\n  File H5F.c\n  no flush\n\nCannot create")
    summary = run(tmp_path, {"a": "one"}, flow=raising(error), targets=("read",))
    told = summary.results["read", "a"].error
    assert told.startswith("ZeroDivisionError: HDF5 error back trace ... Cannot create (traceback")
    assert "\n" not in told
    (file,) = Store(tmp_path / "work").shelf("read", "a").glob("*.traceback.txt")
    assert "File H5F.c" in file.read_text()


def test_a_failure_that_the_disk_takes_no_note_of_does_not_end_the_run(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "keep_failure", full)
    summary = run(tmp_path, {"a": "bad", "b": "two"}, targets=("upper",))
    assert (summary.done, summary.failed) == (1, 1)


def test_a_traceback_goes_when_the_stage_succeeds(tmp_path):
    run(tmp_path, {"a": "bug"}, targets=("read",))
    shelf = Store(tmp_path / "work").shelf("read", "a")
    assert len(list(shelf.glob("*.traceback.txt"))) == 1
    run(tmp_path, {"a": "mended"}, targets=("read",))
    assert not list(shelf.glob("*.traceback.txt"))
