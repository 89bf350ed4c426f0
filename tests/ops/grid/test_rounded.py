"""Rounded positions: even where one even grid explains them, and named where slices are missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungseg.core.errors import ScanError
from lungseg.ops.grid.rounded import Rounding, even_places, rounding_of
from lungseg.ops.grid.slices import SliceRules, stack_geometry_of

RULES = SliceRules()
UP = np.array([0.0, 0.0, 1.0])


def geometry(z, stated=()):
    places = np.stack([np.full(len(z), -120.0), np.full(len(z), 33.0), z], axis=1)
    return stack_geometry_of(places, RULES, rounding_of(places, UP, stated))


@given(
    step=st.floats(1.1, 9),
    first=st.floats(-900, 900),
    count=st.integers(40, 300),
)
def test_an_even_scan_rounded_to_a_millimetre_is_even_by_its_thickness(step, first, count):
    true = first + step * np.arange(count)
    found = geometry(np.rint(true), (step,))
    assert found.kind == "even"
    assert found.step_mm == pytest.approx(step, abs=1e-9) or found.rounded_mm == 0
    assert np.abs(found.z_mm - true).max() <= 1.001


@given(step=st.floats(0.5, 5), first=st.floats(-900, 900), count=st.integers(12, 300))
def test_an_even_scan_rounded_to_a_tenth_is_even_without_a_word_of_its_thickness(
    step, first, count
):
    true = first + step * np.arange(count)
    found = geometry(np.round(true, 1))
    assert found.kind == "even"
    assert found.step_mm == pytest.approx(step, abs=0.11 / (count - 1))
    assert np.abs(found.z_mm - true).max() <= 0.15


@given(
    step=st.sampled_from([0.6, 0.625, 0.75, 1.25, 2.5]),
    count=st.integers(20, 200),
    data=st.data(),
)
def test_a_missing_slice_among_rounded_ones_is_named(step, count, data):
    lost = data.draw(st.integers(3, count - 4))
    true = np.delete(-300 + step * np.arange(count), lost)
    with pytest.raises(ScanError, match="missing-slices: 1 gap"):
        geometry(np.round(true, 1), (step,))


@pytest.mark.parametrize("stated", [(), (1.0,), (1.2,), (2.0,)])
@pytest.mark.parametrize("lost", [3, 10, 16])
def test_one_slice_missing_of_whole_millimetres_is_no_rounding(stated, lost):
    with pytest.raises(ScanError, match="missing-slices: 1 gap"):
        geometry(np.delete(np.arange(-20.0, 1.0), lost), stated)


def test_every_fourth_slice_missing_is_not_taken_for_even_unless_the_header_states_the_distance():
    z = np.rint(1.25 * np.arange(40))
    assert geometry(z, (1.25,)).step_mm == 1.25
    with pytest.raises(ScanError, match="missing-slices"):
        geometry(z, (1.0,))
    with pytest.raises(ScanError, match="missing-slices"):
        geometry(z)


def test_uneven_slices_of_few_decimals_stay_uneven():
    z = np.cumsum([0, 2.5, 2.0, 3.0, 2.5, 2.1, 3.2, 2.5, 2.8, 2.5])
    assert geometry(z, (2.5,)).kind == "uneven"
    assert geometry(z, (2.5,)).rounded_mm == 0


def test_slices_written_in_full_are_not_rounded():
    places = np.stack([0 * np.arange(9.0), 0 * np.arange(9.0), 0.6253 * np.arange(9)], axis=1)
    assert rounding_of(places, UP).step_mm == 0
    assert even_places(places[:, 2], Rounding()) is None


def test_rounding_of_a_coronal_stack_goes_by_its_own_normal():
    places = np.array([[0.123, z, 0.456] for z in (0.0, 1, 3, 4)])
    assert rounding_of(places, np.array([0.0, 1.0, 0.0])).step_mm == 1
