"""Event files, read back by TensorFlow's own reader."""

import pytest

from lungseg.io.results.tensorboard import EventFile
from lungseg.model.devices import quiet_keras


def test_tensorflow_reads_what_was_written(tmp_path):
    quiet_keras()
    import tensorflow as tf

    written = EventFile(tmp_path / "board")
    rows = [{"loss": 1.5, "val_dice": 0.25}, {"loss": float("nan"), "a" * 200: -3e9}]
    for step, row in enumerate(rows, 1):
        written.add(step * 100, row)
    records = list(tf.data.TFRecordDataset(str(written.path)).as_numpy_iterator())
    events = [tf.compat.v1.Event.FromString(record) for record in records]
    assert events[0].file_version == "brain.Event:2"
    assert [event.step for event in events] == [0, 100, 200]
    for event, row in zip(events[1:], rows, strict=True):
        found = {value.tag: value.simple_value for value in event.summary.value}
        assert found == pytest.approx(row, nan_ok=True)
