"""Lungs on chest X-rays: Dice, IoU and accuracy of a net on patients it never saw.

    python -m bench.xray ../shared/data/xray --work xray-work --network unet

Needs a folder with `images` and `masks`. The table, the split and the training are those of the
stages `build-tables`, `split-patients` and `train` with `--preset xray`; with `--model` the output
of that stage is scored on the same test part. Prints one JSON object.
"""

import argparse
import dataclasses
import json
import logging
import sys
import time
from pathlib import Path

import numpy as np

from pipeline.io.pictures_table import build_picture_table
from pipeline.io.tables import Tables, decoded
from pipeline.model.checkpoints import resumable
from pipeline.model.dataset import Epoch, Feed, Workers
from pipeline.model.devices import quiet_keras
from pipeline.model.inference import load_net
from pipeline.model.model_record import NET, read_model_record
from pipeline.model.networks import NetworkSettings, foreground
from pipeline.model.samples import Samples, View
from pipeline.model.selection import select
from pipeline.model.training import Recipe, train, write_log
from pipeline.ops.augment import Augmentation
from pipeline.ops.split import random_split


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="score this output of `train`; train nothing")
    parser.add_argument("--network", default="unet")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--loss", default="bce_dice")
    parser.add_argument("--mixed", default="bfloat16")
    parser.add_argument("--px", type=int, default=256)
    parser.add_argument("--slices", type=int, default=0)
    options = parser.parse_args()
    quiet_keras()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / f"tables-{options.px}.h5"
    if not path.exists():
        build_picture_table(options.data / "images", options.data / "masks", path, options.px)
    with Tables(path) as tables:
        parts = random_split(dict.fromkeys(decoded(tables.scans["patient"]), 0), 0.1, 0.2, 1)
    samples = Samples(path, VIEW)
    if options.model:
        print(json.dumps(score_of(options.model, samples, parts["test"]), indent=1))
        return
    recipe = recipe_of(options)
    begin = time.perf_counter()
    with resumable(options.work, f"{options.network}-{options.px}") as checkpoints:
        trained = train(
            recipe,
            samples,
            (parts["train"], parts["validation"]),
            checkpoints,
            on_epoch=lambda row: print(json.dumps(row), file=sys.stderr, flush=True),
        )
        name = f"{options.network}-{options.width}"
        trained.best.save(options.work / f"{name}.keras")
        trained.last.save(options.work / f"{name}-last.keras")
        write_log(trained.history, options.work / f"{name}.csv")
    print(
        json.dumps(
            {
                "network": dataclasses.asdict(recipe.network),
                "parameters": trained.best.count_params(),
                "best_epoch": trained.best_epoch,
                "minutes": round((time.perf_counter() - begin) / 60, 1),
                "best": tested(trained.best, samples, parts["test"]),
                "last": tested(trained.last, samples, parts["test"]),
            },
            indent=1,
        )
    )


def score_of(folder: Path, samples: Samples, patients: list[str]) -> dict[str, float]:
    seen = set(read_model_record(folder).train_patients) & set(patients)
    if seen:
        sys.exit(f"{folder} was trained on {len(seen)} of the test part's patients")
    return tested(load_net(folder / NET), samples, patients)


VIEW = View(
    target="lungs",
    low=0,
    high=255,
    augmentation=Augmentation(
        flip_x=0.0,
        rotate_degrees=10,
        shift_px=12,
        zoom=0.15,
        pad_px=12,
        elastic_px=6,
        brightness=0.15,
        contrast=0.3,
        noise=0.03,
    ),
)


def recipe_of(options: argparse.Namespace) -> Recipe:
    return Recipe(
        network=NetworkSettings(
            network=options.network,
            height=options.px,
            width=options.px,
            base_width=options.width,
            depth=options.depth,
            norm_momentum=0.9,
        ),
        loss=options.loss,
        epochs=options.epochs,
        batch_size=options.batch,
        learning_rate=options.rate,
        optimizer="adam",
        schedule="cosine",
        warmup_epochs=1,
        clip_norm=1.0,
        mixed_precision=options.mixed,
        slices_per_epoch=options.slices,
        workers=1,
    )


def tested(net, samples: Samples, patients: list[str]) -> dict[str, float]:
    rows = select(samples, patients).rows
    dice, iou, right = [], [], []
    sums = np.zeros(3)
    begin = time.perf_counter()
    with Workers(samples, 0) as workers:
        for x, y in Feed(workers, Epoch(rows, 8)):
            found = foreground(net.predict_on_batch(x)) >= 0.5
            for mask, truth in zip(found, y[..., 0] > 0, strict=True):
                both, either = np.sum(mask & truth), np.sum(mask | truth)
                sums += both, either, np.sum(mask == truth)
                dice.append(2 * both / (both + either))
                iou.append(both / either)
                right.append(np.mean(mask == truth))
    return {
        "pictures": len(rows),
        "dice_mean": float(np.mean(dice)),
        "iou_mean": float(np.mean(iou)),
        "dice_worst": float(np.min(dice)),
        "dice_pooled": float(2 * sums[0] / (sums[0] + sums[1])),
        "iou_pooled": float(sums[0] / sums[1]),
        "accuracy": float(np.mean(right)),
        "ms_per_picture": round((time.perf_counter() - begin) / len(rows) * 1000, 1),
    }


if __name__ == "__main__":
    main()
