"""Selection: which rows are trained on, and in which order."""

from dataclasses import replace

import numpy as np
import pytest

from lungseg.io.tables.schema import NO_MASK
from lungseg.model.epochs.draws import epoch_rows
from lungseg.model.samples import TARGET, InputSpec, Samples
from lungseg.model.selection import Selection, select
from tests.model.toy_table import SLICES, toy_scan, toy_table


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return toy_table(
        tmp_path_factory.mktemp("selection") / "tables.h5",
        toy_scan("a"),
        toy_scan("b", truth="unannotated"),
        toy_scan("c", truth="none"),
        toy_scan("d", readers=2),
    )


def rows_of(place):
    return set(range(place * SLICES, (place + 1) * SLICES))


def test_slices_with_and_without_nodule_are_those_of_the_named_patients(table):
    chosen = select(Samples(table, InputSpec()), ["a", "c"])
    assert chosen.positives.tolist() == [1, 2, 3]
    assert set(chosen.negatives) == {0, 4, 5} | rows_of(2)
    np.testing.assert_array_equal(chosen.rows, sorted({0, 1, 2, 3, 4, 5} | rows_of(2)))


def test_rows_of_unannotated_scans_are_neither_positive_nor_negative(table):
    chosen = select(Samples(table, InputSpec()), ["a", "b", "c", "d"])
    assert not set(chosen.rows) & rows_of(1)


def test_another_consensus_than_the_tables_is_counted_anew(table):
    assert not select(Samples(table, InputSpec()), ["d"]).positives.size
    assert select(Samples(table, InputSpec(min_readers=2)), ["d"]).positives.tolist() == [
        19,
        20,
        21,
    ]
    assert not select(Samples(table, InputSpec(min_readers=2, level=1.0)), ["c"]).positives.size


def test_a_nodule_on_a_slice_without_lung_is_trained_on(tmp_path):
    rows = toy_scan("a")
    rows.areas["lung_mm2"][[0, 3]] = 0
    chosen = select(Samples(toy_table(tmp_path / "tables.h5", rows), InputSpec()), ["a"])
    assert chosen.positives.tolist() == [1, 2, 3]
    assert chosen.negatives.tolist() == [4, 5]


def test_another_level_of_agreement_than_the_tables_is_counted_anew(tmp_path):
    rows = toy_scan("a")
    votes = rows.arrays["votes"]
    votes[2][votes[2] > 2] = 2
    samples = Samples(toy_table(tmp_path / "tables.h5", rows), InputSpec(level=1.0))
    assert select(samples, ["a"]).positives.tolist() == [1, 3]


def test_lungs_are_known_of_every_scan(table):
    chosen = select(Samples(table, InputSpec(target="lungs")), ["a", "b"])
    assert set(chosen.positives) == rows_of(0) | rows_of(1)
    assert not chosen.negatives.size


SOME = Selection(np.arange(10), np.arange(100, 200))


def test_order_is_the_seeds_and_the_epochs_alone():
    one = epoch_rows(SOME, (1, 0), 1.0)
    np.testing.assert_array_equal(one, epoch_rows(SOME, (1, 0), 1.0))
    assert not np.array_equal(one, epoch_rows(SOME, (1, 1), 1.0))
    assert not np.array_equal(one, epoch_rows(SOME, (2, 0), 1.0))


@pytest.mark.parametrize(("ratio", "negatives"), [(0.0, 0), (1.0, 10), (2.5, 25), (-1.0, 100)])
def test_all_positives_and_so_many_negatives(ratio, negatives):
    rows = epoch_rows(SOME, (1, 0), ratio)
    assert set(rows) >= set(range(10))
    assert len(rows) == len(set(rows)) == 10 + negatives


def test_slices_with_and_without_nodule_are_mixed():
    with_nodule = epoch_rows(SOME, (1, 0), 1.0) < 10
    assert 2 <= with_nodule[:10].sum() <= 8


def test_each_epoch_has_other_negatives():
    first, second = (set(epoch_rows(SOME, (1, epoch), 1.0)) for epoch in range(2))
    assert first - second


@pytest.mark.parametrize("slices", [5, 20, 47])
def test_an_epoch_can_have_a_length_of_its_own(slices):
    rows = epoch_rows(SOME, (1, 0), 1.0, slices)
    assert len(rows) == slices
    counts = np.unique(rows, return_counts=True)[1]
    assert counts.max() - counts.min() <= 1
    if slices >= 20:
        assert set(rows) >= set(range(10))


def test_no_positive_at_all_takes_the_negatives():
    nothing = Selection(np.empty(0, np.int64), np.arange(4))
    assert sorted(epoch_rows(nothing, (1, 0), 1.0)) == [0, 1, 2, 3]


def test_windows_without_a_lung_mask_teach_nodules_and_no_lungs(tmp_path):
    window = replace(toy_scan("w"), verdict=NO_MASK)
    path = toy_table(tmp_path / "t.h5", toy_scan("a"), window)
    patients = ["a", "w"]
    assert select(Samples(path, InputSpec(target="lungs")), patients).rows.max() == SLICES - 1
    assert select(Samples(path, InputSpec()), patients).rows.max() == 2 * SLICES - 1


def test_the_nodules_of_the_positives_are_told_with_their_rows_and_middles(table):
    chosen = select(Samples(table, InputSpec(min_readers=2)), ["a", "d"], by_nodule=True)
    assert [nodule.rows.tolist() for nodule in chosen.nodules] == [[1, 2, 3], [19, 20, 21]]
    samples = Samples(table, InputSpec(min_readers=2))
    for nodule in chosen.nodules:
        y, x = np.nonzero(np.any([code == TARGET for code in samples.codes(nodule.rows)], axis=0))
        assert nodule.centre == ((y.min() + y.max()) / 2, (x.min() + x.max()) / 2)


def test_two_nodules_of_a_slice_are_two(tmp_path):
    rows = toy_scan("a")
    rows.arrays["votes"][2:5, 20:23, 22:25] = 2
    rows.arrays["nodule"][2:5, 20:23, 22:25] = 7
    nodules = np.concatenate([rows.nodules, rows.nodules])
    nodules["label"], nodules["readers"] = (1, 7), (4, 3)
    rows = replace(rows, nodules=nodules)
    rows.areas["nodule_mm2_1"][4] = 9
    samples = Samples(toy_table(tmp_path / "tables.h5", rows), InputSpec())
    chosen = select(samples, ["a"], by_nodule=True)
    assert [nodule.rows.tolist() for nodule in chosen.nodules] == [[1, 2, 3], [2, 3, 4]]
    assert chosen.nodules[1].centre == (21, 23)
    assert chosen.positives.tolist() == [1, 2, 3, 4]


def test_a_slice_that_few_readers_drew_is_a_positive_of_soft_targets_alone(tmp_path):
    rows = toy_scan("a")
    votes = rows.arrays["votes"]
    votes[3][votes[3] > 1] = 1
    rows.areas["target_mm2"][3] = 0
    path = toy_table(tmp_path / "tables.h5", rows)
    assert select(Samples(path, InputSpec()), ["a"]).positives.tolist() == [1, 2]
    soft = select(Samples(path, InputSpec(soft_targets=True)), ["a"])
    assert soft.positives.tolist() == [1, 2, 3]
    assert soft.negatives.tolist() == [0, 4, 5]
