"""Training on windows and whole scans: what chooses the best epoch, mining, and going on."""

from dataclasses import replace

import numpy as np
import pytest

from lungseg.model import training
from lungseg.model.checkpoints import Checkpoints, resumable
from lungseg.model.devices import quiet_keras
from lungseg.model.epochs import mining
from lungseg.model.epochs.squares import squares_of
from lungseg.model.networks import NetworkSettings
from lungseg.model.samples import InputSpec, Samples
from lungseg.model.selection import select
from lungseg.model.training import train
from lungseg.ops.samples.augment import Augmentation
from tests.model.recipes import recipe as recipe_of
from tests.model.test_training import KilledError, same, tiny_net
from tests.model.toy_table import toy_scan, toy_table
from tests.model.window_table import SIZE, toy_window

quiet_keras()

QUICK = recipe_of(
    NetworkSettings(
        network="unet", height=SIZE, width=SIZE, base_width=2, depth=2, norm_momentum=0.8,
        dropout=0.2,
    ),
    loss="soft_dice_bce", epochs=3, batch_size=4, learning_rate=1e-2, slices_per_epoch=8,
    balance="nodules", mine_every=1, mine_step=1, hard_share=1.0, validate_step=2,
)  # fmt: skip
INPUT = InputSpec(
    soft_targets=True, crop_px=32, augmentation=Augmentation(flip_x=0.5, context_dropout=0.5),
    context=1,
)  # fmt: skip
PATIENTS = (["a", "b", "c"], ["d", "e"])
NET = replace(QUICK.network, channels=3)


@pytest.fixture(autouse=True, scope="module")
def _small_nets(eager):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "build", tiny_net)
        patch.setattr(mining, "false_alarms", likeliest)
        yield


def likeliest(probability, *_):
    """The likeliest pixel of all: where a net that has learnt for seconds has its false alarm."""
    y, x = np.unravel_index(probability.argmax(), probability.shape)
    return np.array([(y, x, probability[y, x])], np.float32)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Rows 0 to 2 are a window of a, 3 to 5 of b, 6 to 11 whole c, then window d and whole e."""
    path = tmp_path_factory.mktemp("windows") / "tables.h5"
    whole = [toy_scan(name, size=SIZE) for name in "ce"]
    scans = toy_window("a"), toy_window("b"), whole[0], toy_window("d"), whole[1]
    return toy_table(path, *scans, size=SIZE)


def trained(table, folder, recipe=QUICK, **callbacks):
    with resumable(folder, "a-digest") as checkpoints:
        recipe = replace(recipe, network=NET)
        return train(recipe, Samples(table, INPUT), PATIENTS, checkpoints, **callbacks)


@pytest.fixture(scope="module")
def unbroken(table, tmp_path_factory):
    return trained(table, tmp_path_factory.mktemp("unbroken"))


def test_the_best_epoch_is_that_of_the_nodules_mean_dice(unbroken):
    scores = [row["val_nodule_dice"] for row in unbroken.history]
    assert [row["score"] for row in unbroken.history] == scores
    assert unbroken.best_epoch == int(np.argmax(scores)) + 1
    assert all("val_dice" in row for row in unbroken.history)


def test_whole_scans_are_validated_whole_and_nodules_on_squares(table, tmp_path, monkeypatch):
    asked = []

    def scored(net, feed, _, nodules=None):
        asked.append((net.input_shape[1:3], feed.epoch, nodules))
        return {"dice": 0.5, **({} if nodules is None else {"nodule_dice": 0.25})}

    monkeypatch.setattr(training, "score", scored)
    monkeypatch.setattr(training, "SQUARE_PX", 48)
    done = trained(table, tmp_path, replace(QUICK, epochs=1, slices_per_epoch=4))
    (size, squares, nodules), (whole_size, whole, none) = asked
    assert (size, whole_size, none) == ((48, 48), (SIZE, SIZE), None)
    assert squares.rows.tolist() == [12, 13, 14, 16, 17, 18]
    assert nodules.tolist() == [0, 0, 0, 1, 1, 1]
    assert whole.rows.tolist() == [15, 17, 19]
    assert whole.centres is None
    assert done.history[0]["val_dice"] == 0.5
    assert done.history[0]["score"] == 0.25


def test_a_square_is_around_the_middle_of_its_nodule(table):
    samples = Samples(table, INPUT)
    squares = squares_of(select(samples, ["d"], by_nodule=True), mining.whole_rows(samples.tables))
    votes = samples.tables.read("votes", squares.draws.rows)
    y, x = (np.flatnonzero(votes.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    middle = [(y[0] + y[-1]) / 2, (x[0] + x[-1]) / 2]
    np.testing.assert_array_equal(squares.draws.centres, [middle] * 3)


def test_without_a_window_there_are_no_squares(table):
    samples = Samples(table, INPUT)
    whole = mining.whole_rows(samples.tables)
    assert squares_of(select(samples, ["e"], by_nodule=True), whole) is None


def test_false_alarms_are_mined_in_whole_scans_of_the_training_part_and_shown(
    table, tmp_path, monkeypatch
):
    shown, augmented, mined = [], Samples.augmented, []

    def recorded(samples, rows, keys, centres):
        shown.extend(zip([key[1] for key in keys], rows, centres, strict=True))
        return augmented(samples, rows, keys, centres)

    def mine(net_of, samples, rows, step):
        mined.append(rows.tolist())
        return np.array([(rows[0], 30, 31, 0.5)], mining.PLACES)

    monkeypatch.setattr(Samples, "augmented", recorded)
    monkeypatch.setattr(mining, "mine", mine)
    done = trained(table, tmp_path, replace(QUICK, mine_every=2, epochs=4))
    # After the last epoch nothing would be shown.
    assert mined == [[6, 7, 8, 9, 10, 11]]
    assert [row.get("mined") for row in done.history] == [None, 1, None, None]
    hard = {(epoch, row) for epoch, row, centre in shown if tuple(centre) == (30, 31)}
    assert hard == {(2, 6), (3, 6)}
    assert sum(tuple(centre) == (30, 31) for _, _, centre in shown) == 8


def test_a_run_killed_after_mining_ends_as_an_unbroken_one(unbroken, table, tmp_path):
    def kill(row):
        if row["epoch"] == 2:
            raise KilledError

    with pytest.raises(KilledError):
        trained(table, tmp_path, on_epoch=kill)
    kept = Checkpoints(next(tmp_path.iterdir())).places()
    assert len(kept) == unbroken.history[1]["mined"] > 0
    resumed = trained(table, tmp_path)
    assert resumed.resumed_at == 2
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in unbroken.history]
    assert same(resumed.last.get_weights(), unbroken.last.get_weights())


def test_what_was_mined_changes_what_is_learnt(unbroken, table, tmp_path):
    other = trained(table, tmp_path, replace(QUICK, mine_every=0))
    assert other.history[0]["loss"] == unbroken.history[0]["loss"]
    assert other.history[1]["loss"] != unbroken.history[1]["loss"]


def test_averaged_weights_are_validated_and_saved_and_the_others_trained_on(
    unbroken, table, tmp_path, monkeypatch
):
    validated, score = [], training.score

    def recorded(net, *more, **named):
        validated.append(net.get_weights())
        return score(net, *more, **named)

    monkeypatch.setattr(training, "score", recorded)
    plain = replace(QUICK, mine_every=0, epochs=2, slices_per_epoch=4)
    means = trained(table, tmp_path, replace(plain, average_weights=0.9))
    assert same(means.last.get_weights(), validated[-1])
    own = trained(table, tmp_path, plain)
    assert [row["loss"] for row in means.history] == [row["loss"] for row in own.history]
    assert not same(means.last.get_weights(), own.last.get_weights())
