"""The house's rules, held: data flows io -> ops -> stages -> flow -> cli."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "pipeline").rglob("*.py"))
ALLOWED = {
    "core": {"core"},
    "io": {"core", "io", "ops", "volume"},
    "ops": {"core.errors", "ops", "volume"},
    "model": {"core", "io", "model", "ops", "volume"},
    "stages": {"core", "io", "model", "ops", "volume"},
    "phantom": {"core", "io", "ops", "phantom", "volume"},
}
OWNERS = {
    "SimpleITK": "io",
    "pydicom": "io",
    "tables": "io",
    "sqlite3": "io",
    "keras": "model",
    "tensorflow": "model",
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_each_room_imports_only_what_it_may(path):
    room = path.relative_to(ROOT / "pipeline").parts[0]
    for name in imports(path):
        package, _, rest = name.partition(".")
        if package == "pipeline" and room in ALLOWED:
            allowed = any(rest == a or rest.startswith(a + ".") for a in ALLOWED[room])
            assert allowed, f"{room} must not import {name}"
            stage = rest.split(".")
            assert not (room == "stages" and stage[0] == "stages"), "stages never import each other"
        owner = OWNERS.get(package)
        assert owner in {None, room}, f"only {owner}/ imports {package}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_has_become_the_place_where_everything_goes(path):
    assert len(path.read_text().splitlines()) <= 400
    assert not re.search(r"utils|helper|manager|handler", path.stem)
