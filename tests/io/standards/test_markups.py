"""Slicer's markups: the keys and values that its schema 1.0.3 names, and the candidates' places."""

import json

from lungseg.io.results.candidate_list import Detection
from lungseg.io.standards.markups import write_markups

# Of markups-schema-v1.0.3.json, the types that a point list and its points may have.
LISTED = {
    "type": str, "name": str, "coordinateSystem": str, "coordinateUnits": str, "locked": bool,
    "fixedNumberOfControlPoints": bool, "labelFormat": str, "lastUsedControlPointNumber": int,
    "controlPoints": list, "measurements": list,
}  # fmt: skip
POINT = {
    "id": str, "label": str, "description": str, "associatedNodeID": str, "position": list,
    "orientation": list, "selected": bool, "locked": bool, "visibility": bool,
    "positionStatus": str,
}  # fmt: skip


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_candidates_are_points_in_the_patient_with_rank_and_probability(tmp_path):
    found = [
        Detection("s", (-57.771, 130.899, -521.07), 0.944991, 11.613),
        Detection("s", (1.0, 2.0, 3.0), 0.1, 3.0),
    ]
    write_markups(found, tmp_path / "found.mrk.json")
    (listed,) = read(tmp_path / "found.mrk.json")["markups"]
    assert (listed["type"], listed["coordinateSystem"]) == ("Fiducial", "LPS")
    assert [point["position"] for point in listed["controlPoints"]] == [
        list(d.xyz_mm) for d in found
    ]
    assert [point["label"] for point in listed["controlPoints"]] == ["1: 0.94", "2: 0.10"]
    assert listed["controlPoints"][0]["description"] == "probability 0.944991, diameter 11.6 mm"


def test_every_key_is_one_of_the_schema_and_of_its_type(tmp_path):
    write_markups([Detection("s", (1, 2, 3), 0.5, 4.0)], tmp_path / "found.mrk.json")
    told = read(tmp_path / "found.mrk.json")
    assert told["@schema"].endswith("/markups-schema-v1.0.3.json#")
    (listed,) = told["markups"]
    (point,) = listed["controlPoints"]
    for given, known in ((listed, LISTED), (point, POINT)):
        assert {name: type(value) for name, value in given.items()} == known
    assert listed["coordinateUnits"] in {"mm", "um"}
    assert point["positionStatus"] in {"undefined", "preview", "defined"}
    assert (len(point["position"]), len(point["orientation"])) == (3, 9)
    assert all(isinstance(mm, float) for mm in point["position"])


def test_a_scan_without_candidates_has_an_empty_list(tmp_path):
    write_markups([], tmp_path / "none.mrk.json")
    assert read(tmp_path / "none.mrk.json")["markups"][0]["controlPoints"] == []
