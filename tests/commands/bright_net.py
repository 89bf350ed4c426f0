"""A net without training: what is denser than lung, inside the lungs, is nodule to it."""

import dataclasses

from lungseg.model.devices import quiet_keras
from lungseg.model.model_record import NET, ModelRecord, write_model_record

RECORD = ModelRecord(
    target="nodules", classes=["background", "nodules"], kind="ct", network={"name": "bright"},
    context=0, low=-1000.0, high=400.0, inside_lungs=True, crop_px=96, spacing_mm=[4.0, 4.0, 4.0],
    table_fingerprint="t" * 64, split_hash="s" * 64, train_patients=["taught"],
    validation_patients=["chosen-on"], best_epoch=3, train_scans=["1.2.826.41"],
    validation_scans=["1.2.826.42"], scans_then=2, scores={"dice": 0.5}, params={"epochs": 3},
)  # fmt: skip


def write_bright_net(folder, **changes):
    """Write the net and its record into `folder`; the net's file."""
    quiet_keras()
    import keras
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    size = RECORD.crop_px
    net = keras.Sequential(
        [keras.Input((size, size, 1)), keras.layers.Conv2D(2, 1, activation="softmax")]
    )
    # -300 HU are one half: 0.5 of the window from -1000 to 400.
    kernel = np.array([-20.0, 20.0]).reshape(1, 1, 1, 2)
    net.layers[0].set_weights([kernel, np.array([10.0, -10.0])])
    net.save(folder / NET)
    write_model_record(dataclasses.replace(RECORD, **changes), folder)
    return folder / NET
