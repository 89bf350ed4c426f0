"""What Python programs call: each function takes and gives arrays, and needs no work folder.

``import lungseg`` offers them as ``lungseg.read_scan`` and so on, and imports this room when the
first of them is asked for. Each calls what the stage of the same work calls, so that the arrays
are those that the command line writes. Arrays are ``(z, y, x)``, world positions LPS mm
``(x, y, z)``.
"""

from lungseg.api.detection import Detections, FoundCandidate, detect
from lungseg.api.lungs import FoundLungs, find_lungs
from lungseg.api.scans import Resampled, Scan, find_scans, read_scan, resample, write_volume
from lungseg.api.scoring import Scores, read_table, score_candidates
from lungseg.core.errors import ConfigError, DataError, LungsegError, ScanError
from lungseg.io.results.candidate_list import Detection
from lungseg.volume import Geometry, Volume

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
