"""Acquisitions: those that overlap are told apart, those that follow each other are one scan."""

import numpy as np
import pytest

from lungseg.ops.grid.acquisitions import KINDS, overlapping_by, split_acquisitions

Z = np.arange(12.0)


def keys(values, kind=0):
    return ["\\".join(str(v) if k == kind else "" for k in range(4)) for v in values]


@pytest.mark.parametrize("kind", range(4))
def test_interleaved_groups_overlap_whatever_tells_them_apart(kind):
    found = keys([1, 2] * 6, kind)
    assert overlapping_by(found, Z) == KINDS[kind]
    assert list(split_acquisitions(found, Z).values()) == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]]
    assert [label[0] for label in split_acquisitions(found, Z)] == ["aptk"[kind]] * 2


@pytest.mark.parametrize(
    "numbers",
    [
        range(12),  # step and shoot, a number for each slice
        [*[1] * 4, *[2] * 4, *[3] * 4],  # and one for each turn
        [1] * 12,
        [""] * 12,
        [*[1] * 11, 2],  # one slice is no acquisition
    ],
)
def test_acquisitions_that_follow_each_other_are_one_scan(numbers):
    assert overlapping_by(keys(numbers), Z) == ""
    assert split_acquisitions(keys(numbers), Z) == {"": list(range(12))}


def test_two_slices_of_one_time_are_no_acquisition():
    assert overlapping_by(keys([*"aabbccddeeff"], 2), Z) == ""
    assert overlapping_by(keys([*"abababababab"], 2), Z) == "AcquisitionTime"


def test_chest_and_abdomen_overlap_in_a_few_slices():
    places = np.concatenate([np.arange(0, 300, 2.5), np.arange(281, 600, 2.5)])
    numbers = [2] * 120 + [5] * (len(places) - 120)
    parts = split_acquisitions(keys(numbers), places)
    assert list(parts) == ["a2", "a5"]
    assert parts["a5"] == list(range(120, len(places)))


def test_groups_that_share_one_place_overlap():
    places = np.array([0.0, 1, 2, 3, 3, 4, 5, 6])
    assert overlapping_by(keys([1] * 4 + [2] * 4), places) == "AcquisitionNumber"


def test_phases_within_acquisitions_are_told_apart_too():
    places = np.tile(np.arange(5.0), 4)
    found = ["1\\1", "1\\2", "2\\1", "2\\2"]
    parts = split_acquisitions([key for key in found for _ in range(5)], places)
    assert list(parts) == ["a1p1", "a1p2", "a2p1", "a2p2"]
    assert all(len(members) == 5 for members in parts.values())
