"""What `evaluate` tells of nodules: beside their annotators, and by size, texture and place."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from lungseg.io.annotations.nodule_list import read_nodules, write_nodules
from lungseg.io.volumes import volume_file
from lungseg.volume import Volume
from tests.stages.test_evaluate import GRID, SHAPE, Set, found

BOX = (slice(3, 8), slice(18, 23), slice(8, 13))
PLACES = {1: {"side": "right", "third": "upper", "edge_mm": 0.5,
              "ratings_median": {"texture": 5.0}},
          2: {"side": "left", "third": "lower", "edge_mm": 12.0, "readings": ("a", "b", "c")},
          3: {"readings": tuple("abcde")}}  # fmt: skip


@pytest.fixture
def drawn(tmp_path):
    """Three nodules of 125, 27 and 125 mm3: found in part, missed, and drawn in five parts."""
    data = Set(tmp_path)
    scan = data.add(
        "P1",
        nodules=[((5, 20, 10), 2, 3), ((5, 20, 30), 1, 3), ((5, 5, 20), 2, 5)],
        candidates=[found((5, 20, 11), 0.9), found((1, 2, 2), 0.3), found((1, 9, 2), 0.8)],
        marks=[(slice(3, 8), slice(18, 23), slice(8, 11))],  # 75 of the first nodule's 125
    )
    folder = data.scans[scan]["annotate-nodules"]
    known = read_nodules(folder)
    nodules = [
        replace(n, **{"readings": ("a", "b", "c"), **PLACES[n.label]}) for n in known.nodules
    ]
    write_nodules(replace(known, nodules=tuple(nodules)), folder / "nodules.json")
    labels = volume_file.read(folder / "nodules.h5").array
    bits = np.zeros(SHAPE, np.uint16)
    bits[labels > 0] = 0b111
    bits[BOX][..., 3:] = 0b110  # the first annotator drew what is found, and no more
    volume_file.write(Volume(bits, GRID), folder / "drawn.h5")
    return data


def test_nodules_are_scored_against_each_annotator_beside_their_own_agreement(drawn):
    _, scores, _ = drawn.run()
    told = scores["segmentation"]["beside_annotators"]
    assert told["left_out"] == {"of more than 4 readings": 1}
    group = told["by_found"]["found"]
    assert (told["all"]["nodules"], group["nodules"]) == (2, 1)
    # Found are 75 of 125 voxels: with the first annotator 1, with the other two 150 / 200.
    assert group["with_annotators"]["value"] == pytest.approx((1 + 0.75 + 0.75) / 3, abs=1e-6)
    assert group["annotators_with_annotators"]["value"] == pytest.approx(2.5 / 3, abs=1e-6)
    assert group["fifth_reader"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert group["asd_mm"]["value"] > 0.3
    assert group["asd_mm_with_annotators"]["value"] == pytest.approx(
        group["asd_mm_between_annotators"]["value"]
    )
    assert told["all"]["with_annotators"]["value"] == pytest.approx(2.5 / 6, abs=1e-6)
    assert list(told["by_side"]) == ["left", "right"]
    for term in ("beside_annotators", "asd_mm", "hd95_mm", "fifth_reader", "by_edge", "outcomes"):
        assert scores["definitions"][term]


def test_detections_are_told_by_size_texture_and_place(drawn):
    _, scores, _ = drawn.run()
    detection = scores["detection"]
    hits = {kind: {name: (g["hits"], g["nodules"]) for name, g in detection[kind].items()}
            for kind in ("by_size", "by_texture", "by_side", "by_third", "by_edge")}  # fmt: skip
    assert hits == {
        "by_size": {"below 6 mm": (0, 1), "6 to 8 mm": (1, 2)},
        "by_texture": {"solid": (1, 1)},
        "by_side": {"left": (0, 1), "right": (1, 1)},
        "by_third": {"upper": (1, 1), "lower": (0, 1)},
        "by_edge": {"juxtapleural (below 2 mm)": (1, 1), "10 mm and more": (0, 1)},
    }
    assert detection["by_side"]["right"]["cpm"] == 1.0


def test_lines_of_nodules_tell_the_same(drawn):
    _, _, out = drawn.run()
    with (out / "per_nodule.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["texture"] for row in rows] == ["5.0", "", ""]
    assert [row["edge_mm"] for row in rows] == ["0.5", "12.0", ""]
    assert [row["with_annotators"] for row in rows] == ["0.833333", "0.0", ""]
    assert float(rows[0]["hd95_mm"]) == 2.0
    assert rows[1]["hd95_mm"] == ""


def test_scores_hold_what_two_results_are_compared_by(drawn):
    _, scores, _ = drawn.run()
    (outcome,) = scores["outcomes"].values()
    assert [n["probability"] for n in outcome["nodules"]] == [0.9, None, None]
    assert outcome["false_positives"] == "0.8 0.3"
    assert outcome["nodules"][0]["xyz_mm"] == pytest.approx(GRID.to_world((5, 20, 10)), abs=1e-3)


def test_without_single_readings_nothing_is_told_beside_annotators(drawn):
    for folders in drawn.scans.values():
        (folders["annotate-nodules"] / "drawn.h5").unlink()
    _, scores, out = drawn.run()
    assert scores["segmentation"]["beside_annotators"] is None
    assert json.loads((out / "scores.json").read_text())["detection"]["hits"] == 1
