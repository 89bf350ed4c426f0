"""Nodules on the working grid: votes, labels, what overlaps."""

import numpy as np
import pytest

from lungseg.ops.nodules.voted_nodule import (
    VotedNodule,
    mean_ratings,
    median_ratings,
    paint,
    paint_drawn,
    voted,
)
from lungseg.volume import Geometry
from tests.readings import box_reading

SOURCE = Geometry((2.0, 1.0, 1.0), (0.0, 0.0, 0.0))
WORKING = Geometry((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
Z = np.arange(10) * 2.0


def nodule(votes, first, readers=2, **more):
    return VotedNodule(np.array(votes, np.uint8), first, readers, **more)


def test_readings_are_counted_where_they_overlap():
    readings = [
        box_reading("a", Z[2:5], 5, 5, 8, 8, malignancy=5),
        box_reading("b", Z[2:5], 7, 5, 10, 8, malignancy=2),
    ]
    found = voted(readings, Z, SOURCE, (19, 30, 30), WORKING)
    assert found.readers == 2
    assert found.names == ("a", "b")
    assert found.ratings["malignancy"] == 3.5
    assert found.votes.sum() == 2 * (6 * 4 * 4)
    assert (found.votes == 2)[2:5].sum() == 3 * 4 * 2
    assert found.centroid_xyz_mm(WORKING) == pytest.approx((7.5, 6.5, 6.0), abs=0.51)


def test_a_reading_outside_the_stack_is_a_reader_without_a_vote():
    readings = [box_reading("a", Z[2:4], 5, 5, 8, 8), box_reading("b", [99.0], 5, 5, 8, 8)]
    found = voted(readings, Z, SOURCE, (19, 30, 30), WORKING)
    assert found.readers == 2
    assert found.votes.max() == 1
    assert voted(readings[1:], Z, SOURCE, (19, 30, 30), WORKING) is None


def test_what_lies_beyond_the_grid_is_left_out():
    assert voted([box_reading("a", Z[2:4], 5, 5, 8, 8)], Z, SOURCE, (2, 30, 30), WORKING) is None


def test_a_nodule_without_a_majority_is_all_that_anyone_drew():
    assert nodule([[[1, 0, 1]]], (0, 0, 0), readers=4).consensus.mask.sum() == 2
    assert nodule([[[1, 2, 1]]], (0, 0, 0), readers=4).consensus.mask.sum() == 1


def test_diameters_known_from_elsewhere_stand():
    known = nodule([[[1]]], (0, 0, 0), min_diameter_mm=4.0, max_diameter_mm=9.0)
    assert known.axes_mm(WORKING) == (4.0, 9.0)
    assert nodule([[[1]]], (0, 0, 0)).axes_mm(WORKING) == pytest.approx((1.24, 1.24), abs=0.01)


def test_a_voxel_goes_to_the_nodule_with_more_votes_there():
    votes, labels = paint(
        [nodule([[[1, 2, 1]]], (0, 0, 0)), nodule([[[1, 3, 2]]], (0, 0, 1))], (1, 1, 5)
    )
    assert votes.tolist() == [[[1, 2, 3, 2, 0]]]
    assert labels.tolist() == [[[1, 1, 2, 2, 0]]]
    assert (votes.dtype, labels.dtype) == (np.uint8, np.uint16)


def test_who_drew_a_voxel_is_kept_and_goes_with_the_nodule_it_belongs_to():
    readings = [box_reading("a", Z[2:4], 5, 5, 8, 8), box_reading("b", Z[3:5], 5, 5, 8, 8)]
    found = voted(readings, Z, SOURCE, (19, 30, 30), WORKING)
    single = [voted([one], Z, SOURCE, (19, 30, 30), WORKING) for one in readings]
    whole = np.zeros((19, 30, 30), np.uint16)
    whole[found.box] = found.drawn
    for k, alone in enumerate(single):
        mask = np.zeros(whole.shape, bool)
        mask[alone.box] = alone.votes > 0
        np.testing.assert_array_equal((whole >> k & 1).astype(bool), mask)
    other = nodule([[[9]]], found.first_zyx, readers=9)
    _, labels = paint([found, other], whole.shape)
    drawn = paint_drawn([found, other], labels)
    assert drawn[found.first_zyx] == 0
    assert (drawn == np.where(labels == 1, whole, 0)).all()


def test_of_equal_votes_the_first_nodule_takes_the_voxel():
    votes, labels = paint([nodule([[[2, 2]]], (0, 0, 0)), nodule([[[2, 2]]], (0, 0, 1))], (1, 1, 3))
    assert votes.tolist() == [[[2, 2, 2]]]
    assert labels.tolist() == [[[1, 1, 2]]]


def test_a_rating_that_one_left_out_is_the_others_mean():
    one, two = box_reading("a", Z[:1], 1, 1, 2, 2), box_reading("b", Z[:1], 1, 1, 2, 2, 5)
    del one.ratings["malignancy"]
    assert mean_ratings([one, two])["malignancy"] == 5.0
    assert mean_ratings([]) == {}


@pytest.mark.parametrize(
    ("given", "median"), [((5, 1, 1), 1.0), ((5, 4, 1, 1), 2.5), ((4,), 4.0), ((), None)]
)
def test_the_median_of_ratings_is_that_of_the_readers_who_gave_one(given, median):
    readings = [box_reading("a", Z[:1], 1, 1, 2, 2, malignancy=grade) for grade in given]
    silent = box_reading("b", Z[:1], 1, 1, 2, 2)
    del silent.ratings["malignancy"]
    assert median_ratings([*readings, silent]).get("malignancy") == median
