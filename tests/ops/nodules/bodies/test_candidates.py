"""Candidates, in probability maps made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from lungseg.ops.nodules.bodies.candidates import Search, find_candidates, two_means_threshold
from lungseg.volume import Geometry, Volume

SEARCH = Search(
    threshold=0.5,
    candidate_threshold=0.1,
    min_diameter_mm=3.0,
    max_diameter_mm=30.0,
    margin_mm=2.0,
    most=50,
)
SHAPE = (40, 50, 60)
UNIT = Geometry((1.0, 1.0, 1.0), (-30.0, 12.0, -200.0))
EVERYWHERE = np.ones(SHAPE, np.uint8)


def bumps(*balls):
    """Balls of (centre, radius, probability) in one map; later ones on top."""
    p = np.zeros(SHAPE)
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    for centre, radius, height in balls:
        p[np.linalg.norm(index - centre, axis=-1) <= radius] = height
    return Volume(np.rint(p * 65535).astype(np.uint16), UNIT)


def test_a_ball_is_one_candidate_with_its_place_size_and_probability():
    labels, (found,) = find_candidates(bumps(((20, 25, 30), 5, 0.8)), EVERYWHERE, SEARCH)
    np.testing.assert_allclose(found.xyz_mm, (0.0, 37.0, -180.0), atol=1e-6)
    assert found.diameter_mm == pytest.approx(10, rel=0.02)
    assert found.probability == pytest.approx(0.8, abs=1e-4)
    assert found.voxels == np.count_nonzero(labels.array == 1) == np.count_nonzero(labels.array)


def test_the_centre_is_weighted_with_probability():
    volume = bumps(((20, 25, 30), 4, 0.6), ((20, 25, 33), 2, 1.0))
    _, (found,) = find_candidates(volume, EVERYWHERE, SEARCH)
    weight = volume.array / 65535
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    centre = (index * weight[..., None]).sum(axis=(0, 1, 2)) / weight.sum()
    np.testing.assert_allclose(found.xyz_mm, UNIT.to_world(centre), atol=1e-6)


def test_one_hot_voxel_scores_less_than_a_whole_nodule():
    hot = bumps(((10, 10, 10), 3, 0.55), ((10, 10, 10), 0, 1.0), ((30, 30, 30), 3, 0.7))
    _, found = find_candidates(hot, EVERYWHERE, SEARCH)
    assert [round(c.probability, 1) for c in found] == [0.7, 0.6]


def test_a_halo_does_not_lower_the_score_of_its_core():
    _, (found,) = find_candidates(
        bumps(((20, 25, 30), 6, 0.55), ((20, 25, 30), 2, 0.9)), EVERYWHERE, SEARCH
    )
    assert found.probability == pytest.approx(0.9, abs=1e-4)


def test_voxels_that_touch_at_a_corner_are_one_candidate():
    volume = bumps()
    volume.array[10:13, 10:13, 10:13] = volume.array[13:16, 13:16, 13:16] = 60000
    assert len(find_candidates(volume, EVERYWHERE, SEARCH)[1]) == 1


def test_labels_follow_the_order_of_the_candidates():
    volume = bumps(((10, 10, 10), 4, 0.6), ((30, 40, 50), 3, 0.9), ((30, 10, 30), 3, 0.75))
    labels, found = find_candidates(volume, EVERYWHERE, SEARCH)
    assert [c.probability for c in found] == sorted((c.probability for c in found), reverse=True)
    for k, candidate in enumerate(found, 1):
        z, y, x = np.rint(UNIT.to_index(candidate.xyz_mm)).astype(int)
        assert labels.array[z, y, x] == k


def test_a_faint_bridge_joins_no_nodules():
    volume = bumps(((20, 25, 30), 12, 0.2), ((20, 25, 22), 3, 0.9), ((20, 25, 38), 3, 0.8))
    labels, found = find_candidates(volume, EVERYWHERE, SEARCH)
    assert len(found) == 2
    assert set(np.unique(labels.array)) == {0, 1, 2}


def test_specks_beside_a_nodule_are_dropped_but_a_lone_speck_in_a_faint_nodule_is_its_core():
    volume = bumps(((20, 25, 30), 8, 0.3), ((20, 25, 26), 3, 0.9), ((20, 25, 36), 0, 0.9))
    _, found = find_candidates(volume, EVERYWHERE, SEARCH)
    assert len(found) == 1
    volume = bumps(((20, 25, 30), 3, 0.3), ((20, 25, 30), 0, 0.9))
    labels, (found,) = find_candidates(volume, EVERYWHERE, SEARCH)
    assert found.voxels == 1 == np.count_nonzero(labels.array)


def test_a_faint_nodule_is_a_candidate_without_a_mask():
    labels, (found,) = find_candidates(bumps(((20, 25, 30), 4, 0.3)), EVERYWHERE, SEARCH)
    assert found.voxels == 0
    assert found.diameter_mm == pytest.approx(8, rel=0.05)
    assert not labels.array.any()


@pytest.mark.parametrize(("radius", "n"), [(1, 0), (2, 1), (14, 1), (17, 0)])
def test_too_small_and_too_large_are_left_out(radius, n):
    _, found = find_candidates(bumps(((20, 25, 30), radius, 0.9)), EVERYWHERE, SEARCH)
    assert len(found) == n


def test_voxels_beyond_the_margin_of_the_lungs_do_not_count():
    lungs = np.zeros(SHAPE, np.uint8)
    lungs[:, :, :30] = 2
    inside = bumps(((20, 25, 25), 4, 0.9))
    on_the_wall = bumps(((20, 25, 30), 4, 0.9))
    outside = bumps(((20, 25, 45), 4, 0.9))
    (full,) = find_candidates(inside, lungs, SEARCH)[1]
    labels, (cut,) = find_candidates(on_the_wall, lungs, SEARCH)
    assert cut.voxels < full.voxels
    assert np.argwhere(labels.array)[:, 2].max() == 29 + 2
    assert find_candidates(outside, lungs, SEARCH)[1] == []
    no_margin = find_candidates(on_the_wall, lungs, replace(SEARCH, margin_mm=0.0))[0]
    assert np.argwhere(no_margin.array)[:, 2].max() == 29
    assert find_candidates(inside, np.zeros(SHAPE, np.uint8), SEARCH)[1] == []


def test_only_the_likeliest_are_kept():
    volume = bumps(((10, 10, 10), 3, 0.6), ((30, 40, 50), 3, 0.9), ((30, 10, 30), 3, 0.75))
    labels, found = find_candidates(volume, EVERYWHERE, replace(SEARCH, most=2))
    assert [round(c.probability, 2) for c in found] == [0.9, 0.75]
    assert set(np.unique(labels.array)) == {0, 1, 2}


def test_an_empty_map_has_no_candidates_at_any_threshold():
    assert find_candidates(bumps(), EVERYWHERE, replace(SEARCH, candidate_threshold=1e-9))[1] == []


def test_two_means_parts_what_stands_out_and_stays_at_the_floor_where_nothing_does():
    clear = bumps(((20, 25, 30), 6, 0.9)).array
    assert two_means_threshold(clear, EVERYWHERE, 0.1) == pytest.approx(0.45, abs=0.01)
    noise = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.uint16)
    assert two_means_threshold(noise, EVERYWHERE, 0.1) == 0.1
    assert two_means_threshold(np.zeros(SHAPE, np.uint16), EVERYWHERE, 0.1) == 0.1
    # Outside the lungs nothing counts.
    left = EVERYWHERE.copy()
    left[:, :, 20:] = 0
    assert two_means_threshold(clear, left, 0.1) == 0.1


def test_slices_that_barely_overlap_are_parted_by_the_overlap_rule():
    volume = bumps()
    volume.array[10:13, 10:20, 10:20] = 60000
    volume.array[13:16, 18:28, 18:28] = 40000  # shares 2 x 2 of 10 x 10 pixels
    assert len(find_candidates(volume, EVERYWHERE, SEARCH)[1]) == 1
    assert len(find_candidates(volume, EVERYWHERE, replace(SEARCH, min_overlap=0.04))[1]) == 1
    labels, found = find_candidates(volume, EVERYWHERE, replace(SEARCH, min_overlap=0.05))
    assert [c.voxels for c in found] == [300, 300]
    assert np.array_equal(np.unique(np.argwhere(labels.array == 1)[:, 0]), [10, 11, 12])


def test_smoothing_along_z_bridges_a_slice_that_the_net_missed():
    volume = bumps(((20, 25, 30), 4, 0.9))
    volume.array[20] = 0
    assert len(find_candidates(volume, EVERYWHERE, SEARCH)[1]) == 2
    _, (found,) = find_candidates(volume, EVERYWHERE, replace(SEARCH, smooth_mm=1.0))
    np.testing.assert_allclose(found.xyz_mm, (0.0, 37.0, -180.0), atol=1e-6)


def test_smoothing_is_in_mm_and_leaves_the_given_map_as_it_was():
    thick = Volume(np.zeros((9, 9, 9), np.uint16), Geometry((2.0, 1.0, 1.0)))
    thick.array[4, 3:6, 3:6] = 65535
    before = thick.array.copy()
    search = replace(SEARCH, smooth_mm=2.0, score="max", min_diameter_mm=1.0)
    _, (found,) = find_candidates(thick, np.ones((9, 9, 9)), search)
    # The middle weight of a Gaussian of one slice, cut off at four slices.
    weights = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    assert found.probability == pytest.approx(weights[4] / weights.sum(), abs=1e-4)
    assert np.array_equal(thick.array, before)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ("max", 1.0),
        ("mean", (1.0 + 26 * 0.6) / 27),
        ("top", (1.0 + 14 * 0.6) / 15),  # a ball of 3 mm has 14.1 voxels
        ("slices", (1.0 + 2 * 0.6) / 3),
    ],
)
def test_each_score_is_what_its_name_says(score, expected):
    volume = bumps()
    volume.array[10:13, 10:13, 10:13] = round(0.6 * 65535)
    volume.array[11, 11, 11] = 65535
    _, (found,) = find_candidates(volume, EVERYWHERE, replace(SEARCH, score=score))
    assert found.probability == pytest.approx(expected, abs=1e-4)


def test_what_is_seen_in_one_slice_alone_scores_a_third_by_its_slices():
    volume = bumps()
    volume.array[10, 10:20, 10:20] = 65535
    _, (found,) = find_candidates(volume, EVERYWHERE, replace(SEARCH, score="slices"))
    assert found.probability == pytest.approx(1 / 3)
