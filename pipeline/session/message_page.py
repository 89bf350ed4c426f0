"""The page of what is checked and what each message means, made from the code that says it.

A message is the text of an error, a reason to doubt a lung mask, or a reason why a row, a file or
a scan is left out. What the code puts into it stands as a name in angle brackets.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lungseg.core.json_file import write_text

PACKAGE = Path(__file__).parents[1]
# Lists of sentences that are shown, and what it means to stand in one.
LISTS = {
    "reasons": "doubt",
    "left_out": "left out",
    "faults": "found by verify",
    "problems": "left out",
    "notes": "note",
}
# Rooms in which a ValueError is about one row of a file that a person brought.
ROWS = ("io/annotations", "io/results", "io/csv_file")
# A text that is composed in more steps than this stands under its last name.
DEEPEST = 3
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

Made from the code by `make docs`. Each message stands where it arises, room by room; what is put
into it is in ⟨⟩. Search the page for the words that you were shown. *When* is what the code says of
the case, and *set* is what helps where a setting does (the message shows it with the stage's name
before it). [What cannot be detected](#what-cannot-be-detected) is told, too.

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
    errors = _error_names(list(sources.values()))
    found: list[Message] = []
    for path, tree in sources.items():
        where = path.relative_to(PACKAGE)
        room = str(where.parent) if where.parent.name else "(the package)"
        functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        for function, when in _functions(tree):
            say = _Texts(functions, function)
            for line, kind, text, setting in _said(function, say, errors, str(where)):
                meant = when(kind)
                found.append(Message(room, where.stem, line, kind, text, setting, meant))
    return sorted(found)


def _error_names(trees: Iterable[ast.Module]) -> dict[str, str]:
    """Classes of our errors, and for each the kind whose meaning it has."""
    kinds = {name: name for name in MEANINGS if name[0].isupper()}
    kinds["LungsegError"] = "DataError"
    for _ in range(3):
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and node.name not in kinds:
                    bases = [b.id for b in node.bases if isinstance(b, ast.Name) and b.id in kinds]
                    if bases:
                        kinds[node.name] = kinds[bases[0]]
    return kinds


def _functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, Callable[[str], str]]]:
    """Every function, and when it says what: from its docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            told = ast.get_docstring(node) or ""
            yield node, lambda kind, told=told: _when(told, kind)  # type: ignore[misc]


def _when(docstring: str, kind: str) -> str:
    section = re.search(r"Raises\n-+\n(.*?)(?:\n\n\w+\n-+|\Z)", docstring, re.DOTALL)
    for name, text in re.findall(
        r"^(\w+)\n((?:[ ]{4}.*\n?)+)", section[1] if section else "", re.MULTILINE
    ):
        if name == kind or (name == "ValueError" and kind == "row"):
            return " ".join(text.split())
    return ""


def _said(
    function: ast.FunctionDef, say: "_Texts", errors: dict[str, str], where: str
) -> Iterator[tuple[int, str, str, str]]:
    others = (n for n in ast.walk(function) if isinstance(n, ast.FunctionDef))
    inner = {id(node) for other in others if other is not function for node in ast.walk(other)}
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or id(node) in inner or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        kind = errors.get(name, "")
        if name == "_error":  # the class of the errors is what the caller asked for
            kind = "DataError"
        if name == "ValueError" and where.startswith(ROWS):
            kind = "row"
        if name == "append" and isinstance(node.func, ast.Attribute):
            kind = LISTS.get(
                getattr(node.func.value, "id", getattr(node.func.value, "attr", "")), ""
            )
        if kind:
            setting = next((k.value for k in node.keywords if k.arg == "setting"), None)
            parts = setting.elts if isinstance(setting, ast.Tuple) else [setting] if setting else []
            yield from _worded(node, kind, say, " or ".join(say.of(part) for part in parts))
    for node in ast.walk(function):
        is_doubt = "doubts" in where + function.name or where.endswith("verdict.py")
        if is_doubt and isinstance(node, ast.Return | ast.Yield) and id(node) not in inner:
            values = getattr(node.value, "elts", [node.value])
            for value in values:
                if isinstance(value, ast.JoinedStr):
                    yield node.lineno, "doubt", say.of(value), ""


def _worded(
    node: ast.Call, kind: str, say: "_Texts", setting: str
) -> Iterator[tuple[int, str, str, str]]:
    text = say.of(node.args[0])
    # What only hands on another message is said where that arises.
    if len(re.sub(r"⟨[^⟩]*⟩", "", text).split()) >= 2:
        yield node.lineno, kind, text, setting


class _Texts:
    """Texts of the expressions of one function, with what is put in by name."""

    def __init__(self, functions: Mapping[str, ast.FunctionDef], function: ast.FunctionDef) -> None:
        self._functions = functions
        self._assigned = {
            target.id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def of(self, node: ast.expr, depth: int = 0) -> str:
        """The text of an expression; a name in brackets for what only the run knows."""
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(self.of(part, depth) for part in node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self.of(node.left, depth) + self.of(node.right, depth)
        if isinstance(node, ast.IfExp):
            choices = [self.of(part, depth) for part in (node.body, node.orelse)]
            return " / ".join(choice.strip() for choice in choices if choice.strip())
        if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.IfExp):
            return self.of(node.value, depth) or _named(node.value)
        found = self._source_of(node) if depth < DEEPEST else None
        return self.of(found, depth + 1) if found else _named(node)

    def _source_of(self, node: ast.expr) -> ast.expr | None:
        """What a name was given, or what a function of the module returns."""
        if isinstance(node, ast.Name):
            return self._assigned.get(node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = self._functions.get(node.func.id)
            returned = [n for n in ast.walk(called) if isinstance(n, ast.Return)] if called else []
            return returned[0].value if len(returned) == 1 else None
        return None


def _named(node: ast.expr) -> str:
    """A short name for what is put in: the last word of the expression."""
    if isinstance(node, ast.FormattedValue):
        node = node.value
    while isinstance(node, ast.Call):
        inner = node.func.value if isinstance(node.func, ast.Attribute) else None
        node = node.args[0] if node.args else inner or node.func
    if isinstance(node, ast.Subscript):
        node = node.value
    name = getattr(node, "attr", getattr(node, "id", ""))
    plain = name.strip("_").replace("_", " ").lower()
    return f"⟨{plain}⟩" if len(plain) > 1 else "⟨…⟩"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    write_text(page(messages()), Path(sys.argv[1]))
