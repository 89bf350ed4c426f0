"""Slices per CPU-second: augmentation in one pass against one step after another, on one table.

    python -m bench.augment

Both read random rows of the same PyTables file, rotate, zoom, flip and deform elastically, and
return image and label of 352 x 352. Step by step is the order of Ghofrani Majelan's thesis
(docs/sources.md): each row is read by itself, image and label each go through `affine_transform`
(order 1) for the rotation, again for the zoom, and through `map_coordinates` for the elastic field.
Prints one JSON object.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import NODULES
from lungseg.io.tables.writer import ScanRows, TableWriter
from lungseg.model.samples import InputSpec, Samples
from lungseg.ops.samples.augment import Augmentation
from lungseg.volume import Geometry

SIZE = 352
AMOUNTS = Augmentation(flip_x=0.5, flip_y=0.5, rotate_degrees=6, zoom=0.1, elastic_px=10)
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--slices", type=int, default=160)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = make_table(Path(folder) / "tables.h5")
        input_spec = InputSpec(augmentation=AMOUNTS)
        samples, tables = Samples(path, input_spec), Tables(path)
        ours = measure(samples.augmented, options.slices)
        stepwise = measure(lambda rows, key: step_by_step(tables, rows, key), options.slices // 4)
    print(
        json.dumps(
            {
                "size_px": SIZE,
                "ours_slices_per_cpu_s": round(ours, 1),
                "step_by_step_slices_per_cpu_s": round(stepwise, 1),
                "times": round(ours / stepwise, 1),
            }
        )
    )


def make_table(path: Path, slices: int = 64) -> Path:
    """Lungs of noise; every second slice has a nodule of four readers."""
    rng = np.random.default_rng(0)
    y, x = np.indices((SIZE, SIZE))
    lungs = ((np.hypot(y - 176, (np.abs(x - 176) - 80) * 1.6)) < 110).astype(np.uint8)
    image = np.where(lungs, -850, 20)[None] + rng.normal(0, 25, (slices, SIZE, SIZE))
    votes = np.zeros((slices, SIZE, SIZE), np.uint8)
    votes[::2, 150:158, 90:98] = 4
    nodules = np.zeros(1, NODULES)
    nodules["label"], nodules["readers"] = 1, 4
    area = np.count_nonzero(votes, (1, 2)).astype(np.float32)
    areas = {f"nodule_mm2_{k}": area for k in range(1, 5)}
    rows = ScanRows(
        scan="1",
        patient="1",
        fingerprint="1",
        geometry=Geometry((1.0, 1.0, 1.0)),
        shape_zyx=(slices, SIZE, SIZE),
        corner_zyx=(0, 0, 0),
        truth="contours",
        verdict="ok",
        z_index=np.arange(slices, dtype=np.int32),
        arrays={
            "image": image.astype(np.int16),
            "lungs": np.repeat(lungs[None], slices, 0),
            "votes": votes,
            "nodule": (votes > 0).astype(np.uint16),
        },
        areas={
            "lung_mm2": np.full(slices, lungs.sum(), np.float32),
            "target_mm2": area,
            **areas,
        },
        nodules=nodules,
    )
    with TableWriter.create(path, SIZE, {"kind": "ct", "spacing_mm": np.ones(3)}) as writer:
        writer.add(rows)
    return path


def measure(batch: Callable[[np.ndarray, list[tuple[int, ...]]], object], slices: int) -> float:
    rng = np.random.default_rng(1)
    spent = 0.0
    for number in range(1 + slices // BATCH):
        rows = rng.integers(0, 64, BATCH)
        begin = time.process_time()
        batch(rows, [(1, number, place) for place in range(BATCH)])
        # The first batch opens the file.
        spent += (time.process_time() - begin) * (number > 0)
    return slices // BATCH * BATCH / spent


def step_by_step(
    tables: Tables, rows: np.ndarray, keys: list[tuple[int, ...]]
) -> tuple[np.ndarray, np.ndarray]:
    images = np.zeros((len(rows), SIZE, SIZE, 1), np.float32)
    truth = np.zeros((len(rows), SIZE, SIZE, 2), np.float32)
    for place, (row, key) in enumerate(zip(rows, keys, strict=True)):
        rng = np.random.default_rng(key)
        image = tables.read("image", [row])[0].astype(np.float32)
        image = (np.clip(image, -1000, 400) + 1000) / 1400
        label = (tables.read("votes", [row])[0] >= 2).astype(np.float32)
        if rng.random() < 0.5:
            image, label = np.fliplr(image), np.fliplr(label)
        if rng.random() < 0.5:
            image, label = np.flipud(image), np.flipud(label)
        turn = np.deg2rad(rng.uniform(-6, 6))
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        zoom = np.eye(2) / 1.1 ** rng.uniform(-1, 1)
        for matrix in (rotation, zoom):
            offset = (SIZE - 1) / 2 * (1 - matrix.sum(axis=1))
            image = ndimage.affine_transform(image, matrix, offset, order=1)
            label = ndimage.affine_transform(label, matrix, offset, order=1)
        nodes = rng.normal(0, 10, (2, 3, 3))
        field = [ndimage.zoom(axis, SIZE / 3, order=3)[:SIZE, :SIZE] for axis in nodes]
        at = np.indices((SIZE, SIZE)) + field
        images[place, ..., 0] = ndimage.map_coordinates(image, at, order=1)
        truth[place, ..., 0] = np.floor(ndimage.map_coordinates(label, at, order=1))
        truth[place, ..., 1] = 1
    return images, truth


if __name__ == "__main__":
    main()
