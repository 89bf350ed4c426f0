"""The split of patients: laws that hold for any patients."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungseg.core.errors import DataError
from lungseg.ops.samples.split import (
    PARTS,
    assigned_split,
    extended_split,
    fold_split,
    random_split,
    split_hash,
)

PATIENTS = st.dictionaries(
    st.text("abcdefgh0123456789", min_size=1, max_size=4), st.integers(0, 6), min_size=3
)
SEEDS = st.integers(0, 1000)


def everyone(parts):
    return sorted(patient for part in PARTS for patient in parts[part])


def many(n, seed=0):
    counts = np.random.default_rng(seed).poisson(1.5, n)
    return {f"P{k:04}": int(c) for k, c in enumerate(counts)}


@given(nodules=PATIENTS, seed=SEEDS)
def test_each_patient_is_in_exactly_one_part_and_no_part_is_empty(nodules, seed):
    parts = random_split(nodules, 0.1, 0.2, seed)
    assert everyone(parts) == sorted(nodules)
    assert all(parts[part] for part in PARTS)


@given(nodules=PATIENTS, seed=SEEDS, order=st.randoms(use_true_random=False))
def test_the_order_of_the_patients_does_not_matter(nodules, seed, order):
    names = list(nodules)
    order.shuffle(names)
    shuffled = {name: nodules[name] for name in names}
    assert random_split(shuffled, 0.1, 0.2, seed) == random_split(nodules, 0.1, 0.2, seed)


@given(nodules=PATIENTS, seed=SEEDS)
def test_each_part_has_nodules_when_there_are_three_patients_with_some(nodules, seed):
    parts = random_split(nodules, 0.1, 0.2, seed)
    rich = sum(count > 0 for count in nodules.values())
    with_nodules = [part for part in PARTS if any(nodules[p] for p in parts[part])]
    assert len(with_nodules) >= min(rich, 3)
    assert rich == 0 or "train" in with_nodules


@given(nodules=PATIENTS, new=PATIENTS, seed=SEEDS)
def test_patients_of_an_earlier_split_keep_their_part(nodules, new, seed):
    before = random_split(nodules, 0.1, 0.2, seed)
    after = extended_split(before, nodules | new, 0.1, 0.2, seed)
    assert everyone(after) == sorted(nodules | new)
    for part in PARTS:
        assert set(before[part]) <= set(after[part])
    assert extended_split(after, nodules | new, 0.1, 0.2, seed) == after


def test_new_patients_make_up_the_shares():
    before = random_split(many(100), 0.1, 0.2, 1)
    after = extended_split(before, many(1000), 0.1, 0.2, 1)
    assert [len(after[part]) for part in PARTS] == [700, 100, 200]


@given(nodules=PATIENTS, seed=SEEDS, folds=st.integers(2, 3))
def test_the_folds_are_a_partition(nodules, seed, folds):
    if len(nodules) - -(-len(nodules) // folds) < 2:
        return
    each = [fold_split(nodules, folds, k, 0.1, seed) for k in range(folds)]
    assert sorted(p for parts in each for p in parts["test"]) == sorted(nodules)
    for parts in each:
        assert everyone(parts) == sorted(nodules)


@pytest.mark.parametrize("seed", range(5))
def test_shares_and_nodule_counts_are_kept(seed):
    nodules = many(200)
    parts = random_split(nodules, 0.1, 0.2, seed)
    assert [len(parts[part]) for part in PARTS] == [140, 20, 40]
    for part, share in zip(PARTS, (0.7, 0.1, 0.2), strict=True):
        for least in (1, 2, 3, 4):
            due = share * sum(count >= least for count in nodules.values())
            assert abs(sum(nodules[p] >= least for p in parts[part]) - due) <= 1.5


def test_another_seed_is_another_split_for_every_kind_of_patient():
    nodules = many(50)
    splits = [random_split(nodules, 0.1, 0.2, seed)["test"] for seed in range(60)]
    assert len({tuple(s) for s in splits}) > 50
    # The one patient with the most nodules is no part's for good.
    richest = max(nodules, key=nodules.get)
    assert 2 < sum(richest in test for test in splits) < 30


@pytest.mark.parametrize(("validation", "test"), [(0.0, 0.2), (0.1, 0.0), (0.0, 0.0)])
def test_a_share_of_nothing_is_an_empty_part(validation, test):
    parts = random_split(many(20), validation, test, 1)
    assert bool(parts["validation"]) == (validation > 0)
    assert bool(parts["test"]) == (test > 0)


def test_the_hash_tells_splits_apart_and_ignores_order_and_the_unannotated():
    parts = {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}
    same = {"test": ["d"], "validation": ["c"], "train": ["b", "a"], "unannotated": ["e"]}
    other = {"train": ["a"], "validation": ["b", "c"], "test": ["d"]}
    assert split_hash(parts) == split_hash(same) != split_hash(other)
    assert re.fullmatch("[0-9a-f]{64}", split_hash(parts))


def test_two_patients_cannot_be_three_parts():
    with pytest.raises(DataError, match=r"there are 2: add scans, or do without a part"):
        random_split({"a": 1, "b": 2}, 0.1, 0.2, 1)


def test_shares_must_leave_a_training_set():
    with pytest.raises(DataError, match="leave nothing to train on"):
        random_split(many(9), 0.5, 0.5, 1)


def test_more_folds_than_patients():
    with pytest.raises(DataError, match="5 folds need 5 patients with annotations; there are 3"):
        fold_split(many(3), 5, 0, 0.1, 1)


def test_a_fold_that_is_not_there():
    with pytest.raises(DataError, match="fold 5 of 5: folds are counted from 0 to 4"):
        fold_split(many(9), 5, 5, 0.1, 1)


def test_a_list_by_name_is_followed():
    listed = {"P0000": "test", "P0001": "train", "P0002": "validation", "absent": "train"}
    parts = assigned_split(many(4), listed, 0, 0.1, 1)
    assert parts == {"train": ["P0001"], "validation": ["P0002"], "test": ["P0000"]}


def test_a_list_by_fold_tests_on_that_fold_and_validates_on_others():
    nodules = many(40)
    listed = {patient: k % 4 for k, patient in enumerate(nodules)}
    parts = assigned_split(nodules, listed, 2, 0.1, 1)
    assert parts["test"] == sorted(p for p, fold in listed.items() if fold == 2)
    assert len(parts["validation"]) == 3
    assert everyone(parts) == sorted(nodules)


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({}, "lists none of the 9 patients"),
        ({"P0000": 1, "P0001": "train"}, "mixes folds by number and parts by name"),
        (
            {"P0000": 1, "P0001": 2},
            r"no patient here is in fold 0 of the split's file, only \[1, 2",
        ),
        ({"P0000": "test"}, "puts none of the 1 patients here into train"),
    ],
)
def test_lists_that_cannot_be_followed(listed, message):
    with pytest.raises(DataError, match=message):
        assigned_split(many(9), listed, 0, 0.1, 1)
