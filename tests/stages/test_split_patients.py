"""Split patients: the stage, on tables of made-up scans."""

import dataclasses
import json

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.core.stage import DatasetInputs
from lungseg.io.tables.schema import NODULES
from lungseg.ops.samples.split import split_hash
from lungseg.stages.split_patients import SplitPatients, run
from tests.io.tables.table_rows import scan_rows, write_table


def rows(scan, patient, nodules=1, truth="contours"):
    records = np.zeros(nodules, NODULES)
    records["readers"] = 3
    return scan_rows(scan, (0,), patient=patient, nodules=records, truth=truth)


SCANS = [
    *(rows(f"1.{k}", f"P{k:02}", k % 3) for k in range(20)),
    rows("2.1", "P07"),
    rows("2.2", "P08", 0, "unannotated"),
    rows("2.3", "Q01", 0, "unannotated"),
]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build-tables")
    write_table(folder / "tables.h5", *SCANS)
    return DatasetInputs(scans={}, stages={"build-tables": folder})


def split(tables, out, **params):
    facts = run(SplitPatients(**params), tables, out)
    return facts, json.loads((out / "split.json").read_text())


def test_every_scan_is_where_its_patient_is(tables, tmp_path):
    facts, found = split(tables, tmp_path)
    part_of = {patient: part for part, names in found["parts"].items() for patient in names}
    assert sum(len(names) for names in found["parts"].values()) == len(part_of) == 21
    for scan in SCANS:
        expected = part_of[scan.patient] if scan.truth != "unannotated" else "unannotated"
        assert found["scans"][scan.scan] == expected
    assert found["scans"]["2.1"] == found["scans"]["1.7"]
    assert found["parts"]["unannotated"] == ["Q01"]
    assert found["hash"] == facts["hash"] == split_hash(found["parts"])
    assert [facts[f"{part}_patients"] for part in ("train", "validation", "test")] == [14, 2, 4]
    assert sum(facts[f"{p}_nodules"] for p in ("train", "validation", "test")) == 20
    assert facts["unannotated_patients"] == 1


def test_a_part_without_a_nodule_is_told_with_what_it_means(tmp_path, caplog):
    one = [rows(f"1.{k}", f"P{k}", int(k == 0)) for k in range(4)]
    none = [rows(f"1.{k}", f"P{k}", 0) for k in range(4)]
    for scans, told in ((one, 2), (none, 0), (SCANS, 0)):
        folder = tmp_path / f"{len(scans)} {told}"
        folder.mkdir()
        write_table(folder / "tables.h5", *scans)
        caplog.clear()
        facts, _ = split(DatasetInputs(scans={}, stages={"build-tables": folder}), tmp_path)
        assert caplog.text.count("no nodule that counts is in the ") == told
    empty = {"train": "nothing is learnt", "validation": "by chance", "test": "say nothing"}
    write_table(tmp_path / "tables.h5", *one)
    facts, _ = split(DatasetInputs(scans={}, stages={"build-tables": tmp_path}), tmp_path)
    for part, meaning in empty.items():
        assert (meaning in caplog.text) == (facts[f"{part}_nodules"] == 0)
        assert facts[f"{part}_patients"] > 0


def test_patients_keep_their_part_when_scans_are_added(tables, tmp_path):
    _, before = split(tables, tmp_path)
    (tmp_path / "before").mkdir()
    (tmp_path / "split.json").rename(tmp_path / "before" / "split.json")
    more = [rows(f"3.{k}", f"N{k}", 4) for k in range(5)] + [
        rows("3.9", before["parts"]["test"][0], 6)
    ]
    (tmp_path / "t").mkdir()
    write_table(tmp_path / "t" / "tables.h5", *SCANS, *more)
    inputs = DatasetInputs({}, {"build-tables": tmp_path / "t"}, previous=tmp_path / "before")
    _, after = split(inputs, tmp_path)
    for part in ("train", "validation", "test"):
        assert set(before["parts"][part]) <= set(after["parts"][part])
    assert sum(len(after["parts"][part]) for part in ("train", "validation", "test")) == 25
    _, anew = split(dataclasses.replace(inputs, previous=None), tmp_path)
    assert anew["parts"]["test"] != after["parts"]["test"]
    _, other = split(inputs, tmp_path, folds=5)
    assert other == split(dataclasses.replace(inputs, previous=None), tmp_path, folds=5)[1]


def test_the_order_of_the_scans_does_not_matter(tables, tmp_path):
    (tmp_path / "t").mkdir()
    write_table(tmp_path / "t" / "tables.h5", *SCANS[::-1])
    _, one = split(tables, tmp_path)
    _, two = split(DatasetInputs(scans={}, stages={"build-tables": tmp_path / "t"}), tmp_path)
    assert one["parts"] == two["parts"]
    assert one["hash"] == two["hash"]


def test_each_fold_tests_on_other_patients(tables, tmp_path):
    each = [split(tables, tmp_path, folds=5, fold=k)[1] for k in range(5)]
    tested = [patient for found in each for patient in found["parts"]["test"]]
    assert sorted(tested) == sorted({f"P{k:02}" for k in range(20)})
    assert len({found["hash"] for found in each}) == 5
    assert each[2]["method"] == "fold 2 of 5, by nodule count"


def test_a_file_by_scan_is_followed_by_patient(tables, tmp_path):
    lines = [f"1.{k},{k % 4}" for k in range(19)] + ["2.1,3", "9.9,0"]
    (tmp_path / "folds.csv").write_text("\n".join(["seriesuid,fold", *lines]))
    facts, found = split(tables, tmp_path, file=str(tmp_path / "folds.csv"), fold=3)
    assert found["parts"]["test"] == ["P03", "P07", "P11", "P15"]
    assert found["parts"]["unlisted"] == ["P19"]
    assert found["scans"]["1.19"] == "unlisted"
    assert found["scans"]["2.1"] == "test"
    assert facts["unlisted_patients"] == 1
    assert found["method"] == "file folds.csv, fold 3"


def test_numbered_folds_that_part_a_patients_scans_go_together(tables, tmp_path, caplog):
    lines = [f"1.{k},{k % 4}" for k in range(20)] + ["2.1,1"]
    (tmp_path / "folds.csv").write_text("\n".join(["scan,fold", *lines]))
    _, found = split(tables, tmp_path, file=str(tmp_path / "folds.csv"), fold=1)
    assert found["scans"]["2.1"] == found["scans"]["1.7"] == "test"
    assert "patient P07 has scans in folds 3 and 1" in caplog.text


def test_named_parts_that_part_a_patients_scans_are_refused(tables, tmp_path):
    (tmp_path / "parts.csv").write_text("scan,part\n1.7,train\n2.1,test\n")
    with pytest.raises(DataError, match="scans of patient P07 in train and in test; a patient"):
        split(tables, tmp_path, file=str(tmp_path / "parts.csv"))


def test_tables_without_an_annotated_scan_are_refused(tmp_path):
    write_table(tmp_path / "tables.h5", rows("1.1", "A", 0, "unannotated"))
    inputs = DatasetInputs(scans={}, stages={"build-tables": tmp_path})
    with pytest.raises(DataError, match="none of the 1 scans in the tables is annotated"):
        split(inputs, tmp_path)


def test_fewer_patients_than_parts_are_refused(tmp_path):
    write_table(tmp_path / "tables.h5", rows("1.1", "A"), rows("1.2", "B"), rows("1.3", "A"))
    inputs = DatasetInputs(scans={}, stages={"build-tables": tmp_path})
    with pytest.raises(DataError, match=r"there are 2: .*\n.*\nset test_share=0"):
        split(inputs, tmp_path)
    assert split(inputs, tmp_path, test_share=0.0)[0]["test_patients"] == 0


def test_a_nodule_that_too_few_drew_does_not_count(tmp_path):
    drawn = np.zeros(3, NODULES)
    drawn["readers"] = [1, 2, 3]
    scans = [scan_rows(f"1.{k}", (0,), nodules=drawn[: k + 1]) for k in range(3)]
    write_table(tmp_path / "tables.h5", *scans, params=json.dumps({"min_readers": 3}))
    inputs = DatasetInputs(scans={}, stages={"build-tables": tmp_path})
    facts, found = split(inputs, tmp_path)
    assert facts["train_nodules"] == 1
    assert found["parts"]["train"] == ["P-1.2"]
