"""Pictures, from two folders to a net, masks and scores, by the commands that a user types."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from lungseg.cli import main
from tests.model.graphs import graphs_as_they_are

SMALL = (
    *("--set", "build-tables.picture_px=32", "--set", "train.base_width=4"),
    *("--set", "train.depth=2", "--set", "train.epochs=10"),
    *("--set", "train.warmup_epochs=0", "--set", "train.learning_rate=0.02", "--quiet"),
    # So few steps teach dark fields, and not negatives of them, too.
    *("--set", "train.invert=0", "--set", "train.quarter_turns=0", "--set", "train.gamma=0"),
)


def invoke(*arguments):
    return CliRunner().invoke(main, [str(word) for word in arguments], catch_exceptions=False)


@pytest.fixture
def pairs(tmp_path):
    """Twenty bright pictures of 40 x 48 with two dark fields, and masks of these."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(20):
        mask = np.zeros((40, 48), bool)
        top = rng.integers(4, 12)
        for left in (6, 28):
            mask[top : top + 22, left : left + 13] = True
        grey = np.where(mask, 60, 190) + rng.normal(0, 8, mask.shape)
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(
            tmp_path / "images" / f"p{number}.png"
        )
        Image.fromarray(mask.astype(np.uint8) * 255).save(
            tmp_path / "masks" / f"p{number}_mask.png"
        )
    return tmp_path / "images", tmp_path / "masks"


def test_pictures_become_a_net_masks_and_scores(pairs, tmp_path):
    images, masks = pairs
    work, out = tmp_path / "work", tmp_path / "out"
    folders = ("--images", images, "--masks", masks)
    with graphs_as_they_are():
        trained = invoke("train", "--preset", "xray", "--work", work, *folders, *SMALL)
    assert trained.exit_code == 0, trained.output
    assert "val_dice" in trained.output

    done = invoke("segment", work, images, "--masks", masks, "--out", out)
    assert done.exit_code == 0, done.output
    scores = json.loads((out / "scores.json").read_text("utf-8"))
    assert {part: found["images"] for part, found in scores["parts"].items()} == {
        "train": 14, "validation": 2, "unseen": 4,
    }  # fmt: skip
    assert scores["parts"]["unseen"]["mean"]["dice"] > 0.9
    assert "unseen" in done.output
    assert len(list(out.glob("*_overlay.png"))) == 20

    # The folders are remembered, and what is done is done.
    again = invoke("train", "--preset", "xray", "--work", work, *SMALL, "--json")
    assert again.exit_code == 0, again.output
    split = json.loads(next(work.glob("dataset/split-patients/*/split.json")).read_text("utf-8"))
    unseen = {row["image"] for row in scores["images"] if row["part"] == "unseen"}
    assert unseen == set(split["parts"]["test"])


def test_pictures_without_masks_are_asked_for_them(pairs, tmp_path):
    done = invoke("train", "--work", tmp_path / "work", "--images", pairs[0])
    assert done.exit_code == 2
    assert "--images and --masks go together" in done.output
