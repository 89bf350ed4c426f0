"""From salted headers to a net, its scores and the report: no name of a patient anywhere.

One patient's series has two acquisitions, which are taken apart into two scans: what is written of
them bears their own ids to the end.
"""

import csv
import json
import shutil
from dataclasses import replace

import pydicom
import pytest

from lungseg.io.dicom.write import SeriesHeader, write_series
from lungseg.io.sources.pseudonyms import KEY_FILE, is_pseudonym, key_in, pseudonym
from lungseg.model.model_record import read_model_record
from lungseg.phantom.small_chest import chest
from tests.session.salted import leaks, salts_of, write_salted
from tests.test_flow import PATIENTS, list_nodules, lungseg, settings

NAMES = {"one": "Smith4711", "two": "Jones4812", "three": "Wells4913"}
SPLIT = PATIENTS["two"]
SCANS = [PATIENTS["one"], f"{SPLIT}_a1", f"{SPLIT}_a2", PATIENTS["three"]]
# Where files lie, for their owner alone; and the key.
PRIVATE = ("sources", "guests", "sources.json", KEY_FILE)
# Nobody can be found by a word so short as a tool's own.
WORDS = {
    word for name in NAMES.values() for word in (name, *salts_of(name).values()) if len(word) > 6
}


def files_below(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def add_acquisition(folder):
    """A second breath-hold in the same series, 3 mm further up, under the patient's own name."""
    ct = chest((6.0, 4.0, 4.0), seed=1, nodules=("isolated",)).ct
    x, y, z = ct.geometry.origin_xyz_mm
    moved = ct.like(ct.array)
    moved = replace(moved, geometry=replace(ct.geometry, origin_xyz_mm=(x, y, z + 3.0)))
    header = SeriesHeader(patient=NAMES["two"], study=f"{SPLIT}.9", series=SPLIT)
    for path in write_series(moved, folder, header):
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = pydicom.uid.generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.AcquisitionNumber = 2
        dataset.save_as(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("salted")
    for seed, (patient, series) in enumerate(PATIENTS.items()):
        write_salted(folder / series, NAMES[patient], series, seed=seed)
    for path in files_below(folder / SPLIT):
        dataset = pydicom.dcmread(path)
        dataset.AcquisitionNumber = 1
        dataset.save_as(path)
    add_acquisition(folder / f"{SPLIT}b")
    return folder


@pytest.fixture(scope="module")
def work(source, tmp_path_factory):
    """A work folder after all four commands, and what they said."""
    folder = tmp_path_factory.mktemp("work")
    list_nodules(folder / "nodules.csv")
    told = ["--set", f"annotate-nodules.coordinates={folder / 'nodules.csv'}", *settings()]
    for setting in ("ingest.pseudonyms=true", "ingest.acquisitions=split",
                    "evaluate.allow_training=true", "write-detections.dicom=true"):  # fmt: skip
        told += ["--set", setting]
    said = [lungseg("preprocess", "--src", source, "--work", folder, "--json", "--pictures", *told)]
    said += [
        lungseg(command, "--work", folder, "--json", "--jobs", 1)
        for command in ("build-tables", "train", "postprocess")
    ]
    (folder / "said.txt").write_text("\n".join(said))
    return folder


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def judge(kind, folders):
    """Every file below `folders` is free of all that was salted."""
    files = sum(len(files_below(folder)) for folder in folders)
    caches = [path.name for path in files_below(folders[0]) if path.name.startswith("headers-")]
    found = leaks(folders, WORDS, (*PRIVATE, *caches))
    for detail in found:
        kind.wrong(str(detail))
    kind.right(files - len(found))


def test_what_the_whole_flow_writes_tells_nobodys_name(tally, work):
    kind = tally("salted headers: files of a work folder")
    judge(kind, [work])
    net = next(work.glob("dataset/train/*/model.keras"))
    known = read_model_record(net)
    assert all(is_pseudonym(one) for one in (*known.train_patients, *known.validation_patients))
    assert {pseudonym(name, key_in(work)) for name in NAMES.values()} >= {*known.train_patients}


def test_what_is_handed_out_tells_nobodys_name(tally, work, source, tmp_path):
    kind = tally("salted headers: files that are handed out")
    anonymous = ("--set", "ingest.pseudonyms=true", "--set", "ingest.acquisitions=split")
    out = ("--report", "--jobs", 1, "--json", *anonymous)
    said = [
        lungseg("lungs", source, "--out", tmp_path / "lungs", "--dicom", "--pictures", *out),
        lungseg("detect", source, "--out", tmp_path / "found", "--model", work, "--dicom", *out),
        lungseg("report", "--work", work, "--out", tmp_path / "report", "--viewer"),
    ]
    for what, ending in (("ct", "nii.gz"), ("lungs", "seg.dcm"), ("detections", "sr.dcm")):
        place = tmp_path / f"exported-{what}"
        said.append(
            lungseg("export", "--all", "--what", what, "--format", ending, "--out", place,
                    "--work", work)
        )  # fmt: skip
    (tmp_path / "said.txt").write_text("\n".join(said))
    judge(kind, [tmp_path])
    assert sorted(row["scan"] for row in rows(tmp_path / "found" / "scans.csv")) == sorted(SCANS)


def test_scans_that_were_taken_apart_bear_their_own_ids_to_the_end(tally, work):
    kind = tally("one series taken apart into two scans")
    results = work / "results"
    (file,) = work.glob("dataset/split-patients/*/split.json")
    split = json.loads(file.read_text())
    scores = json.loads((results / "scores.json").read_text())
    told = {
        "candidates": {row["seriesuid"] for row in rows(results / "candidates.csv")},
        "nodules": {row["scan"] for row in rows(results / "nodules.csv")},
        "split": set(split["scans"]),
        "outcomes": set(scores["outcomes"]),
    }
    for name, scans in told.items():
        if scans == set(SCANS):
            kind.right()
        else:
            kind.wrong(f"{name}: {sorted(scans)}")
    assert split["scans"][SCANS[1]] == split["scans"][SCANS[2]], "they are of one patient"
    patients = {row["patient"]: int(row["scans"]) for row in rows(results / "patients.csv")}
    assert patients[pseudonym(NAMES["two"], key_in(work))] == 2
    (centre, moved) = (
        [float(row[name]) for row in rows(results / "nodules.csv") if row["scan"] == scan
         for name in ("x_mm", "y_mm", "z_mm")]
        for scan in SCANS[1:3]
    )  # fmt: skip
    # One list of nodules is about both: each has the nodule at its own place in the patient.
    assert centre == pytest.approx(moved, abs=4)


@pytest.mark.parametrize("key", ["the same", "another", "none"])
def test_the_guard_knows_patients_by_pseudonyms(tally, work, source, tmp_path, key):
    """By the net's own key each is known; by no other one a patient is called unseen."""
    kind = tally("patients held against a net of pseudonyms")
    renamed = tmp_path / "src"
    shutil.copytree(source, renamed)
    for path in files_below(renamed):
        # The same patients, in scans that the net does not know.
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID += ".77"
        dataset.SOPInstanceUID = pydicom.uid.generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(path)
    folder, net = tmp_path / "w", tmp_path / "net.keras"
    folder.mkdir()
    shutil.copy(next(work.glob("dataset/train/*/model.keras")), net)
    if key == "the same":
        shutil.copy(work / KEY_FILE, folder)
    anonymous = ["--set", "ingest.pseudonyms=true"] if key != "none" else []
    common = ("--work", folder, "--jobs", 1, "--json", "--set", "ingest.acquisitions=split")
    told = lungseg(
        "run", "predict", "--src", renamed, "--model", net, *common, *anonymous, *settings()[:2],
        "--set", "predict.part=all",
    )  # fmt: skip
    parts = {
        scan["id"]: scan["stages"]["predict"]["facts"]["part"] for scan in json.loads(told)["scans"]
    }
    record = read_model_record(net)
    names = {pseudonym(name, key_in(work)): name for name in NAMES.values()}
    for patient, series in PATIENTS.items():
        (mine,) = {part for scan, part in parts.items() if scan.startswith(f"{series}.77")}
        expected = record.part_of(pseudonym(NAMES[patient], key_in(work)))
        if mine == (expected if key == "the same" else "unknown"):
            kind.right()
        else:
            kind.wrong(f"{key} key: {patient} is {mine}")
    assert set(names) >= {*record.train_patients, *record.validation_patients}
    skipped = json.loads(
        lungseg("run", "predict", *common, *anonymous, "--set", "predict.part=test")
    )
    seen = sum(part != "test" for part in parts.values())
    assert skipped["skipped"] == seen > 0
    if key != "the same":
        assert "it cannot be told whether it has seen this one" in json.dumps(skipped)
