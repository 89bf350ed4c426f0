"""Laws of growing and shrinking in mm, with a distance transform as the oracle."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from lungseg.ops.grid.morphology import (
    axial_components,
    close_mm,
    components,
    dilate_mm,
    erode_mm,
    fill,
    largest,
    open_mm,
    sizes,
)

SHAPES = array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)
MASKS = arrays(np.bool_, SHAPES)
SPACINGS = st.sampled_from([(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (2.5, 0.7, 0.9), (3.0, 3.0, 3.0)])
RADII = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.3, 4.0, 7.1])


def distance(mask, spacing):
    """Distance of every voxel to `mask`, mm; infinite if it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf)
    return ndimage.distance_transform_edt(~mask, sampling=spacing)


@given(MASKS, RADII, SPACINGS)
def test_dilation_is_what_lies_within_the_radius(mask, radius, spacing):
    near = distance(mask, spacing)
    grown = dilate_mm(mask, radius, spacing)
    assert grown[near <= radius - 1e-3].all()
    assert not grown[near > radius + 1e-3].any()


@given(MASKS, RADII, SPACINGS)
def test_erosion_is_dilation_of_the_rest(mask, radius, spacing):
    wide = np.pad(mask, 12)
    rest = ~dilate_mm(~wide, radius, spacing)
    inner = tuple(slice(12, -12) for _ in range(3))
    np.testing.assert_array_equal(erode_mm(mask, radius, spacing), rest[inner])
    np.testing.assert_array_equal(
        erode_mm(mask, radius, spacing, border=False), ~dilate_mm(~mask, radius, spacing) & mask
    )


@given(MASKS, RADII, SPACINGS, st.sampled_from(["empty", "repeat"]))
def test_closing_only_adds_and_opening_only_takes_away(mask, radius, spacing, border):
    assert close_mm(mask, radius, spacing, border=border)[mask].all()
    assert mask[open_mm(mask, radius, spacing)].all()


@given(MASKS, RADII, SPACINGS)
def test_closing_is_growing_and_shrinking_on_a_grid_without_end(mask, radius, spacing):
    wide = np.pad(mask, 16)
    expected = erode_mm(dilate_mm(wide, radius, spacing), radius, spacing)
    inner = tuple(slice(16, -16) for _ in range(3))
    closed = close_mm(mask, radius, spacing)
    np.testing.assert_array_equal(closed, expected[inner] | mask)
    np.testing.assert_array_equal(close_mm(closed, radius, spacing), closed)


def test_closing_a_plate_far_from_the_border_adds_nothing():
    mask = np.zeros((30, 40, 40), bool)
    mask[13:16, 8:32, 8:32] = True
    np.testing.assert_array_equal(close_mm(mask, 4.0, (1.0, 1.0, 1.0)), mask)


def test_closing_sees_the_mask_go_on_beyond_the_scan():
    mask = np.zeros((4, 5, 9), bool)
    mask[:, :, :3] = mask[:, :, 6:] = True
    assert not close_mm(mask[:1], 3.0, (1.0, 1.0, 1.0))[:, 2, 4].any()
    gap = close_mm(mask, 3.0, (1.0, 1.0, 1.0), border="repeat")
    assert gap.all()


def test_a_ball_is_a_ball_whatever_the_grid():
    mask = np.zeros((21, 41, 41), bool)
    mask[10, 20, 20] = True
    volume = dilate_mm(mask, 8.0, (1.0, 0.5, 0.5)).sum() * 0.25
    assert abs(volume / (4 / 3 * np.pi * 8**3) - 1) < 0.03


@given(MASKS)
def test_fill_adds_only_what_no_path_leads_out_of(mask):
    filled = fill(mask)
    np.testing.assert_array_equal(filled, ndimage.binary_fill_holes(mask))


@given(MASKS, st.sampled_from([6, 18, 26]))
def test_components_are_those_of_scipy(mask, connectivity):
    rank = {6: 1, 18: 2, 26: 3}[connectivity]
    expected, count = ndimage.label(mask, ndimage.generate_binary_structure(3, rank))
    labels, found = components(mask, connectivity)
    assert found == count
    pairs = {(int(a), int(b)) for a, b in zip(labels.ravel(), expected.ravel(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    np.testing.assert_array_equal(
        sizes(labels, found), np.bincount(labels.ravel(), minlength=found + 1)
    )
    kept = largest(mask, connectivity)
    assert kept.sum() == (sizes(labels, found)[1:].max() if found else 0)
    assert mask[kept].all()


@given(MASKS)
def test_axial_components_never_join_slices(mask):
    labels, found = axial_components(mask)
    assert found == sum(ndimage.label(axial)[1] for axial in mask)
    np.testing.assert_array_equal(labels > 0, mask)
    for label in range(1, found + 1):
        z = np.nonzero(labels == label)[0]
        assert z.min() == z.max()


def test_long_radii_leave_the_small_integers():
    # Beyond 10 voxels squares no longer fit into a byte.
    mask = np.zeros((1, 3, 80), bool)
    mask[0, 1, 40] = True
    grown = dilate_mm(mask, 30.0, (1.0, 1.0, 1.0))
    assert grown[0, 1].sum() == 61
    assert dilate_mm(mask, 200.0, (0.5, 0.5, 0.5)).all()


def test_inputs_are_left_alone():
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 2] = True
    for result in (
        dilate_mm(mask, 0.0, (1, 1, 1)),
        erode_mm(mask, 0.0, (1, 1, 1)),
        close_mm(mask, 0.0, (1, 1, 1)),
        fill(np.zeros_like(mask)),
    ):
        result[:] = True
    assert mask.sum() == 1
