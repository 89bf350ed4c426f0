"""Chest CT to scored nodules: read lungseg.flow first.

From Python: `read_scan`, `resample`, `find_lungs`, `detect`, `read_table`, `score_candidates`,
`write_volume`; see `lungseg.api`. They are imported when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lungseg.api import (
        ConfigError,
        DataError,
        Detection,
        Detections,
        FoundCandidate,
        FoundLungs,
        Geometry,
        LungsegError,
        Resampled,
        Scan,
        ScanError,
        Scores,
        Volume,
        detect,
        find_lungs,
        find_scans,
        read_scan,
        read_table,
        resample,
        score_candidates,
        write_volume,
    )

__all__ = [
    "ConfigError",
    "DataError",
    "Detection",
    "Detections",
    "FoundCandidate",
    "FoundLungs",
    "Geometry",
    "LungsegError",
    "Resampled",
    "Scan",
    "ScanError",
    "Scores",
    "Volume",
    "detect",
    "find_lungs",
    "find_scans",
    "read_scan",
    "read_table",
    "resample",
    "score_candidates",
    "write_volume",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module 'lungseg' has no attribute {name!r}")
    return getattr(import_module("lungseg.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
