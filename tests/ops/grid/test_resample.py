"""Resampling, against SimpleITK's filter and volumes known by hand."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungseg.ops.grid.resample import labels_to_grid, mask_to_grid, to_grid, working_grid
from lungseg.volume import Geometry, Volume

TURNS = [
    tuple((np.eye(3)[:, list(order)] * signs).ravel())
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
OBLIQUE = tuple(
    (
        np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
        @ np.array([[1, 0, 0], [0, np.cos(0.2), -np.sin(0.2)], [0, np.sin(0.2), np.cos(0.2)]])
    ).ravel()
)


def noise(shape=(9, 12, 14), spacing=(2.5, 0.7, 0.8), direction=TURNS[0], dtype=np.int16):
    rng = np.random.default_rng(7)
    if dtype == np.bool_:
        array = rng.random(shape) > 0.5
    elif np.issubdtype(dtype, np.integer):
        array = rng.integers(max(np.iinfo(dtype).min, -3000), 3000, shape).astype(dtype)
    else:
        array = rng.normal(size=shape).astype(dtype)
    return Volume(array, Geometry(spacing, (-201.3, 17.25, -679.8), direction))


def as_image(sitk, volume):
    image = sitk.GetImageFromArray(volume.array.astype(np.float64))
    image.SetSpacing(volume.spacing_mm[::-1])
    image.SetOrigin(volume.geometry.origin_xyz_mm)
    image.SetDirection(volume.geometry.direction_xyz)
    return image


def by_simpleitk(volume, shape, geometry, order, outside):
    import SimpleITK as sitk  # noqa: N813

    how = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor}[order]
    resample = sitk.ResampleImageFilter()
    resample.SetSize([int(n) for n in shape[::-1]])
    resample.SetOutputSpacing(geometry.spacing_mm[::-1])
    resample.SetOutputOrigin(geometry.origin_xyz_mm)
    resample.SetOutputDirection(geometry.direction_xyz)
    resample.SetInterpolator(how)
    resample.SetDefaultPixelValue(outside)
    # Its cast to integers truncates, so it works on duplicates here.
    return sitk.GetArrayFromImage(resample.Execute(as_image(sitk, volume)))


@pytest.mark.parametrize("direction", [*TURNS[::5], OBLIQUE])
@pytest.mark.parametrize("spacing_mm", [0.6, 1.0, 3.1])
def test_linear_equals_simpleitk_on_the_working_grid(direction, spacing_mm):
    volume = noise(direction=direction)
    shape, grid = working_grid(volume.shape, volume.geometry, spacing_mm)
    expected = by_simpleitk(volume, shape, grid, "linear", -9999)
    ours = to_grid(volume, shape, grid)
    assert ours.array.dtype == np.int16
    assert np.abs(ours.array - expected).max() <= 0.501
    tie = np.abs(expected - np.floor(expected) - 0.5) < 1e-3
    np.testing.assert_array_equal(ours.array[~tie], np.rint(expected)[~tie])
    assert expected.min() > -9999  # nothing of the working grid lies outside the scan


@pytest.mark.parametrize("direction", [*TURNS[1::7], OBLIQUE])
def test_both_orders_equal_simpleitk_on_a_grid_that_overlaps_in_part(direction):
    volume = noise(direction=direction)
    shape, grid = working_grid(volume.shape, volume.geometry, 0.93)
    grid = grid.moved((-3.3, 2.4, -1.7))
    linear = by_simpleitk(volume, shape, grid, "linear", -9999)
    nearest = by_simpleitk(volume, shape, grid, "nearest", -9999)
    assert (linear == -9999).any()
    assert np.abs(to_grid(volume, shape, grid, outside=-9999).array - linear).max() <= 0.501
    np.testing.assert_array_equal(to_grid(volume, shape, grid, "nearest", -9999).array, nearest)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_every_type_is_kept_and_exact(dtype):
    volume = noise(dtype=dtype)
    shape, grid = working_grid(volume.shape, volume.geometry, 1.1)
    expected = by_simpleitk(volume, shape, grid, "linear", 0)
    ours = to_grid(volume, shape, grid).array
    assert ours.dtype == dtype
    if dtype == np.bool_:
        clear = np.abs(expected - 0.5) > 1e-6
        np.testing.assert_array_equal(ours[clear], (expected > 0.5)[clear])
    elif np.issubdtype(dtype, np.integer):
        assert np.abs(ours - expected).max() <= 0.501
    else:
        np.testing.assert_allclose(ours, expected, atol=1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("direction", TURNS)
def test_working_grid_turns_every_scan_upright(direction):
    volume = noise(direction=direction)
    shape, grid = working_grid(volume.shape, volume.geometry, 0.7)
    assert grid.direction_xyz == TURNS[0]
    corners = np.array(list(product(*[(0, n - 1) for n in volume.shape])))
    world = volume.geometry.to_world(corners)
    np.testing.assert_allclose(grid.origin_xyz_mm, world.min(axis=0), atol=1e-6)
    last = grid.to_world(np.asarray(shape) - 1)
    room = world.max(axis=0) - last
    assert (room > -1e-4).all()
    assert (room < 0.7).all()


def test_working_grid_of_an_oblique_scan_stays_oblique():
    turned = tuple((np.reshape(OBLIQUE, (3, 3))[:, [2, 0, 1]] * [-1, 1, -1]).ravel())
    _, grid = working_grid((10, 20, 30), Geometry((3.0, 1.0, 2.0), direction_xyz=turned), 1.0)
    np.testing.assert_allclose(grid.direction_xyz, OBLIQUE, atol=1e-12)


@pytest.mark.parametrize(
    ("n_in", "spacing_in", "spacing_out", "n_out"),
    [
        (275, 1.0, 1.0, 275),
        (512, 0.78125, 1.0, 400),
        (11, 0.1, 0.5, 3),
        (1, 5.0, 1.0, 1),
        (4, 3, 1, 10),
    ],
)
def test_working_grid_goes_from_centre_to_centre(n_in, spacing_in, spacing_out, n_out):
    geometry = Geometry((spacing_in, 1.0, 1.0))
    assert working_grid((n_in, 5, 5), geometry, spacing_out)[0][0] == n_out


@pytest.mark.parametrize("order", ["linear", "nearest"])
def test_a_grid_to_itself_is_a_copy(order):
    volume = noise(direction=OBLIQUE)
    same = to_grid(volume, volume.shape, volume.geometry, order)
    np.testing.assert_array_equal(same.array, volume.array)
    assert not np.shares_memory(same.array, volume.array)


def test_clip_equals_clipping_before():
    volume = noise()
    shape, grid = working_grid(volume.shape, volume.geometry, 1.0)
    before = volume.like(volume.array.clip(-1000, 400))
    np.testing.assert_array_equal(
        to_grid(volume, shape, grid, clip=(-1000, 400)).array, to_grid(before, shape, grid).array
    )


def test_anti_aliasing_averages_what_linear_skips():
    stripes = np.zeros((40, 4, 4), np.int16)
    stripes[::2] = 1000
    volume = Volume(stripes, Geometry((0.5, 1.0, 1.0)))
    shape, grid = working_grid(volume.shape, volume.geometry, 1.0)
    assert (to_grid(volume, shape, grid).array == 1000).all()
    assert (to_grid(volume, shape, grid, anti_alias=True).array[1:] == 500).all()
    # Up-sampling has nothing to smooth.
    shape, grid = working_grid(volume.shape, volume.geometry, 0.3)
    np.testing.assert_array_equal(
        to_grid(volume, shape, grid, anti_alias=True).array, to_grid(volume, shape, grid).array
    )


def test_oblique_grids_are_refused():
    volume = noise()
    with pytest.raises(ValueError, match=r"oblique to each other .* SimpleITK"):
        to_grid(volume, volume.shape, Geometry(volume.spacing_mm, direction_xyz=OBLIQUE))


@given(
    st.integers(0, 47),
    st.floats(0.4, 3.0),
    st.tuples(*[st.floats(0.5, 3.0)] * 3),
)
def test_a_ramp_is_kept_exactly_in_the_world(turn, spacing_mm, spacing_in):
    geometry = Geometry(spacing_in, (5.0, -3.0, 2.0), TURNS[turn])
    index = np.moveaxis(np.indices((6, 7, 8)), 0, -1)
    slope = np.array([3.0, -2.0, 5.0])
    volume = Volume(geometry.to_world(index) @ slope, geometry)
    shape, grid = working_grid(volume.shape, geometry, spacing_mm)
    expected = grid.to_world(np.moveaxis(np.indices(shape), 0, -1)) @ slope
    np.testing.assert_allclose(to_grid(volume, shape, grid).array, expected, atol=1e-4)


def balls(centres_mm, diameters_mm, shape=(60, 70, 80)):
    grid = Geometry((1.0, 1.0, 1.0), (-30.0, 20.0, -100.0))
    world = grid.to_world(np.moveaxis(np.indices(shape), 0, -1))
    labels = np.zeros(shape, np.uint16)
    for k, (centre, diameter) in enumerate(zip(centres_mm, diameters_mm, strict=True), 1):
        labels[
            np.linalg.norm(world - np.add(centre, grid.origin_xyz_mm), axis=-1) <= diameter / 2
        ] = k
    return Volume(labels, grid)


@pytest.mark.parametrize("slices_mm", [0.625, 1.25, 2.5])
@pytest.mark.parametrize("turn", [0, 1, 29])
def test_labels_keep_their_volume_to_one_per_cent(slices_mm, turn):
    rng = np.random.default_rng(3)
    centres = [
        np.add(rng.uniform(-2, 2, 3), (x, y, z))
        for x in (14, 38, 64)
        for y in (14, 50)
        for z in (14, 44)
    ]
    diameters = rng.permutation([5, 5, 5, 5.3, 6, 6, 7, 8, 10, 12, 15, 18])
    working = balls(centres, diameters)
    source = Geometry((slices_mm, 0.7, 0.7), (-29.7, 20.2, -99.8), TURNS[0])
    shape = (int(58 / slices_mm), 97, 110)
    if turn:
        source, shape = turned(source, shape, turn)
    moved = labels_to_grid(working, shape, source)
    before = np.bincount(working.array.ravel())[1:] * working.geometry.voxel_mm3
    after = np.bincount(moved.array.ravel(), minlength=13)[1:] * source.voxel_mm3
    np.testing.assert_allclose(after, before, rtol=0.01)
    for k in range(1, 13):
        there = source.to_world(np.argwhere(moved.array == k).mean(axis=0))
        here = working.geometry.to_world(np.argwhere(working.array == k).mean(axis=0))
        assert np.linalg.norm(there - here) < 0.35
    mask = mask_to_grid(working.like(working.array > 0), shape, source)
    np.testing.assert_array_equal(mask.array, moved.array > 0)


def turned(geometry, shape, turn):
    """The same grid with its axes permuted and flipped as `TURNS[turn]` says."""
    turn_xyz = np.reshape(TURNS[turn], (3, 3)).astype(int)
    axes, sign = np.abs(turn_xyz).argmax(axis=0), turn_xyz.sum(axis=0)
    corner = np.zeros(3)
    corner[axes] = np.where(sign < 0, np.asarray(shape[::-1])[axes] - 1, 0)
    x, y, z = geometry.to_world(corner[::-1])
    spacing = np.asarray(geometry.spacing_mm[::-1])[axes]
    size = np.asarray(shape[::-1])[axes]
    return Geometry(tuple(spacing[::-1]), (x, y, z), TURNS[turn]), tuple(int(n) for n in size[::-1])


def test_a_label_smaller_than_a_voxel_does_not_vanish():
    working = balls([(30.0, 30.0, 31.0)], [2.0])
    moved = labels_to_grid(working, (12, 14, 16), Geometry((5.0, 5.0, 5.0), (-30.0, 20.0, -100.0)))
    assert moved.array.sum() == 1


@pytest.mark.parametrize("label", [1, 2, 255])
def test_a_label_may_be_larger_than_the_number_of_its_voxels(label):
    """As where the candidates before it are too faint for a mask."""
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[4, 4, 4:6] = label
    moved = labels_to_grid(
        Volume(labels, Geometry((1.0, 1.0, 1.0))), (9, 9, 9), Geometry((1.0,) * 3)
    )
    assert np.array_equal(moved.array, labels)


def test_a_mask_cut_by_the_ends_reaches_the_ends():
    # The last slice lies 0.6 mm beyond the working grid's last voxel.
    source = Geometry((2.6, 0.9, 0.9))
    shape, grid = working_grid((12, 30, 30), source, 1.0)
    lung = np.zeros(shape, bool)
    lung[:, 5:20, 5:20] = True
    moved = mask_to_grid(Volume(lung, grid), (12, 30, 30), source).array
    assert (moved.sum(axis=(1, 2)) == moved[5].sum()).all()
    assert moved[5].sum() * 0.81 == pytest.approx(15 * 15, rel=0.06)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_neighbouring_labels_share_no_voxel_and_lose_none(axis):
    both = np.zeros((20, 20, 20), np.uint8)
    both[4:14, 4:14, 4:10] = 1
    both[4:14, 4:14, 10:14] = 2
    both = np.swapaxes(both, 2, axis).copy()
    source = Geometry((2.0, 0.7, 0.7))
    moved = labels_to_grid(Volume(both, Geometry((1.0, 1.0, 1.0))), (10, 28, 28), source).array
    assert (moved == 1).sum() * source.voxel_mm3 == pytest.approx(600, rel=0.01)
    assert (moved == 2).sum() * source.voxel_mm3 == pytest.approx(400, rel=0.01)


def test_labels_off_the_grid_are_left_out():
    working = balls([(14.0, 14.0, 14.0), (64.0, 50.0, 44.0)], [8.0, 8.0])
    part = Geometry((1.0, 1.0, 1.0), (-30.0, 20.0, -100.0))
    moved = labels_to_grid(working, (30, 30, 30), part)
    np.testing.assert_array_equal(moved.array, working.array[:30, :30, :30])


def test_thin_neighbours_in_one_slice_are_kept_apart():
    both = np.zeros((20, 20, 20), np.uint8)
    both[10, 4:14, 4:14] = 1
    both[11, 4:14, 4:14] = 2
    source = Geometry((2.5, 0.7, 0.7))
    moved = labels_to_grid(Volume(both, Geometry((1.0, 1.0, 1.0))), (8, 28, 28), source).array
    wanted = round(100 / source.voxel_mm3)
    assert [int((moved == label).sum()) for label in (1, 2)] == [wanted, wanted]
