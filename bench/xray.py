r"""Lungs on chest X-rays: Dice, IoU and accuracy of a net on patients it was not trained on.

    python -m bench.xray ../shared/data/xray --work xray-work --scores scores.json
    python -m bench.xray ../shared/data/xray --work xray-work-pp \
        --set train.network=unetpp --set train.base_width=12 --set train.depth=5 \
        --set train.deep_supervision=true --set train.epochs=20

Runs the two commands that a user would type, `train --preset xray` and `segment --masks`, on a
folder with `images` and `masks`, and prints the scores of the X-rays that are in neither the
training nor the validation part; then those of copies of the same X-rays: negatives, other
exposures, turned and tilted. An interrupted run continues where it stopped. `--scores` writes them
as `lungseg-cli models pack` takes them.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench import lungseg, parser
from lungseg.commands.score_images import UNSEEN, as_text
from lungseg.core.json_file import write_json

SAMPLES = 2000


def curve(image: Image.Image, change: Callable[[Any], Any]) -> Image.Image:
    """An image whose grey values, as 0 to 1, went through `change`."""
    grey = change(np.asarray(image.convert("L"), np.float64) / 255)
    return Image.fromarray(np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8))


# What is done to the grey values, and how many degrees the film is turned; by its number.
COPIES: dict[str, tuple[Callable[[Any], Any], Callable[[int], float]]] = {
    "negatives": (lambda grey: 1 - grey, lambda _: 0),
    "a darker exposure (gamma 2)": (lambda grey: grey**2, lambda _: 0),
    "a brighter exposure (gamma 0.5)": (lambda grey: grey**0.5, lambda _: 0),
    "half the contrast": (lambda grey: 0.25 + grey / 2, lambda _: 0),
    "turned by 90, 180 or 270 degrees": (lambda grey: grey, lambda n: 90 * (n % 3 + 1)),
    "tilted by 15 degrees": (lambda grey: grey, lambda n: 15 * (-1) ** n),
    "turned negatives": (lambda grey: 1 - grey, lambda n: 90 * (n % 3 + 1)),
}


def copied(data: Path, names: list[str], what: str, out: Path) -> Path:
    """Copies of the X-rays `names` and of their masks, in `out`; the folder."""
    grey, degrees = COPIES[what]
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            image = Image.open(next((data / folder).glob(f"{name}*"))).convert("L")
            if folder == "images":
                image = curve(image, grey)
            image.rotate(degrees(number)).save(out / folder / f"{name}.png")
    return out


def measured(scores: dict[str, Any], of: str) -> Iterator[dict[str, Any]]:
    """Mean Dice and IoU of the unseen X-rays, with intervals from samples of X-rays."""
    rng = np.random.default_rng(1)
    for name, key in (("Dice", "dice"), ("IoU", "iou")):
        values = np.array([row[key] for row in scores["images"] if row["part"] == UNSEEN])
        means = rng.choice(values, (SAMPLES, len(values))).mean(axis=1)
        low, high = np.percentile(means, (2.5, 97.5))
        yield {
            "name": name, "of": of, "value": round(float(values.mean()), 4),
            "cases": len(values), "low": round(float(low), 4), "high": round(float(high), 4),
        }  # fmt: skip


def main() -> None:
    arguments = parser("xray-work")
    arguments.add_argument("data", type=Path, nargs="?", default=Path("../shared/data/xray"))
    arguments.add_argument("--scores", type=Path, help="Write them for a card.")
    options = arguments.parse_args()
    images, masks = options.data / "images", options.data / "masks"
    out = options.work / "segmented"
    settings = [f"--set={assignment}" for assignment in options.set]
    lungseg("train", "--preset=xray", f"--work={options.work}", f"--images={images}",
            f"--masks={masks}", *settings)  # fmt: skip
    printed = lungseg("segment", options.work, images, f"--masks={masks}", f"--out={out}")
    times = sorted(float(line.split(" ms,")[0].split()[-1]) for line in printed if " ms," in line)
    scores = json.loads((out / "scores.json").read_text("utf-8"))
    print(as_text(scores))
    print(f"{times[len(times) // 2]:.0f} ms per X-ray (median, one at a time)")
    names = [row["image"] for row in scores["images"] if row["part"] == UNSEEN]
    rows = list(measured(scores, f"{len(names)} X-rays of unseen patients"))
    for number, what in enumerate(COPIES):
        here = copied(options.data, names, what, options.work / "copies" / str(number))
        lungseg("segment", options.work, here / "images", f"--masks={here / 'masks'}",
                f"--out={here / 'segmented'}")  # fmt: skip
        changed = json.loads((here / "segmented" / "scores.json").read_text("utf-8"))
        rows += list(measured(changed, f"the same, {what}"))
    for row in rows:
        print(f"{row['name']:<5} {row['value']:.4f} ({row['low']:.4f} to {row['high']:.4f})  "
              f"{row['of']}")  # fmt: skip
    if options.scores:
        intervals = f"Intervals: 95 %, of {SAMPLES} bootstrap samples of X-rays."
        write_json(
            {"net": "Scored was this net.", "intervals": intervals, "measured": rows},
            options.scores,
        )


if __name__ == "__main__":
    main()
