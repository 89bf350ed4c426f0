"""Small trees of scans for tests: a DICOM series, a volume in a file."""

import numpy as np

from lungseg.io.volumes.formats import write_volume
from lungseg.volume import Geometry, Volume
from tests.io.dicom.dicom_files import positions, write_series

STORED = np.arange(4 * 3 * 5, dtype=np.int16).reshape(4, 3, 5)


def series(folder, uid, **header):
    """Write a series of four slices and give back its paths."""
    return write_series(folder, STORED, positions(4), SeriesInstanceUID=uid, **header)


def volume(path, value=0, dtype=np.int16):
    """Write a volume of one value in the format that the name tells, and give back its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(Volume(np.full((4, 3, 5), value, dtype), Geometry((1, 1, 1))), path)
    return path
