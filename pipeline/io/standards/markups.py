"""Candidates as a list of points for 3D Slicer: a ``.mrk.json`` by its markups schema 1.0.3.

Slicer opens it by a drag into the window, over the scan, whatever format the scan has: positions
are in the patient, in mm. A label is what stands beside the point, a description what the table
of points shows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lungseg.core.json_file import write_json
from lungseg.io.results.candidate_list import Detection

SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)
# A point's own axes: those of the patient, in LPS.
_UPRIGHT = [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0]


def markups(candidates: Sequence[Detection]) -> dict[str, Any]:
    """The candidates, the likeliest first, as Slicer keeps a list of points."""
    points = [
        {
            "id": str(rank),
            "label": f"{rank}: {one.probability:.2f}",
            "description": f"probability {one.probability:.6f}, diameter {one.diameter_mm:.1f} mm"
            + "".join(f", {fact}" for fact in (one.around.in_words() if one.around else ())),
            "associatedNodeID": "",
            "position": [float(mm) for mm in one.xyz_mm],
            "orientation": _UPRIGHT,
            "selected": True,
            "locked": True,
            "visibility": True,
            "positionStatus": "defined",
        }
        for rank, one in enumerate(candidates, 1)
    ]
    listed = {
        "type": "Fiducial",
        "name": "Nodule candidates",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": True,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%d",
        "lastUsedControlPointNumber": len(points),
        "controlPoints": points,
        "measurements": [],
    }
    return {"@schema": SCHEMA, "markups": [listed]}


def write_markups(candidates: Sequence[Detection], path: Path) -> None:
    """Write them to the file `path`."""
    write_json(markups(candidates), path)
