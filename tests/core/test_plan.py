"""The plan: what will run and why, before anything runs."""

import dataclasses

import pytest

from lungseg.core.errors import ConfigError
from lungseg.core.executor import EngineOptions
from lungseg.core.plan import Planner, stages_for, why_stale
from lungseg.core.record import Record
from lungseg.core.runner import Run, stage_groups
from lungseg.core.store import Store
from tests.core.stages import FIRST, FLOW, JOIN, UPPER, Read, Upper, make_request, make_sources


def decide(tmp_path, refs, settings=None):
    planner = Planner(Store(tmp_path / "work"), make_request(refs, settings))
    return {(a.stage, a.scan): (a.do, a.why) for a in planner.decide()}


@pytest.fixture
def done(tmp_path):
    refs, paths = make_sources(tmp_path / "src", a="one", b="two")
    Run(Store(tmp_path / "work"), make_request(refs), paths, EngineOptions()).execute()
    return refs


def test_an_empty_store_runs_everything(tmp_path):
    refs, _ = make_sources(tmp_path / "src", a="one")
    plan = decide(tmp_path, refs)
    assert plan["read", "a"] == ("run", "not done yet")
    assert plan["upper", "a"] == ("run", "read runs")
    assert plan["join", ""] == ("run", "upper runs")


def test_what_a_stage_reads_is_not_looked_at_before_it_is_made(tmp_path):
    refs, _ = make_sources(tmp_path / "src", a="one")
    request = dataclasses.replace(
        make_request(refs, {"first": FIRST.params()}), flow=(*FLOW, FIRST), targets=("first",)
    )
    planner = Planner(Store(tmp_path / "work"), request)
    planner.decide()
    first = planner.actions["first", ""]
    assert (first.do, first.why) == ("run", "join runs")


def test_the_changed_parameter_is_the_reason(tmp_path, done):
    plan = decide(tmp_path, done, {"upper": Upper(gain=3)})
    assert plan["read", "a"] == ("reuse", "in the cache")
    assert plan["upper", "b"] == ("run", "gain 2 -> 3")
    assert plan["join", ""] == ("run", "inputs: 0 new, 0 gone, 2 changed")
    assert plan["back", "a"] == ("run", "input changed: upper, join")


def test_a_new_scan_leaves_the_others_alone(tmp_path, done):
    refs, _ = make_sources(tmp_path / "src", a="one", b="two", c="three")
    plan = decide(tmp_path, refs)
    assert plan["upper", "a"] == ("reuse", "in the cache")
    assert plan["upper", "c"][0] == "run"
    assert plan["join", ""] == ("run", "inputs: 1 new, 0 gone, 0 changed")


def test_changed_source_files_are_the_reason(tmp_path, done):
    refs = [dataclasses.replace(ref, identity="other") for ref in done]
    assert decide(tmp_path, refs)["read", "a"] == ("run", "input changed: source")


def test_a_lost_output_is_made_again_and_said(tmp_path, done):
    store = Store(tmp_path / "work")
    (record,) = store.all("upper", "a")
    store.drop("upper", record.fingerprint, "a")
    assert decide(tmp_path, done)["upper", "a"] == ("run", "not done yet")
    assert decide(tmp_path, done)["join", ""][0] == "reuse"


def test_a_lost_output_of_the_data_set_is_said_though_its_inputs_are_there(tmp_path, done):
    store = Store(tmp_path / "work")
    (record,) = store.all("join")
    store.drop("join", record.fingerprint)
    assert decide(tmp_path, done)["join", ""] == ("run", "not done yet")
    assert decide(tmp_path, done)["upper", "a"] == ("reuse", "in the cache")


def test_a_data_set_stage_that_is_impossible_or_needs_a_failed_one_is_blocked(tmp_path, done):
    request = dataclasses.replace(
        make_request(done, {"first": FIRST.params(), "join": JOIN.params(least=5)}),
        flow=(*FLOW, FIRST),
        targets=("first",),
    )
    store = Store(tmp_path / "work")
    planner = Planner(store, request)
    planner.decide()
    join = planner.actions["join", ""]
    planner.actions["join", ""] = dataclasses.replace(join, do="failed")
    (first,) = planner.decide_stage(FIRST)
    assert (first.scan, first.do, first.why) == ("", "blocked", "join failed")
    assert first.inputs == {"join": join.fingerprint}
    possible = planner.actions["join", ""].fingerprint
    planner = Planner(store, dataclasses.replace(request, impossible={"join": "no ink"}))
    planner.decide()
    join, first = (planner.actions[name, ""] for name in ("join", "first"))
    assert (join.do, join.why, join.fingerprint) == ("blocked", "no ink", possible)
    assert (first.do, first.why) == ("blocked", "no ink")


def test_after_a_known_failure_the_stage_that_failed_is_the_reason(tmp_path):
    refs, paths = make_sources(tmp_path / "src", a="bad", b="two")
    Run(Store(tmp_path / "work"), make_request(refs), paths, EngineOptions()).execute()
    plan = decide(tmp_path, refs)
    assert plan["read", "a"][0] == "failed"
    assert plan["upper", "a"] == ("blocked", "read failed")
    assert plan["back", "a"] == ("blocked", "read failed")


def test_an_unknown_stage_is_named():
    with pytest.raises(ConfigError, match="no stage is named 'lower'; there are read, upper"):
        stages_for(FLOW, ["lower"])


def test_a_stage_brings_what_it_needs_in_the_order_of_the_flow():
    assert [stage.name for stage in stages_for(FLOW, ["join"])] == ["read", "upper", "join"]


def test_groups_are_chains_of_scan_stages_and_single_others():
    groups = [[stage.name for stage in group] for group in stage_groups(FLOW)]
    assert groups == [["read", "upper"], ["join"], ["back"]]


def test_a_raised_version_is_the_reason():
    earlier = Record(stage="upper", version=0, fingerprint="x")
    assert why_stale(earlier, UPPER, Upper(), {}) == "version 0 -> 1"


def test_every_parameter_that_matters_moves_the_fingerprint(tmp_path):
    refs, _ = make_sources(tmp_path / "src", a="one")

    def prints(settings):
        planner = Planner(Store(tmp_path / "work"), make_request(refs, settings))
        return {(a.stage, a.scan): a.fingerprint for a in planner.decide()}

    base = prints({})
    assert prints({"read": Read(jobs_hint=9)}) == base
    moved = prints({"read": Read(repeat=2)})
    assert all(moved[key] != base[key] for key in base)
