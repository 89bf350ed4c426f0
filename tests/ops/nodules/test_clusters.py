"""Which readings are of one nodule."""

from lungseg.ops.nodules.clusters import cluster
from tests.readings import box_reading

Z = [0.0, 2.0, 4.0]


def boxes(*corners, z_mm=Z):
    return [box_reading(str(k), z_mm, x, 0, x + 4, 4) for k, x in enumerate(corners)]


def test_readings_that_touch_are_of_one_nodule():
    assert cluster(boxes(0, 2, 40), 2.0, 2.0) == [[0, 1], [2]]
    assert cluster([], 2.0, 2.0) == []
    # vertices of the contours are at 5 and at 7: two apart, the tolerance still links them
    assert cluster(boxes(0, 8), 2.0, 2.0) == [[0, 1]]
    assert cluster(boxes(0, 9), 2.0, 2.0) == [[0], [1]]


def test_the_nodule_of_most_readings_comes_first():
    assert cluster(boxes(40, 0, 80, 2, 82), 2.0, 2.0) == [[1, 3], [2, 4], [0]]


def test_distance_along_the_stack_is_counted_in_slices():
    low, high = boxes(0, z_mm=[0.0])[0], boxes(0, z_mm=[4.0])[0]
    assert cluster([low, high], 2.0, 2.0) == [[0, 1]]
    assert cluster([low, high], 2.0, 1.0) == [[0], [1]]


def test_five_readings_are_pulled_apart_where_they_can_be():
    # four coincide, the fifth is two pixels off: below that tolerance it stands alone
    assert cluster(boxes(0, 0, 0, 0, 8), 3.0, 2.0) == [[0, 1, 2, 3], [4]]
    # and no further than need be: of gaps of two and of three, at most the wider is opened
    assert cluster(boxes(0, 0, 0, 8, -9), 3.0, 2.0) == [[0, 1, 2, 3], [4]]
    # five that coincide cannot be
    assert cluster(boxes(0, 0, 0, 0, 0), 3.0, 2.0) == [[0, 1, 2, 3, 4]]
