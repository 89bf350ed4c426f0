"""Training: what it learns, where it stops, and that a killed run ends as an unbroken one."""

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.model import training
from lungseg.model.checkpoints import restore, resumable
from lungseg.model.devices import DeviceMemoryError, backend, quiet_keras
from lungseg.model.epochs.fit import trained_weights
from lungseg.model.networks import NetworkSettings
from lungseg.model.samples import InputSpec, Samples
from lungseg.model.training import optimizer, train, write_log
from lungseg.ops.samples.augment import Augmentation
from tests.model.recipes import recipe as recipe_of
from tests.model.toy_table import SIZE, toy_scan, toy_table

quiet_keras()

NET = NetworkSettings(
    network="unet", height=SIZE, width=SIZE, base_width=4, depth=2, norm_momentum=0.8, dropout=0.2
)
LARGE = replace(NET, height=64, width=64)
QUICK = recipe_of(
    NET, loss="bce_dice", epochs=3, batch_size=4, learning_rate=1e-2, slices_per_epoch=12,
    schedule="cosine", warmup_epochs=0.5, clip_norm=1.0,
)  # fmt: skip
INPUT = InputSpec(augmentation=Augmentation(flip_x=0.5, shift_px=2, noise=0.02))
PATIENTS = (["a", "b"], ["c"])


class KilledError(Exception):
    pass


def tiny_net(settings):
    """A net with everything that has a state, that is built and traced in a blink."""
    import keras
    from keras import layers

    x = image = keras.Input((settings.height, settings.width, settings.channels))
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.BatchNormalization(momentum=0.8)(x)
    x = layers.Dropout(settings.dropout)(layers.ReLU()(x))
    return keras.Model(image, layers.Conv2D(2, 1, activation="softmax", dtype="float32")(x))


@pytest.fixture(autouse=True, scope="module")
def _small_nets(eager):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "build", tiny_net)
        yield


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("training") / "tables.h5"
    return toy_table(path, *(toy_scan(name) for name in "abc"), toy_scan("d", truth="none"))


@pytest.fixture(scope="module")
def large_table(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "tables.h5"
    return toy_table(path, *(toy_scan(name, size=64) for name in "abc"), size=64)


def trained(table, folder, recipe=QUICK, input_spec=INPUT, patients=PATIENTS, **callbacks):
    with resumable(folder, "a-digest") as checkpoints:
        return train(recipe, Samples(table, input_spec), patients, checkpoints, **callbacks)


def replaced(**what):
    return replace(QUICK, **what)


@pytest.fixture(scope="module")
def unbroken(table, tmp_path_factory):
    return trained(table, tmp_path_factory.mktemp("unbroken"))


@pytest.mark.usefixtures("with_graphs", "quick_graphs")
def test_it_can_overfit_one_scan(table, tmp_path):
    recipe = replaced(
        network=replace(NET, dropout=0.0),
        epochs=1,
        slices_per_epoch=600,
        learning_rate=2e-2,
        warmup_epochs=0.1,
    )
    done = trained(table, tmp_path, recipe, InputSpec(inside_lungs=True), (["a"], ["a"]))
    assert done.history[0]["val_dice"] >= 0.95
    assert done.history[0]["val_sensitivity"] >= 0.95


def test_the_log_tells_of_every_epoch(unbroken, tmp_path):
    assert [row["epoch"] for row in unbroken.history] == [1, 2, 3]
    assert all(0 <= row["waiting"] <= 1 for row in unbroken.history)
    assert all(row["images_per_second"] > 0 for row in unbroken.history)
    write_log(unbroken.history, tmp_path / "log.csv")
    read = np.genfromtxt(tmp_path / "log.csv", delimiter=",", names=True)
    np.testing.assert_allclose(read["val_dice"], [r["val_dice"] for r in unbroken.history], 1e-4)


def test_an_epoch_that_lacks_a_value_has_nan_in_its_column(tmp_path):
    write_log([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "val_dice": 0.25}], tmp_path / "log.csv")
    assert (tmp_path / "log.csv").read_text() == "epoch,loss,val_dice\n1,0.5,nan\n2,nan,0.25\n"


def test_every_batch_is_told_from_before_the_first_to_the_last(table, tmp_path):
    told = []
    trained(table, tmp_path, replaced(epochs=1), on_batch=lambda *batch: told.append(batch))
    assert [(done, batches) for done, batches, _ in told] == [(k, 3) for k in range(4)]
    assert math.isnan(told[0][2])
    assert all(loss > 0 for _, _, loss in told[1:])


def test_a_run_killed_within_and_after_an_epoch_ends_with_the_same_weights(
    unbroken, table, tmp_path
):
    def kill(_):
        raise KilledError

    batches = itertools.count()

    def kill_in_the_second_epoch(*_):
        if next(batches) == 4:
            raise KilledError

    with pytest.raises(KilledError):
        trained(table, tmp_path, on_batch=kill_in_the_second_epoch)
    with pytest.raises(KilledError):
        trained(table, tmp_path, on_epoch=kill)
    resumed = trained(table, tmp_path)
    assert resumed.resumed_at == 2
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in unbroken.history]
    for one, two in zip(resumed.last.get_weights(), unbroken.last.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(resumed.best.get_weights(), unbroken.best.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not list(tmp_path.iterdir())


def test_the_best_epoch_is_that_of_the_highest_dice_on_the_held_out(unbroken):
    scores = [row["val_dice"] for row in unbroken.history]
    assert unbroken.best_epoch == int(np.argmax(scores)) + 1


def test_without_anyone_to_validate_on_the_smallest_loss_is_best(table, tmp_path):
    done = trained(table, tmp_path, replaced(epochs=2, slices_per_epoch=4), patients=(["a"], []))
    losses = [row["loss"] for row in done.history]
    assert done.best_epoch == int(np.argmin(losses)) + 1
    assert "val_dice" not in done.history[0]


def record_validated(monkeypatch, dice):
    """Give the epochs these Dice; returns the list of the weights that are validated in each."""
    validated, values = [], iter(dice)

    def scored(net, *_, nodules=None):
        validated.append((net.input_shape[1], net.get_weights()))
        return {"dice": next(values)}

    monkeypatch.setattr(training, "score", scored)
    return validated


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("crop_px", [0, 32])
def test_the_net_that_is_trained_is_validated_and_the_best_and_the_last_are_returned(
    large_table, tmp_path, monkeypatch, crop_px
):
    validated = record_validated(monkeypatch, [0.1, 0.9, 0.5])
    recipe = replaced(network=LARGE, slices_per_epoch=4)
    done = trained(large_table, tmp_path, recipe, InputSpec(crop_px=crop_px))
    assert [size for size, _ in validated] == [64] * 3
    first, second, third = (weights for _, weights in validated)
    assert done.best_epoch == 2
    assert same(done.best.get_weights(), second)
    assert same(done.last.get_weights(), third)
    assert not same(first, second)
    assert not same(second, third)


def test_every_epoch_has_its_own_rows_and_augmentation(table, tmp_path, monkeypatch):
    made, augmented = [], Samples.augmented

    def recorded(samples, rows, keys, centres):
        made.extend(zip(rows, keys, strict=True))
        return augmented(samples, rows, keys, centres)

    monkeypatch.setattr(Samples, "augmented", recorded)
    record_validated(monkeypatch, [0.5, 0.5])
    trained(table, tmp_path, replaced(epochs=2, seed=7, batch_size=12))
    rows = {epoch: [int(row) for row, key in made if key[1] == epoch] for epoch in (0, 1)}
    assert sorted(key for _, key in made) == [(7, e, i) for e in (0, 1) for i in range(12)]
    assert rows[0] != rows[1]


def untrained(monkeypatch, table, folder, **settings):
    """The result of a run in which no step is taken, and the policies its nets are built under."""
    import keras

    policies = []

    def built(network):
        policies.append(keras.config.dtype_policy().name)
        return tiny_net(network)

    row = {"loss": 1.0, "seconds": 1.0, "waiting": 0.0}
    monkeypatch.setattr(training, "build", built)
    monkeypatch.setattr(training, "fit", lambda model, *_: (row, trained_weights(model)))
    monkeypatch.setattr(training, "score", lambda *_, **__: {"dice": 0.5})
    return trained(table, folder, replaced(epochs=1, **settings)), policies


def test_the_seed_decides_the_weights_at_the_start(table, tmp_path, monkeypatch):
    one, again, other = (
        untrained(monkeypatch, table, tmp_path, seed=seed)[0].last.get_weights()
        for seed in (1, 1, 2)
    )
    assert same(one, again)
    assert not same(one, other)


def test_a_net_trained_in_mixed_precision_is_returned_in_single(table, tmp_path, monkeypatch):
    done, policies = untrained(monkeypatch, table, tmp_path, mixed_precision="bfloat16")
    assert policies == ["mixed_bfloat16", "float32", "float32"]
    assert done.best.layers[1].dtype_policy.name == "float32"


def test_validation_can_be_rare_but_never_misses_the_last_epoch(table, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "score", lambda *_, **__: {"dice": 0.5})
    done = trained(table, tmp_path, replaced(epochs=3, validate_every=2, slices_per_epoch=4))
    assert ["val_dice" in row for row in done.history] == [False, True, True]
    assert done.best_epoch == 2


def test_without_gain_the_rate_falls_and_then_it_stops(table, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "score", lambda *_, **__: {"dice": 0.5})
    recipe = replaced(
        schedule="plateau", plateau_patience=1, epochs=9, early_stopping_patience=2,
        slices_per_epoch=4,
    )  # fmt: skip
    done = trained(table, tmp_path, recipe)
    assert [r["learning_rate"] for r in done.history] == pytest.approx([1e-2, 1e-2, 5e-3])
    assert done.best_epoch == 1


def test_epochs_without_validation_do_not_end_it(table, tmp_path):
    recipe = replaced(epochs=4, validate_every=4, early_stopping_patience=1, slices_per_epoch=4)
    done = trained(table, tmp_path, recipe)
    assert len(done.history) == 4
    assert done.best_epoch == 4


@pytest.mark.usefixtures("with_graphs")
@pytest.mark.skipif(backend() != "tensorflow", reason="only TensorFlow traces a step twice")
def test_the_step_is_traced_once(table, tmp_path, monkeypatch):
    from keras import Model

    traced, step = [], Model.train_step
    monkeypatch.setattr(Model, "train_step", lambda *args: traced.append(1) or step(*args))
    trained(table, tmp_path, replaced(epochs=2, batch_size=2, slices_per_epoch=4))
    assert len(traced) == 1


def test_crops_train_a_net_of_whole_slices(large_table, tmp_path):
    recipe = replaced(epochs=1, network=LARGE, slices_per_epoch=4)
    done = trained(large_table, tmp_path, recipe, InputSpec(crop_px=32), (["a"], ["c"]))
    assert done.best.input_shape == (None, 64, 64, 1)
    assert np.isfinite(done.history[0]["val_loss"])


@pytest.mark.parametrize(
    ("size", "advice"),
    [
        (4, r"batches of 4 slices; set train\.batch_size=2, or set train\.crop_px to a smaller"),
        (1, r"single slices; set train\.crop_px to a smaller square, or"),
    ],
)
def test_without_memory_the_error_says_which_batch_to_try(
    table, tmp_path, monkeypatch, size, advice
):
    def full(*_):
        raise RuntimeError("RESOURCE_EXHAUSTED: OOM when allocating tensor with shape [8,64]")

    monkeypatch.setattr(training, "fit", full)
    with pytest.raises(DeviceMemoryError) as caught:
        trained(table, tmp_path, replaced(batch_size=size))
    assert re.search(advice, caught.value.advised("train"))


def test_other_faults_are_not_called_memory(table, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(training, "fit", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        trained(table, tmp_path)


def test_a_loss_of_nan_ends_the_run(table, tmp_path, monkeypatch):
    row = {"loss": float("nan"), "seconds": 1.0, "waiting": 0.0}
    monkeypatch.setattr(training, "fit", lambda model, *_: (row, trained_weights(model)))
    with pytest.raises(DataError, match=r"the loss is nan in epoch 1: training has diverged") as e:
        trained(table, tmp_path)
    assert e.value.settings == ("learning_rate=0.001", "clip_norm=1")


def test_training_patients_without_any_target_are_refused(table, tmp_path):
    with pytest.raises(DataError, match="no slice of the training patients has nodules"):
        trained(table, tmp_path, patients=(["d"], ["c"]))


def test_a_damaged_row_ends_the_run_with_its_message(table, tmp_path, monkeypatch):
    def damaged(*_):
        raise DataError("row 3 of /image is damaged")

    monkeypatch.setattr(Samples, "augmented", damaged)
    with pytest.raises(DataError, match="row 3 of /image is damaged"):
        trained(table, tmp_path, replaced(workers=1))


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers_are_what_they_are_called(name):
    made = optimizer(replaced(optimizer=name, weight_decay=1e-4, schedule="constant"), 10)
    assert type(made).__name__.lower() == name
    assert made.weight_decay == 1e-4
    assert made.global_clipnorm == 1.0
    assert float(made.learning_rate) == pytest.approx(1e-2)
    assert getattr(made, "momentum", None) in {None, 0.9}


def test_cosine_rises_then_falls_to_a_hundredth():
    rate = optimizer(replaced(epochs=10, warmup_epochs=2.0), 5)._learning_rate
    values = [float(rate(step)) for step in range(51)]
    assert values[0] == pytest.approx(1e-4)
    assert values[10] == pytest.approx(1e-2) == max(values)
    assert all(np.diff(values[:11]) > 0)
    assert all(np.diff(values[10:51]) < 0)
    assert values[50] == pytest.approx(1e-4)


def test_a_second_run_at_the_same_time_has_checkpoints_of_its_own(tmp_path, caplog):
    with resumable(tmp_path, "a-digest") as one, resumable(tmp_path, "a-digest") as two:
        assert one.folder != two.folder
    assert "another run is training the same net" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_torn_progress_file_starts_anew(tmp_path):
    with resumable(tmp_path, "a-digest") as kept:
        kept.keep([{"loss": 1.0}], [np.zeros(2)], [np.ones(2)])
        assert kept.history == [{"loss": 1.0}]
        (kept.folder / "progress.json").write_text('{"history": [')
        assert kept.history == []


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "remove"])
def test_a_damaged_state_starts_anew(tmp_path, harm, caplog):
    with resumable(tmp_path, "a-digest") as kept:
        kept.keep([{"loss": math.nan}], [np.zeros(2)], [np.ones(2)])
        assert math.isnan(kept.history[0]["loss"])
        path = kept.folder / "state-1.npz"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        contents = {"flip": data, "cut": data[:-9], "empty": b""}
        if harm == "remove":
            path.unlink()
        else:
            path.write_bytes(contents[harm])
        assert kept.history == []
        assert "training starts again" in caplog.text
        kept.keep([{"loss": 2.0}], [np.zeros(2)], [np.ones(2)])
        assert kept.history == [{"loss": 2.0}]


def test_only_the_newest_state_and_the_best_weights_are_kept(tmp_path):
    with resumable(tmp_path, "a-digest") as kept:
        kept.keep([{}], [np.zeros(2)], [np.ones(2)])
        kept.keep([{}, {}], [np.full(2, 5.0)], None)
        assert {file.name for file in kept.folder.glob("*.npz")} == {"state-2.npz", "best-1.npz"}
        np.testing.assert_array_equal(kept.state()[0], [5.0, 5.0])
        np.testing.assert_array_equal(kept.best()[0], [1.0, 1.0])


def test_a_checkpoint_of_another_net_is_refused(unbroken):
    unbroken.last.compile(optimizer=optimizer(QUICK, 1))
    with pytest.raises(ValueError, match="of different networks"):
        restore(unbroken.last, [np.zeros(1)])
