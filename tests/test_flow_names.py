"""Names of any bytes and any length go through the flow, and come out as text that is whole."""

import csv
import json
import os

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.io.tables.reader import Tables
from lungseg.io.volumes.formats import write_volume
from lungseg.phantom.small_chest import chest
from tests.test_flow import lungseg, settings

NAMES = [b"caf\xe9\nnew\x1b[2J", b"n" * 240]
SCANS = [r"caf\xe9\nnew\x1b[2J"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("src") / os.fsdecode(b"\xff folder")
    folder.mkdir()
    phantom = chest((6.0, 4.0, 4.0), seed=0, nodules=("isolated",))
    for name in NAMES:
        write_volume(phantom.ct, folder / os.fsdecode(name + b".nii.gz"))
    (folder / os.fsdecode(b"\xe9.zip")).write_bytes(b"PK")
    centre = phantom.nodules.geometry.to_world(np.argwhere(phantom.nodules.array).mean(axis=0))
    return folder, centre


def test_scans_with_such_names_go_through_all_stages(tree, tmp_path):
    folder, (x, y, z) = tree
    work = tmp_path / "work"
    summary = json.loads(
        lungseg("run", "ingest", "--src", folder, "--work", work, "--json", "--jobs", 1)
    )
    assert summary["expected"] == 3
    (left,) = summary["left_out"]
    assert left["path"].endswith(r"/\xff folder/\xe9.zip")
    scans = [scan["id"] for scan in summary["scans"]]
    assert scans[0] == SCANS[0]
    assert scans[1].startswith("nnnn")
    nodules = tmp_path / "nodules.csv"
    with nodules.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["scan", "x_mm", "y_mm", "z_mm", "diameter_mm"])
        rows.writerows([scan, x, y, z, 14] for scan in scans)
    listed = ["--set", f"annotate-nodules.coordinates={nodules}", *settings()]
    summary = json.loads(lungseg("preprocess", "--work", work, "--json", "--jobs", 1, *listed))
    assert summary["done"] == 2
    parts = ["--set", "split-patients.test_share=0", "--set", "split-patients.validation_share=0"]
    lungseg("build-tables", "--work", work, "--jobs", 1, *parts)
    kept = {bytes(row["scan"]).decode() for row in Tables(work / "results" / "tables.h5").scans}
    assert kept == set(scans)
    for file in work.rglob("*.json"):
        json.dumps(json.loads(file.read_text("utf-8"))).encode("utf-8")
        assert "\\ud" not in file.read_text("utf-8")
    assert r"\xff folder" in lungseg("status", "--work", work)


def test_a_work_folder_whose_name_is_no_utf8_is_refused(tmp_path):
    work = tmp_path / os.fsdecode(b"\xfe work")
    told = CliRunner().invoke(main, ["train", "--work", str(work)])
    assert told.exit_code == 2
    assert r"\xfe work: its name is no UTF-8, and HDF5 writes no file there" in told.stderr
