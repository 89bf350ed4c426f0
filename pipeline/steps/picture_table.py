"""Picture table: 2-D pictures with their lung masks, as a table that nets train on.

The pictures are X-rays, or single CT slices saved as pictures. The file is the one that scans
give, with grey 0..255 in place of HU and no nodules; each picture is a scan of one slice.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import DataError
from lungseg.core.stage import Facts
from lungseg.io.pictures.masks import MaskReader, as_mask
from lungseg.io.pictures.pairs import find_pairs
from lungseg.io.pictures.reading import read_grey, shape_before_turning
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import VOTE_LEVELS, encoded
from lungseg.io.tables.writer import ScanRows, TableWriter
from lungseg.ops.grid.crop import MULTIPLE
from lungseg.ops.grid.picture_size import Grey, placed, resized
from lungseg.volume import Geometry

KIND = "pictures"
# Whose settings the errors of one picture name.
STAGE = "build-tables"
NAMED_AT_MOST = 20

log = logging.getLogger(__name__)


def build_picture_table(  # noqa: PLR0913 - two folders, a file, and how
    images: Path,
    masks: Path,
    out: Path,
    size: int,
    *,
    fit: str = "pad",
    patient: str = "",
    mask_levels: str = "auto",
    settings: Mapping[str, Any] | None = None,
) -> Facts:
    """Write the table file `out` from two folders of pictures.

    Parameters
    ----------
    images, masks
        Folders, or one folder: the mask of ``a.png`` is called ``a`` or ``a_mask``.
    size
        Edge of the squares in the table, pixels; a multiple of 32.
    fit
        ``pad`` keeps a picture's shape and fills up with black; ``stretch`` fills the square.
    patient
        Regular expression that finds the patient in each picture's name, see `patient_of`.
    mask_levels
        Which values of a mask are lung, see `lungseg.ops.grid.mask_levels`.
    settings
        Parameters that made the table, to be kept in the file.

    Returns
    -------
    Facts
        Counts, and the names of the files that were left out, and of masks that are odd.

    Raises
    ------
    DataError
        If there is no pair, the size, the expression or the levels are wrong, or which values of
        the masks are lung is not certain.
    """
    if size % MULTIPLE or size < MULTIPLE:
        raise DataError(f"pictures of {size} pixels: the edge must be a multiple of {MULTIPLE}")
    found = find_pairs(images, masks)
    left_out, reader = list(found.left_out), MaskReader(mask_levels)
    attributes = {
        "kind": KIND,
        "crop_mm": float(size),
        "spacing_mm": np.ones(3),
        "params": json.dumps(dict(settings or {}), sort_keys=True),
        "versions": json.dumps(
            {name: version(name) for name in ("lungseg-cli", "pillow", "tables")}
        ),
    }
    digest = hashlib.sha256(str(attributes["params"]).encode())
    with TableWriter.create(out, size, attributes, expected_rows=len(found.pairs)) as writer:
        for rows in _rows(found.pairs, (size, fit), patient, reader, left_out):
            writer.add(rows)
            digest.update(rows.fingerprint.encode())
        writer.final["fingerprint"] = digest.hexdigest()
        writer.final["left_out"] = json.dumps(left_out, ensure_ascii=False)
        if not writer.scans:
            why = [line for line in left_out if ": no partner" not in line] or left_out
            raise DataError(f"no pair of pictures could be read: {'; '.join(why[:3])}")
    reader.check_alike()
    for line in left_out:
        log.warning("left out: %s", line)
    return {**_facts(out, left_out), **_odd_masks(reader)}


def _odd_masks(reader: MaskReader) -> Facts:
    """Masks that were taken as they are, but that somebody should look at."""
    facts: dict[str, str | int] = {}
    for what, names in (("empty", reader.empty), ("along_border", reader.along_border)):
        if names:
            words = named(names)["left_out_names"]
            log.warning("masks that are %s: %s", what.replace("_", " its "), words)
            facts |= {f"masks_{what}": len(names), f"masks_{what}_names": words}
    return facts


def _rows(
    pairs: Mapping[str, tuple[Path, Path]],
    placing: tuple[int, str],
    patient: str,
    reader: MaskReader,
    left_out: list[str],
) -> Iterator[ScanRows]:
    expression, (size, fit) = patient_pattern(patient), placing
    for name, (image_path, mask_path) in pairs.items():
        try:
            encoded(name, "picture")
            image, most = read_grey(image_path)
            share = reader.read(mask_path)
            _same_shape(image, share, image_path, mask_path)
            digest = hashlib.sha256(image_path.read_bytes() + mask_path.read_bytes())
        except DataError as error:
            left_out.append(f"{name}: {error.advised(STAGE)}")
            continue
        except OSError as error:
            left_out.append(f"{name}: cannot be read ({error.strerror})")
            continue
        inner, corner = placed(image.shape, size, fit)
        square = np.zeros((size, size), np.float32)
        box = tuple(slice(c, c + n) for c, n in zip(corner, inner, strict=True))
        square[box] = resized(image, inner) * (255.0 / most)
        lungs = np.zeros((size, size), np.uint8)
        lungs[box] = as_mask(share, inner)
        scale = (image.shape[0] / inner[0], image.shape[1] / inner[1])
        yield _picture_rows(
            name, patient_of(name, expression), digest.hexdigest(), square, lungs,
            shape=image.shape, corner=corner, scale=scale,
        )  # fmt: skip


def _picture_rows(  # noqa: PLR0913 - one record's fields
    name: str,
    patient: str,
    fingerprint: str,
    square: Grey,
    lungs: npt.NDArray[np.uint8],
    *,
    shape: tuple[int, ...],
    corner: tuple[int, int],
    scale: tuple[float, float],
) -> ScanRows:
    blank = np.zeros((1, *square.shape), np.uint16)
    none = np.zeros(1, np.float32)
    return ScanRows(
        scan=name,
        patient=patient,
        fingerprint=fingerprint,
        # How many of the file's pixels a pixel of the table spans: the way back to its grid.
        geometry=Geometry(spacing_mm=(1.0, *scale)),
        shape_zyx=(1, shape[0], shape[1]),
        corner_zyx=(0, -corner[0], -corner[1]),
        truth=KIND,
        verdict="good",
        z_index=np.zeros(1, np.int32),
        arrays={
            "image": np.rint(square).clip(0, 255).astype(np.int16)[None],
            "lungs": lungs[None],
            "votes": blank.astype(np.uint8),
            "nodule": blank,
        },
        areas={
            "lung_mm2": np.asarray([np.count_nonzero(lungs)], np.float32),
            **{f"nodule_mm2_{level}": none for level in VOTE_LEVELS},
            "target_mm2": none,
        },
    )


def _same_shape(image: Grey, mask: Grey, image_path: Path, mask_path: Path) -> None:
    ratio = (mask.shape[0] / image.shape[0]) / (mask.shape[1] / image.shape[1])
    # A mask may be drawn at another size, not in another shape: half a percent is rounding.
    if not 0.995 < ratio < 1.005:
        turned = image.shape[::-1] == shape_before_turning(image_path)
        raise DataError(
            f"{image_path.name} has {image.shape[1]} x {image.shape[0]} pixels, its mask "
            f"{mask_path.name} {mask.shape[1]} x {mask.shape[0]}: not the same shape"
            + ("; the picture is turned by its EXIF orientation, the mask is not" if turned else "")
        )


def patient_pattern(patient: str) -> re.Pattern[str] | None:
    """The regular expression `patient` for `patient_of`; None if it is empty.

    Raises
    ------
    DataError
        If it is not a regular expression.
    """
    try:
        return re.compile(patient) if patient else None
    except re.error as error:
        raise DataError(
            f"{patient!r} is not a regular expression: {error}",
            setting="picture_patient to one that finds the patient in a picture's name",
        ) from error


def patient_of(name: str, expression: re.Pattern[str] | None) -> str:
    r"""The patient in a picture's name: the first group that matches, or the whole match.

    Without an expression every picture is of a patient of its own, called as the picture.

    Raises
    ------
    DataError
        If nothing matches.

    Examples
    --------
    >>> patient_of("CHNCXR_0001_0", re.compile(r"CHNCXR_(\d+)"))
    '0001'
    """
    if expression is None:
        return name
    match = expression.search(name)
    found = next((g for g in match.groups() if g), match.group()) if match else ""
    if not found:
        raise DataError(
            f"{expression.pattern!r} finds no patient in the name {name!r}",
            setting="picture_patient to an expression that finds one in every picture's name",
        )
    return found


def named(left_out: Sequence[str]) -> dict[str, str]:
    """What was left out as a fact: the first ones in words, and how many more.

    Examples
    --------
    >>> named(["a.png: no partner"]), named([])
    ({'left_out_names': 'a.png: no partner'}, {})
    """
    more = f" and {len(left_out) - NAMED_AT_MOST} more" if len(left_out) > NAMED_AT_MOST else ""
    return {"left_out_names": "; ".join(left_out[:NAMED_AT_MOST]) + more} if left_out else {}


def _facts(path: Path, left_out: list[str]) -> Facts:
    with Tables(path) as table:
        return {
            "scans": len(table),
            "patients": len(np.unique(table.scans["patient"])),
            "rows": len(table),
            "rows_without_lung": int(np.count_nonzero(table.slices["lung_mm2"] == 0)),
            "left_out": len(left_out),
            **named(left_out),
            "size": table.size,
        }
