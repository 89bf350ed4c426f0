"""Errors a user can act on: each says what was found, what was expected, what to try."""


class LungsegError(Exception):
    """Base of all errors that are the input's or the user's, not the program's."""


class ConfigError(LungsegError):
    """A setting, a name or a command line is wrong; nothing was run (exit status 2)."""


class ScanError(LungsegError):
    """One scan cannot be done, and never will be with these settings; the others go on."""


class ScanSkipped(LungsegError):  # noqa: N818 - a state of the scan, not a fault
    """One scan is left out on purpose, with the reason; it counts as skipped, not failed."""


class DataError(LungsegError):
    """A stage over the whole data set cannot be done with what there is."""
