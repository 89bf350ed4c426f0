"""Samples: a net's input and target from a row of the table."""

import pickle

import numpy as np
import pytest

from lungseg.model.samples import IGNORE, TARGET, InputSpec, Samples, scaled
from lungseg.ops.samples.augment import Augmentation, draw
from tests.model.toy_table import SIZE, toy_scan, toy_table
from tests.model.window_table import FIRST, LAST, toy_window

ALL = Augmentation(flip_x=0.5, rotate_degrees=10, zoom=0.1, elastic_px=1, contrast=0.1, noise=0.05)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "tables.h5"
    return toy_table(path, toy_scan("a"), toy_scan("b", readers=2))


def test_the_window_becomes_0_to_1_and_no_more(table):
    x, _ = Samples(table, InputSpec(low=-1000, high=400)).plain([2])
    image = Samples(table, InputSpec()).tables.read("image", [2])[0]
    np.testing.assert_allclose(x[0, ..., 0], (np.clip(image, -1000, 400) + 1000) / 1400, atol=1e-6)
    x, _ = Samples(table, InputSpec(low=-125, high=275)).plain([2])
    assert x.min() == 0
    assert x.dtype == np.float32


def test_neighbours_are_channels_and_end_slices_repeat(table):
    samples = Samples(table, InputSpec(context=1))
    x, _ = samples.plain([0, 3, 5])
    alone, _ = Samples(table, InputSpec()).plain([0, 1, 2, 3, 4, 5])
    assert x.shape == (3, SIZE, SIZE, 3)
    np.testing.assert_array_equal(x[0], np.stack([alone[i, ..., 0] for i in (0, 0, 1)], -1))
    np.testing.assert_array_equal(x[1], np.stack([alone[i, ..., 0] for i in (2, 3, 4)], -1))
    # row 6 is another scan: not its neighbour
    np.testing.assert_array_equal(x[2], np.stack([alone[i, ..., 0] for i in (4, 5, 5)], -1))


def test_agreement_is_target_and_disagreement_has_weight_0(table):
    samples = Samples(table, InputSpec())
    votes = samples.tables.read("votes", [2])[0]
    _, y = samples.plain([2, 0])
    np.testing.assert_array_equal(y[0, ..., 0], votes == 4)
    np.testing.assert_array_equal(y[0, ..., 1], votes != 1)
    assert (y[1, ..., 0] == 0).all()
    assert (y[1, ..., 1] == 1).all()


def test_a_nodule_of_too_few_readers_has_weight_0(table):
    codes = Samples(table, InputSpec()).codes([8])[0]
    assert not (codes == TARGET).any()
    assert (codes == IGNORE).any()
    codes = Samples(table, InputSpec(min_readers=2)).codes([8])[0]
    assert (codes == TARGET).any()


def test_with_border_weights_the_gap_between_the_lungs_has_the_highest(table):
    _, y = Samples(table, InputSpec(target="lungs", border_weighted=True)).plain([2])
    middle = y[0, SIZE // 2, :, 1]
    assert middle.argmax() in range(SIZE // 2 - 2, SIZE // 2 + 2)
    assert middle.max() > 2 > middle.min() >= 1
    _, y = Samples(table, InputSpec(border_weighted=True)).plain([2, 0])
    assert (y[0, ..., 1] == 0).any()
    assert (y[1, ..., 1] == 1).all()


def test_lungs_as_target_are_all_that_counts(table):
    samples = Samples(table, InputSpec(target="lungs"))
    _, y = samples.plain([2])
    np.testing.assert_array_equal(y[0, ..., 0], samples.tables.read("lungs", [2])[0] > 0)
    assert (y[..., 1] == 1).all()


def test_outside_the_lungs_can_be_hidden(table):
    samples = Samples(table, InputSpec(inside_lungs=True))
    lungs = samples.tables.read("lungs", [2])[0] > 0
    x, _ = samples.plain([2])
    shown, _ = Samples(table, InputSpec()).plain([2])
    assert (x[0, ..., 0][~lungs] == 0).all()
    np.testing.assert_array_equal(x[0, ..., 0][lungs], shown[0, ..., 0][lungs])


def test_a_key_decides_all_of_a_sample(table):
    samples = Samples(table, InputSpec(augmentation=ALL, context=1))
    first = samples.augmented([2, 4], [(1, 0, 0), (1, 0, 1)])
    again = samples.augmented([4, 2], [(1, 0, 1), (1, 0, 0)])
    other = samples.augmented([2, 4], [(1, 1, 0), (1, 1, 1)])
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two[::-1])
        assert not np.array_equal(one, three)


def test_without_any_amount_augmented_is_plain(table):
    samples = Samples(table, InputSpec(context=1))
    for one, two in zip(
        samples.augmented([1, 2], [(0,), (1,)]), samples.plain([1, 2]), strict=True
    ):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_negative_has_the_same_target(table):
    samples = Samples(table, InputSpec(augmentation=Augmentation(invert=1.0)))
    (x, y), (plain, target) = samples.augmented([2], [(0,)]), samples.plain([2])
    np.testing.assert_allclose(x, 1 - plain, atol=1e-6)
    np.testing.assert_array_equal(y, target)


def test_image_and_target_stay_together_when_changed(table):
    samples = Samples(
        table, InputSpec(augmentation=Augmentation(rotate_degrees=30, zoom=0.2, shift_px=4))
    )
    x, y = samples.augmented([2] * 20, [(1, 0, place) for place in range(20)])
    bright = x[..., 0] > 0.5
    target = y[..., 0] > 0
    # the nodule is the only bright thing that lies in the left lung
    assert bright[target].mean() > 0.85
    assert target.any(axis=(1, 2)).all()


def test_a_crop_of_a_nodule_slice_shows_nodule_and_one_of_another_shows_lung(table):
    samples = Samples(table, InputSpec(crop_px=16))
    x, y = samples.augmented([2] * 12, [(1, 0, place) for place in range(12)])
    assert x.shape == (12, 16, 16, 1)
    assert y.shape == (12, 16, 16, 2)
    assert (y[..., 0] > 0).any(axis=(1, 2)).all()
    assert len(np.unique(x.sum(axis=(1, 2, 3)))) == 12
    x, _ = samples.augmented([0] * 12, [(1, 0, place) for place in range(12)])
    assert (x < 0.3).any(axis=(1, 2, 3)).all()


def test_crops_are_around_targets_not_around_what_is_ignored(tmp_path):
    rows = toy_scan("a")
    rows.arrays["votes"][2, 13:20, 22:29] = rows.arrays["nodule"][2, 13:20, 22:29] = 1
    samples = Samples(toy_table(tmp_path / "tables.h5", rows), InputSpec(crop_px=16))
    _, y = samples.augmented([2] * 20, [(1, 0, i) for i in range(20)])
    assert (y[..., 0] > 0).any(axis=(1, 2)).all()


def test_crops_at_the_border_lie_on_whole_pixels(table):
    """A crop may touch the slice's border, and is then a part of the slice, not interpolated."""
    samples, size = Samples(table, InputSpec(crop_px=SIZE - 1)), SIZE - 1
    whole = samples.plain([2])[0][0]
    corners = {(y, x): whole[y : y + size, x : x + size] for y in (0, 1) for x in (0, 1)}
    crops, _ = samples.augmented([2] * 40, [(1, 0, i) for i in range(40)])
    found = [at for crop in crops for at, part in corners.items() if np.allclose(crop, part)]
    assert len(found) >= 20
    assert len(set(found)) >= 2


@pytest.mark.parametrize("invert", [0.0, 1.0], ids=["positive", "negative"])
def test_beyond_the_slices_border_lies_the_low_end_of_the_window(table, invert):
    amounts, key = Augmentation(shift_px=SIZE, invert=invert), (1, 0, 0)
    down, right = draw(amounts, np.random.default_rng(key)).shift_px
    assert down < -2
    assert right < -2
    samples = Samples(table, InputSpec(low=-500, augmentation=amounts))
    x, y = (part[0] for part in samples.augmented([2], [key]))
    outside = np.zeros((SIZE, SIZE), bool)
    outside[int(SIZE + down) + 1 :] = outside[:, int(SIZE + right) + 1 :] = True
    assert (x[outside] == 0).all()
    assert (y[outside] == (0, 1)).all()
    assert x.any()


def test_each_neighbour_is_hidden_outside_its_own_lungs(tmp_path):
    rows = toy_scan("a")
    rows.arrays["lungs"][3] = 0
    samples = Samples(
        toy_table(tmp_path / "tables.h5", rows), InputSpec(context=1, inside_lungs=True)
    )
    below, middle, above = np.moveaxis(samples.plain([2])[0][0], -1, 0)
    assert below.any()
    assert middle.any()
    assert not above.any()


def test_the_input_of_prediction_is_that_of_training(table):
    input_spec = InputSpec(context=1, inside_lungs=True, low=-900.5, high=300)
    samples = Samples(table, input_spec)
    x, _ = samples.plain([0, 2])
    images = samples.tables.images([0, 2], 1)
    lungs = np.stack([samples.tables.read("lungs", rows) for rows in ([0, 0, 1], [1, 2, 3])])
    np.testing.assert_array_equal(scaled(images, input_spec, lungs), x)


def test_only_the_path_travels(table):
    samples = Samples(table, InputSpec())
    samples.plain([0])
    assert len(pickle.dumps(samples)) < 2000
    copy = pickle.loads(pickle.dumps(samples))
    np.testing.assert_array_equal(copy.plain([2])[0], samples.plain([2])[0])


def test_soft_targets_are_the_share_of_the_readers(table):
    samples = Samples(table, InputSpec(soft_targets=True, min_readers=2))
    votes = samples.tables.read("votes", [2, 8])
    _, y = samples.plain([2, 8])
    # The nodule of row 2 has four readers, that of row 8 has two.
    np.testing.assert_allclose(y[0, ..., 0], votes[0] / 4, atol=1e-6)
    np.testing.assert_allclose(y[1, ..., 0], votes[1] / 2, atol=1e-6)
    assert set(np.unique(votes[1])) == {0, 1, 2}
    assert (y[..., 1] == 1).all()


def test_a_nodule_of_too_few_readers_is_no_soft_target(table):
    _, y = Samples(table, InputSpec(soft_targets=True)).plain([8])
    assert not y[..., 0].any()
    np.testing.assert_array_equal(
        y[0, ..., 1], Samples(table, InputSpec()).plain([8])[1][0, ..., 1]
    )


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    path = tmp_path_factory.mktemp("windows") / "tables.h5"
    return toy_table(path, toy_window("a"), toy_scan("b", size=64), size=64)


def test_what_is_unknown_has_weight_0_and_is_shown_as_the_low_end(windows):
    x, y = Samples(windows, InputSpec(context=1, low=-900)).plain([1, 4])
    known = np.zeros((64, 64), bool)
    known[FIRST : LAST + 1, FIRST : LAST + 1] = True
    assert (x[0][~known] == 0).all()
    assert (y[0][~known] == 0).all()
    assert (y[0][known][:, 1] == 1).sum() > 800
    assert (y[0][known][:, 0] == 1).any()
    assert (y[1, ..., 1] > 0).mean() > 0.98


def test_crops_lie_within_what_is_known(windows):
    samples = Samples(windows, InputSpec(crop_px=16))
    keys = [(1, k) for k in range(40)]
    _, y = samples.augmented([1] * 40, keys, np.full((40, 2), [[12.0, 38.0]]))
    votes = samples.tables.read("votes", [1])[0]
    # Nothing is ignored but what readers dispute.
    assert ((y[..., 1] == 0).sum((1, 2)) <= ((votes > 0) & (votes < 2)).sum()).all()
    assert len(np.unique(y[..., 1].sum((1, 2)) + y[..., 0].sum((1, 2)))) >= 1


def test_a_window_smaller_than_the_crop_lies_within_it_not_always_in_its_middle(windows):
    samples = Samples(windows, InputSpec(crop_px=40))
    keys = [(1, k) for k in range(60)]
    _, y = samples.augmented([0] * 60, keys, np.full((60, 2), 25.0))
    voted = int((samples.tables.read("votes", [0])[0] > 0).sum())
    counted = (y[..., 1] > 0).sum((1, 2))
    assert (counted >= 30 * 30 - voted).all()
    places = {int(np.flatnonzero(one.any(axis=1))[0]) for one in y[..., 1] > 0}
    assert len(places) > 4


def test_a_crop_shows_the_place_it_is_told_to(windows):
    samples, keys = Samples(windows, InputSpec(crop_px=16)), [(1, k) for k in range(30)]
    _, whole = samples.plain([5])
    middle = np.argwhere(whole[0, ..., 0] > 0).mean(axis=0)
    _, there = samples.augmented([5] * 30, keys, np.tile(middle, (30, 1)))
    _, elsewhere = samples.augmented([5] * 30, keys, np.full((30, 2), 60.0))
    _, anywhere = samples.augmented([5] * 30, keys, np.full((30, 2), np.nan))
    assert (there[..., 0] > 0).any((1, 2)).all()
    assert not (elsewhere[..., 0] > 0).any()
    assert (anywhere[..., 0] > 0).any((1, 2)).all()
    places = {tuple(np.argwhere(one > 0)[0]) for one in there[..., 0]}
    assert len(places) > 10


def test_squares_are_cut_out_where_they_are_told_as_far_as_the_slice_reaches(windows):
    samples = Samples(windows, InputSpec(context=1))
    x, y = samples.plain([1, 4])
    centres = np.array([[30.0, 33.0], [2.0, 63.0]])
    squares, truths = samples.plain([1, 4], centres, 16)
    np.testing.assert_array_equal(squares[0], x[0, 22:38, 26:42])
    np.testing.assert_array_equal(truths[0], y[0, 22:38, 26:42])
    np.testing.assert_array_equal(squares[1], x[1, :16, 48:])
    assert samples.plain([1], centres[:1], 128)[0].shape == (1, 64, 64, 3)


def test_hidden_neighbours_are_replaced_by_the_last_that_is_shown(windows):
    amounts = Augmentation(context_dropout=1.0)
    samples = Samples(windows, InputSpec(context=2, augmentation=amounts))
    x, _ = samples.plain([5])
    changed, _ = samples.augmented([5] * 20, [(1, k) for k in range(20)])
    for sample in changed:
        channels = [next(j for j in range(5) if np.array_equal(sample[..., i], x[0, ..., j]))
                    for i in range(5)]  # fmt: skip
        assert channels in ([2, 2, 2, 2, 2], [1, 1, 2, 2, 2], [2, 2, 2, 3, 3], [1, 1, 2, 3, 3])
    assert len(np.unique(changed.sum((1, 2, 3)))) > 1
