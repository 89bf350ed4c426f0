"""Write detections: where a candidate lies in the scan's own array, and what is measured there."""

import numpy as np
import pytest

from lungseg.io.results.candidate_list import Detection
from lungseg.stages.write_detections import described, nearest_voxel, write_close_ups
from lungseg.volume import Geometry, Volume
from tests.io.pictures.picture_files import read_rgb

TURNED = Geometry((2.0, 1.0, 1.0), (10.0, 20.0, 30.0), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))


@pytest.fixture
def scan():
    hu = np.full((8, 20, 20), -900, np.int16)
    labels = np.zeros(hu.shape, np.uint16)
    hu[3:5, 5:8, 5:8], labels[3:5, 5:8, 5:8] = 40, 1
    return Volume(hu, TURNED), Volume(labels, TURNED)


def detection(index_zyx, diameter_mm=4.0):
    x, y, z = TURNED.to_world(index_zyx)
    return Detection("s", (x, y, z), 0.75, diameter_mm)


def test_a_candidate_with_a_mask_is_measured_in_it(scan):
    (row,) = described(*scan, [detection((3.4, 6, 6))])
    assert row["voxel_zyx"] == [3, 6, 6]
    assert row["world_xyz_mm"] == [4.0, 14.0, 36.8]
    assert (row["rank"], row["mask_voxels"], row["mean_hu"]) == (1, 18, 40.0)
    assert (row["probability"], row["diameter_mm"]) == (0.75, 4.0)


def test_a_faint_candidate_is_measured_in_the_ball_of_its_diameter(scan):
    rows = described(*scan, [detection((3.4, 6, 6)), detection((5, 15, 15))])
    assert (rows[1]["mask_voxels"], rows[1]["mean_hu"]) == (0, -900.0)


def test_a_faint_candidate_outside_of_the_array_is_measured_at_its_edge(scan):
    rows = described(*scan, [detection((3.4, 6, 6)), detection((5, 15, 400), 3.0)])
    assert rows[1]["voxel_zyx"] == [5, 15, 19]
    assert rows[1]["mean_hu"] == -900.0


def test_the_nearest_voxel_is_within_the_array():
    assert nearest_voxel(TURNED.to_world((7.4, 3.6, 0.2)), (8, 20, 20), TURNED) == (7, 4, 0)
    assert nearest_voxel(TURNED.to_world((9.0, -3.0, 25.0)), (8, 20, 20), TURNED) == (7, 0, 19)


def test_a_close_up_shows_the_place_without_and_with_its_outline(tmp_path):
    hu = np.full((40, 80, 80), -900, np.int16)
    labels = np.zeros(hu.shape, np.uint16)
    labels[18:22, 38:43, 38:43] = 1
    grid = Geometry((1.0, 1.0, 1.0))
    found = [
        Detection("s", (40.0, 40.0, 20.0), 0.9, 5.0),
        Detection("s", (15.0, 15.0, 9.0), 0.2, 6),
    ]
    write_close_ups(Volume(hu, grid), Volume(labels, grid), found, "who", tmp_path)
    first, second = (read_rgb(tmp_path / f"nodule0{k}.png") for k in (1, 2))
    white, yellow = (255, 255, 255), (240, 228, 66)
    for picture, colour, other in ((first, white, yellow), (second, yellow, white)):
        drawn = (picture == colour).all(axis=2)
        middle = picture.shape[1] // 2
        assert drawn[:, middle:].sum() > 50
        assert not drawn[40:, :middle].any()
        assert not (picture == other).all(axis=2)[40:].any()
