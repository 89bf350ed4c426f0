"""The README's reference of stages and parameters, made from their declarations."""

import dataclasses
import sys
from pathlib import Path

from lungseg.core.config import describe_range
from lungseg.flow import FLOW

BEGIN = "<!-- reference: begin (made by `make docs`) -->"
END = "<!-- reference: end -->"


def reference() -> str:
    """Markdown: a table of the stages, then one of parameters a stage."""
    lines = ["| stage | version | needs | what it does |", "|---|---|---|---|"]
    for stage in FLOW:
        needs = ", ".join(stage.needs) or "the source files"
        lines.append(f"| `{stage.name}` | {stage.version} | {needs} | {stage.help} |")
    for stage in FLOW:
        lines += ["", f"<details><summary><code>{stage.name}</code> parameters</summary>", ""]
        lines += ["| parameter | default | range | what it does |", "|---|---|---|---|"]
        defaults = stage.params()
        for spec in dataclasses.fields(stage.params):
            default = getattr(defaults, spec.name)
            shown = f"{default:g}" if isinstance(default, float) else str(default)
            allowed = describe_range(spec.metadata).replace("|", "\\|")
            told = spec.metadata["help"].replace("|", "\\|")
            lines.append(f"| `{spec.name}` | {shown or '(empty)'} | {allowed} | {told} |")
        lines += ["", "</details>"]
    return "\n".join(lines)


def with_reference(text: str) -> str:
    """`text` with the part between its two marks made anew.

    Raises
    ------
    ValueError
        If a mark is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the text has no marks {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{reference()}\n\n{END}{after}"


if __name__ == "__main__":
    readme = Path(sys.argv[1])
    readme.write_text(with_reference(readme.read_text(encoding="utf-8")), encoding="utf-8")
