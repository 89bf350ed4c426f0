"""The search region, as it was kept, and where none was."""

import numpy as np

from lungseg.io.volumes import volume_file
from lungseg.steps.search_region import read_search_region
from lungseg.volume import Geometry, Volume


def test_the_region_that_was_kept_is_read_and_else_3_mm_around_the_lungs(tmp_path):
    lungs = Volume(np.zeros((3, 3, 20), np.uint8), Geometry((1.0, 1.0, 1.5)))
    lungs.array[:, :, 10] = 2
    volume_file.write(lungs, tmp_path / "lungs.h5")
    near = read_search_region(tmp_path).array
    assert np.flatnonzero(near[1, 1]).tolist() == [8, 9, 10, 11, 12]
    region = lungs.like(np.zeros(lungs.shape, bool))
    region.array[:, :, 3:] = True
    volume_file.write(region, tmp_path / "region.h5")
    assert np.array_equal(read_search_region(tmp_path).array, region.array)
