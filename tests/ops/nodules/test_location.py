"""Where a nodule lies in the lungs, in two boxes of known size."""

import numpy as np
import pytest

from lungseg.ops.nodules.location import FARTHEST_MM, Location, locate, lung_heights
from lungseg.ops.nodules.patches import Patch
from lungseg.volume import Geometry, Volume

GRID = Geometry((2.0, 1.0, 1.0), (-100.0, -50.0, -300.0))
SIDES = {1: "right", 2: "left"}


@pytest.fixture(scope="module")
def lungs():
    """Right lung x 5 to 49, left lung x 60 to 104 and lower; both y 5 to 74."""
    labels = np.zeros((60, 80, 110), np.uint8)
    labels[10:50, 5:75, 5:50] = 1
    labels[4:34, 5:75, 60:105] = 2
    return Volume(labels, GRID)


def at(lungs, first, size=(2, 4, 4)):
    nodule = Patch(np.ones(size, bool), first)
    return locate(nodule, lungs, SIDES, lung_heights(lungs))


def test_heights_are_of_each_lung(lungs):
    assert lung_heights(lungs) == {1: (-280.0, -202.0), 2: (-292.0, -234.0)}
    turned = Volume(
        lungs.array, Geometry((2.0, 1.0, 1.0), (0, 0, 0), (1.0, 0, 0, 0, 1, 0, 0, 0, -1))
    )
    assert lung_heights(turned)[1] == (-98.0, -20.0)


@pytest.mark.parametrize(
    ("z", "right", "left"),
    [(10, "lower", "lower"), (20, "lower", "middle"), (22, "lower", "middle"),
     (23, "middle", "upper"), (28, "middle", "upper"), (35, "middle", None), (36, "upper", None)],
)  # fmt: skip
def test_thirds_are_of_the_nodules_own_lung(lungs, z, right, left):
    assert at(lungs, (z, 30, 20)).third == right
    if left:
        assert at(lungs, (z, 30, 80)) == Location("left", left, at(lungs, (z, 30, 80)).edge_mm)


def test_the_edge_is_as_far_as_its_nearest_voxel_and_touching_is_0(lungs):
    assert at(lungs, (25, 30, 5)) == Location("right", "middle", 0.0)
    assert at(lungs, (25, 30, 8)).edge_mm == 3.0
    assert at(lungs, (12, 30, 24)).edge_mm == 5.0  # 2 slices of 2 mm below, less the shorter step
    assert at(lungs, (29, 36, 24)).edge_mm == pytest.approx(19.0)


@pytest.mark.parametrize("seed", range(20))
def test_the_edge_is_found_as_far_as_in_a_search_of_the_whole_box(seed):
    rng = np.random.default_rng(seed)
    labels = np.ones((30, 45, 50), np.uint8)
    for z, y, x in rng.integers(0, labels.shape, (3, 3)):
        labels[z : z + 2, y : y + 2, x : x + 2] = 0
    first = tuple(rng.integers(10, 20, 3).tolist())
    nodule = Patch(rng.random((2, 3, 4)) < 0.5, first)
    nodule.mask[0, 0, 0] = labels[first] = True
    away = np.linalg.norm(
        ((np.argwhere(nodule.mask) + first)[:, None] - np.argwhere(labels == 0)) * (2.0, 1.0, 1.0),
        axis=-1,
    ).min()
    found = locate(nodule, Volume(labels, GRID), SIDES, {1: (-300.0, -242.0)}).edge_mm
    assert found == pytest.approx(min(max(away - 1.0, 0), FARTHEST_MM))


def test_a_nodule_outside_belongs_to_the_nearest_lung(lungs):
    assert at(lungs, (20, 0, 53)).side == "right"
    assert at(lungs, (20, 76, 56), (2, 2, 2)) == Location("left", "middle", 0.0)
    assert at(lungs, (20, 30, 2), (2, 4, 3)).edge_mm == 0.0


def test_without_a_lung_near_nothing_is_known(lungs):
    empty = Volume(np.zeros(lungs.shape, np.uint8), GRID)
    assert at(empty, (20, 30, 30)) == Location("", "", 0.0)
    full = Volume(np.ones((60, 80, 110), np.uint8), GRID)
    assert at(full, (20, 30, 30)).edge_mm == FARTHEST_MM
