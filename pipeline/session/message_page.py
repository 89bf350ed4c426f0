"""The page of what is checked and what each message means, made from the code that says it.

A message is the text of an error, a reason to doubt a lung mask, or a reason why a row, a file or
a scan is left out. What the code puts into it stands as a name in angle brackets.
"""

import ast
import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lungseg.core.json_file import write_text
from lungseg.session.message_texts import Texts, last_name

PACKAGE = Path(__file__).parents[1]
# Lists of sentences that are shown, and what it means to stand in one.
LISTS = {
    "reasons": "doubt",
    "left_out": "left out",
    "faults": "found by verify",
    "problems": "left out",
    "notes": "note",
}
# What carries a sentence that is shown as its second argument, and what it means.
CARRIERS = {"LeftOut": "left out", "Found": "left out", "Unseen": "left out", "Problem": "left out"}
# Functions whose texts are shown, and what they mean.
TELLERS = {"unread": "left out", "notes_on_files": "note", "doubts_of_files": "suspect"}
# Rooms in which a ValueError is about one row of a file that a person brought.
ROWS = ("io/annotations", "io/results", "io/csv_file")
MEANINGS = {
    "ConfigError": "nothing is run: a setting, a name or the command is wrong (exit status 2)",
    "ScanError": "this scan fails, and is not tried again while its files and settings are the "
    "same; the others go on (exit status 1)",
    "NotProvenError": "this scan fails this time; the next run tries it again",
    "DamagedOutputError": "an output is made again, and that is said",
    "LimitError": "this scan needs more memory or time than there is; the next run tries it again",
    "ScanSkipped": "the scan is left out on purpose, with the reason",
    "DataError": "the stage over all scans stops; of one picture, nodule or file among many, this "
    "one is left out and named",
    "row": "this row of the file is left out and named by its line; the others count",
    "doubt": "the lung mask is suspect: a reason in its verdict",
    "left out": "the file, row or nodule is left out and named",
    "found by verify": "`verify` names it (exit status 1)",
    "note": "said at the end of the run",
}
_HEAD = """# What is checked, and what each message means

Made from the code by `make docs`. Each message stands where it arises, room by room. What differs
from case to case is told in words in ⟨⟩; of texts parted by a slash one is shown. Search the page
for the words that you were shown. *When* is what the code says of the case, and *set* is what helps
where a setting does (the message shows it with the stage's name before it).
[What cannot be detected](#what-cannot-be-detected) is told, too.

| kind | what it leads to |
|---|---|
"""
_LIMITS = """
## What cannot be detected

- A pixel that was changed in a file without a checksum (DICOM, MetaImage, plain NIfTI, TIFF, JPEG):
  it is another valid image. In what is gzipped or PNG, and in all that the work folder keeps, a
  flipped bit is noticed.
- A file that is wrong throughout: another scan's spacing in all its slices, sides swapped by the
  scanner, a patient's number typed for another's. Two files can contradict each other; one cannot.
- HU that are off by less than the air around the patient and `hu_check` can tell, and a scale that
  is off by a few percent.
- Contours and nodules at a wrong place inside the lungs, a mask of another picture of the same
  size, or a mask drawn on a picture that is upside down. Masks that are inverted, empty, or have
  several labels are named.
- In a mask saved as JPEG, a label as dark as the noise; a lung that nobody drew.
- A number that was typed wrong and is still a number: 12.5 for 15.2. In a CSV separated by
  semicolons 1,234 is 1.234.
- Whether a list of nodules is complete: what nobody listed counts as absent.
- What was written into a source after it was read, if its size and time stay the same.
"""


@dataclass(frozen=True, order=True)
class Message:
    """One message: where it arises, its kind, its text, what helps, and when it is said."""

    room: str
    module: str
    line: int
    kind: str
    text: str
    setting: str
    when: str


def page(found: Sequence[Message]) -> str:
    """The page of `messages` in Markdown: what kinds there are, then a table for each room."""
    kinds = {message.kind for message in found}
    lines = [f"| {kind} | {told} |" for kind, told in MEANINGS.items() if kind in kinds]
    text = _HEAD + "\n".join(lines) + "\n" + _LIMITS
    for room in sorted({message.room for message in found}):
        text += f"\n## `{room}`\n\n| message | kind | when | set |\n|---|---|---|---|\n"
        rows = [message for message in found if message.room == room]
        for row in dict.fromkeys((m.text, m.kind, m.when, m.setting) for m in rows):
            text += "| " + " | ".join(_cell(part) for part in row) + " |\n"
    return text


def messages() -> list[Message]:
    """All messages of the package, in the order of rooms, modules and lines."""
    sources = {
        path: ast.parse(path.read_text("utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.is_symlink()
    }
    named = {path: _classes_and_functions(tree) for path, tree in sources.items()}
    errors = _error_names([node for classes, _ in named.values() for node in classes])
    found: list[Message] = []
    for path, tree in sources.items():
        where = path.relative_to(PACKAGE)
        room = str(where.parent) if where.parent.name else "(the package)"
        _, functions = named[path]
        by_name = {node.name: node for node in functions}
        constants = _constants(tree)
        for function in functions:
            when = partial(_when, ast.get_docstring(function) or "")
            say = Texts(by_name, function, constants)
            for line, kind, text, setting in _said(function, say, errors, str(where)):
                meant = when(kind)
                found.append(Message(room, where.stem, line, kind, text, setting, meant))
    return sorted(found)


def _constants(tree: ast.Module) -> dict[str, int | float]:
    """The module's numbers by their names: a message says the number itself."""
    found: dict[str, int | float] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            with contextlib.suppress(ValueError):
                value = ast.literal_eval(node.value)
                if isinstance(value, int | float):
                    found |= {last_name(target): value for target in node.targets}
                elif isinstance(value, tuple) and isinstance(node.targets[0], ast.Tuple):
                    names = [last_name(target) for target in node.targets[0].elts]
                    pairs = zip(names, value, strict=False)
                    found |= {k: v for k, v in pairs if isinstance(v, int | float)}
    return found


def _classes_and_functions(
    tree: ast.Module,
) -> tuple[list[ast.ClassDef], list[ast.FunctionDef]]:
    nodes = list(ast.walk(tree))
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    return classes, [node for node in nodes if isinstance(node, ast.FunctionDef)]


def _error_names(classes: Sequence[ast.ClassDef]) -> dict[str, str]:
    """Classes of our errors, and for each the kind whose meaning it has."""
    kinds = {name: name for name in MEANINGS if name[0].isupper()}
    kinds["LungsegError"] = "DataError"
    for _ in range(3):
        for node in classes:
            bases = [b.id for b in node.bases if isinstance(b, ast.Name) and b.id in kinds]
            if bases:
                kinds.setdefault(node.name, kinds[bases[0]])
    return kinds


def _when(docstring: str, kind: str) -> str:
    """When a message of a kind is said, from the docstring of the function that says it."""
    section = re.search(r"Raises\n-+\n(.*?)(?:\n\n\w+\n-+|\Z)", docstring, re.DOTALL)
    for name, text in re.findall(
        r"^(\w+)\n((?:[ ]{4}.*\n?)+)", section[1] if section else "", re.MULTILINE
    ):
        if name == kind or (name == "ValueError" and kind == "row"):
            return " ".join(text.split())
    return ""


def _said(
    function: ast.FunctionDef, say: "Texts", errors: dict[str, str], where: str
) -> Iterator[tuple[int, str, str, str]]:
    everything = list(ast.walk(function))
    others = (n for n in everything[1:] if isinstance(n, ast.FunctionDef))
    inner = {id(node) for other in others for node in ast.walk(other)}
    own = [node for node in everything if id(node) not in inner]
    for node in own:
        if isinstance(node, ast.Call) and node.args:
            name = last_name(node.func)
            kind = errors.get(name, "")
            if name == "_error":  # the class of the errors is what the caller asked for
                kind = "DataError"
            if name == "ValueError" and where.startswith(ROWS):
                kind = "row"
            if kind:
                setting = next((k.value for k in node.keywords if k.arg == "setting"), None)
                advice = " or ".join(say.of(part) for part in _advised(setting))
                yield from _worded(node.args[0], kind, say, advice)
            elif name in CARRIERS and len(node.args) > 1 and where.startswith("io/"):
                yield from _worded(node.args[1], CARRIERS[name], say, "")
        for text, kind in _listed(node):
            yield from _worded(text, kind, say, "")
    is_doubt = "doubts" in where + function.name or where.endswith("verdict.py")
    kind = "doubt" if is_doubt else TELLERS.get(function.name, "")
    for node in own:
        if kind and isinstance(node, ast.Return | ast.Yield):
            for value in getattr(node.value, "elts", [node.value]):
                if isinstance(value, ast.JoinedStr):
                    yield node.lineno, kind, say.of(value), ""
        if (
            kind
            and not is_doubt
            and isinstance(node, ast.Call)
            and last_name(node.func) == "append"
        ):
            yield from _worded(node.args[0], kind, say, "")


def _listed(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Texts that are put into a list of sentences: appended, assigned, one by one or by a rule."""
    values: list[ast.expr] = []
    target: ast.expr | None = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        target = node.func.value
        if node.func.attr == "append":
            values = [node.args[0]]
        elif node.func.attr == "extend":
            values = _elements(node.args[0])
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        target, values = node.target, _elements(node.value)
    elif isinstance(node, ast.Assign):
        target, values = node.targets[0], _elements(node.value)
    kind = LISTS.get(last_name(target), "")
    # What is made of another object is told by what carries it.
    return ((value, kind) for value in values if kind and not isinstance(value, ast.Starred))


def _elements(node: ast.expr | None) -> list[ast.expr]:
    if isinstance(node, ast.ListComp | ast.GeneratorExp):
        return [node.elt]
    if isinstance(node, ast.IfExp):
        return _elements(node.body) + _elements(node.orelse)
    return list(node.elts) if isinstance(node, ast.List | ast.Tuple) else []


def _advised(setting: ast.expr | None) -> list[ast.expr]:
    """Each setting that is advised, also under a condition: `setting="..." if ... else ()`."""
    if isinstance(setting, ast.IfExp) and not getattr(setting.orelse, "elts", True):
        setting = setting.body
    return list(getattr(setting, "elts", [setting] if setting else []))


def _worded(
    node: ast.expr, kind: str, say: "Texts", setting: str
) -> Iterator[tuple[int, str, str, str]]:
    text = say.of(node)
    # What only hands on another message is said where that arises.
    if len(re.sub(r"⟨[^⟩]*⟩", "", text).split()) >= 2:
        yield node.lineno, kind, text, setting


def _cell(text: str) -> str:
    text = text.replace("⟩⟨", "⟩ ⟨")
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    write_text(page(messages()), Path(sys.argv[1]))
