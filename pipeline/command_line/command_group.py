"""What all commands have in common: their order, and how a fault or a stop of theirs ends."""

import contextlib
import errno
import os
import sys
from typing import Any

import click

from lungseg.command_line.unexpected import (
    quiet_libraries,
    sentence_of,
    shortened,
    told,
    with_short_words,
)
from lungseg.core.errors import ConfigError, LungsegError
from lungseg.core.interrupt import INTERRUPTED, TERMINATED, StoppedError, exit_status, stoppable

EXIT_STATUS = (
    "Exit status: 0 all done; 1 some scans (or a stage over all of them) failed, the others are "
    "complete, or a file or an output does not hold what is needed; 2 a setting or the command "
    "line is wrong, nothing was run; 3 a fault of the program itself, its traceback is in a file; "
    "130 and 143 stopped by Ctrl-C or SIGTERM, what was done is kept."
)
FAULT = 3
_PARAMS = "lungseg.params"


class Command(click.Command):
    """A command that leaves word of its options: a fault is written into its folder."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        ctx.meta[_PARAMS] = ctx.params
        return super().invoke(ctx)


class Group(click.Group):
    """Commands in the order a user meets them; one that is mistyped is told the nearest."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names in the order of their declaration."""
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command meant; a stage's name is pointed to ``run``."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from lungseg.session.messages import not_a_command

            stages = ctx.parent is None
            hint = not_a_command(args[0], self.commands, stages=stages)
            name = shortened(args[0])
            raise click.UsageError(f"No such command {name!r}. {hint}".strip()) from error


class CommandGroup(Group):
    """All commands; errors of ours become one line and exit status 2."""

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        """Run as a program; one that was stopped ends at once, whatever Dask still waits for."""
        try:
            with quiet_libraries():
                return super().__call__(*arguments, **more)
        except SystemExit as end:
            if end.code in {INTERRUPTED, TERMINATED}:
                with contextlib.suppress(OSError, ValueError):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(int(end.code))
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; end the process in order if it is stopped or fails."""
        try:
            with stoppable():
                return super().invoke(ctx)
        except StoppedError as stop:
            click.echo(str(stop), err=True)
            sys.exit(stop.status)
        except KeyboardInterrupt as stop:
            click.echo("stopped; what was done is kept, and the same command goes on", err=True)
            sys.exit(exit_status(stop))
        except click.UsageError as error:
            short = with_short_words(error.format_message())
            if short == error.format_message():
                raise
            raise click.UsageError(short, error.ctx) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except ConfigError as error:
            raise click.UsageError(with_short_words(str(error))) from error
        except LungsegError as error:
            raise click.ClickException(with_short_words(str(error))) from error
        except Exception as error:
            if isinstance(error, OSError):
                # A reader of our output that went away is click's business.
                if error.errno == errno.EPIPE:
                    raise
                if sentence := sentence_of(error):
                    raise click.UsageError(sentence) from error
            click.echo(f"Error: {told(error, ctx.meta.get(_PARAMS, {}))}", err=True)
            sys.exit(FAULT)
