"""What a reducer learns from."""

import json

import numpy as np
import pytest

from lungseg.core.record import Record, write_record
from lungseg.io.annotations.nodule_list import IgnoredPoint, Nodule, NoduleList, write_nodules
from lungseg.io.results.candidate_list import Detection, write_detections
from lungseg.io.volumes import volume_file
from lungseg.model import inference
from lungseg.model.model_record import ModelRecord
from lungseg.model.reducer.teaching import WIDE
from lungseg.ops.nodules.windows import NoduleSlices, Place
from lungseg.ops.samples.stacks import SLICES
from lungseg.steps.reducer_examples import examples_of_scan, examples_of_slices
from lungseg.volume import Geometry, Volume
from tests.commands.bright_net import RECORD

GRID = Geometry((1.0, 1.0, 1.0), (-5.0, 7.0, 100.0))


def nodule(label, place, readers):
    return Nodule(
        label=label, readers=readers, truth="contours", centroid_xyz_mm=world(place),
        diameter_mm=8.0, min_diameter_mm=8.0, max_diameter_mm=8.0, volume_mm3=268.0, voxels=268,
        share_in_lungs=1.0,
    )  # fmt: skip


def world(place):
    x, y, z = GRID.to_world(place)
    return float(x), float(y), float(z)


@pytest.fixture
def scan(tmp_path):
    """Four nodules (one missed, one of a single reader), marks, and six candidates."""
    folders = {
        name: tmp_path / name
        for name in ("resample", "annotate-nodules", "predict", "find-nodules")
    }
    for name, folder in folders.items():
        folder.mkdir()
        record = Record(stage=name, version=1, fingerprint="0", scan="1.2.3", patient="P")
        write_record(record, folder / "stage.json")
    z, y, _ = np.indices((30, 80, 80))
    ct = Volume((z + 10 * (y // 10)).astype(np.int16), GRID)
    volume_file.write(ct, folders["resample"] / "ct.h5")
    volume_file.write(ct.like(np.ones(ct.shape, np.uint16)), folders["predict"] / "probability.h5")
    nodules = (
        nodule(1, (10, 10, 10), 4), nodule(2, (10, 30, 10), 3), nodule(3, (10, 50, 10), 1),
        nodule(4, (20, 70, 70), 3),
    )  # fmt: skip
    points = (
        IgnoredPoint(kind="nodule < 3 mm", xyz_mm=world((10, 10, 50))),
        IgnoredPoint(kind="non-nodule", xyz_mm=world((10, 30, 50))),
    )
    told = NoduleList(scan="1.2.3", truth="contours", nodules=nodules, points=points)
    write_nodules(told, folders["annotate-nodules"] / "nodules.json")
    places = [(10, 11, 10), (10, 30, 13), (10, 50, 10), (10, 10, 50), (10, 30, 50), (25, 75, 5)]
    rows = [Detection("1.2.3", world(place), 0.9, 5.0) for place in places]
    write_detections(rows, folders["find-nodules"] / "candidates.csv")
    return folders


def test_hits_and_missed_nodules_are_nodules_and_the_rest_is_none(scan):
    found = examples_of_scan(scan)
    # The hits, what readers called no nodule, what nobody marked, and the nodule that was missed;
    # not the one of a single reader, nor the small one.
    assert found.target.tolist() == [1.0, 0.75, 0.0, 0.0, 0.75]
    assert (found.patients, found.scans) == (("P",), ("1.2.3",))
    assert found.hu.shape == (5, SLICES, WIDE, WIDE)
    # Each shows its own place: ten for each ten rows, from the lowest slice on.
    middle = found.hu[:, 0, WIDE // 2, WIDE // 2]
    assert middle.tolist() == [10, 30, 30, 70, 70]


def test_fewer_readers_may_be_asked_for(scan):
    assert examples_of_scan(scan, min_readers=1).target.tolist() == [1.0, 0.75, 0.25, 0, 0, 0.75]


def test_a_scan_that_nobody_read_teaches_nothing(scan):
    told = NoduleList(scan="1.2.3", truth="unannotated")
    write_nodules(told, scan["annotate-nodules"] / "nodules.json")
    assert examples_of_scan(scan) is None


class Slices:
    """A nodule of three slices in a window, and something likely beside it."""

    patient, series, nodule = "P", "1.2.3", "1"
    place = Place((0, 0), (64, 64), (0.0, 4.0))

    def read(self):
        hu = np.full((5, 64, 64), -850, np.int16)
        masks = np.zeros((3, 5, 64, 64), bool)
        hu[1:4, 30:35, 30:35], masks[:2, 1:4, 30:35, 30:35] = 40, True
        hu[:, 10:14, 10:14] = 40
        hu[:, 38:40, 30:34] = 40
        z = np.arange(5.0)
        return NoduleSlices(
            patient=self.patient, series=self.series, nodule=self.nodule, hu=hu, masks=masks,
            z_mm=z, pixel_mm=1.0, first_yx=(0, 0),
        )  # fmt: skip


def test_windows_teach_their_nodule_and_what_is_likely_far_from_it(monkeypatch):
    def bright(net, x, batch_size, *_):
        assert net == "the net"
        return np.where(x[..., 0] > 0.5, 0.9, 0.0).astype(np.float32)

    monkeypatch.setattr(inference, "predict", bright)
    monkeypatch.setattr(inference, "of_any_size", lambda _: None)
    fields = {**vars(RECORD), "inside_lungs": False, "spacing_mm": [1.0, 1.0, 1.0]}
    record = ModelRecord(**fields)
    (found,) = examples_of_slices([Slices()], "the net", record)
    # Two of three readers drew it; what touches it is left out.
    assert found.target.tolist() == [0.75, 0.0]
    assert (found.hu[0, :, WIDE // 2, WIDE // 2] == 40).all()
    assert (found.hu[1, :, WIDE // 2, WIDE // 2] == 40).all()
    # From the lowest slice of the nodule to its highest: three of the five.
    assert (found.hu[0, 0] == 40).sum() > 20
    assert json.dumps([found.patients, found.scans]) == '[["P"], ["1.2.3"]]'
