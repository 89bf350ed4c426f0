"""Score images: masks that a net made against masks drawn by hand.

Three parts are scored apart: images of patients that the net was trained on, of patients on whom
its best epoch was chosen, and of all others. Only the last say how good the net is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.commands.segment_images import Segmented
from lungseg.core.errors import DataError
from lungseg.core.json_file import write_json
from lungseg.io.pictures.masks import MaskReader, as_mask
from lungseg.io.pictures.pairs import find_masks
from lungseg.io.pictures.reading import read_grey
from lungseg.model.model_record import ModelRecord, read_model_record
from lungseg.model.nets import find_net
from lungseg.ops.scores.counts import Counts, Tally
from lungseg.steps.picture_table import patient_of, patient_pattern

UNSEEN, VALIDATION, TRAIN = "unseen", "validation", "train"
FILE = "scores.json"
IMAGE_DEFINITIONS = {
    "grid": "the image's own pixels",
    "mean": "mean over the images of each image's score; accuracy is the share of right pixels",
    "pooled": "one score of the pixels of all images together",
    "unseen": "images of patients in neither the training nor the validation part of the net",
}


def score_images(
    done: Sequence[Segmented], masks: Path, model: Path, out: Path, *, mask_levels: str = "auto"
) -> dict[str, Any]:
    """Score what `segment_images` made and write ``scores.json`` into `out`.

    Parameters
    ----------
    done
        What `segment_images` returned; images with an error are left out, and named.
    masks
        Folder of the masks drawn by hand: that of ``a.png`` is called ``a`` or ``a_mask``.
    model
        The net, as `segment_images` was given it.
    out
        Folder for the file.
    mask_levels
        Which values of a drawn mask are lung, see `lungseg.ops.grid.mask_levels`.

    Returns
    -------
    dict
        What stands in the file: ``parts`` (scores of the unseen, validation and training images),
        ``images`` (each one's part, Dice and IoU), ``left_out``, and ``masks_empty`` and
        ``masks_along_border``, the drawn masks that somebody should look at.

    Raises
    ------
    DataError
        If `masks` is no folder, no image has a mask there, or which values of the masks are lung
        is not certain.
    """
    by_name, reader = find_masks(masks), MaskReader(mask_levels)
    record = read_model_record(find_net(str(model)))
    tallies: dict[str, Tally] = {}
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    for one in done:
        name = one.image.stem
        if one.error or name not in by_name:
            left_out.append(f"{one.image.name}: {one.error or 'no mask'}")
            continue
        try:
            found, truth = _both(one.files["mask"], by_name[name], reader)
        except DataError as error:
            left_out.append(f"{one.image.name}: {_advised(error)}")
            continue
        part = part_of(name, record)
        tallies.setdefault(part, Tally()).add(found[None], truth[None])
        counts = Counts(*(int(n) for n in tallies[part].table[-1]))
        scored = {"dice": counts.dice, "iou": counts.iou}
        rows.append({"image": name, "part": part, **_known(scored)})
    if not rows:
        raise DataError(
            f"none of {len(done)} images could be scored with the masks in {masks}: "
            f"{'; '.join(left_out[:3])}"
        )
    try:
        reader.check_alike()
    except DataError as error:
        raise DataError(_advised(error)) from error
    scores = {
        "definitions": IMAGE_DEFINITIONS,
        "parts": {part: _known(_scores(tallies[part])) for part in (UNSEEN, VALIDATION, TRAIN)
                  if part in tallies},
        "images": rows,
        "left_out": left_out,
        "masks_empty": reader.empty,
        "masks_along_border": reader.along_border,
    }  # fmt: skip
    write_json(scores, out / FILE)
    return scores


def part_of(name: str, record: ModelRecord) -> str:
    """Part of the net's training that the patient of the image `name` was in, or ``unseen``.

    The patient is found in the name as it was for the table of pictures. A net that was trained
    on CT knows its patients by other names: there every image counts as unseen.
    """
    expression = patient_pattern(record.picture_patient)
    try:
        patient = patient_of(name, expression)
    except DataError:
        # A file with a name of another form than those of the training is of none of its patients.
        return UNSEEN
    if patient in record.train_patients:
        return TRAIN
    return VALIDATION if patient in record.validation_patients else UNSEEN


def as_text(scores: dict[str, Any]) -> str:
    """The scores as a table for people, one line for each part."""
    lines = [f"{'':<10}  images  {'mean':^22}  {'pooled':^22}  mean"]
    lines.append(
        f"{'':<10}          {'Dice':>8} {'IoU':>8}      {'Dice':>8} {'IoU':>8}       accuracy"
    )
    for part, found in scores["parts"].items():
        mean, pooled = found["mean"], found["pooled"]
        lines.append(
            f"{part:<10}  {found['images']:>6}  {_figure(mean['dice'])} {_figure(mean['iou'])}"
            f"      {_figure(pooled['dice'])} {_figure(pooled['iou'])}"
            f"       {_figure(mean['accuracy'])}"
        )
    lines += [f"left out    {line}" for line in scores["left_out"]]
    lines += [f"empty mask  {name}" for name in scores["masks_empty"]]
    lines += [f"mask set along its border  {name}" for name in scores["masks_along_border"]]
    return "\n".join(lines)


def _both(made: Path, drawn: Path, reader: MaskReader) -> tuple[Any, Any]:
    found, truth = read_grey(made)[0] > 0, as_mask(reader.read(drawn))
    if found.shape != truth.shape:
        raise DataError(
            f"the image has {found.shape[1]} x {found.shape[0]} pixels, its mask {drawn.name} "
            f"{truth.shape[1]} x {truth.shape[0]}"
        )
    return found, truth


def _advised(error: DataError) -> str:
    """The error, and the option that says it; in the table of training it is a setting."""
    advice = [text.replace("mask_levels=", "--mask-levels ") for text in error.settings]
    advice = [text.replace("mask_levels to", "--mask-levels to") for text in advice]
    return "; ".join([str(error), *(f"give {text}" for text in advice)])


def _known(scores: dict[str, Any]) -> dict[str, Any]:
    """Scores with None in place of NaN, which JSON does not know: of what nobody drew."""
    known: dict[str, Any] = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            known[name] = _known(value)
        else:
            known[name] = None if isinstance(value, float) and np.isnan(value) else value
    return known


def _figure(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:>8.4f}"


def _scores(tally: Tally) -> dict[str, Any]:
    table = tally.table
    pooled, slices = tally.pooled(), tally.per_slice()
    right = (table[:, 0] + table[:, 3]) / table.sum(axis=1)
    return {
        "images": slices.slices,
        "mean": {
            "dice": slices.dice_with_empty,
            "iou": slices.iou_with_empty,
            "accuracy": float(np.mean(right)),
        },
        "pooled": {
            "dice": pooled.dice,
            "iou": pooled.iou,
            "accuracy": pooled.accuracy,
            "sensitivity": pooled.sensitivity,
        },
    }
