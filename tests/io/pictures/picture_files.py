"""Pictures on disk, for tests."""

import numpy as np
from PIL import Image


def read_rgb(path):
    """A picture as ``(rows, columns, 3)`` uint8."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
