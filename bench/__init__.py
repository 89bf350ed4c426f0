"""What is measured: `make bench` runs all of it, `python -m bench.NAME` one part."""

import subprocess
import sys


def lungseg(*arguments: object) -> list[str]:
    """Run a command as a user would; the lines it printed."""
    command = [sys.executable, "-m", "cli", *map(str, arguments)]
    ran = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    return ran.stdout.splitlines()
