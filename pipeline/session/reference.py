"""The reference of stages and settings, made from their declarations."""

import dataclasses
import sys
from pathlib import Path

from lungseg.core.config import describe_range
from lungseg.core.json_file import write_text
from lungseg.flow import FLOW


def reference() -> str:
    """The page in Markdown: a table of the stages, then one of parameters for each stage."""
    lines = [
        "# Reference: stages and settings",
        "",
        "Made from the declarations in the code by `make docs`. `lungseg-cli params` prints all "
        "settings as they now stand.",
        "",
    ]
    lines += ["| stage | version | needs | what it does |", "|---|---|---|---|"]
    for stage in FLOW:
        needs = ", ".join(stage.needs) or "the source files"
        lines.append(f"| `{stage.name}` | {stage.version} | {needs} | {stage.help} |")
    for stage in FLOW:
        lines += ["", f"## `{stage.name}`", ""]
        lines += ["| parameter | default | range | what it does |", "|---|---|---|---|"]
        defaults = stage.params()
        for spec in dataclasses.fields(stage.params):
            default = getattr(defaults, spec.name)
            shown = f"{default:g}" if isinstance(default, float) else str(default)
            allowed = describe_range(spec.metadata).replace("|", "\\|")
            told = spec.metadata["help"].replace("|", "\\|")
            lines.append(f"| `{spec.name}` | {shown or '(empty)'} | {allowed} | {told} |")
    return "\n".join(lines)


if __name__ == "__main__":
    write_text(reference() + "\n", Path(sys.argv[1]))
