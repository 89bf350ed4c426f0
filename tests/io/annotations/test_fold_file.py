"""A person's own split, read from a file."""

import pytest

from lungseg.core.errors import DataError
from lungseg.io.annotations.fold_file import read_asked, read_folds


def csv(tmp_path, text):
    path = tmp_path / "folds.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


@pytest.mark.parametrize(
    ("text", "assigned"),
    [
        ("patient,part\nA,train\nB,Test\n\nC, val\n",
         {("patient", "A"): "train", ("patient", "B"): "test", ("patient", "C"): "validation"}),
        ("fold,note,seriesuid\n3,x,1.2\nsubset0,,1.3\n", {("scan", "1.2"): 3, ("scan", "1.3"): 0}),
        ("Patient ID,Subset\nA,fold 7\nA,7\n", {("patient", "A"): 7}),
        ("scan,split\n1,Training\n2,valid\n3,testing\n",
         {("scan", "1"): "train", ("scan", "2"): "validation", ("scan", "3"): "test"}),
    ],
)  # fmt: skip
def test_lists_of_ids_with_parts_or_folds_are_read(tmp_path, text, assigned):
    assert read_folds(csv(tmp_path, text)) == assigned


def test_luna16s_folders_are_read_as_folds(tmp_path):
    for subset, name in ((0, "1.3.6"), (9, "1.3.7")):
        (tmp_path / f"subset{subset}").mkdir()
        (tmp_path / f"subset{subset}" / f"{name}.mhd").touch()
        (tmp_path / f"subset{subset}" / f"{name}.raw").touch()
        (tmp_path / f"subset{subset}" / "notes.txt").touch()
    assert read_folds(tmp_path) == {("scan", "1.3.6"): 0, ("scan", "1.3.7"): 9}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line has nothing"),
        ("patient,age\nA,3\n", "one column patient or scan and one column part or fold; .* age"),
        ("patient,scan,part\nA,1,test\n", "one column patient or scan and one"),
        ("patient,part\nA,holdout\n", "line 2: 'holdout' is neither train, validation, test nor"),
        ("patient,fold\nA,7 or 8\n", "line 2: '7 or 8' is neither train, validation, test nor"),
        ("patient,part\nA,test\nA,train\n", "line 3: A was in test, now in train"),
        ("patient,part\nA\n", "line 2: 1 cells, the header has 2"),
    ],
)
def test_lists_that_cannot_be_read_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_folds(csv(tmp_path, text))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "folds.csv").write_bytes(b"patient,part\nA,\x81")
    with pytest.raises(DataError, match="cannot be read as a CSV of folds"):
        read_folds(tmp_path / "folds.csv")


def test_a_folder_without_subsets_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no folders subset0, subset1"):
        read_folds(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,part\nA,test,x\n", "line 2: 3 cells, the header has 2"),
        ("patient,part\n,test\n", "line 2: the patient is empty"),
        ('patient,part\nA,"test\n', "line 2: unexpected end of data; is a quote not closed"),
    ],
)
def test_rows_that_do_not_fit_are_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_folds(csv(tmp_path, text))


def test_whom_is_asked_for_is_a_plain_list_or_the_test_part(tmp_path):
    assert read_asked(csv(tmp_path, "patient;part\nA;test\nB;train\n")) == {"A"}
    assert read_asked(csv(tmp_path, "Patient ID\nA\nB\n")) == {"A", "B"}
    assert read_asked(csv(tmp_path, "A\nB\n")) == {"A", "B"}
    with pytest.raises(DataError, match="line 2: 'hold' is neither train"):
        read_asked(csv(tmp_path, "patient,part\nA,hold\n"))
    with pytest.raises(DataError, match="names nobody"):
        read_asked(csv(tmp_path, "patient\n"))
