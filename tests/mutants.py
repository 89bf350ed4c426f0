"""Change the code in small ways and count which changes the tests notice: mutation testing.

    make mutants ROOM=ops/scores [SAMPLE=150] [SEED=1]
    python -m tests.mutants ROOM [--without wand.py] [--sample 150] [--seed 1] [--jobs 2]

ROOM is a folder of `pipeline/` or one file in it; a change is tried against that room's tests
alone (of a file `model/training.py`: `tests/model/test_training*.py`). mutmut makes the changes
and runs, for each, the tests that execute the changed function until one fails. It can follow no
link, so it works on a copy in `build/mutants`, in which `src/lungseg` is a folder. Tests on real
scans are left out: they take long, and not everybody has the scans.

Printed are the numbers per module, then each change that no test noticed. What is known to survive
and why stands in docs/mutation-testing.md.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPY = ROOT / "build" / "mutants"
MUTMUT = Path(sys.executable).with_name("mutmut")

# A fork of a process that has run TensorFlow hangs: the server that forks runs no test itself. The
# pattern leaves out the lines of messages, of which tests need not know every word.
SETTINGS = """
[tool.mutmut]
source_paths = ["src/lungseg"]
only_mutate = ["src/lungseg/{mutated}"]
do_not_mutate = {without}
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider"]
also_copy = ["src", "tests"]
do_not_mutate_patterns = ['^\\s*f?"[^"]*"[,)]*$']
process_isolation = "forkserver"
timeout_multiplier = 4.0
timeout_constant = 4.0
"""

# What mutmut notes of a change: how pytest ended, or a number of its own. Any other number is of a
# process that ran out of time or was killed.
SURVIVED, NO_TEST = 0, 33
KINDS = {1: "killed", 3: "killed", SURVIVED: "survived", NO_TEST: "no test", None: "not tried"}
COLUMNS = ("killed", "broke off", "survived", "no test", "not tried")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("room", help="such as ops/scores or model/training.py")
    parser.add_argument("--without", nargs="*", default=[], help="files of the room to leave out")
    parser.add_argument("--sample", type=int, default=150, help="changes to try; 0: all")
    parser.add_argument("--seed", type=int, default=1, help="which changes are drawn")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    given = parser.parse_args()
    os.nice(19)
    copy_tree(given.room, given.without)
    # No change has this name, so none is tried: the changes are made, and it is noted which test
    # runs which function.
    made = mutmut("run", "--max-children", str(given.jobs), "none")
    names = sorted(verdicts())
    if not names or "nothing matches" not in made.stderr + made.stdout:
        sys.exit(f"mutmut made no changes:\n{made.stdout[-3000:]}\n{made.stderr[-3000:]}")
    if 0 < given.sample < len(names):
        drawn = random.Random(given.seed).sample(names, given.sample)
    else:
        drawn = names
    # mutmut fails over the names of functions that no test runs.
    tested = json.loads((COPY / "mutants/mutmut-stats.json").read_text())
    tested = {name for name, by in tested["tests_by_mangled_function_name"].items() if by}
    tried = [name for name in drawn if name.rpartition("__mutmut_")[0] in tested]
    ran = mutmut("run", "--max-children", str(given.jobs), *tried)
    outcomes = verdicts()
    if any(outcomes[name] is None for name in tried):
        print(f"mutmut broke off (exit status {ran.returncode}): {ran.stderr[-2000:]}")
    outcomes |= dict.fromkeys(set(drawn) - set(tried), NO_TEST)
    report({name: outcomes[name] for name in sorted(drawn)}, len(names))


def copy_tree(room: str, without: list[str]) -> None:
    """The sources as a folder `src/lungseg`, the tests, and the settings for this room."""
    source = ROOT / "pipeline" / room
    tests = ROOT / "tests" / room
    if source.is_dir():
        mutated, selection = f"{room}/*", [f"tests/{room}"]
    elif source.is_file():
        found = sorted(tests.parent.glob(f"test_{source.stem}*.py"))
        mutated, selection = room, [str(path.relative_to(ROOT)) for path in found]
    else:
        sys.exit(f"{source} is neither a folder nor a file")
    shutil.rmtree(COPY, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    # Without symlinks=True, links become what they point to.
    shutil.copytree(ROOT / "pipeline", COPY / "src" / "lungseg", ignore=ignored)
    shutil.copytree(ROOT / "tests", COPY / "tests", ignore=ignored)
    settings = SETTINGS.format(
        mutated=mutated,
        without=json.dumps([f"src/lungseg/{room}/{name}" for name in without]),
        tests=json.dumps(selection),
    )
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    (COPY / "pyproject.toml").write_text(project + settings, "utf-8")
    # Python never looks again into a folder of PYTHONPATH that was missing when it started.
    (COPY / "mutants" / "src").mkdir(parents=True)


def mutmut(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        # hypothesis tries the same examples in every run
        "CI": "1",
        "LUNGSEG_TEST_DATA": str(COPY / "no scans"),
        # for the processes that tests start
        "PYTHONPATH": str(COPY / "mutants" / "src"),
    }
    command = [str(MUTMUT), *arguments]
    return subprocess.run(
        command, cwd=COPY, env=environment, check=False, capture_output=True, text=True
    )


def verdicts() -> dict[str, int | None]:
    """How the tests of each change ended; None for one that was not tried."""
    found: dict[str, int | None] = {}
    for path in sorted((COPY / "mutants").rglob("*.meta")):
        found |= json.loads(path.read_text("utf-8"))["exit_code_by_key"]
    return found


def report(outcomes: dict[str, int | None], made: int) -> None:
    rows: dict[str, Counter[str]] = {}
    for name, code in outcomes.items():
        module = name.partition(".x")[0].removeprefix("lungseg.")
        rows.setdefault(module, Counter())[KINDS.get(code, "broke off")] += 1
    rows["all"] = sum(rows.values(), Counter())
    print(f"{len(outcomes)} of {made} changes")
    print(f"{'':40}" + "".join(f"{column:>11}" for column in COLUMNS))
    for module, row in rows.items():
        print(f"{module:40}" + "".join(f"{row[column]:>11}" for column in COLUMNS))
    for name, code in outcomes.items():
        if code in {SURVIVED, NO_TEST}:
            print(f"\n{name}" + (": no test runs it" if code == NO_TEST else ""))
            diff = mutmut("show", name).stdout.splitlines()
            changed = [line for line in diff if line[:1] in {"+", "-", "@"}]
            print("\n".join(line for line in changed if line[:3] not in {"+++", "---"}))


if __name__ == "__main__":
    main()
