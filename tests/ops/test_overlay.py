"""Pictures, on a body simple enough to say what each pixel must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lungseg.ops.overlay import (
    BY_VOTES,
    DETECTED,
    LEFT_LUNG,
    RIGHT_LUNG,
    Outline,
    edge_of,
    outlined,
    outlines,
    sheet,
    windowed,
)
from lungseg.volume import Geometry, Volume


@pytest.fixture
def body():
    """Dark right lung at low x, bright head end, on an uneven grid: 60 x 40 x 80 mm."""
    hu = np.full((20, 40, 80), -500, np.int16)
    hu[-4:] = 150
    lungs = np.zeros(hu.shape, np.uint8)
    lungs[4:16, 10:30, 10:30] = 1
    lungs[4:16, 10:30, 50:70] = 2
    return Volume(hu, Geometry((3.0, 1.0, 1.0), (0.0, 0.0, -30.0))), lungs


def pixels(panel, colour):
    return np.argwhere((panel.picture == colour).all(axis=-1))


def test_planes_have_the_bodys_proportions_and_captions_in_mm(body):
    ct, lungs = body
    axial, coronal = sheet(ct, [], region=lungs, width_px=160)
    assert [panel.picture.shape for panel in axial] == [(80, 160, 3)] * 3
    assert [panel.picture.shape for panel in coronal] == [(120, 160, 3)] * 3
    # Quarters of the lungs: slices 7, 10 and 12 of 4..15.
    assert [p.caption for p in axial] == ["axial z -9.0 mm", "axial z 0.0 mm", "axial z 6.0 mm"]
    assert [p.caption for p in coronal] == [f"coronal y {y}.0 mm" for y in (15, 20, 24)]


def test_the_window_goes_from_black_to_white_and_the_head_is_up(body):
    ct, _ = body
    _, (coronal, *_) = sheet(ct, [], window_hu=(-1000.0, 0.0), width_px=80)
    assert (coronal.picture[:10] == 255).all()
    assert (coronal.picture[15:] == 128).all()
    _, (dark, *_) = sheet(ct, [], window_hu=(-400.0, 0.0), width_px=80)
    assert (dark.picture[-10:] == 0).all()


def test_lungs_are_outlined_right_at_the_left_of_the_picture(body):
    ct, lungs = body
    (axial, *_), _ = sheet(ct, outlines(lungs), region=lungs, width_px=80)
    right, left = pixels(axial, RIGHT_LUNG), pixels(axial, LEFT_LUNG)
    assert (right.min(axis=0).tolist(), right.max(axis=0).tolist()) == ([10, 10], [29, 29])
    assert left[:, 1].min() == 50
    assert len(right) == len(left) == 4 * 19  # a line of one pixel, not a filled square
    assert (axial.picture[20, 20] == axial.picture[35, 40]).all()
    assert [line.mask.sum() for line in outlines(lungs)] == [12 * 20 * 20] * 2


def test_votes_nest_and_detections_lie_on_top(body):
    ct, lungs = body
    votes = np.zeros_like(lungs)
    for k in range(4):
        votes[8:12, 15 + k : 25 - k, 15 + k : 25 - k] = k + 1
    focus = (10, 20, 20)
    (axial, close_up, *_), _ = sheet(ct, outlines(lungs, votes), focus=focus, width_px=80)
    assert [len(pixels(axial, colour)) for colour in BY_VOTES] == [36, 28, 20, 12]
    assert close_up.caption == "close-up"
    assert close_up.picture.shape == (40, 51, 3)  # 30 mm either side, as far as the scan goes
    assert len(pixels(close_up, BY_VOTES[3])) == 12
    found = (votes > 0).astype(np.uint16)
    (axial, *_), _ = sheet(ct, outlines(lungs, votes, found), focus=focus, width_px=80)
    assert len(pixels(axial, DETECTED)) == 36
    assert len(pixels(axial, BY_VOTES[0])) == 0


def test_a_focus_at_the_corner_and_an_empty_region_are_no_trouble(body):
    ct, lungs = body
    rows = sheet(ct, [Outline(lungs, RIGHT_LUNG)], region=np.zeros_like(lungs), focus=(0, 0, 79))
    assert [len(row) for row in rows] == [5, 5]


def test_outlines_are_drawn_of_the_values_asked_for_on_grey_or_rgb():
    labels = np.zeros((9, 20), np.uint8)
    labels[2:7, 2:8], labels[2:7, 12:18] = 1, 2
    grey = np.full(labels.shape, 90, np.uint8)
    drawn = outlined(grey, [Outline(labels, LEFT_LUNG, 2, 2)])
    where = (drawn == LEFT_LUNG).all(axis=-1)
    assert where.sum() == 18
    assert where[2:7, 12:18].sum() == 18
    assert (drawn[labels < 2] == 90).all()
    np.testing.assert_array_equal(outlined(drawn, [Outline(labels, LEFT_LUNG, 2, 2)]), drawn)
    assert (grey == 90).all()


@pytest.mark.parametrize(
    ("value", "shade"),
    [(-2000, 0), (-1000, 0), (-299, 128), (397, 254), (400, 255), (3000, 255)],
)
def test_a_window_runs_from_black_to_white(value, shade):
    assert windowed(np.array([[value]]), (-1000.0, 400.0)).item() == shade


@given(mask=arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_the_edge_is_what_has_a_neighbour_outside(mask):
    around = np.pad(mask, 1, mode="edge")
    inner = around[2:, 1:-1] & around[:-2, 1:-1] & around[1:-1, 2:] & around[1:-1, :-2]
    np.testing.assert_array_equal(edge_of(mask), mask & ~inner)
