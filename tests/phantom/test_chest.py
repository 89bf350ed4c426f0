"""The phantom has the anatomy that it states: other tests depend on it."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.phantom import render as rendering
from lungseg.phantom import shapes
from lungseg.phantom.anatomy import Build
from lungseg.phantom.chest import Chest
from lungseg.phantom.nodules import KINDS, place
from lungseg.phantom.render import doubled, render
from lungseg.phantom.scanner import grain
from lungseg.phantom.shapes import Frame, draw_tubes, ellipsoid
from lungseg.phantom.small_chest import chest, grid
from lungseg.phantom.vessels import pulmonary_tree, solid_depth
from lungseg.volume import Geometry
from tests.hard_cases import hard

SHORT = (-60.0, 80.0)  # z in mm of a part of a chest


def ml(mask, volume):
    return float(np.count_nonzero(mask)) * volume.voxel_ml


def air_bodies(ct):
    labels, _ = ndimage.label(ct.array < -500)
    return labels


def at(volume, xyz):
    """Index of the voxel nearest to a world position."""
    return tuple(np.rint(volume.geometry.to_index(xyz)).astype(int))


def test_lungs_have_the_size_and_place_of_lungs():
    phantom = chest()
    right, left = phantom.lung_ml()
    assert 3000 < right + left < 6000
    assert 0.85 < left / right < 0.97
    centre = {
        side: phantom.ct.geometry.to_world(np.argwhere(phantom.lungs.array == side).mean(axis=0))
        for side in (RIGHT, LEFT)
    }
    assert -90 < centre[RIGHT][0] < -50
    assert 50 < centre[LEFT][0] < 90


@pytest.mark.parametrize(
    "spacing_mm",
    [
        (5.0, 2.0, 2.0),
        hard((2.0, 2.0, 2.0)),
        hard((1.5, 3.0, 2.5)),
    ],
)
def test_anatomy_does_not_depend_on_the_grid(spacing_mm):
    fine, coarse = chest(spacing_mm), chest()
    np.testing.assert_allclose(fine.lung_ml(), coarse.lung_ml(), rtol=0.015)
    for label, nodule in enumerate(coarse.chest.nodules, 1):
        here = [
            p.ct.geometry.to_world(np.argwhere(p.nodules.array == label).mean(axis=0))
            for p in (fine, coarse)
        ]
        assert np.linalg.norm(here[0] - here[1]) < 2.0, nodule.kind


def test_tissues_have_their_hounsfield_units():
    phantom = chest(noise_hu=0.0)
    ct, lungs = phantom.ct.array, phantom.lungs.array
    assert -900 < np.median(ct[lungs > 0]) < -820
    assert ct[0, 0, 0] == -1000
    assert abs(int(ct[at(phantom.ct, (25, -30, -60))]) - 42) <= 2  # heart
    assert abs(int(ct[at(phantom.ct, (-60, 0, -120))]) - 58) <= 2  # liver
    assert abs(int(ct[at(phantom.ct, (0, 20, 80))]) + 985) <= 20  # trachea
    assert phantom.airways.array[at(phantom.ct, (0, 20, 80))]
    assert ml(ct > 300, phantom.ct) > 200  # bone
    outer = phantom.airways.array | (ct > -400)
    assert not (outer & (lungs > 0) & phantom.airways.array).any()


def test_the_same_arguments_give_the_same_scan_and_another_seed_another():
    once, again = (made(seed=3, z_range_mm=SHORT) for made in (chest, chest.__wrapped__))
    np.testing.assert_array_equal(once.ct.array, again.ct.array)
    np.testing.assert_array_equal(once.nodules.array, again.nodules.array)
    other = chest(seed=4, z_range_mm=SHORT)
    assert (once.vessels.array != other.vessels.array).sum() > 1000
    with pytest.raises(ValueError, match="read-only"):
        once.ct.array[0, 0, 0] = 0


def test_slabs_do_not_show(monkeypatch):
    whole = chest.__wrapped__(z_range_mm=(-30.0, 30.0))
    monkeypatch.setattr(rendering, "SLAB_VOXELS", 7 * 100 * 128)
    parts = chest.__wrapped__(z_range_mm=(-30.0, 30.0))
    for name in ("ct", "lungs", "nodules", "airways", "vessels", "airless"):
        np.testing.assert_array_equal(getattr(whole, name).array, getattr(parts, name).array)


@pytest.mark.parametrize("flip", ["z", "y", "x", "zx"])
def test_a_flipped_grid_shows_the_same_chest_flipped(flip):
    straight, flipped = (chest(noise_hu=0.0, z_range_mm=SHORT, flip=to) for to in ("", flip))
    axes = tuple("zyx".index(axis) for axis in flip)
    np.testing.assert_array_equal(np.flip(flipped.lungs.array, axes), straight.lungs.array)
    np.testing.assert_array_equal(np.flip(flipped.nodules.array, axes), straight.nodules.array)


def test_an_oblique_grid_shows_the_same_chest_at_the_same_world_positions():
    straight, oblique = chest(noise_hu=0.0), chest(noise_hu=0.0, tilt_deg=12.0)
    points = np.argwhere(ndimage.binary_erosion(straight.lung.array, iterations=2))[::97]
    index = oblique.ct.geometry.to_index(straight.ct.geometry.to_world(points))
    index = np.rint(index).astype(int)
    inside = ((index >= 0) & (index < oblique.ct.shape)).all(axis=1)
    assert inside.mean() > 0.98
    expected = straight.lungs.array[tuple(points[inside].T)]
    np.testing.assert_array_equal(oblique.lungs.array[tuple(index[inside].T)], expected)


def test_half_resolution_is_nearly_as_good():
    shape, geometry = grid((5.0, 1.0, 1.0), (-60.0, 20.0), (300.0, 384.0))
    wanted = Chest(noise_hu=0.0)
    full, half = render(wanted, shape, geometry), render(wanted, shape, geometry, halve=True)
    both = (full.lung.array & half.lung.array).sum()
    assert 2 * both / (full.lung.array.sum() + half.lung.array.sum()) > 0.995
    tissue = ~ndimage.binary_dilation(full.lung.array | half.lung.array)
    apart = np.abs(full.ct.array.astype(int) - half.ct.array)[tissue]
    assert np.median(apart) < 5


def test_half_resolution_needs_even_rows_and_columns():
    with pytest.raises(ValueError, match="even rows and columns, not 4 x 5"):
        render(Chest(), (3, 4, 5), Geometry((3.0, 3.0, 3.0)), halve=True)


def test_doubling_keeps_a_ramp_straight():
    ramp = np.broadcast_to(np.arange(6, dtype=np.float32) * 2 + 0.5, (1, 4, 6))
    inner = doubled(ramp)[0, 3, 1:-1]
    np.testing.assert_allclose(inner, np.arange(1, 11), atol=1e-5)


# --- nuisances ------------------------------------------------------------------------------


def test_an_open_trachea_lets_the_air_of_the_lungs_out():
    for is_open in (False, True):
        phantom = chest(open_trachea=is_open, z_range_mm=(-190.0, 164.0))
        bodies = air_bodies(phantom.ct)
        trachea = bodies[at(phantom.ct, (0, 20, 80))]
        assert (trachea == bodies[0, 0, 0]) == is_open
        assert (bodies[phantom.lung.array] == trachea).mean() > 0.9


def test_the_trachea_is_cut_by_the_top_slice():
    assert chest().airways.array[-1].any()


def test_bowel_gas_and_the_stomach_bubble_are_air_that_is_no_lung():
    for gas in (False, True):
        phantom = chest(bowel_gas=gas)
        body = ndimage.binary_fill_holes(phantom.ct.array[20] > -300)
        found = (phantom.ct.array[20] < -700) & body & ~phantom.lung.array[20]
        found = ndimage.binary_opening(found, iterations=2)
        assert found.any() == gas


def test_the_table_can_be_taken_away():
    behind = np.s_[:, -8:, 40:90]
    assert (chest(noise_hu=0.0).ct.array[behind] > -950).any()
    assert (chest(noise_hu=0.0, table=False).ct.array[behind] == -1000).all()


def test_lungs_are_cut_by_the_first_and_last_slice():
    lungs = chest(z_range_mm=SHORT).lung.array
    assert lungs[0].sum() > 1000
    assert lungs[-1].sum() > 1000


def test_contrast_fills_heart_and_vessels():
    plain, bright = chest(noise_hu=0.0), chest(noise_hu=0.0, contrast=True)
    assert bright.ct.array[at(plain.ct, (25, -30, -60))] == 260
    assert (bright.ct.array[plain.vessels.array] > plain.ct.array[plain.vessels.array]).mean() > 0.9
    np.testing.assert_array_equal(plain.lungs.array, bright.lungs.array)


@pytest.mark.parametrize("hu", [-2000, -3024])
def test_padding_lies_outside_a_circle(hu):
    plain, padded = chest(), chest(padding_hu=hu)
    outside = padded.ct.array == hu
    assert 0.01 < outside.mean() < 0.25
    assert outside[:, 0, 0].all()
    assert not outside[padded.lung.array].any()
    np.testing.assert_array_equal(padded.ct.array[~outside], plain.ct.array[~outside])


@pytest.mark.parametrize(("what", "side"), [("collapsed_lobe", RIGHT), ("tumour", LEFT)])
def test_airless_lung_is_dense_and_still_lung(what, side):
    phantom = chest(**{what: True})
    airless = phantom.airless.array
    assert ml(airless, phantom.ct) > 200
    assert set(np.unique(phantom.lungs.array[airless])) == {side}
    inner = ndimage.binary_erosion(airless, iterations=2) & ~phantom.vessels.array
    assert np.median(phantom.ct.array[inner]) > 0
    assert not chest().airless.array.any()


def test_an_effusion_takes_room_from_the_right_lung():
    plain, wet = chest(noise_hu=0.0), chest(noise_hu=0.0, effusion=True)
    gone = plain.lung.array & ~wet.lung.array
    assert ml(gone, plain.ct) > 250
    assert wet.lung_ml()[1] == plain.lung_ml()[1]
    assert abs(np.median(wet.ct.array[ndimage.binary_erosion(gone)]) - 12) < 3


def test_a_single_lung_is_the_left_one():
    right, left = chest(single=True).lung_ml()
    assert right == 0
    assert left > 1500


def test_the_lungs_touch_in_front_of_the_great_vessels():
    phantom = chest(junction=True, noise_hu=0.0)
    beside = (phantom.lungs.array[..., :-1] == RIGHT) & (phantom.lungs.array[..., 1:] == LEFT)
    assert beside.sum() > 60
    assert np.median(phantom.ct.array[..., 1:][beside]) < -500
    plain = chest(noise_hu=0.0).lungs.array
    assert not ((plain[..., :-1] == RIGHT) & (plain[..., 1:] == LEFT)).any()


def test_arms_lie_beside_the_trunk_and_leave_the_field_of_view():
    plain, arms = chest(noise_hu=0.0), chest(noise_hu=0.0, arms_down=True)
    edge = np.s_[:, :, [0, -1]]
    assert (plain.ct.array[:, :70][edge] < -900).all()
    assert (arms.ct.array[:, :70][edge] > 0).any()


def test_noise_has_the_size_asked_for_and_grain():
    still, noisy = (chest(noise_hu=n, spacing_mm=(5.0, 2.0, 2.0)) for n in (0.0, 30.0))
    heart = np.s_[26:30, 60:70, 95:110]
    noise = noisy.ct.array[heart].astype(float) - still.ct.array[heart]
    assert 24 < noise.std() < 36
    tile = grain(0.7, 0)
    # Neighbours go together at the pixel's scale and apart at the grain's: no white noise.
    near, far = (float((tile * np.roll(tile, n, 1)).mean()) for n in (1, 3))
    assert near > 0.3
    assert far < 0


def test_an_unknown_nuisance_is_refused():
    with pytest.raises(TypeError, match=r"no nuisance \['hiccup'\]; there are .*bowel_gas"):
        chest(hiccup=True)


# --- nodules --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_nodule_is_where_and_what_it_should_be(kind):
    # Not kept: at this size two dozen of them would fill the memory.
    phantom = chest.__wrapped__(
        (1.5, 1.5, 1.5), nodules=(kind,), noise_hu=0.0, z_range_mm=(-90.0, 70.0)
    )
    (nodule,) = phantom.chest.nodules
    mask = phantom.nodules.array == 1
    diameter, hu = KINDS[kind]
    ball = np.pi / 6 * diameter**3 / 1000
    # The wall cuts a juxtapleural nodule.
    least = 0.5 if kind == "juxtapleural" else 0.75
    assert least * ball < ml(mask, phantom.ct) < 1.4 * ball
    assert phantom.lung.array[mask].all()
    inner = ndimage.binary_erosion(mask, iterations=2)
    values = phantom.ct.array[inner]
    assert abs(np.median(values[values < -300] if kind == "part_solid" else values) - hu) < 60
    solid = phantom.ct.array[at(phantom.ct, nodule.centre)] > -50
    assert solid == (kind != "ground_glass")
    shell = ndimage.binary_dilation(mask, iterations=2) & ~mask
    touching = {
        "pleura": (~phantom.lung.array[shell]).mean() > 0.05,
        "vessel": bool((phantom.vessels.array & shell).any()),
    }
    assert touching["pleura"] == (kind == "juxtapleural")
    assert touching["vessel"] or kind != "vessel_attached"
    assert solid_depth(phantom.chest.build, *np.float32(nodule.centre)) > 0


def test_nodules_are_well_apart_and_labelled_in_order():
    phantom = chest(nodules=tuple(KINDS))
    centres = np.array([n.centre for n in phantom.chest.nodules])
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2) + 1e3 * np.eye(len(centres))
    assert gaps.min() >= 30
    for label, centre in enumerate(centres, 1):
        found = phantom.ct.geometry.to_world(np.argwhere(phantom.nodules.array == label).mean(0))
        assert np.linalg.norm(found - centre) < 5


def test_nodules_without_a_place_or_a_kind_are_refused():
    with pytest.raises(ValueError, match="no room for a spiculated nodule between z ="):
        place(Build(), ("spiculated",), 0, (0.0, 5.0))
    with pytest.raises(ValueError, match="no nodule of kind 'cubic'; there are isolated"):
        place(Build(), ("cubic",), 0, (-100.0, 100.0))


# --- shapes and vessels ---------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.8, 2.0, 4.0])
def test_a_tube_keeps_its_volume_however_coarse_the_grid(step):
    shape = tuple(round(80 / step) for _ in range(3))
    frame = Frame.of(shape, Geometry((step,) * 3, (-40.0, -40.0, -40.0)))
    drawn = np.zeros(shape, np.float32)
    draw_tubes(frame, drawn, np.array([[-25.0, -20, -10, 25, 18, 12, 1.2, 1.2]]))
    true = np.pi * 1.2**2 * np.linalg.norm([50, 38, 22]) + 4 / 3 * np.pi * 1.2**3
    assert 0.85 < drawn.sum() * step**3 / true < 1.15


@pytest.mark.parametrize("tilt_deg", [0.0, 17.0])
def test_small_tubes_that_are_drawn_together_are_what_each_is_alone(monkeypatch, tilt_deg):
    shape, geometry = grid((4.0, 3.0, 3.0), (-40.0, 40.0), (80.0, 90.0), "x", tilt_deg)
    frame = Frame.of(shape, geometry)
    rng = np.random.default_rng(0)
    # Some of them off the grid, or partly; some too large.
    starts, ends = rng.uniform(-60, 60, (2, 200, 3))
    thick = rng.uniform(0.3, 4.0, (200, 2))
    near = np.linspace(0, 1, 200)[:, None]
    tubes = np.hstack([starts, starts + near * (ends - starts), thick])
    drawn = np.zeros((2, *shape), np.float32)
    draw_tubes(frame, drawn[0], tubes)
    monkeypatch.setattr(shapes, "SMALL_TUBE", 0)
    draw_tubes(frame, drawn[1], tubes)
    assert drawn[0].max() == 1
    np.testing.assert_array_equal(*drawn)


def test_an_ellipsoid_has_its_volume_and_off_the_grid_there_is_none():
    frame = Frame.of((40, 40, 40), Geometry((2.0, 2.0, 2.0), (-40.0, -40.0, -40.0)))
    _, filled = ellipsoid(frame, (3.0, -2.0, 1.0), (20.0, 12.0, 16.0), lean_xz=0.3)
    assert filled.sum() * 8 == pytest.approx(4 / 3 * np.pi * 20 * 12 * 16, rel=0.03)
    assert ellipsoid(frame, (200.0, 0.0, 0.0), (5.0, 5.0, 5.0)) is None


@given(
    centre=st.tuples(*[st.floats(-60, 60)] * 3),
    half=st.floats(1, 30),
    degrees=st.floats(-40, 40),
)
def test_a_box_holds_every_voxel_that_lies_in_it(centre, half, degrees):
    shape, geometry = grid((9.0, 7.0, 8.0), (-60.0, 60.0), (120.0, 130.0), "x", degrees)
    frame = Frame.of(shape, geometry)
    inside = np.ones(shape, bool)
    for values, middle in zip((frame.x, frame.y, frame.z), centre, strict=True):
        inside &= np.abs(values - middle) < half
    box = frame.box(np.subtract(centre, half), np.add(centre, half))
    outside = inside.copy()
    if box is not None:
        outside[box] = False
    assert not outside.any()


def test_vessels_taper_from_the_hilum_and_stay_in_the_lungs():
    tree = pulmonary_tree(Build(), 0)
    assert (tree[:, 7] <= tree[:, 6] + 1e-9).all()
    assert tree[:, 6].max() > 4
    assert tree[:, 7].min() < 0.6
    x, y, z = tree[:, 3:6].astype(np.float32).T
    assert (solid_depth(Build(), x, y, z) > -1).mean() > 0.85
    volume = chest().vessels
    assert 20 < ml(volume.array, volume) < 250


# Busy neighbours make the same work cost more CPU seconds.
@pytest.mark.hard
def test_a_whole_chest_is_quick():
    start = time.process_time()
    chest.__wrapped__(seed=0, noise_hu=15.5)
    assert time.process_time() - start < 1.5
