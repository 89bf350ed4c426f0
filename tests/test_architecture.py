"""The rules of the house: data flows io -> ops -> steps -> stages -> flow -> commands."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pipeline"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if not path.is_symlink())
ROOMS = sorted({path.parent for path in MODULES})
# What a module of a room may import of the package; a folder within io, ops or model has the
# rule of the room it is in.
ALLOWED = {
    "api": {"api", "core", "io", "model", "ops", "stages", "steps", "volume"},
    "__init__.py": {"api"},
    "core": {"core"},
    "ops": {"core.errors", "ops", "volume"},
    "io": {"core", "io", "ops", "volume"},
    "model": {"core", "io", "model", "ops", "volume"},
    "steps": {"core", "io", "model", "ops", "steps", "volume"},
    "stages": {"core", "io", "model", "ops", "steps", "volume"},
    "phantom": {"core", "io", "ops", "phantom", "volume"},
    "report": {"core", "report", "volume"},
    "trained": set(),
    "session": {
        "core", "flow", "io", "model.devices", "model.model_record", "model.nets", "session",
        "stages",
    },
    "command_line": {"command_line", "commands", "core", "flow", "io", "model", "ops", "session"},
    "commands": {
        "commands", "core", "flow", "io", "model", "ops", "phantom", "report", "session", "steps",
        "volume",
    },
}  # fmt: skip
OWNERS = {
    "SimpleITK": "io",
    "pydicom": "io",
    "highdicom": "io",
    "tables": "io",
    "sqlite3": "io",
    "keras": "model",
    "tensorflow": "model",
}
# The folders below io and ops, and the folders of the same room that each may use.
NEIGHBOURS = {
    "io.annotations": {"csv_file"},
    "io.dicom": set(),
    "io.pictures": {"dicom"},
    "io.results": {"annotations", "csv_file"},
    "io.sources": {"dicom", "volumes"},
    "io.standards": {"annotations", "dicom", "results", "sources"},
    "io.tables": {"hdf5"},
    "io.volumes": {"hdf5"},
    "ops.grid": set(),
    "ops.hu": set(),
    "ops.lungs": {"grid", "hu"},
    "ops.nodules": {"grid"},
    "ops.samples": {"hu"},
    "ops.scores": {"grid", "nodules"},
    "ops.surroundings": {"grid", "lungs", "nodules"},
}
MOST_FILES = 14


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_room_imports_only_what_it_may(path):
    room = path.relative_to(PACKAGE).parts[0]
    for name in imports(path):
        package, _, rest = name.partition(".")
        assert package != "pipeline", "it is lungseg when installed"
        if package == "lungseg" and room in ALLOWED:
            allowed = any(rest == a or rest.startswith(a + ".") for a in ALLOWED[room])
            assert allowed, f"{room} must not import {name}"
            stage = rest.split(".")
            assert not (room == "stages" and stage[0] == "stages"), "stages never import each other"
        owner = OWNERS.get(package)
        assert owner in {None, room}, f"only {owner}/ imports {package}"


@pytest.mark.parametrize("folder", NEIGHBOURS)
def test_each_folder_uses_only_the_neighbours_it_may(folder):
    room, _, here = folder.partition(".")
    for path in (PACKAGE / room / here).rglob("*.py"):
        for name in imports(path):
            if name.startswith(f"lungseg.{room}."):
                there = name.split(".")[2]
                assert there in NEIGHBOURS[folder] | {here}, f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("folder", ROOMS, ids=name_of)
def test_every_folder_says_in_one_line_what_belongs_there(folder):
    opening = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert opening
    assert opening.splitlines()[0].endswith(".")
    files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= MOST_FILES, f"{len(files)} files"


def test_every_room_has_its_rule_and_its_row_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    for folder in ROOMS[1:]:
        where = folder.relative_to(PACKAGE)
        assert where.parts[0] in ALLOWED
        assert (
            ".".join(where.parts[:2]) in NEIGHBOURS
            or where.parts[0] not in {"io", "ops"}
            or len(where.parts) == 1
        )
        assert f"| `pipeline/{where}` |" in readme, f"no row for {where}"


@pytest.mark.parametrize("path", [*MODULES, ROOT / "cli.py"], ids=name_of)
def test_no_module_has_become_the_place_where_everything_goes(path):
    tree = ast.parse(path.read_text())
    assert len(path.read_text().splitlines()) <= 400
    assert not re.search(r"utils|helper|manager|handler", path.stem)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 60, f"{node.name} has {lines} lines"


@pytest.mark.parametrize(
    ("room", "others"),
    [("pipeline", {"bench", "tests"}), ("bench", {"tests"}), ("tests", {"bench"})],
)
def test_the_package_benchmarks_and_tests_import_no_code_of_each_other(room, others):
    """What two of them need stands in the package; benchmarks and tests import only that."""
    for path in sorted((ROOT / room).rglob("*.py")):
        for name in imports(path):
            assert name.split(".")[0] not in others, f"{name_of(path)} imports {name}"
