"""The named cases: how to get each, and that each is what its name says.

phantom = case("consolidation-right-lower")      # a second; CASES names all
phantom.ct, phantom.lungs                        # 1 right, 2 left; all disease of lung is inside
phantom.nodules.array == 1                       # the tumour on the right; 2: on the left
phantom.findings.array == 1                      # the lobe, fluid, gas, bulla of chest.findings[0]
organ(phantom, "heart")                          # any of ORGANS, as a mask, never lung
"""

import numpy as np
import pytest

from lungseg.phantom.cases import CASES, ORGANS, PLACES, TUMOUR_MM, case, organ

COARSE = (3.0, 3.0, 3.0)


def ml(mask, phantom):
    return float(np.count_nonzero(mask)) * phantom.ct.voxel_ml


def test_tumours_of_every_size_lie_at_every_place():
    named = [name.split("-")[1:] for name in CASES if name.startswith("tumour")]
    found = {(a[k], int(a[k + 1])) for a in named for k in (0, 2)}
    assert found == {(place, size) for place in PLACES for size in TUMOUR_MM}


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith("tumour")][::4])
def test_a_tumour_has_its_size_and_is_lung(name):
    phantom = case(name, spacing_mm=COARSE)
    _, place, size, there, size_there = name.split("-")
    for label, (where, mm) in enumerate(((place, size), (there, size_there)), 1):
        mask = phantom.nodules.array == label
        ball = np.pi / 6 * float(mm) ** 3 / 1000
        assert 0.35 * ball < ml(mask, phantom) < 1.3 * ball, where
        assert (phantom.lungs.array[mask] == label).all()
        inner = mask & (phantom.ct.array > -200)
        assert inner.sum() > 0.7 * mask.sum()


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith(("consol", "collapse"))])
def test_a_lobe_without_air_lies_in_its_lung(name):
    phantom = case(name, spacing_mm=(2.5, 2.5, 2.5))
    kind, side, _ = name.split("-")
    mask = phantom.findings.array == 1
    assert set(np.unique(phantom.lungs.array[mask])) == {1 if side == "right" else 2}
    least, most = (130, 400) if kind == "collapse" else (300, 1500)
    assert least < ml(mask, phantom) < most
    assert (phantom.ct.array[mask] > -150).mean() > 0.85
    assert (phantom.airless.array == mask).mean() > 0.99


@pytest.mark.parametrize("name", ["effusion-left-large", "effusion-right-small"])
def test_fluid_is_not_lung(name):
    phantom = case(name, spacing_mm=COARSE)
    fluid = organ(phantom, "effusion")
    assert 200 < ml(fluid, phantom) < 2000
    assert not phantom.lungs.array[fluid].any()
    assert ml(phantom.airless.array, phantom) > 50


@pytest.mark.parametrize(("name", "least_ml"), [("gas-left-5", 200), ("gas-right-1", 60)])
def test_gas_lies_under_the_diaphragm_and_is_pure_air(name, least_ml):
    phantom = case(name, spacing_mm=(float(name.split("-")[2]), 4.0, 4.0))
    gas = organ(phantom, "gas")
    assert least_ml < ml(gas, phantom) < 600
    assert not phantom.lungs.array[gas].any()
    assert np.median(phantom.ct.array[gas]) < -970


def test_the_hernia_lies_behind_the_heart_and_holds_gas():
    phantom = case("hernia-2", spacing_mm=COARSE)
    assert 40 < ml(organ(phantom, "gas"), phantom) < 500
    assert not phantom.lungs.array[phantom.findings.array == 1].any()


def test_bullae_and_emphysema_are_lung_that_is_nearly_air():
    sound = case("sound", spacing_mm=COARSE)
    for name, share in (("bullae", 0.02), ("giant-bulla", 0.10), ("emphysema", 0.15)):
        phantom = case(name, spacing_mm=COARSE)
        inside = phantom.lungs.array > 0
        assert (phantom.ct.array[inside] < -950).mean() > share, name
        assert ml(inside, phantom) == pytest.approx(ml(sound.lungs.array > 0, sound))


def test_organs_are_apart_from_the_lungs_and_have_their_size():
    phantom = case("sound")
    sizes = {name: ml(organ(phantom, name), phantom) for name in ORGANS}
    assert sizes.pop("effusion") == 0
    assert sizes == pytest.approx(
        {
            "heart": 807, "great_vessels": 384, "liver": 1996, "spleen": 226, "spine": 347,
            "chest_wall": 10229, "gas": 186,
        },
        rel=0.02,
    )  # fmt: skip
    assert not any((phantom.lungs.array[organ(phantom, name)]).any() for name in ORGANS)


def test_an_unknown_case_or_organ_is_refused():
    with pytest.raises(KeyError, match="no case 'gout'; there are sound"):
        case("gout")
    with pytest.raises(KeyError, match="no organ 'soul'; there are heart"):
        organ(case("sound"), "soul")
