"""How a hand-out was made, kept beside it, so that its work folder can be opened like that."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lungseg.commands.own_scans import ledger
from lungseg.commands.own_scans.hand_out import HandOut, with_params
from lungseg.commands.own_scans.place import WORK
from lungseg.commands.run_stages import command_options, session_of
from lungseg.core.errors import ConfigError
from lungseg.core.plan import stages_for
from lungseg.core.stage import as_dict
from lungseg.flow import FLOW
from lungseg.model.nets import named_net
from lungseg.session.settings import CommandOptions, settle
from lungseg.session.work_folder import Session, open_session

_MADE = "made"
_BY_STAGE = "made_by_stage"


def note_how(handing: HandOut) -> None:
    """Keep in the folder with which settings and net its files were made, command by command."""
    session, out = handing.session, handing.place.out
    made = {
        "stage": handing.product.stage,
        "guest": session.guest,
        "settings": {name: as_dict(params) for name, params in session.settled.params.items()},
        "net": str(session.net.file.resolve()) if session.net else "",
    }
    by_stage = {**ledger.notes(out).get(_BY_STAGE, {}), handing.product.stage: made}
    ledger.note(out, **{_MADE: made, _BY_STAGE: by_stage})


def hand_out_at(folder: Path) -> Path | None:
    """The hand-out that `folder`, or the work folder within it, is; None if it is none."""
    if _MADE in ledger.notes(folder):
        return folder
    noted = ledger.notes(folder.parent) if folder.name == WORK else {}
    # Where all was made with --work, a work folder of that name was there of its own.
    own = _MADE in noted and not all(made["guest"] for made in _by_stage(noted).values())
    return folder.parent if own else None


def work_named(options: Mapping[str, Any]) -> Path:
    """The work folder that click's `options` name, or that of the hand-out which they name.

    Raises
    ------
    ConfigError
        If there is no such folder, or the hand-out's work folder is another one, or is gone.
    """
    named = Path(options["work"])
    hand_out = hand_out_at(named)
    if hand_out:
        return _own_work(hand_out, ledger.notes(hand_out)[_MADE])
    # Where nothing was named, there may be nothing yet.
    if not named.is_dir() and named != Path(WORK):
        raise ConfigError(
            f"--work {named}: there is no such folder; name the work folder of a run, or the "
            "folder that `lungs` or `detect` wrote to; `lungseg-cli preprocess --src FOLDER` "
            "begins a new one"
        )
    return named


def session_at(options: Mapping[str, Any]) -> Session:
    """The work folder that click's `options` name, or that of the hand-out which they name.

    It is to be looked at: nothing is made in it.

    Raises
    ------
    ConfigError
        If there is no such folder, or the hand-out's work folder is another one, or is gone.
    """
    work = work_named(options)
    hand_out = hand_out_at(Path(options["work"]))
    if hand_out is None:
        return session_of({**options, "work": work, "dry_run": True})
    return opened_again(hand_out, ledger.notes(hand_out)[_MADE], command_options(options))


def sessions_of_others(options: Mapping[str, Any]) -> Iterator[Session]:
    """The sessions of the other commands whose hand-out click's `options` name, if any."""
    hand_out = hand_out_at(Path(options["work"]))
    if hand_out is None:
        return
    noted = ledger.notes(hand_out)
    for stage, made in _by_stage(noted).items():
        if stage != noted[_MADE]["stage"] and not made["guest"]:
            yield opened_again(hand_out, made, CommandOptions())


def stages_at(options: Mapping[str, Any]) -> list[str] | None:
    """The stages of the commands whose hand-out click's `options` name; None if it is none."""
    hand_out = hand_out_at(Path(options["work"]))
    if hand_out is None:
        return None
    return [stage.name for stage in stages_for(FLOW, _by_stage(ledger.notes(hand_out)))]


def opened_again(out: Path, made: Mapping[str, Any], options: CommandOptions) -> Session:
    """The work folder of a hand-out, with the settings and the net that it was made with.

    What `options` tell counts before those.

    Raises
    ------
    ConfigError
        If its work folder is another one, or is gone.
    """
    work = _own_work(out, made)
    session = open_session(work, options, dry=True)
    before = settle(FLOW, work, CommandOptions()).origins
    origins = session.settled.origins
    for stage, told in made["settings"].items():
        known = as_dict(session.settled.params[stage]) if stage in session.settled.params else {}
        old = {
            name: value
            for name, value in told.items()
            if name in known and origins.get((stage, name)) == before.get((stage, name))
        }
        session = with_params(session, stage, **old)
    if made["net"] and not options.model and Path(made["net"]).is_file():
        session = replace(session, net=named_net(made["net"], "the net of before"))
    return session


def check_no_hand_out(work: Path) -> None:
    """See that no stages are run in the folder that was handed out to, instead of its work folder.

    Raises
    ------
    ConfigError
        If `work` is such a folder.
    """
    noted = ledger.notes(work).get(_MADE)
    if noted and not noted["guest"] and (work / WORK).is_dir():
        raise ConfigError(
            f"--work {work}: `lungs` or `detect` wrote to that folder; its work folder is "
            f"{work / WORK}"
        )


def _by_stage(noted: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """How each command's last stage was made; of the last command alone where no more is noted."""
    made: Mapping[str, Mapping[str, Any]] = noted.get(
        _BY_STAGE, {noted[_MADE]["stage"]: noted[_MADE]}
    )
    return made


def _own_work(out: Path, made: Mapping[str, Any]) -> Path:
    if made["guest"] or not (out / WORK).is_dir():
        raise ConfigError(
            f"{out} has no work folder of its own any more, or was made with --work; name that "
            "work folder, or run the command that made it again"
        )
    return out / WORK
