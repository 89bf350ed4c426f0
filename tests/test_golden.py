"""Golden outputs: if they move, the stage's version must move with them, or caches go stale.

A phantom with contrast, an open trachea and padding goes through the four scan stages. What is
kept is a weighted sum of each output, by stage and version: raise the version in the stage and
add its line here (`CHANGELOG.md` too).
"""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.flow import FLOW
from lungseg.io.dicom.write import SeriesHeader, write_series
from lungseg.io.volumes import volume_file
from lungseg.phantom.small_chest import chest

GOLDEN = {
    ("ingest", 2): {"ct.h5": -2075216436.28},
    ("resample", 1): {"ct.h5": -2890435545.98, "field_of_view.h5": 4445874.0},
    ("segment-lungs", 2): {"lungs.h5": 1024106.462, "region.h5": 745676.505724},
    ("annotate-nodules", 3): {"nodules.h5": 169.791660, "votes.h5": 509.374980, "drawn.h5": 0.0},
}
SCAN = "1.2.826.77"


def weighed(array):
    """A sum that moves with the voxels' values and with their places."""
    weights = [np.linspace(1, 2, n) for n in array.shape]
    return float(np.einsum("zyx,z,y,x->", array.astype(np.float64), *weights))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    phantom = chest((5.0, 3.0, 3.0), seed=5, contrast=True, open_trachea=True, padding_hu=-2000)
    header = SeriesHeader(patient="P", study=f"{SCAN}.1", series=SCAN, signed=True)
    write_series(phantom.ct, folder / "src", header)
    table = folder / "nodules.csv"
    nodules = phantom.nodules
    centre = nodules.geometry.to_world(np.argwhere(nodules.array == 1).mean(axis=0))
    table.write_text(
        "scan,x_mm,y_mm,z_mm,diameter_mm\n"
        + ",".join([SCAN, *(f"{mm:.1f}" for mm in centre), "14"])
    )
    words = ["preprocess", "--src", folder / "src", "--work", folder / "work", "--jobs", "1"]
    words += ["--set", "resample.spacing_mm=3", "--set", f"annotate-nodules.coordinates={table}"]
    done = CliRunner().invoke(main, [str(word) for word in [*words, "--json"]])
    assert done.exit_code == 0, done.output
    stages = json.loads(done.stdout)["scans"][0]["stages"]
    return {
        name: folder / "work" / "scans" / SCAN / name / result["fingerprint"][:16]
        for name, result in stages.items()
    }


@pytest.mark.parametrize(("stage", "version"), GOLDEN, ids=str)
def test_an_output_that_moved_has_a_raised_version(outputs, stage, version):
    now = {path.name: weighed(volume_file.read(path).array) for path in outputs[stage].glob("*.h5")}
    (declared,) = {item.version for item in FLOW if item.name == stage}
    assert declared == version, "add a line to GOLDEN for the new version"
    assert now == pytest.approx(GOLDEN[stage, version], rel=1e-5), f"raise {stage}'s version"
