"""The page on the tables: its examples run, and it tells of every array, column and attribute."""

import csv
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import ARRAYS, NODULES, SCANS, SLICES
from tests.io.tables.table_rows import SIZE, scan_rows, write_table

PAGE = (Path(__file__).parents[1] / "docs" / "tables.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PARTS = {"P-1.2.3": "train", "P-1.2.4": "validation", "P-1.2.5": "train"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a work folder's results, in which the examples are run."""
    results = tmp_path / "lungseg-work" / "results"
    results.mkdir(parents=True)
    unannotated = scan_rows("1.2.5", truth="unannotated")
    rows = [scan_rows("1.2.3"), scan_rows("1.2.4"), unannotated]
    # Voxels of nodule 1, of 4 readers; of nodule 2, of 2.
    for one in rows:
        one.arrays["nodule"][:] = 0
        one.arrays["votes"][:] = 0
        one.arrays["nodule"][:, 3, :8] = 1
        one.arrays["votes"][:, 3, :8] = [0, 1, 1, 2, 2, 3, 4, 4]
        one.arrays["nodule"][:, 9, :4] = 2
        one.arrays["votes"][:, 9, :4] = 2
    write_table(results / "tables.h5", *rows)
    with (results / "patients.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("patient", "scans", "part", "nodules")])
        csv.writer(file).writerows([(p, 1, part, 2) for p, part in PARTS.items()])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def example(word, given=None):
    """Run the example that imports `word` first; what it has made."""
    (text,) = [text for text in EXAMPLES if re.search(rf"^(import|from) {word}\b", text)]
    names = dict(given or {})
    exec(compile(text, "docs/tables.md", "exec"), names)
    return names


def test_all_examples_are_run_here():
    first = [text.split()[1] for text in EXAMPLES]
    assert first == ["tables", "csv", "torch", "keras"]


def test_the_example_with_pytables_runs(place, capsys):
    made = example("tables")
    assert len(made["with_nodule"]) == 9
    assert made["rows"].tolist() == [0, 1, 2]
    assert "3 rows of P-1.2.3" in capsys.readouterr().out


def test_the_example_with_h5py_gives_a_parts_slices_and_the_same_truth_as_ours(place, capsys):
    train = example("csv")["train"]
    # The unannotated scan of a training patient is not among them.
    assert len(train) == 3
    image, target = train[1]
    assert (image.shape, image.dtype) == ((1, SIZE, SIZE), np.float32)
    with Tables("lungseg-work/results/tables.h5") as table:
        hu = table.read("image", [1])[0]
    np.testing.assert_allclose(image[0], ((hu + 1000.0) / 1400).clip(0, 1), atol=1e-6)
    expected = np.zeros((SIZE, SIZE))
    expected[3, 3:8] = 1
    np.testing.assert_array_equal(target[0], expected)
    train.file.close()


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_the_example_with_pytorch_runs(place):
    made = example("torch", example("csv"))
    assert len(made["loader"]) == 2


def test_the_example_with_keras_trains(place):
    net = example("keras")["net"]
    assert net.count_params() == 3 * 9 + 1


def test_a_copy_by_ptrepack_opens_with_plain_h5py(place):
    (command,) = re.findall(r"```sh\nptrepack (.*?)\n```", PAGE)
    program = (
        "import sys; from tables.scripts.ptrepack import main; sys.argv[0] = 'ptrepack'; main()"
    )
    subprocess.run([sys.executable, "-c", program, *command.split()], check=True)
    read = (
        "import h5py; f = h5py.File('plain.h5'); print(f['image'].compression, f['image'].chunks, "
        "f['image'][4].sum(), f.attrs['size'])"
    )
    told = subprocess.run(
        [sys.executable, "-c", read], check=True, capture_output=True, text=True
    ).stdout.split("\n")[0]
    with Tables("lungseg-work/results/tables.h5") as table:
        total = int(table.read("image", [4]).sum())
    assert told == f"gzip (1, {SIZE}, {SIZE}) {total} {SIZE}"


def test_the_page_tells_of_every_array_column_and_attribute(place):
    told = set(re.findall(r"`/?(\w+)`", PAGE))
    columns = {name for table in (SLICES, SCANS, NODULES) for name in table.names}
    with h5py.File("lungseg-work/results/tables.h5") as file:
        attributes = {name for name in file.attrs if name.islower()}
    assert (set(ARRAYS) | columns | attributes) - told == set()
