"""Write lungs: what is measured, on which grid, and what a picture costs."""

import json

import numpy as np
import pytest

from lungseg.core.record import NAME, Record, write_record
from lungseg.io.volumes import volume_file
from lungseg.io.volumes.formats import read_volume
from lungseg.stages.write_lungs import WriteLungs, measured, run
from lungseg.volume import Geometry, Volume

FINE = Geometry((1.0, 0.5, 0.5), (4.0, 5.0, 6.0))


def volumes():
    hu = np.full((4, 6, 6), -900, np.int16)
    hu[:, :, 3:] = -960
    lungs = np.ones(hu.shape, np.uint8)
    lungs[:, :, 3:] = 2
    lungs[0] = 0
    return Volume(hu, FINE), Volume(lungs, FINE)


def test_volumes_and_densities_are_those_of_the_mask():
    ct, lungs = volumes()
    found = measured(ct, lungs, float("nan"))
    assert found["right_ml"] == found["left_ml"] == round(3 * 6 * 3 * 0.25 / 1000, 1)
    assert found["lung_ml"] == round(2 * 3 * 6 * 3 * 0.25 / 1000, 1)
    assert (found["mean_hu"], found["share_below_950"]) == (-930.0, 0.5)
    assert [found[f"spacing_{axis}_mm"] for axis in "zyx"] == [1.0, 0.5, 0.5]


def test_the_air_of_each_lung_is_its_volume_less_its_tissue():
    ct, lungs = volumes()
    large = Geometry((100.0, 50.0, 50.0))
    found = measured(Volume(ct.array, large), Volume(lungs.array, large), float("nan"))
    assert (found["right_ml"], found["right_air_ml"]) == (13500.0, 12150.0)
    assert (found["left_air_ml"], found["air_ml"]) == (12960.0, 25110.0)


def test_what_the_scanner_did_not_see_is_not_measured():
    ct, lungs = volumes()
    ct.array[1] = -2000
    assert measured(ct, lungs, float("nan"))["p5_hu"] == -2000
    found = measured(ct, lungs, -2000.0)
    assert (found["p5_hu"], found["mean_hu"]) == (-960, -930.0)


@pytest.mark.parametrize("pictures", [False, True])
def test_the_mask_is_written_on_the_scans_own_grid(tmp_path, pictures):
    ct, lungs = volumes()
    inputs = {name: tmp_path / name for name in ("ingest", "resample", "segment-lungs")}
    for stage, folder in inputs.items():
        folder.mkdir()
        facts = {"verdict": "suspect", "reasons": "odd", "hu_check": "air is at -800 HU"}
        record = Record(stage=stage, version=1, fingerprint="f", scan="s", facts=facts)
        write_record(record, folder / NAME)
    volume_file.write(ct, inputs["ingest"] / "ct.h5", padding_hu=float("nan"))
    volume_file.write(ct, inputs["resample"] / "ct.h5")
    volume_file.write(lungs, inputs["segment-lungs"] / "lungs.h5")
    out = tmp_path / "out"
    out.mkdir()
    facts = run(WriteLungs(format="mha", pictures=pictures), inputs, out)
    written = read_volume(out / "lungs.mha")
    assert (written.geometry, written.array.dtype) == (FINE, np.uint8)
    np.testing.assert_array_equal(written.array, lungs.array)
    assert (facts["verdict"], facts["reasons"]) == ("suspect", "odd")
    assert facts["hu_check"] == "air is at -800 HU"
    assert json.dumps(dict(facts))
    assert (out / "picture.png").is_file() == pictures
