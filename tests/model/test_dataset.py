"""Dataset: the same batches from any number of workers, and faults are reported."""

import os
import signal
import threading

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.model.dataset import Epoch, Feed, Workers
from lungseg.model.samples import InputSpec, Samples
from lungseg.ops.samples.augment import Augmentation
from tests.model.toy_table import SIZE, toy_scan, toy_table

VIEW = InputSpec(augmentation=Augmentation(flip_x=0.5, rotate_degrees=5), context=1)
ROWS = np.array([3, 1, 2, 7, 8, 5, 0])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("dataset") / "tables.h5"
    return toy_table(path, toy_scan("a"), toy_scan("b"))


class Killing(Samples):
    """Dies at row 8, as a worker does when memory runs out."""

    def augmented(self, rows, keys, centres=None):
        if 8 in rows:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().augmented(rows, keys, centres)


class Failing(Samples):
    """Cannot read row 8."""

    def augmented(self, rows, keys, centres=None):
        if 8 in rows:
            raise DataError("row 8 is damaged")
        return super().augmented(rows, keys, centres)


class Watched(Samples):
    """Notes which threads opened and which made batches."""

    def __init__(self, path, input_spec):
        super().__init__(path, input_spec)
        self.threads = set()
        self.barrier = threading.Barrier(2)

    def augmented(self, rows, keys, centres=None):
        self.threads.add(threading.get_ident())
        self.barrier.wait(30)
        return super().augmented(rows, keys, centres)


def batches(samples, count, *, processes=False):
    with Workers(samples, count, processes=processes) as workers:
        return list(Feed(workers, Epoch(ROWS, 2, (1, 4))))


@pytest.mark.parametrize(("count", "processes"), [(1, False), (3, False), (2, True)])
def test_batches_do_not_depend_on_who_makes_them(table, count, processes):
    expected = batches(Samples(table, VIEW), 0)
    made = batches(Samples(table, VIEW), count, processes=processes)
    assert [len(x) for x, _ in made] == [2, 2, 2, 1]
    for one, two in zip(expected, made, strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])


def test_a_repeated_row_has_another_augmentation(table):
    with Workers(Samples(table, VIEW), 0) as workers:
        shown = np.concatenate([x for x, _ in Feed(workers, Epoch(np.full(6, 2), 2, (1, 4)))])
    assert len(np.unique(shown.reshape(6, -1), axis=0)) == 6


def test_threads_work_at_the_same_time(table):
    samples = Watched(table, VIEW)
    with Workers(samples, 2) as workers:
        assert len(list(Feed(workers, Epoch(ROWS[:4], 2, (1, 4))))) == 2
    assert len(samples.threads) == 2


@pytest.mark.parametrize("processes", [False, True])
def test_a_fault_in_a_worker_is_raised_as_it_is(table, processes):
    with Workers(Failing(table, VIEW), 1, processes=processes) as workers:
        feed = Feed(workers, Epoch(ROWS, 2, (1, 4)))
        with pytest.raises(DataError, match="row 8 is damaged"):
            list(feed)
        assert isinstance(feed.failure, DataError)


def test_a_killed_worker_ends_the_run_and_says_what_to_lower(table):
    with Workers(Killing(table, VIEW), 1, processes=True) as workers:
        feed = Feed(workers, Epoch(ROWS, 2, (1, 4)))
        with pytest.raises(DataError, match=r"worker was killed .* made") as caught:
            list(feed)
    assert caught.value.settings == ("workers=0", "batch_size=1", "worker_processes=false")


def test_without_a_key_slices_are_not_augmented(table):
    samples = Samples(table, VIEW)
    with Workers(samples, 1) as workers:
        x = np.concatenate([x for x, _ in Feed(workers, Epoch(ROWS, 3))])
    np.testing.assert_array_equal(x, samples.plain(ROWS)[0])


def test_the_last_batch_is_padded_with_slices_of_weight_0(table):
    with Workers(Samples(table, VIEW), 0) as workers:
        *_, (x, y) = Feed(workers, Epoch(ROWS, 4, (1, 0), multiple=4))
    assert x.shape == (4, SIZE, SIZE, 3)
    assert (y[3] == 0).all()
    assert (y[2, ..., 1] > 0).any()


def test_a_batch_taken_twice_is_made_once_and_was_ready_the_first_time(table):
    samples = Samples(table, VIEW)
    with Workers(samples, 0) as workers:
        feed = Feed(workers, Epoch(ROWS, 2, (1, 4)))
        peeked = feed[0]
        ready = feed.ready[0]
        assert feed[0] is peeked
        assert feed.ready[0] == ready
        assert feed[0] is not peeked
