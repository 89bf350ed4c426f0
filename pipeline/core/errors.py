"""Errors a user can act on: each says what was found, what was expected, what to try."""

from lungseg.core.shown import shown


class LungsegError(Exception):
    """Base of all errors that are the input's or the user's, not the program's.

    Parameters
    ----------
    message
        What was found, and what was expected. Names in it may be any: what is no UTF-8, or would
        steer a terminal, is shown escaped.
    setting
        What to set so that it is accepted or avoided: a field of the parameters, and how, e.g.
        ``"fill_missing_slices=true to put interpolated slices there"``. Who raises the error
        does not know which stage is running; `advised` puts the stage's name before it.
    """

    def __init__(self, message: str, *, setting: str | tuple[str, ...] = ()) -> None:
        super().__init__(shown(message, keep="\n"))
        self.settings = (setting,) if isinstance(setting, str) else setting
        for text in self.settings:
            # For who calls the function without a stage: shown under the traceback.
            self.add_note(f"set {text}")

    def advised(self, stage: str) -> str:
        """The message, and what to set in the parameters of the stage that was running.

        Examples
        --------
        >>> ScanError("slices are missing", setting="fill_missing_slices=true").advised("ingest")
        'slices are missing; set ingest.fill_missing_slices=true'
        """
        advice = ", or ".join(f"set {stage}.{text}" for text in self.settings)
        return f"{self}; {advice}" if advice else str(self)


class ConfigError(LungsegError):
    """A setting, a name or a command line is wrong; nothing was run (exit status 2)."""


class ScanError(LungsegError):
    """One scan cannot be done, and never will be with these settings; the others go on."""


class NotProvenError(LungsegError):
    """One scan could not be done this time, and its files do not prove that it never can be.

    A disk, a network, memory or another program may be at fault: the next run tries it again.
    """


class DamagedOutputError(NotProvenError):
    """An output in the store was damaged after it was written, and must be made again."""


class LimitError(NotProvenError):
    """It needs more memory or time than there is, or than was allowed; it is tried again."""


class ScanSkipped(LungsegError):  # noqa: N818 - a state of the scan, not a fault
    """One scan is left out on purpose, with the reason; it counts as skipped, not failed."""


class DataError(LungsegError):
    """A stage over the whole data set cannot be done with what there is."""


def is_proven(error: BaseException) -> bool:
    """True if the bytes of the input prove the fault, so that it will be the same next time.

    False where the machine had a part in it: where memory, or a call of the system, failed
    anywhere on the way. Libraries raise an OSError without a number on bytes that they cannot read;
    the system's own has one.

    Examples
    --------
    >>> is_proven(ScanError("two slices lie at one place"))
    True
    >>> is_proven(MemoryError())
    False
    """
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        seen.append(found)
        found = found.__cause__ or found.__context__
    return isinstance(error, ScanError | ScanSkipped) and not any(map(_of_the_machine, seen))


def _of_the_machine(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno is not None
    return isinstance(error, MemoryError | NotProvenError)
