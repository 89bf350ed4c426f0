"""What a candidate touches, on phantoms in which vessels, ribs and ends are known."""

import numpy as np
import pytest

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.nodules.patches import Patch
from lungseg.ops.nodules.sphere import ball
from lungseg.ops.surroundings.measure import Around
from lungseg.ops.surroundings.ribs import between_lungs, touches_rib
from lungseg.ops.surroundings.strands import strands
from lungseg.phantom.small_chest import chest
from lungseg.volume import Geometry, Volume

KINDS = ("isolated", "vessel_attached", "juxtapleural")


@pytest.fixture(scope="module")
def phantom():
    return chest((1.25, 1.25, 1.25), nodules=KINDS, z_range_mm=(-45.0, 55.0), contrast=True)


@pytest.fixture(scope="module")
def around(phantom):
    return Around(phantom.ct, phantom.lungs, 1.25)


def nodule(phantom, kind):
    mask = phantom.nodules.array == 1 + KINDS.index(kind)
    box = bounding_box(mask)
    return Patch(mask[box], tuple(part.start for part in box))


def spread(mask, count, margin):
    """So many voxels of a mask, evenly chosen, not in the first and last slices."""
    inner = np.argwhere(mask[margin:-margin]) + np.array((margin, 0, 0))
    assert len(inner) > count
    return inner[:: len(inner) // count][:count]


def at(phantom, voxel, diameter_mm=6.0):
    return ball(phantom.ct.geometry.to_world(voxel), diameter_mm, phantom.ct.geometry)


def test_a_nodule_on_a_vessel_touches_it_and_one_in_free_lung_touches_none(phantom, around):
    assert around.of(nodule(phantom, "vessel_attached")).vessels >= 1
    assert around.of(nodule(phantom, "isolated")).vessels == 0


def test_pieces_of_vessels_touch_their_vessel(phantom, around):
    thick = phantom.vessels.array & (phantom.ct.array > -100)
    found = [around.of(at(phantom, voxel)).vessels for voxel in spread(thick, 40, 16)]
    assert np.mean([n > 0 for n in found]) > 0.85
    assert max(found) >= 2


def test_free_lung_touches_neither_vessel_nor_rib(phantom, around):
    from scipy.ndimage import distance_transform_edt

    # Walls of bronchi are no vessels in the phantom's truth.
    free = distance_transform_edt(phantom.lung.array & (phantom.ct.array < -600)) > 6
    told = [around.of(at(phantom, voxel)) for voxel in spread(free, 15, 16)]
    assert [one.vessels for one in told] == [0] * 15
    assert not any(one.touches_rib for one in told)
    assert all(one.side and one.edge_mm > 3 for one in told)


def test_at_the_chest_wall_a_rib_is_touched_where_there_is_one(phantom, around):
    from scipy.ndimage import distance_transform_edt

    lung = phantom.lung.array
    bone = (phantom.ct.array > 400) & ~lung & ~between_lungs(phantom.lungs.array)
    to_bone = distance_transform_edt(~bone, sampling=phantom.ct.spacing_mm)
    surface = lung & (distance_transform_edt(lung) <= 1)
    wall = surface & ~between_lungs(phantom.lungs.array)
    over_rib = [around.of(at(phantom, v)) for v in spread(wall & (to_bone < 3.5), 12, 12)]
    between_ribs = [around.of(at(phantom, v)) for v in spread(wall & (to_bone > 12), 12, 12)]
    assert all(one.touches_rib for one in over_rib)
    assert not any(one.touches_rib for one in between_ribs)
    assert all(one.edge_mm < 1.3 for one in over_rib + between_ribs)


def test_contrast_in_heart_and_aorta_is_no_rib(phantom, around):
    from scipy.ndimage import binary_dilation

    bright = (phantom.ct.array > 250) & between_lungs(phantom.lungs.array)
    beside = binary_dilation(bright, iterations=2) & phantom.lung.array
    x_mm = np.abs(phantom.ct.geometry.to_world((0, 0, 0))[0] + 1.25 * np.arange(bright.shape[2]))
    y_mm = phantom.ct.geometry.to_world((0, 0, 0))[1] + 1.25 * np.arange(bright.shape[1])
    # Not beside sternum and spine, which are bone.
    beside &= (x_mm < 80) & (np.abs(y_mm + 20) < 50)[:, None]
    touched = [around.of(at(phantom, v)).touches_rib for v in spread(beside, 30, 12)]
    assert np.mean(touched) < 0.1


def test_a_candidate_at_the_first_or_last_slice_says_so(phantom, around):
    middle = phantom.lung.array.shape[0] // 2
    y, x = np.argwhere(phantom.lung.array[middle])[1000]
    ends = [around.of(at(phantom, (z, y, x))).at_scan_end for z in (1, middle, 2 * middle - 2)]
    assert ends == [True, False, True]
    assert around.of(at(phantom, (-40, y, x))).at_scan_end


def test_turned_grids_give_the_same_sides_and_thirds(phantom, around):
    flipped = (slice(None, None, -1),) * 3
    origin = phantom.ct.geometry.to_world([n - 1 for n in phantom.ct.shape])
    grid = Geometry(phantom.ct.spacing_mm, tuple(origin), tuple(-np.eye(3).ravel()))
    other = Around(
        Volume(phantom.ct.array[flipped], grid), Volume(phantom.lungs.array[flipped], grid), 1.25
    )
    for kind in KINDS:
        one = nodule(phantom, kind)
        first = [n - s.stop for n, s in zip(phantom.ct.shape, one.box, strict=True)]
        there = other.of(Patch(one.mask[flipped], tuple(first)))
        assert there == around.of(one)
    assert {around.of(nodule(phantom, kind)).side for kind in KINDS} <= {"left", "right"}


def test_what_lies_beside_a_candidate_with_air_between_does_not_leave_it():
    z, y, x = np.indices((35, 35, 35)) - 17
    body = z**2 + y**2 + x**2 <= 9
    hu, lungs = np.full(body.shape, -850, np.int16), np.ones(body.shape, bool)
    hu[body | ((y - 6) ** 2 + x**2 <= 2)] = 40
    assert strands(body, hu, lungs, (1.0, 1.0, 1.0)) == 0
    hu[(y >= 0) & (y <= 6) & (z**2 + x**2 <= 2)] = 40
    assert strands(body, hu, lungs, (1.0, 1.0, 1.0)) >= 1


def test_a_mass_beside_a_candidate_and_a_short_spike_are_no_vessels():
    z, y, x = np.indices((41, 41, 41)) - 20
    body = z**2 + y**2 + x**2 <= 9
    hu, lungs = np.full(body.shape, -850, np.int16), np.ones(body.shape, bool)
    hu[body | ((y - 14) ** 2 + z**2 + x**2 <= 121)] = 40
    assert strands(body, hu, lungs, (1.0, 1.0, 1.0)) == 0
    hu[:] = -850
    hu[body | ((y > 0) & (y < 8) & (z**2 + x**2 <= 2))] = 40
    assert strands(body, hu, lungs, (1.0, 1.0, 1.0)) == 0
    assert strands(np.zeros_like(body), hu, lungs, (1.0, 1.0, 1.0)) == 0


def test_the_chest_wall_is_no_strand_and_calcium_in_the_lung_no_rib():
    body = np.zeros((40, 40, 40), bool)
    body[15:25, 15:25, 12:18] = True
    hu, lungs = np.full(body.shape, -850, np.int16), np.zeros(body.shape, bool)
    lungs[:, :, 10:] = True
    hu[:, :, :11], hu[body] = 40, 40
    assert strands(body, hu, lungs, (1.0, 1.0, 1.0)) == 0
    hu[15:25, 15:25, 19:24] = 600
    assert not touches_rib(body, hu, lungs, (1.0, 1.0, 1.0))
    hu[10:30, 10:30, 5:10] = 600
    assert touches_rib(body, hu, lungs, (1.0, 1.0, 1.0))


def test_a_speck_of_calcium_in_the_pleura_is_no_rib():
    body = np.zeros((30, 30, 30), bool)
    body[10:20, 10:20, 10:16] = True
    hu = np.full(body.shape, -50, np.int16)
    hu[12:18, 12:18, 16:20] = 400
    assert not touches_rib(body, hu, body, (1.0, 1.0, 1.0))
    assert touches_rib(body, hu, body, (1.0, 1.5, 1.5))


def test_a_scan_with_one_lung_has_nothing_between():
    lungs = np.zeros((2, 4, 9), np.uint8)
    lungs[:, :, 1:3] = 1
    assert not between_lungs(lungs).any()
    lungs[1, :, 7:] = 2
    assert between_lungs(lungs).sum(axis=(1, 2)).tolist() == [0, 16]
