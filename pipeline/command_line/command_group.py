"""What all commands have in common: their order, and how a fault or a stop of theirs ends."""

import errno
import sys
from typing import Any

import click

from lungseg.core.errors import ConfigError, LungsegError
from lungseg.core.interrupt import StoppedError, exit_status, stoppable

EXIT_STATUS = (
    "Exit status: 0 all done; 1 some scans (or a stage over all of them) failed, the others are "
    "complete; 2 a setting or the command line is wrong, nothing was run; 130 and 143 stopped by "
    "Ctrl-C or SIGTERM, what was done is kept."
)


# A folder or disk that the user named does not take what is to be written.
_CANNOT_WRITE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EDQUOT}


class CommandGroup(click.Group):
    """Commands in the order a user meets them; errors of ours become one line and exit status 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names in the order of their declaration."""
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command meant; a stage's name is pointed to ``run``."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from lungseg.session.messages import not_a_command

            raise click.UsageError(f"{error.message} {not_a_command(args[0])}".strip()) from error

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
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
        except LungsegError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno not in _CANNOT_WRITE:
                raise
            raise click.UsageError(
                f"{error.filename or 'a file'}: {error.strerror}; name another folder, or make "
                "room there"
            ) from error
