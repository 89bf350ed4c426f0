"""Small stages for tests of the runner: text files, and faults on demand."""

import os
import signal
import time
from dataclasses import dataclass

from lungseg.core.errors import DamagedOutputError, DataError, ScanError, ScanSkipped
from lungseg.core.limits import check_memory
from lungseg.core.plan import Request, ScanRef
from lungseg.core.stage import DatasetStage, Params, ScanStage, param


@dataclass(frozen=True, kw_only=True)
class Read(Params):
    """Parameters."""

    repeat: int = param(1, "how often the text is written", ge=1)
    table: str = param("", "a file whose content matters", path=True)
    jobs_hint: int = param(1, "changes nothing but speed", affects_output=False)


def run_read(params, inputs, out):
    text = inputs["source"].read_text()
    if text == "bad":
        raise ScanError("found 'bad', expected words", setting="table=FILE of words")
    if text == "damaged":
        raise DamagedOutputError("text.txt is not what was written")
    if text == "xray":
        raise ScanSkipped("an X-ray is not a CT")
    if text == "bug":
        raise ZeroDivisionError("a fault of ours")
    if text == "huge":
        check_memory(1 << 60, "a text of 2^60 letters", setting="repeat=1 for a shorter one")
    if text == "memory":
        raise MemoryError
    if text == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "slow":
        time.sleep(1.5)
    (out / "text.txt").write_text(text * params.repeat)
    return {"letters": len(text) * params.repeat}


@dataclass(frozen=True, kw_only=True)
class Upper(Params):
    """Parameters."""

    mark: str = param("!", "what is put at the end", choices=("!", "?"))
    gain: float = param(2.0, "a number", gt=0, le=10, was="factor")


def run_upper(params, inputs, out):
    (out / "upper.txt").write_text((inputs["read"] / "text.txt").read_text().upper() + params.mark)
    return {"mark": params.mark}


@dataclass(frozen=True, kw_only=True)
class Join(Params):
    """Parameters."""

    least: int = param(1, "how many scans it takes", ge=0)


def run_join(params, inputs, out):
    if len(inputs.scans) < params.least:
        raise DataError(f"{len(inputs.scans)} scans, expected {params.least}")
    words = [(f["upper"] / "upper.txt").read_text() for f in inputs.scans.values()]
    (out / "all.txt").write_text(" ".join(words))
    return {"words": len(words), "had_previous": inputs.previous is not None}


def run_back(_params, inputs, out):
    (out / "share.txt").write_text(str(len((inputs["join"] / "all.txt").read_text())))
    return {}


READ = ScanStage(name="read", version=1, help="Read.", params=Read, run=run_read)
UPPER = ScanStage(name="upper", version=1, help="Up.", params=Upper, run=run_upper, needs=("read",))
JOIN = DatasetStage(
    name="join", version=1, help="Join.", params=Join, run=run_join, needs=("upper",)
)
BACK = ScanStage(
    name="back", version=1, help="Back.", params=Params, run=run_back, needs=("upper", "join"),
    in_parent=True,
)  # fmt: skip
FLOW = (READ, UPPER, JOIN, BACK)


def make_sources(folder, **texts):
    """Source files of scans by id; returns (scan refs, paths)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for scan, text in texts.items():
        paths[scan] = folder / f"{scan}.txt"
        paths[scan].write_text(text)
    refs = [ScanRef(scan, f"patient-{scan}", f"id-of-{text}") for scan, text in texts.items()]
    return refs, paths


def make_request(refs, settings=None, targets=("back",), **more):
    chosen = {stage.name: stage.params() for stage in FLOW} | (settings or {})
    return Request(flow=FLOW, targets=targets, scans=refs, settings=chosen, **more)


def reads_first_word(_params, folders):
    """The first word alone: what comes after it changes nothing."""
    return (folders["join"] / "all.txt").read_text().split()[0]


def run_first(_params, inputs, out):
    (out / "first.txt").write_text(reads_first_word(None, inputs.stages))
    return {}


FIRST = DatasetStage(
    name="first", version=1, help="First.", params=Params, run=run_first, needs=("join",),
    reads=reads_first_word,
)  # fmt: skip
