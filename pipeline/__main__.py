"""The program's first steps: Ctrl-C has its end already while the command line is imported."""

import os
import signal


def main() -> None:
    """Import the command line, and run it."""
    # Where Ctrl-C is ignored (in the background of a shell) it stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    from lungseg.cli import main as commands

    # What was done by now must be told, so from here on the commands see to it.
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    commands(prog_name="lungseg-cli")


def _end(_signal: int, _frame: object) -> None:
    os.write(2, b"stopped; nothing was run\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
