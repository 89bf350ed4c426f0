"""The report's scores, out of what `evaluate` writes today: no curve and no table is empty."""

import json

import pytest

from lungseg.commands.report.collect import Collected, Step
from lungseg.commands.report.scores import scores_of
from lungseg.core.plan import REUSE
from tests.stages.test_evaluate import found
from tests.stages.test_evaluate_nodules import drawn  # noqa: F401 - a fixture


def told_of(out):
    step = Step("evaluate", REUSE, folder=out)
    return scores_of(Collected(None, (), {"evaluate": step}, ()))


@pytest.fixture
def told(drawn):  # noqa: F811
    drawn.add(
        "P2",
        nodules=[((5, 10, 10), 2, 3), ((5, 30, 30), 2, 3)],
        candidates=[found((5, 10, 10), 0.7), found((5, 30, 31), 0.6)],
    )
    _, _, out = drawn.run(bootstraps=20)
    return told_of(out), out


def rows_below(table, heading):
    """Rows of a table from a heading to the next, by their names."""
    rows, inside = {}, False
    for row in table["rows"]:
        if len(row) == 1:
            inside = row[0] == heading
        elif inside:
            rows[row[0]] = dict(zip(table["head"][1:], row[1:], strict=True))
    return rows


@pytest.mark.parametrize(
    ("scans", "band", "bounds"), [(1, "", (None, None)), (2, "(0.50 to 1.00)", (0.25, 1.0))]
)
def test_of_one_scan_no_band_is_told(tmp_path, scans, band, bounds):
    detection = {"cpm": 0.75, "cpm_interval": [0.5, 1.0], "sensitivity_at": {"1": 0.75},
                 "sensitivity_at_interval": {"1": [0.25, 1.0]}}  # fmt: skip
    (tmp_path / "scores.json").write_text(json.dumps({"scans": scans, "detection": detection}))
    (tmp_path / "froc.csv").write_text("fp_per_scan,sensitivity\n0,0.5\n2,1\n")
    told = told_of(tmp_path)
    assert told["figures"][0] == ("CPM", "0.750", band)
    assert told["rates"] == [("1", 0.75, *bounds)]


def test_nodules_found_are_told_by_size_texture_and_place(told):
    table = told[0]["tables"][0]
    assert table["title"] == "Nodules found, by group"
    assert {len(row) for row in table["rows"]} == {1, len(table["head"])}
    scores = json.loads((told[1] / "scores.json").read_text())["detection"]
    for key, heading in (
        ("by_size", "Size"), ("by_texture", "Texture"), ("by_side", "Lung"),
        ("by_third", "Third of the lung's height"), ("by_edge", "Distance to the lung's edge"),
    ):  # fmt: skip
        rows = rows_below(table, heading)
        assert list(rows) == list(scores[key])
        for name, group in scores[key].items():
            assert (rows[name]["nodules"], rows[name]["found"]) == (group["nodules"], group["hits"])
            assert rows[name]["CPM"] == f"{group['cpm']:.3f}"
            assert rows[name]["at 1 a scan"] == f"{group['sensitivity_at']['1']:.3f}"
    assert rows_below(table, "Size")["6 to 8 mm"]["95 %"].count(" to ") == 1


def test_masks_stand_beside_the_annotators_with_distances_of_surfaces(told):
    table = told[0]["tables"][1]
    assert table["title"].startswith("Masks beside the annotators")
    whole = dict(zip(table["head"], table["rows"][0], strict=True))
    assert (whole[""], whole["nodules"]) == ("all", 2)
    assert None not in whole.values()
    one = rows_below(table, "Found or missed")["found"]
    assert (one["Dice with each annotator"], one["Dice of two annotators"]) == ("0.83", "0.83")
    assert one["difference (95 %)"] == "+0.00"
    scores = json.loads((told[1] / "scores.json").read_text())["segmentation"]["beside_annotators"]
    group = scores["by_found"]["found"]
    assert one["ASD, mm"] == f"{group['asd_mm']['value']:.2f}"
    assert one["HD95 of two annotators, mm"] == (
        f"{group['hd95_mm_between_annotators']['value']:.2f}"
    )
    # Of what is missed there is no surface to measure from.
    assert rows_below(table, "Found or missed")["missed"]["ASD, mm"] is None


def test_curves_rates_and_dice_are_there(told):
    scores = told[0]
    assert "polygon" in scores["froc"]
    assert scores["froc_lines"] == []
    assert [rate for rate, *_ in scores["rates"]] == ["0.125", "0.25", "0.5", "1", "2", "4", "8"]
    assert "<circle" in scores["reliability"]
    assert scores["tables"][2]["rows"][0][0] == "voxels of all scans"
    assert {name for name, value, _ in scores["figures"] if value is not None} == {
        "CPM", "Nodules found", "False positives", "Dice, voxels pooled", "Dice, mean of nodules",
    }  # fmt: skip


def test_with_a_reducer_the_curve_before_it_is_drawn_and_named(told):
    _, out = told
    scores = json.loads((out / "scores.json").read_text())
    scores["detection"]["before_reducer"] = {
        "cpm": 0.25, "sensitivity_at": dict.fromkeys(scores["detection"]["sensitivity_at"], 0.25),
    }  # fmt: skip
    (out / "scores.json").write_text(json.dumps(scores))
    shown = told_of(out)
    assert [line.name for line in shown["froc_lines"]] == ["with the reducer", "before the reducer"]
    assert 'class="line s2"' in shown["froc"]
    assert ("CPM before the reducer", "0.250", "") in shown["figures"]
