"""What holds of every stage in the flow."""

import dataclasses
import re

import pytest

from lungseg.core.config import from_preset, settings
from lungseg.core.fingerprint import fingerprint
from lungseg.core.stage import DatasetStage
from lungseg.flow import COMMANDS, FLOW, HANDED_OUT
from lungseg.session import presets
from lungseg.session.reference import reference
from tests.test_architecture import ROOT

STAGES = pytest.mark.parametrize("stage", FLOW, ids=lambda stage: stage.name)
# Words of a length, a time or an intensity that must not stand in a name without their unit.
UNITLESS = re.compile(r"(radius|diameter|distance|spacing|volume|margin|seconds)$")


@STAGES
def test_every_parameter_tells_what_it_does_and_its_unit(stage):
    for spec in dataclasses.fields(stage.params):
        assert len(spec.metadata["help"]) > 5, spec.name
        assert not UNITLESS.search(spec.name), f"{spec.name} needs a unit in its name"


def other_value(spec, default):
    """Another valid value of a parameter."""
    if spec.metadata["choices"]:
        return next(choice for choice in spec.metadata["choices"] if choice != default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, str):
        return str(ROOT / "LICENSE")
    bounds = spec.metadata["bounds"]
    start = default if default is not None else 1
    for value in (start + 1, start - 1, start * 0.9, start + 0.01, start + 32, start * 2):
        typed = type(start)(value)
        above = bounds.get("above", bounds.get("least", -1e99))
        below = bounds.get("below", bounds.get("most", 1e99))
        if above < typed < below and typed != default:
            return typed
    raise AssertionError(f"no other value of {spec.name} was found")


@STAGES
def test_every_parameter_is_in_the_fingerprint_unless_it_only_changes_speed(stage):
    base = fingerprint(stage, stage.params(), {})
    for spec in dataclasses.fields(stage.params):
        value = other_value(spec, getattr(stage.params(), spec.name))
        # Around the checks of two parameters at once: the fingerprint alone is in question.
        changed = stage.params()
        object.__setattr__(changed, spec.name, value)
        moved = fingerprint(stage, changed, {}) != base
        assert moved == spec.metadata["affects_output"], spec.name


def test_the_flow_runs_each_stage_after_what_it_needs():
    seen = set()
    for stage in FLOW:
        assert set(stage.needs) <= seen, stage.name
        seen.add(stage.name)


def test_the_four_commands_run_the_whole_flow_once_but_for_what_is_handed_out():
    run = [name for names in COMMANDS.values() for name in names]
    assert run == [stage.name for stage in FLOW if stage.name not in HANDED_OUT.values()]
    assert set(HANDED_OUT.values()) < {stage.name for stage in FLOW}


@STAGES
def test_modules_and_parameters_are_named_after_their_stage(stage):
    module = stage.run.__module__.rsplit(".", 1)[1]
    assert module == stage.name.replace("-", "_")
    assert stage.params.__name__ == "".join(word.title() for word in stage.name.split("-"))


@STAGES
def test_a_stage_module_opens_with_what_it_reads_and_writes(stage):
    import importlib

    told = importlib.import_module(stage.run.__module__).__doc__
    assert re.search(r"^reads  ", told, re.MULTILINE)
    assert re.search(r"^writes ", told, re.MULTILINE)


def test_the_reference_tells_every_stage_and_parameter_as_they_are():
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert reference() + "\n" == text, "run `make docs`"


def test_the_changelog_names_every_raised_version():
    told = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for stage in FLOW:
        for version in range(2, stage.version + 1):
            assert f"{stage.name} {version}:" in told


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_every_preset_is_made_of_valid_settings(preset):
    chosen = settings(FLOW, from_preset(presets.PRESETS[preset], preset))
    assert set(chosen) == {stage.name for stage in FLOW}


def test_data_set_stages_are_not_marked_for_the_parent():
    assert not any(hasattr(s, "in_parent") for s in FLOW if isinstance(s, DatasetStage))
