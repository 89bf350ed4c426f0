"""Layout of the table file: its arrays, the columns of its tables, and how ids are kept."""

from collections.abc import Iterable

import numpy as np

from lungseg.core.errors import DataError

FORMAT = "lungseg tables"
FORMAT_VERSION = 1

ID_BYTES = 72
"""Longest scan or patient id, in bytes of UTF-8: a DICOM UID has at most 64, and windows of one
series that lie apart have ``#`` and a nodule's name after it."""

VOTE_LEVELS = (1, 2, 3, 4)

UNKNOWN_HU = -32768
"""Value of pixels of ``image`` that nobody has seen: outside the window of a nodule's slices."""

NO_MASK = "none"
"""Verdict of rows without a lung mask: of windows, in which all that is known counts as lung."""

ARRAYS: dict[str, type[np.generic]] = {
    "image": np.int16,
    "lungs": np.uint8,
    "votes": np.uint8,
    "nodule": np.uint16,
}

SLICES = np.dtype(
    [
        ("scan", f"S{ID_BYTES}"),
        ("patient", f"S{ID_BYTES}"),
        ("scan_row", "i4"),
        ("z_index", "i4"),
        ("z_mm", "f8"),
        ("lung_mm2", "f4"),
        *[(f"nodule_mm2_{level}", "f4") for level in VOTE_LEVELS],
        ("target_mm2", "f4"),
        ("truth", "S16"),
        ("verdict", "S8"),
    ]
)
SCANS = np.dtype(
    [
        ("scan", f"S{ID_BYTES}"),
        ("patient", f"S{ID_BYTES}"),
        ("fingerprint", "S64"),
        ("first_row", "i8"),
        ("n_rows", "i4"),
        ("spacing_mm", "f4", (3,)),
        ("origin_xyz_mm", "f8", (3,)),
        ("direction_xyz", "f8", (9,)),
        ("crop_zyx", "i4", (3,)),
        ("shape_zyx", "i4", (3,)),
        ("truth", "S16"),
        ("verdict", "S8"),
        ("nodules", "i4"),
    ]
)
NODULES = np.dtype(
    [
        ("scan_row", "i4"),
        ("label", "i4"),
        ("readers", "i4"),
        ("voxels", "i8"),
        ("diameter_mm", "f4"),
        ("centroid_xyz_mm", "f8", (3,)),
    ]
)


def encoded(name: str, what: str) -> bytes:
    """Scan or patient id as the tables keep it: UTF-8, at most 64 bytes.

    Raises
    ------
    DataError
        If it is longer, or would not come back as it is.
    """
    raw = name.encode("utf-8")
    if len(raw) > ID_BYTES or not raw or raw.endswith(b"\0"):
        raise DataError(
            f"{what} id {name!r} takes {len(raw)} bytes; the tables keep 1 to {ID_BYTES}. "
            "Give it a shorter name"
        )
    return raw


def decoded(names: Iterable[bytes]) -> list[str]:
    """Ids as text, from a column of the tables."""
    return [bytes(name).decode("utf-8") for name in names]
