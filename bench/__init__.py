"""What is measured: `make bench` runs all of it, `python -m bench.NAME` one part."""

import argparse
import subprocess
import sys
from pathlib import Path


def lungseg(*arguments: object) -> list[str]:
    """Run a command as a user would; the lines it printed."""
    command = [sys.executable, "-m", "lungseg.cli", *map(str, arguments)]
    ran = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    return ran.stdout.splitlines()


def parser(work: str) -> argparse.ArgumentParser:
    """Arguments of a benchmark that trains: `--work` (by default `work`) and `--set`."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--work", type=Path, default=Path(work))
    arguments.add_argument("--set", action="append", default=[], metavar="STAGE.NAME=VALUE")
    return arguments
