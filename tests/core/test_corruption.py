"""Whatever happens to whichever file: what is given back is what was kept, or it is made again."""

import numpy as np
import pytest

from lungseg.core.disk import trust
from lungseg.core.executor import EngineOptions
from lungseg.core.runner import Run
from lungseg.core.store import Store
from tests.core.damage import HARMS, alike, fresh_copy, harm
from tests.core.stages import make_request, make_sources

TEXTS = {"a": "one", "b": "two", "c": "six"}
STAGES = ("read", "upper", "join", "back")
TRIES = 25


def run(tmp_path):
    refs, paths = make_sources(tmp_path / "src", **TEXTS)
    return Run(Store(tmp_path / "work"), make_request(refs), paths, EngineOptions()).execute()


def files_of(work):
    return sorted(p for p in work.rglob("*") if p.is_file() and not p.name.startswith("."))


def outputs(summary, store):
    return {
        key: store.folder(key[0], result.fingerprint, key[1])
        for key, result in summary.results.items()
    }


@pytest.mark.parametrize("kind", HARMS)
def test_no_harm_to_any_file_gives_another_output(tmp_path, kind):
    rng = np.random.default_rng([HARMS.index(kind), 1])
    summary = run(tmp_path)
    store, work = Store(tmp_path / "work"), tmp_path / "work"
    told = outputs(summary, store)
    truth = {f: f.read_bytes() for folder in told.values() for f in folder.glob("*.txt")}
    work.rename(tmp_path / "pristine")
    made_again = 0
    for number in range(TRIES):
        fresh_copy(tmp_path / "pristine", work)
        files = files_of(work)
        victim = files[int(rng.integers(len(files)))]
        harm(kind, victim, alike(victim, files), rng)
        # What comes after the stage that was hit is asked for again, and reads what was hit.
        hit = victim.relative_to(work).parts[-3]
        for later in STAGES[STAGES.index(hit) + 1 :]:
            for (stage, _), folder in told.items():
                if stage == later:
                    trust.distrust(folder)
                    for file in folder.glob("*.txt"):
                        file.unlink(missing_ok=True)
        after = run(tmp_path)
        assert (after.done, after.failed) == (3, 0), f"try {number}: {victim}"
        made_again += any(stage == hit for stage, _ in after.damaged)
        for (stage, scan), folder in outputs(after, store).items():
            result = after.results[stage, scan]
            if trust.fault_in(folder, stage, result.fingerprint, scan):
                continue  # nobody asked for it; whoever reads it will have it made again
            for file in folder.glob("*.txt"):
                assert file.read_bytes() == truth[file], f"try {number}: {victim}"
    assert made_again > TRIES // 3
