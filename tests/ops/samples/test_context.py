"""Neighbouring slices: against a slow walk over the slices of each scan."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lungseg.ops.samples.context import neighbours, shortened

SCANS = st.lists(st.sets(st.integers(0, 9), min_size=1), min_size=1, max_size=3)


def walked(row, context, slices):
    """The rows of one stack; `slices` is a list of (scan, z)."""

    def next_row(row, side):
        scan, z = slices[row]
        wanted = (scan, z + side)
        return slices.index(wanted) if wanted in slices else row

    up, down = [row], [row]
    for _ in range(context):
        up.append(next_row(up[-1], 1))
        down.append(next_row(down[-1], -1))
    return [*down[:0:-1], *up]


@given(scans=SCANS, context=st.integers(0, 3), data=st.data())
def test_the_stacks_are_those_of_a_walk_from_slice_to_slice(scans, context, data):
    slices = [(scan, z) for scan, zs in enumerate(scans) for z in sorted(zs)]
    rows = data.draw(st.lists(st.integers(0, len(slices) - 1), max_size=6))
    scan, z = np.array(slices).T
    found = neighbours(rows, context, z, scan)
    assert found.shape == (len(rows), 2 * context + 1)
    assert found.tolist() == [walked(row, context, slices) for row in rows]


def test_a_gap_is_not_bridged_and_the_last_slice_before_it_is_repeated():
    assert neighbours([1, 2], 2, [2, 3, 6, 7]).tolist() == [[0, 0, 1, 1, 1], [2, 2, 2, 3, 3]]


def test_slices_that_follow_each_other_in_two_scans_are_no_neighbours():
    assert neighbours([0, 1], 1, [4, 5], [0, 1]).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_a_slice_alone_is_its_own_neighbour():
    assert neighbours([0], 2, [0]).tolist() == [[0, 0, 0, 0, 0]]


def test_each_side_is_shortened_by_itself():
    stack = np.arange(7)[:, np.newaxis, np.newaxis]
    assert shortened(stack, 1, 2).ravel().tolist() == [2, 2, 2, 3, 4, 5, 5]
    assert shortened(stack, 3, 0).ravel().tolist() == [0, 1, 2, 3, 3, 3, 3]
    np.testing.assert_array_equal(shortened(stack, 3, 3), stack)
