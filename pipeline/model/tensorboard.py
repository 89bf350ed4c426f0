"""TensorBoard: scalars of each epoch in an event file, written by TensorFlow.

`tf.summary.scalar` would need the package tensorboard, which TensorFlow installs no more; its
records and its messages are TensorFlow's own.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lungseg.model.devices import quiet_keras


class EventFile:
    """An event file in `folder`, to which scalars are added epoch by epoch; close it at the end."""

    def __init__(self, folder: Path) -> None:
        quiet_keras()
        # Keras may run on another backend; then this takes some seconds.
        import tensorflow as tf

        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"events.out.tfevents.{int(time.time()):010d}.lungseg"
        self._event = tf.compat.v1.Event
        self._writer = tf.io.TFRecordWriter(str(self.path))
        # The first event gives the version of the format.
        self._write(self._event(wall_time=time.time(), file_version="brain.Event:2"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add the scalars of one step; they are in the file when this returns."""
        event = self._event(wall_time=time.time(), step=step)
        for name, value in scalars.items():
            event.summary.value.add(tag=name, simple_value=value)
        self._write(event)

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
