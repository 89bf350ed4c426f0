"""Settings and commands quoted in messages, help and README exist; lower rooms quote none."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from lungseg.cli import main
from lungseg.flow import FLOW

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))
LOWER_ROOMS = {"io", "model", "ops", "steps", "volume.py"}


def name_of(path):
    return str(path.relative_to(ROOT))


LOWER = sorted(path for path in MODULES if path.relative_to(PACKAGE).parts[0] in LOWER_ROOMS)
PARAMS = {stage.name: {f.name for f in fields(stage.params)} for stage in FLOW}
SETTING = re.compile(rf"(?<![\w./-])({'|'.join(PARAMS)})\.([a-z]\w+)")
COMMAND = re.compile(r"lungseg-cli ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def text_of(node):
    """The text of a string or f-string, with {} for what is put in; None for other nodes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(getattr(part, "value", "")) if isinstance(part, ast.Constant) else "{}"
                       for part in node.values)  # fmt: skip
    return None


def texts(path):
    for node in ast.walk(ast.parse(path.read_text())):
        text = text_of(node)
        if text:
            yield text


def unknown_names(text):
    for stage, name in SETTING.findall(text):
        if name not in PARAMS[stage]:
            yield f"{stage}.{name}"
    for command, argument in COMMAND.findall(text):
        if command not in main.commands:
            yield f"lungseg-cli {command}"
        if command == "run" and argument and argument not in PARAMS:
            yield f"lungseg-cli run {argument}"


@pytest.mark.parametrize("path", [*MODULES, ROOT / "README.md"], ids=name_of)
def test_every_setting_and_command_that_is_quoted_exists(path):
    quoted = [path.read_text()] if path.suffix == ".md" else texts(path)
    assert [name for text in quoted for name in unknown_names(text)] == []


@pytest.mark.parametrize("path", LOWER, ids=name_of)
def test_lower_rooms_know_nothing_of_the_command_line(path):
    for text in texts(path):
        for pattern in (SETTING, COMMAND, OPTION):
            found = pattern.search(text)
            assert found is None, f"{found.group()}: let the stage or the command say it"


def settings_told(path):
    """Fields that errors name in ``setting=``, see `lungseg.core.errors.LungsegError`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.keyword) and node.arg == "setting":
            parts = {id(p): p for n in ast.walk(node.value) if isinstance(n, ast.JoinedStr)
                     for p in n.values}  # fmt: skip
            for inner in ast.walk(node.value):
                text = text_of(inner)
                if text and id(inner) not in parts:
                    yield re.split(r"[= ]", text)[0]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_setting_that_an_error_advises_is_a_parameter_of_a_stage(path):
    known = set().union(*PARAMS.values())
    assert [name for name in settings_told(path) if name not in known] == []


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("set ingest.fill_missing=true", ["ingest.fill_missing"]),
        ("set ingest.fill_missing_slices=true, `lungseg-cli status`", []),
        ("`lungseg-cli build` makes it", ["lungseg-cli build"]),
        ("`lungseg-cli run lungs`", ["lungseg-cli run lungs"]),
        ("see `lungseg.stages.train.run` and io/train.py", []),
    ],
)
def test_a_name_that_is_gone_is_found(text, unknown):
    assert list(unknown_names(text)) == unknown


def test_the_settings_that_errors_advise_are_found():
    told = {name for path in LOWER for name in settings_told(path)}
    assert {"fill_missing_slices", "min_slices", "database", "test_share"} <= told
