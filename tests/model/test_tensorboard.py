"""Event files, read back by TensorFlow's reader of them, which TensorBoard uses, too."""

import pytest

from lungseg.model.tensorboard import EventFile


def test_tensorflow_reads_what_was_written(tmp_path):
    rows = [{"loss": 1.5, "val_dice": 0.25}, {"loss": float("nan"), "a" * 200: -3e9}]
    with EventFile(tmp_path / "events") as written:
        import tensorflow as tf

        for step, row in enumerate(rows, 1):
            written.add(step * 100, row)
        # Before it is closed: a run that is killed leaves the epochs it has done.
        events = list(tf.compat.v1.train.summary_iterator(str(written.path)))
    assert events[0].file_version == "brain.Event:2"
    assert [event.step for event in events] == [0, 100, 200]
    for event, row in zip(events[1:], rows, strict=True):
        found = {value.tag: value.simple_value for value in event.summary.value}
        assert found == pytest.approx(row, nan_ok=True)
