r"""Lungs on chest X-rays: Dice, IoU and accuracy of a net on patients it was not trained on.

    python -m bench.xray ../shared/data/xray --work xray-work
    python -m bench.xray ../shared/data/xray --work xray-work-pp \
        --set train.network=unetpp --set train.base_width=12 --set train.depth=5 \
        --set train.deep_supervision=true --set train.epochs=20

Runs the two commands that a user would type, `train --preset xray` and `segment --masks`, on a
folder with `images` and `masks`, and prints the scores of the X-rays that are in neither the
training nor the validation part. An interrupted run continues where it stopped.
"""

import json
from pathlib import Path

from bench import lungseg, parser
from lungseg.commands.score_images import as_text


def main() -> None:
    arguments = parser("xray-work")
    arguments.add_argument("data", type=Path, nargs="?", default=Path("../shared/data/xray"))
    options = arguments.parse_args()
    images, masks = options.data / "images", options.data / "masks"
    out = options.work / "segmented"
    settings = [f"--set={assignment}" for assignment in options.set]
    lungseg("train", "--preset=xray", f"--work={options.work}", f"--images={images}",
            f"--masks={masks}", *settings)  # fmt: skip
    printed = lungseg("segment", options.work, images, f"--masks={masks}", f"--out={out}")
    times = sorted(float(line.split(" ms,")[0].split()[-1]) for line in printed if " ms," in line)
    print(as_text(json.loads((out / "scores.json").read_text("utf-8"))))
    print(f"{times[len(times) // 2]:.0f} ms per X-ray (median, one at a time)")


if __name__ == "__main__":
    main()
