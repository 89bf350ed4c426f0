"""Scoring images: the part each is in, known scores, and what cannot be scored."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from lungseg.commands.score_images import as_text, part_of, score_images
from lungseg.commands.segment_images import Segmented
from lungseg.core.errors import DataError
from lungseg.model.model_record import write_model_record
from tests.commands.test_segment_images import PICTURES

RECORD = dataclasses.replace(
    PICTURES, train_patients=["1", "2"], validation_patients=["3"], picture_patient=r"p(\d+)"
)


def picture(path, rows, columns, shape=(10, 12)):
    path.parent.mkdir(exist_ok=True)
    mask = np.zeros(shape, np.uint8)
    mask[rows, columns] = 255
    Image.fromarray(mask).save(path)
    return path


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    with zipfile.ZipFile(folder / "model.keras", "w"):
        pass
    write_model_record(RECORD, folder)
    return folder


def segmented(tmp_path, name, rows, columns, shape=(10, 12)):
    made = picture(tmp_path / "made" / f"{name}_mask.png", rows, columns, shape)
    return Segmented(image=tmp_path / f"{name}.png", files={"mask": made}, size_px=shape)


def test_scores_are_those_of_the_parts(model, tmp_path):
    drawn = tmp_path / "drawn"
    half, all_ = slice(0, 5), slice(None)
    done = []
    # found: the upper half; drawn: all of it, the same half, the lower half, nothing at all
    for name, rows in [
        ("p1", all_), ("p9a", half), ("p9b", all_), ("p3", slice(5, 10)), ("odd", slice(0, 0)),
    ]:  # fmt: skip
        done.append(segmented(tmp_path, name, half, all_))
        picture(drawn / f"{name}_mask.png", rows, all_)
    scores = score_images(done, drawn, model, tmp_path, mask_levels="nonzero")
    parts = scores["parts"]
    assert {part: found["images"] for part, found in parts.items()} == {
        "unseen": 3, "validation": 1, "train": 1,
    }  # fmt: skip
    assert parts["train"]["mean"] == pytest.approx({"dice": 2 / 3, "iou": 0.5, "accuracy": 0.5})
    assert parts["validation"]["pooled"]["dice"] == 0
    unseen = parts["unseen"]
    assert unseen["mean"] == pytest.approx(
        {"dice": (1 + 2 / 3 + 0) / 3, "iou": 0.5, "accuracy": (1 + 0.5 + 0.5) / 3}
    )
    assert unseen["pooled"]["dice"] == pytest.approx(2 * 120 / (60 + 120 + 180))
    assert unseen["pooled"]["sensitivity"] == pytest.approx(120 / 180)
    assert [row["image"] for row in scores["images"]] == ["p1", "p9a", "p9b", "p3", "odd"]
    assert json.loads((tmp_path / "scores.json").read_text()) == scores
    table = as_text(scores).splitlines()
    assert table[2].split() == ["unseen", "3", "0.5556", "0.5000", "0.6667", "0.5000", "0.6667"]


def test_what_has_no_mask_of_its_size_is_named(model, tmp_path):
    drawn = tmp_path / "drawn"
    whole = slice(None)
    done = [segmented(tmp_path, name, whole, whole) for name in ("p4", "p5", "p6")]
    done.append(Segmented(image=tmp_path / "p7.png", error="cannot be read"))
    picture(drawn / "p4.png", whole, whole)
    picture(drawn / "p6.png", whole, whole, (20, 24))
    scores = score_images(done, drawn, model, tmp_path, mask_levels="nonzero")
    assert scores["masks_along_border"] == ["p4.png", "p6.png"]
    assert "mask set along its border  p4.png" in as_text(scores)
    assert scores["left_out"] == [
        "p5.png: no mask",
        "p6.png: the image has 12 x 10 pixels, its mask p6.png 24 x 20",
        "p7.png: cannot be read",
    ]
    assert "left out    p5.png: no mask" in as_text(scores)
    with pytest.raises(DataError, match=r"none of 1 images could be scored.*p5\.png: no mask"):
        score_images(done[1:2], drawn, model, tmp_path)


def test_a_patient_is_known_by_the_expression_of_the_table():
    assert part_of("p1_left", RECORD) == "train"
    assert part_of("p3_left", RECORD) == "validation"
    assert part_of("p4_left", RECORD) == "unseen"
    assert part_of("no patient", RECORD) == "unseen"
    assert part_of("1", dataclasses.replace(RECORD, picture_patient="")) == "train"


def test_each_image_has_its_own_scores_and_large_ones_weigh_more_in_the_pooled(model, tmp_path):
    drawn, all_ = tmp_path / "drawn", slice(None)
    for name, found, rows in (("p8", 8, 4), ("p9", 1, 1)):
        done = segmented(tmp_path, name, slice(0, found), all_)
        picture(drawn / f"{name}.png", slice(0, rows), all_)
    images = [Segmented(image=tmp_path / f"{name}.png",
                        files={"mask": done.files["mask"].with_name(f"{name}_mask.png")})
              for name in ("p8", "p9")]  # fmt: skip
    scores = score_images(images, drawn, model, tmp_path)
    assert [row["iou"] for row in scores["images"]] == [0.5, 1.0]
    assert [row["dice"] for row in scores["images"]] == pytest.approx([2 / 3, 1.0])
    unseen = scores["parts"]["unseen"]
    assert unseen["mean"]["iou"] == 0.75
    assert unseen["pooled"]["iou"] == pytest.approx(5 / 9)


def test_drawn_masks_of_labels_are_refused_and_scored_when_told(model, tmp_path):
    drawn = tmp_path / "drawn"
    done = [segmented(tmp_path, name, slice(1, 9), slice(1, 11)) for name in ("p4", "p5", "p6")]
    labels = np.zeros((10, 12), np.uint8)
    labels[1:9, 1:6], labels[1:9, 6:11] = 127, 255
    drawn.mkdir()
    Image.fromarray(labels).save(drawn / "p4.png")
    Image.fromarray(255 - labels).save(drawn / "p5.png")
    picture(drawn / "p6.png", slice(0), slice(0))
    scores = score_images(done, drawn, model, tmp_path)
    assert [row["image"] for row in scores["images"]] == ["p6"]
    assert scores["parts"]["unseen"]["pooled"]["sensitivity"] is None, "nobody drew anything"
    assert json.loads((tmp_path / "scores.json").read_text()) == scores
    assert "unseen           1    0.0000   0.0000" in as_text(scores)
    assert scores["masks_empty"] == ["p6.png"]
    assert "empty mask  p6.png" in as_text(scores)
    assert [line.split(":")[0] for line in scores["left_out"]] == ["p4.png", "p5.png"]
    refused, inverted = scores["left_out"]
    assert "the values 0 (33.3 %), 127 (33.3 %), 255 (33.3 %)" in refused
    assert "give --mask-levels to those that are lung, e.g. --mask-levels 127,255" in refused
    assert "0 (33.3 %), 128 (33.3 %), 255 (33.3 %)" in inverted
    scores = score_images(done[:1], drawn, model, tmp_path, mask_levels="127,255")
    assert scores["images"][0]["dice"] == 1


def test_one_label_alone_beside_masks_of_several_is_refused(model, tmp_path):
    drawn = tmp_path / "drawn"
    done = [segmented(tmp_path, name, slice(1, 9), slice(1, 11)) for name in ("p4", "p5")]
    drawn.mkdir()
    labels = np.zeros((10, 12), np.uint8)
    labels[1:9, 1:6] = 3
    Image.fromarray(labels).save(drawn / "p4.png")
    labels[1:9, 6:11] = 4
    Image.fromarray(labels).save(drawn / "p5.png")
    with pytest.raises(DataError, match=r"p4\.png has the values 0 and 3.*give --mask-levels to"):
        score_images(done, drawn, model, tmp_path)
