"""Mining: false alarms in whole scans, where nobody marked anything."""

import numpy as np
import pytest

from lungseg.model.epochs import mining
from lungseg.model.epochs.mining import false_alarms, mine, whole_rows
from lungseg.model.samples import InputSpec, Samples
from tests.model.toy_table import SIZE, toy_scan, toy_table
from tests.model.window_table import toy_window

LUNGS = np.ones((12, 12), np.uint8)
NOTHING = np.zeros((12, 12), bool)


def spots(*places):
    plane = np.zeros((12, 12), np.float32)
    for y, x, p in places:
        plane[y : y + 2, x : x + 2] = 0.3
        plane[y, x] = p
    return plane


class Bright:
    """A net to which whatever is bright in the middle slice is a nodule."""

    def __init__(self, asked=None):
        self.asked = [] if asked is None else asked

    def __call__(self, height, width):
        self.asked.append((height, width))
        return self

    def predict_on_batch(self, x):
        bright = (x[..., x.shape[-1] // 2] > 0.55).astype(np.float32)
        return np.stack([1 - bright, bright], -1)


def test_a_false_alarm_is_a_spot_that_touches_lung_and_no_mark():
    plane = spots((1, 1, 0.9), (1, 8, 0.7), (8, 1, 0.8), (8, 8, 0.6))
    marks, lungs = NOTHING.copy(), LUNGS.copy()
    marks[2, 9] = True
    lungs[6:, :6] = 0
    found = false_alarms(plane, marks, lungs)
    np.testing.assert_allclose(found, [(1, 1, 0.9), (8, 8, 0.6)])


def test_what_is_less_likely_is_no_place():
    assert not len(false_alarms(np.full((12, 12), 0.29, np.float32), NOTHING, LUNGS))
    assert len(false_alarms(np.full((12, 12), 0.31, np.float32), NOTHING, LUNGS)) == 1


@pytest.fixture
def scan():
    """A scan with its nodule on slices 1 to 3 and a bright spot that nobody marked on all."""
    rows = toy_scan("a", slices=12)
    image, votes = rows.arrays["image"], rows.arrays["votes"]
    image[:] = np.where(image > -100, -900, image)
    image[votes > 0] = 30
    image[:, 20:22, 22:24] = 30
    rows.arrays["lungs"][:] = 1
    return rows


def mined(path, *scans, step=1, **spec):
    samples = Samples(toy_table(path / "tables.h5", *scans), InputSpec(**spec))
    return mine(Bright(), samples, np.arange(len(samples.tables.slices)), step, batch_size=4)


def test_what_nobody_marked_is_found_on_every_slice_and_the_nodule_on_none(scan, tmp_path):
    places = mined(tmp_path, scan, context=1)
    assert places["row"].tolist() == list(range(12))
    # All four pixels are as likely.
    assert set(places["y"]) <= {20, 21}
    assert set(places["x"]) <= {22, 23}
    assert (places["probability"] == 1).all()


def test_every_second_slice_can_do(scan, tmp_path):
    assert mined(tmp_path, scan, step=2)["row"].tolist() == [0, 2, 4, 6, 8, 10]


def test_a_mark_of_one_reader_counts_and_so_do_slices_near_it(scan, tmp_path):
    scan.arrays["votes"][6, 20, 22] = 1
    assert mined(tmp_path, scan)["row"].tolist() == [0, 1, 2, 10, 11]


def test_outside_the_lungs_nothing_is_found_and_only_their_box_is_predicted(scan, tmp_path):
    scan.arrays["lungs"][:] = 0
    scan.arrays["lungs"][:, 25:30, 2:30] = 1
    samples = Samples(toy_table(tmp_path / "tables.h5", scan), InputSpec())
    asked = []
    assert not len(mine(Bright(asked), samples, np.arange(12), 1))
    assert asked == [(32, 32)]
    samples.tables.close()
    scan.arrays["lungs"][:] = 0
    assert not len(mined(tmp_path, scan))


def test_places_are_those_of_the_whole_slice_not_of_the_box(tmp_path):
    rows = toy_scan("a", size=96)
    rows.arrays["image"][:] = -900
    rows.arrays["image"][:, 70, 72] = 30
    rows.arrays["votes"][:] = 0
    rows.arrays["lungs"][:] = 0
    rows.arrays["lungs"][:, 60:80, 60:80] = 1
    samples = Samples(toy_table(tmp_path / "tables.h5", rows, size=96), InputSpec())
    asked = []
    places = mine(Bright(asked), samples, np.arange(6), 3)
    assert asked == [(32, 32)]
    assert [(p["row"], p["y"], p["x"]) for p in places] == [(0, 70, 72), (3, 70, 72)]


def test_what_the_net_is_not_shown_in_training_it_is_not_shown_here(scan, tmp_path):
    scan.arrays["lungs"][:, 19:24, 21:26] = 0
    scan.arrays["lungs"][:, 21, 23] = 1
    found = mined(tmp_path, scan, inside_lungs=True)
    assert {(y, x) for y, x in zip(found["y"], found["x"], strict=True)} == {(21.0, 23.0)}


def test_scans_of_which_a_part_is_unknown_are_not_whole(tmp_path):
    table = toy_table(
        tmp_path / "tables.h5", toy_window("a"), toy_scan("b", size=64), toy_window("c"), size=64
    )
    assert (
        whole_rows(Samples(table, InputSpec()).tables).tolist()
        == [False] * 3 + [True] * 6 + [False] * 3
    )


def test_several_scans_are_searched_each_by_itself(scan, tmp_path):
    other = toy_scan("b", slices=12)
    other.arrays["image"][:] = -900
    places = mined(tmp_path, other, scan)
    assert (places["row"] >= 12).all()
    assert len(places) == 12
    assert mining.STEP_PX == SIZE
