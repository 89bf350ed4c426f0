"""How a hand-out was made, kept beside it, so that its work folder can be opened like that."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lungseg.commands.own_scans import ledger
from lungseg.commands.own_scans.hand_out import WORK, HandOut, with_params
from lungseg.commands.run_stages import session_of
from lungseg.core.errors import ConfigError
from lungseg.core.stage import as_dict
from lungseg.model.nets import named_net
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import Session, open_session

_MADE = "made"


def note_how(handing: HandOut) -> None:
    """Keep in the folder with which settings and net its files were made."""
    session = handing.session
    made = {
        "stage": handing.product.stage,
        "guest": session.guest,
        "settings": {name: as_dict(params) for name, params in session.settled.params.items()},
        "net": str(session.net.file.resolve()) if session.net else "",
    }
    ledger.note(handing.place.out, **{_MADE: made})


def hand_out_at(folder: Path) -> Path | None:
    """The hand-out that `folder`, or the work folder within it, is; None if it is none."""
    for place in (folder, folder.parent if folder.name == WORK else folder):
        if _MADE in ledger.notes(place):
            return place
    return None


def session_at(options: Mapping[str, Any]) -> Session:
    """The work folder that click's `options` name, or that of the hand-out which they name.

    Raises
    ------
    ConfigError
        If the hand-out's work folder is another one, or is gone.
    """
    hand_out = hand_out_at(Path(options["work"]))
    return opened_again(hand_out) if hand_out else session_of(options)


def opened_again(out: Path) -> Session:
    """The work folder of a hand-out, with the settings and the net that it was made with.

    Raises
    ------
    ConfigError
        If its work folder is another one, or is gone.
    """
    made = ledger.notes(out)[_MADE]
    if made["guest"] or not (out / WORK).is_dir():
        raise ConfigError(
            f"{out} has no work folder of its own any more, or was made with --work; name that "
            "work folder, or run the command that made it again"
        )
    session = open_session(out / WORK, CommandOptions())
    for stage, told in made["settings"].items():
        known = as_dict(session.settled.params[stage]) if stage in session.settled.params else {}
        session = with_params(session, stage, **{k: v for k, v in told.items() if k in known})
    if made["net"] and Path(made["net"]).is_file():
        session = replace(session, net=named_net(made["net"], "the net of before"))
    return session
