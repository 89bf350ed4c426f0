"""Masks that follow the edge: shapes whose truth is known, what they touch, and how it fails."""

import csv

import numpy as np
import pytest

from lungseg.io.annotations import lidc_database
from lungseg.ops.nodules.clusters import cluster
from lungseg.ops.nodules.consensus import count_votes, votes_needed
from lungseg.ops.nodules.contours import rasterise
from lungseg.ops.nodules.patches import Patch, clipped
from lungseg.ops.nodules.sizes import equivalent_diameter_mm
from lungseg.ops.nodules.sphere import ball
from lungseg.ops.nodules.wand import LARGEST, SMALLEST, wand
from lungseg.ops.scores.counts import count
from lungseg.phantom.lidc_like import drawn_nodules, scene
from lungseg.volume import Geometry, Volume
from tests.hard_cases import hard

EVEN = Geometry((1.0, 1.0, 1.0), (-24.0, -24.0, -24.0))
LUNG, TISSUE = -850.0, 30.0
CENTRE = (0.4, -0.3, 0.2)


def grid(shape=(49, 49, 49), geometry=EVEN):
    """World position of each voxel, relative to the nodule."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    return geometry.to_world(index) - CENTRE


def painted(*depths_mm, geometry=EVEN, hu=TISSUE, noise_hu=25.0, seed=0):
    """CT of solids given by how deep each voxel lies in them, with edges of 1 mm and noise."""
    depth = np.max(depths_mm, axis=0)
    filled = np.clip(depth + 0.5, 0, 1)
    noise = np.random.default_rng(seed).normal(0, noise_hu, depth.shape)
    return Volume(np.rint(LUNG + filled * (hu - LUNG) + noise).astype(np.int16), geometry)


def ellipsoid(world, radii_xyz):
    """Depth under its surface: exact on it, near enough about it."""
    inner = np.linalg.norm(world / radii_xyz, axis=-1)
    slope = np.linalg.norm(world / np.square(radii_xyz), axis=-1)
    return inner * (1 - inner) / np.maximum(slope, 1e-9) + (inner == 0) * min(radii_xyz)


def whole(patch, shape):
    mask = np.zeros(shape, bool)
    inside = clipped(patch, shape)
    mask[inside.box] = inside.mask
    return mask


def followed(ct, size, *, known=True, lungs=None, low=SMALLEST, high=LARGEST):
    found = wand(
        ct, CENTRE, low * size, high * size, diameter_mm=size if known else None, lungs=lungs
    )
    assert not found.fallback
    return whole(found.patch, ct.shape)


def dice(a, b):
    return count(a, b).dice


@pytest.mark.parametrize("known", [True, False], ids=["diameter", "bounds alone"])
@pytest.mark.parametrize("hu", [TISSUE, -600.0], ids=["solid", "ground glass"])
@pytest.mark.parametrize("radii", [(7, 7, 7), (6, 9, 5), (12, 8, 9.5)])
def test_it_finds_ellipsoids_in_noise(radii, hu, known):
    depth = ellipsoid(grid(), radii)
    truth, size = depth > 0, 2 * np.cbrt(np.prod(radii))
    mask = followed(painted(depth, hu=hu), size, known=known)
    assert dice(mask, truth) > 0.95
    if known:
        assert mask.sum() == pytest.approx(np.pi / 6 * size**3, rel=0.02)


def test_without_a_diameter_the_edge_gives_the_size():
    for radius in (5.0, 7.0, 9.0):
        depth = ellipsoid(grid(), (radius,) * 3)
        found = wand(painted(depth), CENTRE, 8.0, 22.0)
        size = equivalent_diameter_mm(found.patch.mask.sum())
        assert size == pytest.approx(2 * radius, rel=0.06)


def test_a_nodule_at_the_wall_does_not_leak_into_it():
    world = grid()
    wall = world[..., 0] - 5.0  # the nodule, 8 mm in radius, is cut by it
    depth = ellipsoid(world, (8, 8, 8))
    lungs = wall <= 0
    truth = (depth > 0) & lungs
    size = equivalent_diameter_mm(truth.sum())
    ct = painted(depth, wall)
    bounded = followed(ct, size, lungs=ct.like(lungs))
    assert not bounded[~lungs].any()
    assert dice(bounded, truth) > 0.95
    free = followed(ct, size)
    assert dice(free, truth) > 0.9
    assert free[~lungs].sum() < 0.1 * free.sum()


def test_a_mask_of_the_lungs_that_lost_the_nodule_is_no_bound():
    depth = ellipsoid(grid(), (8, 8, 8))
    ct = painted(depth, grid()[..., 0] - 7.0)
    lost = ct.like((ct.array < -400).astype(np.uint8))
    assert dice(followed(ct, 16.0, lungs=lost), depth > 0) > 0.9


@pytest.mark.parametrize("known", [True, False], ids=["diameter", "bounds alone"])
def test_a_vessel_is_not_followed(known):
    world = grid()
    depth = ellipsoid(world, (6, 6, 6))
    vessel = 2.0 - np.linalg.norm(world[..., 1:], axis=-1)  # from wall to wall, through it
    mask = followed(painted(depth, vessel), 12.0, known=known)
    beyond = mask & (np.abs(world[..., 0]) > 6.8)
    assert beyond.sum() <= 0.03 * mask.sum()
    assert dice(mask, depth > 0) > 0.94


def test_a_bubble_under_the_surface_is_part_of_the_nodule():
    world = grid()
    body, bubble = ellipsoid(world, (10, 10, 10)), ellipsoid(world - (7, 0, 0), (2, 2, 2))
    mask = followed(painted(np.minimum(body, -bubble)), 20.0)
    assert mask[bubble > 0].all()


def test_a_cavity_is_part_of_the_nodule():
    world = grid()
    shell = np.minimum(ellipsoid(world, (10, 10, 10)), -ellipsoid(world, (5, 5, 5)))
    truth = ellipsoid(world, (10, 10, 10)) > 0
    assert dice(followed(painted(shell), 20.0), truth) > 0.95


KEPT, TURNED = slice(None), slice(None, None, -1)


@pytest.mark.parametrize(
    ("direction", "order"),
    [
        ((-1, 0, 0, 0, -1, 0, 0, 0, 1), (KEPT, TURNED, TURNED)),
        ((1, 0, 0, 0, 1, 0, 0, 0, -1), (TURNED, KEPT, KEPT)),
    ],
)
def test_a_flipped_grid_gives_the_same_voxels(direction, order):
    ct = painted(ellipsoid(grid(), (6, 9, 5)), noise_hu=60.0)
    mask = followed(ct, 13.0)
    corner = [48 if s.step else 0 for s in order]
    there = Geometry((1.0, 1.0, 1.0), tuple(EVEN.to_world(corner)), direction)
    again = followed(Volume(np.ascontiguousarray(ct.array[order]), there), 13.0)
    assert (again[order] != mask).sum() <= 2


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((2.5, 0.7, 0.7), (-24.5, -24.5, -25.0)),
        Geometry((1.25, 0.8, 0.6), (-6.0, -30.0, -25.0), (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1)),
    ],
    ids=["thick slices", "oblique"],
)
def test_any_grid_gives_the_same_mask_in_the_world(geometry):
    radii = (6, 9, 7)
    shape = tuple(np.ceil(50 / np.asarray(geometry.spacing_mm)).astype(int))
    depth = ellipsoid(grid(shape, geometry), radii)
    size = 2 * np.cbrt(np.prod(radii))
    mask = followed(painted(depth, geometry=geometry), size)
    assert dice(mask, depth > 0) > 0.94
    assert mask.sum() * geometry.voxel_mm3 == pytest.approx(np.pi / 6 * size**3, rel=0.03)


@pytest.mark.parametrize(("low", "high"), [(10.0, 12.0), (6.0, 9.0), (20.0, 24.0), (15.0, 17.0)])
def test_it_lies_between_the_bounds(low, high):
    world = grid()
    ct = painted(ellipsoid(world, (12, 5, 8)), world[..., 1] - 4.0)
    mask = whole(wand(ct, CENTRE, low, high).patch, ct.shape)
    away = np.linalg.norm(world, axis=-1)
    assert mask[away <= low / 2].all()
    assert not mask[away > high / 2 + 1e-6].any()


def test_the_same_again_and_inputs_untouched():
    ct = painted(ellipsoid(grid(), (6, 9, 5)))
    before = ct.array.copy()
    first, second = followed(ct, 13.0), followed(ct, 13.0)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(ct.array, before)


@pytest.mark.parametrize("hu", [LUNG, TISSUE], ids=["air", "tissue"])
def test_where_there_is_no_edge_it_is_the_ball_and_says_why(hu):
    ct = painted(np.full((49, 49, 49), -9.0), noise_hu=60.0)
    ct = ct.like((ct.array + np.int16(hu - LUNG)).astype(np.int16))
    found = wand(ct, CENTRE, 5.0, 16.0, diameter_mm=10.0)
    assert "no edge: " in found.fallback
    assert "an edge needs 60" in found.fallback
    ours, plain = (whole(p, ct.shape) for p in (found.patch, ball(CENTRE, 10.0, EVEN)))
    np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize("size", [1.0, 3.0, 5.0])
def test_small_ones_on_thick_slices_are_never_empty(size):
    geometry = Geometry((3.0, 0.8, 0.8), (-20.0, -20.0, -20.0))
    depth = ellipsoid(grid((14, 50, 50), geometry), (size / 2,) * 3)
    for known in (size, None):
        found = wand(
            painted(depth, geometry=geometry), CENTRE, 0.5 * size, 1.6 * size, diameter_mm=known
        )
        assert found.patch.mask.any()


def test_a_nodule_cut_by_the_end_of_the_stack_goes_on_beyond_it():
    ct = painted(ellipsoid(grid(), (7, 7, 7)))
    short = Volume(ct.array[22:].copy(), EVEN.moved((22, 0, 0)))
    found = wand(short, CENTRE, 7.0, 22.0, diameter_mm=14.0)
    assert found.patch.first_zyx[0] < 0
    truth = (ellipsoid(grid(), (7, 7, 7)) > 0)[22:]
    assert dice(whole(found.patch, short.shape), truth) > 0.9


def test_lengths_that_make_no_sense_are_refused():
    ct = painted(ellipsoid(grid(), (7, 7, 7)))
    for sizes, told in (
        ((0.0, 10.0, 5.0), "not 0, 5 and 10 mm"),
        ((8.0, 6.0, None), "not 8, 6.9282 and 6 mm"),
        ((8.0, 12.0, 14.0), "not 8, 14 and 12 mm"),
    ):
        with pytest.raises(ValueError, match=f"needs 0 < min <= diameter <= max, {told}"):
            wand(ct, CENTRE, sizes[0], sizes[1], diameter_mm=sizes[2])
    with pytest.raises(ValueError, match=r"position \(90.0, 0.0, 0.0\) mm lies outside the CT"):
        wand(ct, (90.0, 0.0, 0.0), 5.0, 16.0)
    other = Volume(np.ones((3, 3, 3), bool), EVEN)
    with pytest.raises(ValueError, match=r"lungs of shape \(3, 3, 3\) are not on the CT's grid"):
        wand(ct, CENTRE, 5.0, 16.0, lungs=other)


# Drawn by three or four readers: 6.0, 6.1, 11.5 and 21.3 mm, on slices of 1.25 to 3 mm.
SHAPES = ("LIDC-IDRI-0008", "LIDC-IDRI-0020", "LIDC-IDRI-0134", "LIDC-IDRI-0077")


def marks(kind):
    """Dice of ball and wand for four LIDC shapes in a scene, on the scans' own grids."""
    found = []
    for seed, patient in enumerate(SHAPES):
        record = lidc_database.scans_of_patient(patient)[0]
        nodule = next(n for n in drawn_nodules(record) if n.readers >= 3)
        spacing = (record.slice_spacing_mm, record.pixel_mm, record.pixel_mm)
        phantom = scene(nodule, spacing, kind, seed=seed)
        truth = phantom.nodules.array > 0
        grid_there = phantom.ct.geometry
        centre = tuple(grid_there.to_world(np.argwhere(truth).mean(axis=0)))
        size = equivalent_diameter_mm(truth.sum() * grid_there.voxel_mm3)
        mask = wand(
            phantom.ct,
            centre,
            SMALLEST * size,
            LARGEST * size,
            diameter_mm=size,
            lungs=phantom.lungs,
        )
        assert not mask.fallback
        plain = whole(ball(centre, size, grid_there), truth.shape)
        found.append((dice(plain, truth), dice(whole(mask.patch, truth.shape), truth)))
    return np.array(found)


@pytest.mark.parametrize(
    "kind", ["isolated", "juxtapleural", hard("vessel_attached"), hard("ground_glass")]
)
def test_shapes_that_radiologists_drew_are_followed(kind):
    plain, ours = marks(kind).mean(axis=0)
    assert ours > 0.87
    assert ours > plain + 0.03


def read_scan(folder):
    import SimpleITK

    series = next(path.parent for path in sorted(folder.rglob("*.dcm")))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series)))
    image = reader.Execute()
    geometry = Geometry(image.GetSpacing()[::-1], image.GetOrigin(), image.GetDirection())
    hu = np.clip(SimpleITK.GetArrayFromImage(image), -2048, 3071)
    return Volume(hu.astype(np.int16), geometry)


@pytest.mark.data
@pytest.mark.parametrize("patient", ["LIDC-IDRI-0001", "LIDC-IDRI-0003", hard("LIDC-IDRI-0314")])
def test_on_real_nodules_it_beats_the_ball_of_luna16(data, patient):
    record = lidc_database.scans_of_patient(patient)[0]
    ct = read_scan(data / "LIDC-IDRI" / patient)
    with (data / "luna16" / "annotations.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["seriesuid"] == record.scan]
    points = [[float(row[k]) for k in ("coordX", "coordY", "coordZ")] for row in rows]
    z_mm = [ct.geometry.to_world((k, 0, 0))[2] for k in range(ct.shape[0])]
    beaten = 0
    for group in cluster(record.readings, record.slice_thickness_mm, record.slice_spacing_mm):
        drawn = [rasterise(record.readings[k], np.asarray(z_mm))[0] for k in group]
        if len(group) < 3 or None in drawn:
            continue
        votes, first = count_votes(drawn)
        truth = whole(Patch(votes >= votes_needed(len(group)), first), ct.shape)
        middle = ct.geometry.to_world(np.argwhere(truth).mean(axis=0))
        nearest = int(np.linalg.norm(np.array(points) - middle, axis=1).argmin())
        centre, size = tuple(points[nearest]), float(rows[nearest]["diameter_mm"])
        found = wand(ct, centre, SMALLEST * size, LARGEST * size, diameter_mm=size)
        assert not found.fallback
        plain = dice(whole(ball(centre, size, ct.geometry), ct.shape), truth)
        ours = dice(whole(found.patch, ct.shape), truth)
        assert ours > max(plain + 0.02, 0.88)
        beaten += 1
    assert beaten == 1
