"""Examples in docstrings: they run; in `lungseg.ops` and `lungseg.volume` none is missing."""

import doctest
import importlib
import inspect
import pkgutil
from dataclasses import is_dataclass

import pytest

import lungseg.ops
import lungseg.volume
from tests.test_architecture import ROOT

MODULES = [
    "lungseg.volume",
    *(
        found.name
        for found in pkgutil.walk_packages(lungseg.ops.__path__, "lungseg.ops.")
        if not found.ispkg
    ),
]

# Examples elsewhere; those of `lungseg.api` need a net, and are run in its own tests.
ELSEWHERE = [
    str(path.relative_to(ROOT / "pipeline").with_suffix("")).replace("/", ".")
    for path in sorted((ROOT / "pipeline").rglob("*.py"))
    if not path.is_symlink()
    and path.relative_to(ROOT / "pipeline").parts[0] not in {"api", "ops", "volume.py"}
    and ">>>" in path.read_text("utf-8")
]


def public(name):
    """Functions, and classes that do something; a plain record is shown where it is made."""
    module = importlib.import_module(name)
    for thing in vars(module).values():
        if getattr(thing, "__module__", None) != name or thing.__name__.startswith("_"):
            continue
        if inspect.isfunction(thing) or (inspect.isclass(thing) and not is_record(thing)):
            yield thing


def is_record(kind):
    does = [key for key, value in vars(kind).items() if not key.startswith("_") and acts(value)]
    return is_dataclass(kind) and not does


def acts(member):
    return inspect.isfunction(member) or isinstance(member, property)


def has_example(thing):
    members = vars(thing).values() if inspect.isclass(thing) else ()
    return any(">>>" in (inspect.getdoc(one) or "") for one in (thing, *filter(acts, members)))


@pytest.mark.parametrize("name", [*MODULES, *(f"lungseg.{name}" for name in ELSEWHERE)])
def test_every_example_gives_what_it_says(name):
    ran = doctest.testmod(importlib.import_module(name))
    assert ran.failed == 0, f"{ran.failed} of {ran.attempted} lines; the report is above"


@pytest.mark.parametrize("name", MODULES)
def test_whatever_is_public_has_an_example(name):
    assert [thing.__name__ for thing in public(name) if not has_example(thing)] == []
