"""Pictures with damaged bytes, and masks of every mode: right, or refused in a sentence."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from lungseg.core.errors import LungsegError
from lungseg.io.pictures.masks import MaskReader, as_mask
from lungseg.io.pictures.reading import read_grey

FORMS = (("png", "PNG"), ("jpg", "JPEG"), ("tif", "TIFF"))


def damaged(raw, number, rng):
    """The bytes with up to five changed; every fourth is cut off, too."""
    changed = bytearray(raw)
    for place in rng.integers(0, len(changed), rng.integers(1, 6)):
        changed[place] = rng.integers(0, 256)
    return bytes(changed[: rng.integers(1, len(changed))]) if number % 4 == 0 else bytes(changed)


@pytest.mark.parametrize(("ending", "form"), FORMS)
def test_a_damaged_picture_is_read_or_refused(tally, rng, tmp_path, ending, form):
    kind = tally(f"picture, damaged {form}")
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (24, 20), np.uint8)).save(buffer, form)
    for number in range(400):
        file = tmp_path / f"a.{ending}"
        file.write_bytes(damaged(buffer.getvalue(), number, rng))
        read = kind.call(f"{form} {number}", read_grey, file, seconds=20)
        if read is not None:
            # No checksum of JPEG and TIFF tells other greys from damaged ones.
            right = form != "PNG" or read[0].shape == (24, 20)
            kind.right() if right else kind.wrong(f"{form} {number}: {read[0].shape}")


def lungs(rng):
    """Two ellipses in a picture, 0 outside, 1 and 2 inside."""
    y, x = np.indices((96, 96))
    labels = np.zeros((96, 96), np.uint8)
    for label, centre in ((1, 28), (2, 68)):
        rows, columns = rng.uniform(20, 38), rng.uniform(10, 17)
        labels[((y - 48) / rows) ** 2 + ((x - centre) / columns) ** 2 < 1] = label
    return labels


def saved(mask, how, path):
    """Save a mask of whole values, as programs do; `how` is the name of the way."""
    picture = Image.fromarray(mask.astype(np.uint8))
    if how == "rgb":
        picture = picture.convert("RGB")
    elif how == "palette":
        picture = picture.convert("P")
    elif how == "alpha":
        rgba = np.zeros((*mask.shape, 4), np.uint8)
        rgba[..., 3] = mask
        picture = Image.fromarray(rgba)
    elif how == "deep":
        picture = Image.fromarray(mask.astype(np.uint16) * 257)
    elif how == "soft":
        picture = Image.fromarray(
            ndimage.gaussian_filter(mask.astype(np.float32), 0.7).astype("u1")
        )
    picture.save(path, **({"quality": 85} if path.suffix == ".jpg" else {}))


WAYS = [("grey", ".png"), ("grey", ".jpg"), ("rgb", ".jpg"), ("rgb", ".png"), ("palette", ".png"),
        ("alpha", ".png"), ("deep", ".png"), ("soft", ".png"), ("grey", ".tif")]  # fmt: skip


def test_a_mask_of_any_two_or_three_values_is_right_or_refused(tally, rng, tmp_path):
    """Whatever the values of outside, right and left lung: both lungs, or a refusal."""
    kind = tally("masks of any values")
    for number in range(1500):
        labels = lungs(rng)
        values = rng.choice([0, 0, 0, 1, 2, 3, 64, 127, 128, 200, 254, 255], 3)
        values[2] = values[1] if number % 2 else values[2]
        how, ending = WAYS[number % len(WAYS)]
        if ending == ".jpg" or how == "soft":
            # What differs by less than noise does, no program can tell apart there.
            values = np.where(values > 0, np.maximum(values, 64), 0)
        path = tmp_path / f"a{ending}"
        saved(values[labels], how, path)
        detail = f"{number}: {values.tolist()} as {how} {ending}"
        share = kind.call(detail, MaskReader("auto").read, path, seconds=20)
        if share is None:
            continue
        found = as_mask(share)
        # A lung of the value that is outside was not drawn.
        drawn = (labels > 0) & (values[labels] != values[0])
        off = np.count_nonzero(found != drawn) / np.count_nonzero(labels)
        if off < 0.05:
            kind.right()
        else:
            kind.wrong(f"{detail}: {off:.0%} off")


def test_a_plain_mask_is_never_refused(tally, rng, tmp_path):
    kind = tally("masks of 0 and one value")
    for number in range(300):
        labels = lungs(rng) > 0
        how, ending = WAYS[number % len(WAYS)]
        path = tmp_path / f"a{ending}"
        saved(labels * 255, how, path)
        try:
            found = as_mask(MaskReader("auto").read(path))
        except LungsegError as error:
            kind.wrong(f"{number} as {how} {ending}: {error}")
            continue
        off = np.count_nonzero(found != labels) / np.count_nonzero(labels)
        kind.right() if off < 0.02 else kind.wrong(f"{number} as {how} {ending}: {off:.0%} off")
