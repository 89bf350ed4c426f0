"""Pictures on disk: PNG, with captions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.ops.overlay import Panel, Picture

# Half the time of zlib's usual level, and files a tenth larger; the pixels are the same.
_LEVEL = 3
_GAP = 6
_LINE = 18
_PAPER = (0, 0, 0)
_INK = (235, 235, 235)


def write_picture(picture: Picture, path: Path) -> None:
    """Write a grey ``(rows, columns)`` or RGB ``(rows, columns, 3)`` uint8 picture as PNG."""
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(picture)).save(path, format="PNG")


def write_sheet(rows: Sequence[Sequence[Panel]], title: str, path: Path) -> None:
    """Write rows of panels as one PNG, a caption over each and `title` over all.

    Lines of the title that are wider than the panels are broken between words.
    """
    from PIL import Image, ImageDraw, ImageFont

    heights = [max(panel.picture.shape[0] for panel in row) for row in rows]
    width = max(sum(panel.picture.shape[1] + _GAP for panel in row) for row in rows) + _GAP
    height = _GAP + _LINE + sum(h + _LINE + _GAP for h in heights)
    font = ImageFont.load_default(size=13)
    lines = [part for line in title.splitlines() for part in _broken(line, width - 2 * _GAP, font)]
    height += _LINE * (len(lines) - 1)
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    top = _GAP // 2
    for line in lines:
        draw.text((_GAP, top), line, fill=_INK, font=font)
        top += _LINE
    for row, row_height in zip(rows, heights, strict=True):
        left = _GAP
        for panel in row:
            draw.text((left, top), panel.caption, fill=_INK, font=font)
            image.paste(Image.fromarray(panel.picture), (left, top + _LINE))
            left += panel.picture.shape[1] + _GAP
        top += _LINE + row_height + _GAP
    image.save(path, format="PNG", compress_level=_LEVEL)


def _broken(line: str, width: float, font: Any) -> list[str]:
    """A line in parts that are no wider than `width` pixels; a longer word stays whole."""
    parts = [""]
    for word in line.split(" "):
        longer = f"{parts[-1]} {word}" if parts[-1] else word
        if parts[-1].strip() and font.getlength(longer) > width:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts
