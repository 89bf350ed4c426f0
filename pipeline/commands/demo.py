"""The demo: phantoms of real LIDC scans through all four commands, scored against their truth."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lungseg.commands.report.report import Wanted, write_report
from lungseg.commands.results import look_in, update_results, write_pictures
from lungseg.commands.run_stages import REPORT
from lungseg.commands.verify import verify
from lungseg.core.errors import ConfigError
from lungseg.core.executor import EngineOptions
from lungseg.core.shown import many
from lungseg.flow import COMMANDS
from lungseg.io.annotations.nodule_list import read_nodules
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.resample import labels_to_grid
from lungseg.ops.scores.counts import count
from lungseg.phantom.demo import DICOM, DemoScan, write_demo
from lungseg.session import messages
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import Session, open_session

SCANS = 8
PRESET = "small"
_MADE_BY_DEMO = ".lungseg-demo"

Say = Callable[[str], Any]


def run_demo(  # noqa: PLR0913 - what the command line has
    out: Path,
    jobs: int,
    say: Say,
    scans: int = SCANS,
    *,
    with_report: bool = False,
    viewer: bool = False,
) -> int:
    """Make phantoms in `out`, run the four commands on them, report the results of each.

    Returns
    -------
    int
        0 if every scan was done and `verify` found no fault, else 1.

    Raises
    ------
    ConfigError
        If `out` is a folder that is not empty and was not made by the demo.
    """
    start = time.perf_counter()
    _make_room(out)
    say(f"phantoms of {scans} LIDC scans, with the nodules that their radiologists drew:")
    made = write_demo(out, scans, on_written=lambda one: say(f"  {_scan_line(one)}"))
    work, failed = out / "work", 0
    for command in COMMANDS:
        session = _session(work, out / DICOM if command == "preprocess" else None)
        src = f" --src {out / DICOM}" if command == "preprocess" else ""
        say(f"\n$ lungseg-cli {command}{src} --preset {PRESET} --work {work}")
        began = time.perf_counter()
        summary = session.run(COMMANDS[command], EngineOptions(jobs), messages.Progress().watch())
        seconds = time.perf_counter() - began
        say(messages.summary_text(summary, session.sources, session.beside, seconds))
        failed += summary.failed + summary.dataset_failed
        for line in _AFTER.get(command, _nothing)(session, made):
            say(line)
    checked = verify(work)
    say(f"\n$ lungseg-cli verify --work {work}\n{checked.as_text()}\n\nwhere to look:")
    for picture in write_pictures(session):
        say(f"  {picture}")
    for line in (*update_results(session), *look_in(work)):
        say(f"  {line}")
    if with_report:
        for line in write_report(session, Wanted(out / REPORT, viewer)).lines():
            say(f"  {line}")
    say(f"the demo took {time.perf_counter() - start:.0f} s")
    return 1 if failed or checked.faults else 0


def _make_room(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()):
        if not (out / _MADE_BY_DEMO).is_file():
            raise ConfigError(
                f"--out {out} is not empty and was not made by the demo; name another folder"
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MADE_BY_DEMO).touch()


def _session(work: Path, source: Path | None) -> Session:
    return open_session(work, CommandOptions(preset=PRESET), [source] if source else [])


def _scan_line(one: DemoScan) -> str:
    shown = ", ".join(name.replace("_", " ") for name in one.nuisances) or "nothing special"
    nodules = many(one.counted, "nodule")
    return f"{one.patient}  {one.slices} slices, {nodules} with 3+ readers; {shown}"


def _nothing(_session: Session, _made: list[DemoScan]) -> Iterator[str]:
    yield from ()


def _lungs_and_nodules(session: Session, made: list[DemoScan]) -> Iterator[str]:
    """How lungs and nodules compare with the phantoms' truth."""
    yield "patient         lung Dice   nodules drawn / annotated   inside the lungs"
    outputs = session.folders()
    for one in made:
        folders = outputs[one.scan]
        if "annotate-nodules" not in folders:
            continue
        truth = volume_file.read(one.lungs)
        lungs = volume_file.read(folders["segment-lungs"] / "lungs.h5")
        found = labels_to_grid(lungs, truth.shape, truth.geometry).array > 0
        known = truth.array > 0
        dice = count(found, known).dice
        nodules = [n for n in read_nodules(folders["annotate-nodules"]).nodules if n.readers >= 3]
        inside = min((n.share_in_lungs for n in nodules), default=1.0)
        yield f"{one.patient}  {dice:9.3f}   {one.counted:13d} / {len(nodules):<9d}   {inside:.1%}"


def _scores(session: Session, _made: list[DemoScan]) -> Iterator[str]:
    folder = session.folders()[""].get("evaluate")
    if folder is None:
        return
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    found = scores["detection"]
    yield (
        f"on {many(scores['scans'], 'scan')} of patients the net was not trained on: "
        f"{found['hits']} of {found['nodules']} nodules found, "
        f"{found['false_positives_per_scan']:.1f} false "
        f"positives per scan, CPM {_number(found['cpm'])}, Dice {_number(_dice(scores))}"
    )


def _dice(scores: dict[str, Any]) -> float | None:
    pooled = scores["segmentation"].get("pooled") or {}
    return pooled.get("dice")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


_AFTER: dict[str, Callable[[Session, list[DemoScan]], Iterator[str]]] = {
    "preprocess": _lungs_and_nodules,
    "postprocess": _scores,
}
