"""The store under harm: files of a finished work folder damaged, and disks that are full.

A small work folder is finished once. Each try harms one file of a copy, has what comes after the
stage that was hit made again, and compares every array, table and list with the truth.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg import flow
from lungseg.cli import main
from lungseg.core.disk import trust
from lungseg.core.record import read_record
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import ARRAYS
from lungseg.io.volumes import volume_file
from tests.core.damage import HARMS, alike, fresh_copy, harm
from tests.test_flow import PATIENTS, SETTINGS, list_nodules, write_scan

TOLD = [word for setting in SETTINGS for word in ("--set", setting)]
STAGES = [stage.name for stage in flow.FLOW]
TRIES = 10
LEARNT = ("--set", "evaluate.allow_training=true")


Truth = namedtuple("Truth", "tree work outputs")


def commands(tree):
    nodules = tree.with_name(f"{tree.name}.csv")
    if not nodules.is_file():
        list_nodules(nodules)
    listed = ["--set", f"annotate-nodules.coordinates={nodules}"]
    return ("preprocess", ["--src", tree, *listed]), ("build-tables", listed)


def command(name, work, *more):
    words = [name, "--work", str(work), "--json", "--jobs", "1", *TOLD, *map(str, more)]
    return CliRunner().invoke(main, words)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("src")
    for seed, (patient, series) in enumerate(PATIENTS.items()):
        write_scan(folder, patient, series, seed=seed, nodules=("isolated",))
    return folder


@pytest.fixture(scope="module")
def pristine(tree, tmp_path_factory):
    """A work folder with tables."""
    work = tmp_path_factory.mktemp("pristine") / "work"
    for name, more in commands(tree):
        done = command(name, work, *more)
        assert done.exit_code == 0, done.output
    return work


def rows_by_scan(table):
    """All that a table holds, scan by scan: their order is that in which scans came."""
    found = {"attributes": repr(table.attributes)}
    for k, scan in enumerate(table.scans):
        rows = range(scan["first_row"], scan["first_row"] + scan["n_rows"])
        records = {
            "scans": table.scans[[k]],
            "slices": table.slices[table.slices["scan_row"] == k],
            "nodules": table.nodules[table.nodules["scan_row"] == k],
        }
        found[bytes(scan["scan"])] = [
            *(table.read(name, rows).tobytes() for name in ARRAYS),
            *(
                rows[name].tobytes()
                for rows in records.values()
                for name in rows.dtype.names
                if name not in {"scan_row", "first_row"}
            ),
        ]
    return found


def contents(folder):
    """What the files of an output mean, by name, whatever their bytes."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "stage.json"):
        if path.name == "tables.h5":
            with Tables(path) as table:
                found[path.name] = rows_by_scan(table)
        elif path.suffix == ".h5":
            volume = volume_file.read(path)
            found[path.name] = (volume.array.tobytes(), volume.geometry)
        elif path.suffix == ".json":
            found[path.name] = json.loads(path.read_bytes())
        else:
            found[path.name] = path.read_bytes()
    found["facts"] = dict(read_record(folder).facts)
    for of_this_run in ("taken_over", "ms_per_slice"):
        found["facts"].pop(of_this_run, None)
    return found


def outputs(work):
    for pattern in ("scans/*/*/*", "dataset/*/*"):
        for folder in sorted(work.glob(pattern)):
            if folder.is_dir() and not folder.name.startswith("."):
                yield folder


def judge(kind, detail, work, truth):
    for folder in outputs(work):
        key = folder.relative_to(work)
        try:
            record = read_record(folder)
        except Exception:  # nobody asked for it: it is not trusted, and made again when it is
            continue
        if trust.fault_in(folder, record.stage, record.fingerprint, record.scan):
            continue
        if key in truth.outputs and contents(folder) != truth.outputs[key]:
            kind.wrong(f"{detail}: {key} is another")
            return
    kind.right()


@pytest.fixture(scope="module")
def truth(tree, pristine):
    """The scans, the finished work folder, and what every output of it means, by its place."""
    outcome = {folder.relative_to(pristine): contents(folder) for folder in outputs(pristine)}
    return Truth(tree, pristine, outcome)


def forget_after(work, stage):
    """Have everything after `stage` made again, so that what was hit is read."""
    for folder in outputs(work):
        name = folder.parent.name
        if name in STAGES and STAGES.index(name) > STAGES.index(stage):
            shutil.rmtree(folder)


@pytest.mark.parametrize("what", HARMS)
def test_no_harm_to_a_work_folder_gives_other_arrays(tally, rng, tmp_path, truth, what):
    kind = tally("damaged work folders")
    for number in range(TRIES):
        work = tmp_path / "work"
        fresh_copy(truth.work, work)
        files = sorted(p for p in work.rglob("*") if p.is_file() and not p.is_symlink())
        victim = files[int(rng.integers(len(files)))]
        detail = f"{what} {number} {victim.relative_to(work)}"
        harm(what, victim, alike(victim, files), rng)
        parts = victim.relative_to(work).parts
        forget_after(work, parts[-3] if len(parts) > 2 and parts[-3] in STAGES else STAGES[0])
        ended = 0
        for name, more in commands(truth.tree):
            done = command(name, work, *(more if name != "preprocess" else more[2:]))
            if done.exception is not None and not isinstance(done.exception, SystemExit):
                kind.traceback(f"{detail}: {done.exception!r}")
                break
            ended = max(ended, done.exit_code)
        else:
            if ended == 2:
                kind.refused()
            elif ended == 1 and "again" not in done.stderr:
                kind.wrong(f"{detail}: exit 1: {done.stderr[-200:]}")
            else:
                judge(kind, detail, work, truth)


@pytest.fixture(scope="module")
def scored(truth, tmp_path_factory):
    """The same folder with a net and its scores, and what every output of it means."""
    work = tmp_path_factory.mktemp("scored") / "work"
    shutil.copytree(truth.work, work, symlinks=True)
    for name in ("train", "postprocess"):
        done = command(name, work, *LEARNT)
        assert done.exit_code == 0, done.output
    outcome = {folder.relative_to(work): contents(folder) for folder in outputs(work)}
    return Truth(truth.tree, work, outcome)


@pytest.mark.parametrize("what", HARMS)
def test_no_harm_to_nets_and_results_gives_other_scores(tally, rng, tmp_path, scored, what):
    """A net is never trained unasked: one that is damaged is refused, with what to do."""
    kind = tally("damaged nets and results")
    first = STAGES.index("train")
    for number in range(4):
        work = tmp_path / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(scored.work, work, symlinks=True)
        places = [*(f for f in outputs(work) if STAGES.index(f.parent.name) >= first)]
        files = sorted(
            path
            for place in (*places, work / "results")
            for path in place.rglob("*")
            if path.is_file() and not path.is_symlink()
        )
        victim = files[int(rng.integers(len(files)))]
        detail = f"{what} {number} {victim.relative_to(work)}"
        harm(what, victim, alike(victim, files), rng)
        parts = victim.relative_to(work).parts
        forget_after(work, parts[-3] if parts[-3:-2] and parts[-3] in STAGES else "train")
        done = command("postprocess", work, *LEARNT)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            kind.traceback(f"{detail}: {done.exception!r}")
        elif done.exit_code == 2:
            kind.refused()
        elif done.exit_code:
            kind.wrong(f"{detail}: exit {done.exit_code}: {done.stderr[-300:]}")
        else:
            judge(kind, detail, work, scored)


def limited(limit, words):
    """Run a command in a process whose files may not pass `limit` bytes."""
    program = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))\n"
        "from lungseg.cli import main\n"
        "sys.exit(main())\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def finish_and_judge(kind, detail, work, truth):
    """The next run, with room, finishes the work; what it has is the truth."""
    for name, more in commands(truth.tree):
        done = command(name, work, *more)
        if done.exit_code != 0:
            kind.wrong(f"{detail}: the next run ends with {done.exit_code}: {done.output[-300:]}")
            return
    judge(kind, detail, work, truth)


def test_files_that_may_not_grow_leave_nothing_wrong(tally, rng, tmp_path, truth):
    kind = tally("files that may not grow")
    largest = max(p.stat().st_size for p in truth.work.rglob("*") if p.is_file())
    for number in range(6):
        work = tmp_path / f"work{number}"
        limit = int(np.exp(rng.uniform(np.log(3000), np.log(largest))))
        told = []
        for name, more in commands(truth.tree):
            where = ["--work", work, "--jobs", 1, *TOLD, *more]
            done = limited(limit, [name, *where])
            told.append(done)
        detail = f"at most {limit} bytes a file"
        if any("Traceback" in done.stderr + done.stdout for done in told):
            kind.traceback(f"{detail}: {told[-1].stderr[-300:]}")
            continue
        finish_and_judge(kind, detail, work, truth)


def killed(words, wait):
    """Start a command, and kill it and its workers `wait` s after its work began."""
    program = "import sys; from lungseg.cli import main; sys.exit(main())"
    run = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    for line in run.stderr:
        if "to do" in line:
            break
    time.sleep(wait)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    run.stderr.close()


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_killed_at_any_moment_is_finished_by_the_next_run(
    tally, rng, tmp_path, truth, jobs
):
    kind = tally("kill -9 at any moment")
    for number in range(6):
        work = tmp_path / f"work{number}"
        for name, more in commands(truth.tree):
            killed([name, "--work", work, "--jobs", jobs, *TOLD, *more], float(rng.uniform(0, 2.5)))
        finish_and_judge(kind, f"{number}", work, truth)
        if list(work.rglob("*.partial")) or list(work.rglob(".*.tmp")):
            kind.wrong(f"{number}: what was half-written was not swept")


@contextlib.contextmanager
def small_disk(where, megabytes):
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(where)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("NO FULL DISK: no small file system can be mounted here (it takes root)")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


@contextlib.contextmanager
def filler(disk, rng):
    """A neighbour that fills the disk to its end and makes room again, over and over."""
    over = threading.Event()

    def fill():
        path = disk / "filler"
        while not over.wait(float(rng.uniform(0.001, 0.02))):
            with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
                while file.write(b"\0" * 65536):
                    pass
            over.wait(0.004)
            path.unlink(missing_ok=True)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_disk_that_is_full_for_moments_leaves_nothing_wrong(tally, rng, tmp_path, truth, jobs):
    kind = tally("disks full for moments")
    size = sum(p.stat().st_size for p in truth.work.rglob("*") if p.is_file()) // 2**20
    with small_disk(tmp_path / "disk", 3 * size + 8) as disk:
        for number in range(3):
            work = disk / f"work{number}"
            with filler(disk, rng):
                for name, more in commands(truth.tree):
                    where = ["--work", work, "--jobs", jobs, *TOLD, *more]
                    done = limited(-1, [name, *where])
                    if "Traceback" in done.stderr + done.stdout:
                        kind.traceback(f"{number}: {name}: {done.stderr[-300:]}")
            finish_and_judge(kind, f"{number}", work, truth)
            shutil.rmtree(work)


def test_a_disk_that_stays_full_is_said_and_more_room_finishes_it(tally, rng, tmp_path, truth):
    kind = tally("disks too small")
    size = sum(p.stat().st_size for p in truth.work.rglob("*") if p.is_file()) // 2**20
    for number in range(3):
        with small_disk(tmp_path / f"disk{number}", int(rng.integers(1, max(size, 2)))) as disk:
            work = disk / "work"
            name, more = commands(truth.tree)[0]
            words = [name, "--work", work, "--jobs", 1, *TOLD, *more]
            done = limited(-1, words)
            said = done.stdout + done.stderr
            if "Traceback" in said:
                kind.traceback(f"{number}: {said[-300:]}")
                continue
            if done.returncode and "full" not in said and "No space" not in said:
                kind.wrong(f"{number}: exit {done.returncode}, and no word of the disk: {said}")
                continue
            remount = ["mount", "-o", f"remount,size={4 * size + 8}m", str(disk)]
            subprocess.run(remount, check=True)
            finish_and_judge(kind, f"{number}", work, truth)
