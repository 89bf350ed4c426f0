"""The texts of expressions in the code, with what only a run knows told in words."""

import ast
import re
from collections.abc import Mapping
from functools import cached_property

# Names of the code that say more to a reader as these words.
WORDS = {
    "path": "file",
    "paths": "files",
    "root": "folder or file",
    "roots": "folders or files",
    "out": "folder for the output",
    "where": "place",
    "error": "cause",
    "strerror": "cause",
    "why": "reason",
    "told": "details",
    "shape": "size",
    "shape yx": "size",
    "shapes": "sizes",
    "dtype": "type of number",
    "uid": "SeriesInstanceUID",
    "text": "value",
    "raw": "value",
    "got": "number",
    "found": "what was found",
    "wanted": "what was asked for",
    "expected": "what was expected",
    "there": "what is there",
    "at": "place",
    "name": "name",
    "what": "what it is",
    "one": "item",
    "those": "items",
    "hu": "HU",
    "hu low": "lowest HU",
    "hu high": "highest HU",
    "low": "lowest",
    "high": "highest",
    "z mm": "positions in mm",
    "nonzero": "number of voxels",
    "prod": "number of voxels",
    "str": "text",
    "args": "cause",
    "st size": "number of bytes",
    "seriesuids": "list of scans",
}
# A text that is composed in more steps than this stands under its last name.
DEEPEST = 3
_UNIT = re.compile(r" (mm|ml|hu|px|degrees|seconds|bytes)$")


class Texts:
    """Texts of the expressions of one function, with what is put in by name."""

    def __init__(
        self,
        functions: Mapping[str, ast.FunctionDef],
        function: ast.FunctionDef,
        constants: Mapping[str, int | float],
    ) -> None:
        self._functions = functions
        self._function = function
        self._constants = constants

    @cached_property
    def _assigned(self) -> dict[str, ast.expr]:
        """What each name is given last; most functions say nothing, and are not asked."""
        return {
            target.id: node.value
            for node in ast.walk(self._function)
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
        if isinstance(node, ast.FormattedValue):
            return self._put_in(node, depth)
        return self._of_source(node, depth)

    def _put_in(self, node: ast.FormattedValue, depth: int) -> str:
        if isinstance(node.value, ast.IfExp):
            return self.of(node.value, depth) or _named(node.value)
        number = self._constants.get(last_name(node.value))
        if number is not None:
            return format(number, self.of(node.format_spec) if node.format_spec else "")
        return self._of_source(node, depth)

    def _of_source(self, node: ast.expr, depth: int) -> str:
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
    """What is put in, in words: by the last name in the expression."""
    if isinstance(node, ast.FormattedValue):
        node = node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        for part in (node.left, node.right):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                return f"({part.value})"  # the ending of a plural
    if isinstance(node, ast.Call) and last_name(node.func) == "many":
        things = [str(text.value) for text in node.args[1:] if isinstance(text, ast.Constant)]
        more = things[1] if len(things) > 1 else f"{things[0]}s" if things else "things"
        return f"⟨number⟩ {more}"
    many = isinstance(node, ast.Call) and last_name(node.func) in {"len", "sum"}
    words = _words_of(node)
    words = f"number of {words}" if many else WORDS.get(words, words)
    # The unit stands behind it.
    words = _UNIT.sub("", words)
    return f"⟨{words}⟩" if words else "⟨value⟩"


def _words_of(node: ast.AST) -> str:
    while True:
        if isinstance(node, ast.Call):
            inner = node.func.value if isinstance(node.func, ast.Attribute) else None
            node = node.args[0] if node.args else inner or node.func
        elif isinstance(node, ast.Subscript):
            key = node.slice
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                return _plain(key.value)
            node = node.value
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp):
            node = node.generators[0].iter
        elif isinstance(node, ast.FormattedValue | ast.Starred | ast.UnaryOp):
            node = getattr(node, "operand", getattr(node, "value", None)) or ast.Constant("")
        else:
            break
    if isinstance(node, ast.Name | ast.Attribute):
        # A letter says nothing: what it belongs to does.
        found = _plain(last_name(node))
        above = node.value if isinstance(node, ast.Attribute) else None
        return found or (_words_of(above) if above is not None else "")
    parts = (_words_of(part) for part in ast.iter_child_nodes(node))
    return next((words for words in parts if words), "")


def _plain(name: str) -> str:
    plain = name.strip("_").replace("_", " ")
    plain = plain if plain.isupper() and len(plain) < 4 else plain.lower()
    return plain if len(plain) > 1 else ""


def last_name(node: ast.expr | None) -> str:
    """The last name of a dotted name; empty if it is none."""
    return str(getattr(node, "attr", getattr(node, "id", "")))
