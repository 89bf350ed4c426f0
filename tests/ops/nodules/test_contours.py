"""Contours to voxels, against slow arithmetic, matplotlib and answers known by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon

from lungseg.io.annotations import lidc_database
from lungseg.ops.nodules.contours import (
    Contour,
    Mark,
    Reading,
    flipped,
    flipped_mark,
    interiors,
    marked,
    on_slices,
    rasterise,
    slice_z_mm,
)
from lungseg.ops.nodules.patches import Patch
from lungseg.volume import Geometry
from tests.readings import box_line, box_reading

Z = np.arange(-100.0, -80.0, 2.5)


def slow_interior(points):
    """Winding number of every pixel by whole-number arithmetic, edge by edge."""
    points = points - points.min(axis=0)
    columns, rows = points.max(axis=0) + 1
    inside = np.zeros((rows, columns), bool)
    line = np.zeros_like(inside)
    for y in range(rows):
        for x in range(columns):
            winding = 0
            for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
                side = (bx - ax) * (y - ay) - (x - ax) * (by - ay)
                between = min(ax, bx) <= x <= max(ax, bx) and min(ay, by) <= y <= max(ay, by)
                line[y, x] |= side == 0 and between
                winding += int(ay <= y < by and side > 0) - int(by <= y < ay and side < 0)
            inside[y, x] = winding != 0
    return inside & ~line, line


points = st.tuples(st.integers(0, 7), st.integers(-3, 5))


@given(st.lists(points, min_size=1, max_size=9), st.lists(points, min_size=1, max_size=5))
def test_inside_is_where_the_winding_number_says(one, other):
    polygons = [np.array(one), np.array(other)]
    inside, line = interiors(polygons)
    low = np.concatenate(polygons).min(axis=0)
    for number, polygon in enumerate(polygons):
        expected_inside, expected_line = slow_interior(polygon)
        x, y = polygon.min(axis=0) - low
        window = (slice(y, y + expected_line.shape[0]), slice(x, x + expected_line.shape[1]))
        np.testing.assert_array_equal(inside[number][window], expected_inside)
        np.testing.assert_array_equal(line[number][window], expected_line)
        assert inside[number].sum() == expected_inside.sum()


def test_radiologists_contours_fill_as_matplotlib_fills_them():
    scan = lidc_database.read_scan(
        "1.3.6.1.4.1.14519.5.2.1.6279.6001.170706757615202213033480003264"
    )
    lines = [line.points_xy for reading in scan.readings for line in reading.contours]
    assert len(lines) == 76
    for polygon in lines:
        inside, line = interiors([polygon])
        pixels = np.argwhere(np.ones_like(line[0]))[:, ::-1] + polygon.min(axis=0)
        filled = Polygon(polygon, closed=True).contains_points(pixels).reshape(line[0].shape)
        np.testing.assert_array_equal(inside[0], filled & ~line[0])


def test_the_contours_own_pixels_do_not_belong_to_the_nodule():
    patch, outside = rasterise(box_reading("a", Z[2:4], 10, 20, 14, 22), Z)
    assert outside == 0
    assert patch.first_zyx == (2, 19, 9)
    assert patch.mask.shape == (2, 5, 7)
    assert patch.mask.sum() == 2 * 5 * 3
    assert patch.mask[:, 1:-1, 1:-1].all()


def test_a_hole_is_cut_with_its_line_whatever_the_order():
    outer = Contour(Z[0], box_line(10, 10, 20, 20))
    hole = Contour(Z[0], box_line(14, 14, 15, 15), inclusion=False)
    for lines in ((outer, hole), (hole, outer)):
        patch, _ = rasterise(Reading("a", lines), Z)
        assert patch.mask.sum() == 11 * 11 - 4 * 4


def test_two_lines_on_a_slice_are_one_mask():
    lines = (Contour(Z[0], box_line(1, 1, 3, 3)), Contour(Z[0], box_line(10, 1, 12, 3)))
    patch, _ = rasterise(Reading("a", lines), Z)
    assert patch.mask.sum() == 18


def test_a_stroke_that_encloses_nothing_is_kept_by_its_line():
    stroke = Contour(Z[1], np.array([[5, 5], [6, 5], [7, 6], [6, 5], [5, 5]]))
    patch, _ = rasterise(Reading("a", (stroke,)), Z)
    assert patch.mask.sum() == 3


@pytest.mark.parametrize("stack", [Z, Z[::-1]])
def test_slices_are_found_in_mm_and_what_lies_outside_is_counted(stack):
    z_mm = [-101.2, -101.3, -100.9, -96.26, -82.5, -81.3, -81.2]
    lines = tuple(Contour(z, box_line(1, 1, 2, 2)) for z in z_mm)
    nearest, within = on_slices(lines, stack)
    assert within.tolist() == [True, False, True, True, True, True, False]
    assert stack[nearest[within]].tolist() == [-100.0, -100.0, -97.5, -82.5, -82.5]
    assert rasterise(Reading("a", lines), stack)[1] == 2
    assert rasterise(Reading("a", lines[-1:]), stack) == (None, 1)


def test_two_slices_take_what_is_within_half_their_distance():
    lines = [Contour(z, box_line(1, 1, 2, 2)) for z in (-2.5, 2.4, 7.5, 7.6)]
    nearest, within = on_slices(lines, np.array([0.0, 5.0]))
    assert nearest.tolist() == [0, 0, 1, 1]
    assert within.tolist() == [True, True, True, False]


def test_a_single_slice_takes_what_is_within_a_millimetre():
    lines = [Contour(z, box_line(1, 1, 2, 2)) for z in (4.1, 6.2)]
    assert on_slices(lines, np.array([5.0]))[1].tolist() == [True, False]


def test_world_z_of_slices_is_that_of_their_first_pixel():
    feet_first = Geometry((2.0, 1.0, 1.0), (5.0, 6.0, 7.0), (1, 0, 0, 0, -1, 0, 0, 0, -1))
    assert slice_z_mm((3, 9, 9), feet_first).tolist() == [7.0, 5.0, 3.0]


@pytest.mark.parametrize("flips", [(True, False), (False, True), (True, True)])
def test_a_mirrored_image_has_the_mirrored_mask(flips):
    def canvas(reading):
        patch, _ = rasterise(reading, Z)
        whole = np.zeros((len(Z), 30, 40), bool)
        whole[patch.box] = patch.mask
        return whole

    line = np.array([[5, 5], [12, 7], [9, 15], [6, 11]])
    reading = Reading("a", (Contour(Z[3], line), Contour(Z[4], line + 1)))
    axes = [axis for axis, flip in zip((2, 1), flips, strict=True) if flip]
    turned = flipped(reading, flips, (40, 30))
    np.testing.assert_array_equal(canvas(turned), np.flip(canvas(reading), axes))
    mark = flipped_mark(Mark("a", "b", (3.0, 4.0), 5.0), flips, (40, 30))
    assert mark.pixel_xy == (36.0 if flips[0] else 3.0, 25.0 if flips[1] else 4.0)


def test_a_patch_knows_its_place():
    assert Patch(np.ones((1, 2, 3), bool), (4, 5, 6)).box == (
        slice(4, 5),
        slice(5, 7),
        slice(6, 9),
    )


@given(
    st.lists(st.booleans(), min_size=42, max_size=42).filter(any),
    st.tuples(st.booleans(), st.booleans()),
)
def test_pixels_that_were_marked_come_back_as_they_were_however_the_image_runs(bits, flips):
    mask = np.array(bits).reshape(6, 7)
    reading = Reading("1", (marked(mask, Z[2]),))
    columns = slice(None, None, -1) if flips[0] else slice(None)
    rows = slice(None, None, -1) if flips[1] else slice(None)
    patch, outside = rasterise(flipped(reading, flips, (7, 6)), Z)
    z, y, x = patch.first_zyx
    got = np.zeros((6, 7), bool)
    got[y : y + patch.mask.shape[1], x : x + patch.mask.shape[2]] = patch.mask[0]
    np.testing.assert_array_equal(got, mask[rows, columns])
    assert (z, outside) == (2, 0)
