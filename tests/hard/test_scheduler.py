"""A real scheduler with two workers: scans done on it, and one that is started again in mid-run."""

import json
import time

from lungseg.core.engine.running_cluster import Cluster
from lungseg.core.executor import EngineOptions, run_tasks
from tests.core.engine.cluster import running
from tests.test_flow import lungseg, write_scan


def test_a_scheduler_that_is_started_again_is_gone_on_with(tally):
    kind = tally("scheduler started again in mid-run")
    with running(2) as (address, process):
        tasks = run_tasks(time.sleep, [0.01, 1.1, 1.2], EngineOptions(cluster=Cluster(address)))
        assert next(tasks)[0] == 0.01
        process.kill()
        process.wait()
        with running(2, port=int(address.rpartition(":")[2])) as (again, _):
            assert again == address
            assert dict(tasks) == {1.1: None, 1.2: None}
    kind.right(3)


def test_scans_are_the_same_on_a_cluster_as_inline(tmp_path, tally):
    kind = tally("scans on a running scheduler with two workers")
    for number in range(3):
        write_scan(tmp_path / "src", f"p{number}", f"1.2.826.{number}", seed=number, nodules=())
    common = ("preprocess", "--src", tmp_path / "src", "--json", "--set", "resample.spacing_mm=4")
    inline = json.loads(lungseg(*common, "--work", tmp_path / "inline", "--jobs", 1))
    with running(2) as (address, _):
        remote = json.loads(lungseg(*common, "--work", tmp_path / "w", "--scheduler", address))
    for here, there in zip(inline["scans"], remote["scans"], strict=True):
        facts = [{name: s["facts"] for name, s in scan["stages"].items()} for scan in (here, there)]
        if facts[0] == facts[1]:
            kind.right()
        else:
            kind.wrong(str(facts))
