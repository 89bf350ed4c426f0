"""Segment lungs, on a chest whose anatomy is known, with one nuisance of real scans at a time."""

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from lungseg.core.errors import ConfigError, ScanError
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.morphology import dilate_mm
from lungseg.phantom.small_chest import chest
from lungseg.stages.segment_lungs import STAGE, SegmentLungs, segment
from lungseg.volume import Geometry, Volume
from tests.hard_cases import hard

PARAMS = SegmentLungs()
# For what no net has a part in.
RULES = replace(PARAMS, second_opinion="never")
NUISANCES = {
    "none": {},
    "none with the nets": {},
    "no bowel gas": {"bowel_gas": False},
    "trachea open": {"open_trachea": True},
    "lungs touch": {"junction": True},
    "contrast": {"contrast": True},
    "low dose": {"noise_hu": 40.0},
    "arms down": {"arms_down": True},
    "no table": {"table": False},
    "effusion": {"effusion": True},
    "cut at both ends": {"z_range_mm": (-60.0, 80.0)},
    "thick slices": {"spacing_mm": (5.0, 2.0, 2.0)},
}
# What changes little, alone: in the common suite all at once.
EASY = ("no bowel gas", "contrast", "arms down", "no table", "trachea open")
COSTLY = (*EASY, "effusion", "lungs touch", "low dose", "none with the nets")
NUISANCES["all that is easy"] = {key: on for name in EASY for key, on in NUISANCES[name].items()}
BLOCK = {"z_range_mm": (0.0, 24.0), "nodules": ()}


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def truth_of(phantom):
    return phantom.lungs.array


@cache
def plain():
    """A phantom without any nuisance, and what the stage says of it."""
    phantom = chest()
    return phantom, *segment(phantom.ct, None, RULES)


@pytest.mark.parametrize(
    "nuisance",
    [hard(one) if one in COSTLY else one for one in NUISANCES],
)
def test_finds_each_lung_its_nodules_and_no_airway(nuisance):
    if nuisance == "none":
        phantom, lungs, verdict = plain()
    else:
        phantom = chest(**NUISANCES[nuisance])
        lungs, verdict = segment(phantom.ct, None, PARAMS)
    truth = truth_of(phantom)
    for side in (1, 2):
        assert dice(lungs.array == side, truth == side) > 0.97
    assert (lungs.array > 0)[phantom.nodule.array].mean() > 0.95
    assert (lungs.array > 0)[phantom.airways.array].mean() < 0.12
    doubted = [reason for reason in verdict.reasons if not reason.startswith("cut at the ")]
    if nuisance == "effusion":
        # Thin layers of fluid pass for lung without air, and are told.
        fluid, added = doubted
        assert re.match(r"the lung net added about [1-6]0 ml of right lung", added)
        assert re.match(r"about [23]\d0 ml of the right lower chest hold no air", fluid)
        return
    assert not doubted
    assert len(verdict.reasons) == (2 if nuisance == "cut at both ends" else 0)
    assert verdict.facts["components"] == 2


def test_nothing_far_from_the_lungs_is_taken():
    phantom, lungs, _ = plain()
    allowed = dilate_mm(phantom.lung.array, 5.0, phantom.ct.spacing_mm)
    assert ((lungs.array > 0) & ~allowed).sum() < 1e-3 * phantom.lung.array.sum()


def test_a_block_of_a_few_slices_has_lungs():
    phantom = chest(**BLOCK)
    lungs, verdict = segment(phantom.ct, None, PARAMS)
    assert dice(lungs.array > 0, phantom.lung.array) > 0.97
    assert verdict.facts["touches_top"]
    assert verdict.facts["touches_bottom"]


def test_padding_outside_a_round_field_of_view_is_not_air_in_the_histogram():
    phantom = chest(padding_hu=-2000)
    view = phantom.ct.array > -1500
    assert not view.all()
    ct = phantom.ct.like(np.where(view, phantom.ct.array, np.int16(-1024)))
    lungs, verdict = segment(ct, view, RULES)
    _, without, told = plain()
    assert dice(lungs.array > 0, without.array > 0) > 0.99
    counted = ct.array[view]
    low, high = counted[counted < -450].mean(), np.minimum(counted[counted > -450], 400).mean()
    assert verdict.facts["threshold_hu"] == pytest.approx((low + high) / 2, abs=3)
    assert verdict.facts["threshold_hu"] != told.facts["threshold_hu"]


def test_lungs_cut_at_the_sides_of_the_image_stay():
    phantom = chest(field_mm=(300.0, 220.0), nodules=())
    lungs, verdict = segment(phantom.ct, None, RULES)
    assert verdict.facts["touches_sides"]
    assert dice(lungs.array > 0, phantom.lung.array) > 0.97


def test_lungs_as_dark_as_air_are_lungs_where_there_are_no_others():
    phantom = chest(bowel_gas=False, nodules=())
    dark = np.where(phantom.lung.array & (phantom.ct.array < -600), -990, phantom.ct.array)
    lungs, _ = segment(phantom.ct.like(dark.astype(np.int16)), None, RULES)
    assert dice(lungs.array > 0, phantom.lung.array) > 0.95


def test_one_lung_is_one_lung_and_suspect():
    phantom = chest(single=True)
    lungs, verdict = segment(phantom.ct, None, RULES)
    assert set(np.unique(lungs.array)) == {0, 2}
    assert dice(lungs.array == 2, phantom.left.array) > 0.95
    assert "only a left lung was found" in verdict.as_facts()["reasons"]


@pytest.mark.parametrize("illness", [hard("collapsed_lobe"), hard("tumour")])
def test_what_is_left_of_a_lung_without_air_in_part_is_found(illness):
    phantom = chest(**{illness: True})
    lungs, _ = segment(phantom.ct, None, PARAMS)
    aired = phantom.lung.array & ~phantom.airless.array
    assert (lungs.array > 0)[aired].mean() > 0.97
    # A tumour is lung, and so is a collapsed lobe, by the lung net.
    assert dice(lungs.array > 0, phantom.lung.array) > 0.965


def test_of_a_collapsed_lobe_little_is_regained_without_the_lung_net():
    phantom = chest(collapsed_lobe=True)
    lungs, verdict = segment(phantom.ct, None, RULES)
    aired = phantom.lung.array & ~phantom.airless.array
    assert dice(lungs.array > 0, aired) > 0.965
    assert "hold no air" in verdict.as_facts()["reasons"]


def test_twice_gives_the_same_and_the_input_is_left_alone():
    phantom, first, _ = plain()
    before = phantom.ct.array.copy()
    second, _ = segment(phantom.ct, None, RULES)
    np.testing.assert_array_equal(first.array, second.array)
    np.testing.assert_array_equal(phantom.ct.array, before)


def test_a_mirrored_chest_has_mirrored_lungs():
    phantom, *_ = plain()
    mirrored = phantom.ct.like(np.ascontiguousarray(phantom.ct.array[:, :, ::-1]))
    lungs, _ = segment(mirrored, None, RULES)
    expected = np.array([0, 2, 1], np.uint8)[phantom.lungs.array[:, :, ::-1]]
    for side in (1, 2):
        assert dice(lungs.array == side, expected == side) > 0.97


ONE_VALUE = np.full((8, 40, 40), 40, np.int16)
FLOOR = np.where(np.indices((8, 40, 40))[1] > 20, np.int16(40), np.int16(-1000))
TISSUE = np.random.default_rng(0).normal(40, 20, (8, 40, 40)).astype(np.int16)


@pytest.mark.parametrize(
    ("hu", "found"),
    [
        (ONE_VALUE, r"no lungs found: all voxels have the same value \(40 HU\)"),
        (FLOOR, r"no lungs found: 0 ml of lung-like air .* at least 150 ml; is this a chest CT"),
        (TISSUE, r"no lungs found: 0 ml"),
    ],
)
def test_a_scan_without_lungs_names_the_likely_causes(hu, found):
    with pytest.raises(ScanError, match=found) as refused:
        segment(Volume(hu, Geometry((3.0, 3.0, 3.0))), None, PARAMS)
    # No setting helps where there is nothing.
    assert not refused.value.settings


def test_an_abdomen_with_gas_and_lung_bases_has_no_lungs():
    phantom = chest(z_range_mm=(-300.0, -128.0), nodules=())
    with pytest.raises(ScanError, match=r"no lungs found: \d+ ml of lung-like air") as refused:
        segment(phantom.ct, None, replace(PARAMS, smallest_lung_ml=600.0))
    assert "smallest_lung_ml=" in refused.value.settings[0]


def test_slice2d_is_another_mask_and_knows_no_lungs_in_tissue():
    phantom, *_ = plain()
    lungs, verdict = segment(phantom.ct, None, replace(PARAMS, method="slice2d"))
    assert 0.75 < dice(lungs.array > 0, phantom.lung.array) < 0.97
    assert (lungs.array > 0)[phantom.airways.array].mean() > 0.3
    assert verdict.facts["soft_tissue_share"] > 0.1
    tissue = Volume(np.full((8, 64, 64), 40, np.int16), Geometry((3.0, 3.0, 3.0)))
    with pytest.raises(ScanError, match="no lungs found: 0 ml slice by slice"):
        segment(tissue, None, replace(PARAMS, method="slice2d"))


def test_bounds_of_the_threshold_hold_and_must_be_in_order():
    phantom = chest(**BLOCK)
    _, verdict = segment(
        phantom.ct, None, SegmentLungs(threshold_min_hu=-400.0, threshold_max_hu=-350.0)
    )
    assert verdict.facts["threshold_hu"] == -400.0
    with pytest.raises(ConfigError, match=r"threshold_min_hu \(-200\) must not be above"):
        SegmentLungs(threshold_min_hu=-200.0)


def test_the_stage_writes_lungs_on_the_grid_it_read_and_facts_that_json_takes(tmp_path):
    phantom = chest(padding_hu=-2000, **BLOCK)
    inputs = {"resample": tmp_path / "resample"}
    inputs["resample"].mkdir()
    view = phantom.ct.like(phantom.ct.array > -1500)
    ct = phantom.ct.like(np.where(view.array, phantom.ct.array, np.int16(-1024)))
    volume_file.write(ct, inputs["resample"] / "ct.h5")
    volume_file.write(view, inputs["resample"] / "field_of_view.h5")
    facts = STAGE.run(PARAMS, inputs, tmp_path)
    lungs = volume_file.read(tmp_path / "lungs.h5")
    expected, _ = segment(ct, view.array, PARAMS)
    assert lungs.array.dtype == np.uint8
    assert lungs.geometry == ct.geometry
    np.testing.assert_array_equal(lungs.array, expected.array)
    assert json.loads(json.dumps(facts))["lung_ml"] == facts["lung_ml"] > 500
    wanted = {
        "lung_ml", "right_ml", "left_ml", "right_left_ratio", "components", "touches_top",
        "touches_bottom", "touches_sides", "soft_tissue_share", "threshold_hu", "trachea_ml",
        "verdict", "reasons",
    }  # fmt: skip
    assert wanted <= set(facts)
