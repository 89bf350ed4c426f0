"""Other people's scripts, out of the Python packages that ship them, as a page from disk can load.

Those packages ship modules. A browser loads no module from disk, only a classic script: so what a
module exports is put into a global name instead. Nothing is fetched, and nothing of it is kept in
this package.
"""

import re
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files

from lungseg.core.errors import DataError

_NAMES = r"[\w$]+(?:\s+as\s+[\w$]+)?"
_EXPORT = re.compile(rf"\bexport\s*\{{(\s*{_NAMES}(?:\s*,\s*{_NAMES})*\s*)\}}\s*;?")


@dataclass(frozen=True)
class Shipped:
    """A file that an installed package ships.

    Attributes
    ----------
    package, path
        The package, and the file within it.
    name
        What the file is called in the report.
    exported_as
        The global name that takes what a module exports; empty for what is no module.
    licence
        Its licence, for the report's list of what it is made of.
    """

    package: str
    path: str
    name: str
    exported_as: str
    licence: str

    @property
    def credit(self) -> str:
        """What it is, which version, under which licence."""
        return f"{self.package} {version(self.package)} ({self.licence})"


TABLES = (
    Shipped(
        "itables", "html/dt_bundle.js", "datatables.js", "lungsegTables", "MIT; DataTables MIT"
    ),
)
VIEWER = (
    Shipped("ipyniivue", "static/widget.js", "niivue.js", "lungsegNiivue", "BSD-2; NiiVue BSD-2"),
)


def text_of(shipped: Shipped) -> str:
    """The file's text, as a page from disk can load it.

    Raises
    ------
    DataError
        If the package does not ship the file, or a module exports nothing at its end.
    """
    try:
        text = files(shipped.package).joinpath(shipped.path).read_text(encoding="utf-8")
    except (ModuleNotFoundError, OSError) as error:
        raise DataError(
            f"{shipped.path} of the package {shipped.package} is not installed ({error}); "
            f"`pip install --force-reinstall {shipped.package}` puts it back"
        ) from error
    return as_classic_script(text, shipped.exported_as) if shipped.exported_as else text


def as_classic_script(module: str, name: str) -> str:
    r"""A module's text as a classic script that puts what it exports into the global `name`.

    Raises
    ------
    DataError
        If it exports nothing by a list of names.

    Examples
    --------
    >>> as_classic_script("var a=1;export{a as default,a as b};", "mine")
    '(()=>{var a=1;globalThis.mine={"default":a,"b":a};\n})();\n'
    """
    found = list(_EXPORT.finditer(module))
    if not found:
        raise DataError(
            f"the script for {name} exports nothing by a list of names; this version of the "
            "package that ships it is not one that the report knows"
        )
    last = found[-1]
    pairs = [item.split() for item in last[1].split(",")]
    exported = ",".join(f'"{words[-1]}":{words[0]}' for words in pairs)
    before, after = module[: last.start()], module[last.end() :]
    return f"(()=>{{{before}globalThis.{name}={{{exported}}};{after}\n}})();\n"
