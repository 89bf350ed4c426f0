"""How long the overview of a thousand made-up scans takes to build, how heavy it is, how it opens.

    python -m bench.report [--scans 1000] [--json]

Records alone are made up: three in four scans have nodules, one in fifty failed, one in ten is
suspect.
Opening is measured in Chromium where there is one: until the table is there, and one search.
"""

import argparse
import csv
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lungseg.commands.report.report import Wanted, write_report
from lungseg.flow import FLOW
from lungseg.io.results.candidate_list import Detection, write_detections
from lungseg.model.nets import choose_net
from lungseg.session.made_up import MadeUp, put_outputs, put_scans
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import open_session

STAGES = (
    "ingest", "resample", "segment-lungs", "annotate-nodules", "predict", "find-nodules",
    "reduce-false-positives",
)  # fmt: skip


def made_up(dice: random.Random) -> Callable[[str, str], MadeUp | None]:
    """What each stage says of a scan."""

    def of_scan(stage: str, scan: str) -> MadeUp | None:
        if stage not in STAGES:
            return _scores() if stage == "evaluate" else None
        if stage == "ingest" and dice.random() < 0.02:
            return MadeUp(error="too-few-slices: 2 slices; set ingest.min_slices=2 to accept it")
        right, left = dice.gauss(2400, 400), dice.gauss(2000, 350)
        facts: dict[str, Any] = {
            "ingest": {"slices": dice.randrange(90, 500), "spacing_z_mm": 1.25, "hu_check": "ok"},
            "resample": {"spacing_mm": 1.0},
            "segment-lungs": {
                "lung_ml": right + left, "right_ml": right, "left_ml": left, "mean_hu": -810.0,
                "verdict": "good", "reasons": "",
            },
            "annotate-nodules": {"truth": "contours", "nodules": dice.randrange(4),
                                 "largest_mm": dice.uniform(3, 30), "share_in_lungs": 1.0},
            "predict": {"part": "test"},
            "find-nodules": {"candidates": 60},
            "reduce-false-positives": {"candidates": 60, "best_score": dice.random()},
        }[stage]  # fmt: skip
        if stage == "segment-lungs" and dice.random() < 0.1:
            facts |= {"verdict": "suspect", "reasons": "cut at the top: 20 cm2 of lung"}
        if stage == "reduce-false-positives":
            found = [Detection(scan, (0.0, 0.0, 0.0), dice.random(), 5.0) for _ in range(60)]
            return MadeUp(facts, {"candidates.csv": lambda path: write_detections(found, path)})
        return MadeUp(facts)

    return of_scan


def _scores() -> MadeUp:
    told = {"scans": 1000, "nodules": 900, "detection": {"cpm": 0.8, "hits": 850, "nodules": 900}}

    def curve(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("threshold", "fp_per_scan", "sensitivity"))
            rows.writerows((1 - k / 9000, k / 900, min(1.0, k / 6000)) for k in range(9000))

    return MadeUp(
        {"cpm": 0.8},
        {"scores.json": lambda path: path.write_text(json.dumps(told)), "froc.csv": curve},
    )


def opened(index: Path) -> dict[str, float]:
    """Seconds until the table is there, and for one search; empty without Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return {}
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(f"file://{index}")
        page.wait_for_selector("#scans tbody tr")
        shown = time.perf_counter() - start
        start = time.perf_counter()
        page.fill(".dt-search input", "made-up-00500")
        page.wait_for_function('document.querySelectorAll("#scans tbody tr").length === 1')
        searched = time.perf_counter() - start
        browser.close()
    return {"opens_s": round(shown, 2), "searches_s": round(searched, 2)}


def measure(scans: int) -> dict[str, float]:
    """Build the overview of so many scans, and open it."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        patients = {f"1.2.826.{k}": f"made-up-{k:05d}" for k in range(scans)}
        put_scans(work, patients)
        (work / "net.keras").write_text("no net", encoding="utf-8")
        choose_net(work, work / "net.keras", "made up")
        session = open_session(work, CommandOptions())
        made = made_up(random.Random(1))
        for whole in (False, True):
            plan = session.plan([stage.name for stage in FLOW])
            put_outputs(
                session.store, [a for a in plan if whole is not bool(a.scan)], patients, made
            )
        start, cpu = time.perf_counter(), time.process_time()
        written = write_report(session, Wanted(Path(folder) / "report", pages=False))
        return {
            "scans": scans,
            "built_s": round(time.perf_counter() - start, 2),
            "built_cpu_s": round(time.process_time() - cpu, 2),
            "index_kb": round(written.index.stat().st_size / 1000),
            **opened(written.index),
        }


def main() -> None:
    """Measure, and print one line or JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scans", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.scans)
    print(json.dumps(found) if arguments.json else "  ".join(f"{k} {v}" for k, v in found.items()))


if __name__ == "__main__":
    main()
