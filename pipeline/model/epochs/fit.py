"""Fit: one epoch of Keras's `fit`, with the time it waited for data and the weights it trained."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from lungseg.model import devices
from lungseg.model.checkpoints import Row, Weights
from lungseg.model.dataset import Feed, as_py_dataset

OnBatch = Callable[[int, int, float], None]


def fit(
    model: Any, feed: Feed, on_batch: OnBatch, targets: Callable[[Any], Any]
) -> tuple[Row, Weights]:
    """Train one epoch on `feed`.

    Parameters
    ----------
    model
        A training model, compiled.
    feed
        The batches.
    on_batch
        As in `train`.
    targets
        As in `lungseg.model.dataset.as_py_dataset`.

    Returns
    -------
    dict
        ``loss``, the mean over the batches, ``seconds``, and ``waiting``, the share of them in
        which the model waited for data: from the end of a batch, when its loss is known, until the
        workers deliver the next.
    list
        The trained weights; where the optimiser averages them, the model itself has the mean now.
    """
    import keras

    ended: list[float] = [time.perf_counter()]
    trained: Weights = []

    class Stopwatch(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            # Reading the loss waits for a device that computes asynchronously.
            loss = float((logs or {})["loss"])
            ended.append(time.perf_counter())
            on_batch(batch + 1, len(feed), loss)

        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            # Before Keras puts the mean in their place.
            trained.extend(trained_weights(model))

    on_batch(0, len(feed), math.nan)
    # Not before `model.fit`, whose first call draws random numbers to build the net.
    reseed = keras.callbacks.LambdaCallback(on_train_begin=lambda _: devices.reseed(feed.epoch.key))
    try:
        log_of_fit = model.fit(
            as_py_dataset(feed, targets),
            epochs=1,
            verbose=0,
            shuffle=False,
            callbacks=[reseed, Stopwatch()],
        )
    except Exception as error:
        if feed.failure is not None:
            raise feed.failure from error
        raise
    seconds = time.perf_counter() - ended[0]
    waited = sum(max(feed.ready[i] - ended[i], 0.0) for i in range(len(feed)))
    row = {
        "loss": float(log_of_fit.history["loss"][0]),
        "seconds": round(seconds, 3),
        "waiting": round(waited / seconds, 4),
    }
    return row, trained


def trained_weights(model: Any) -> Weights:
    """Values of the variables that the optimiser changes."""
    return [np.asarray(variable.numpy()) for variable in model.trainable_variables]


def restore_trained(model: Any, weights: Weights) -> None:
    """Put back what `trained_weights` returned."""
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)
