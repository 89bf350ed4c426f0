"""What the verdict says of bowel in a mask, and of lungs that the scan cuts."""

import numpy as np
import pytest

from lungseg.ops.lungs.bowel.gas import gas_doubts
from lungseg.ops.lungs.in_blocks import in_blocks
from lungseg.ops.lungs.verdict import cut_doubts
from lungseg.phantom.cases import case, organ
from lungseg.volume import Geometry, Volume

GRID = Geometry((2.0, 2.0, 2.0))


@pytest.mark.parametrize(("name", "side"), [("gas-left-2.5", "left"), ("gas-right-5", "right")])
def test_bowel_in_a_mask_is_told_with_its_volume_and_side(name, side):
    phantom = case(name, spacing_mm=(float(name.split("-")[2]), 4.0, 4.0))
    labels = phantom.lungs.array.copy()
    assert gas_doubts(in_blocks(phantom.ct, phantom.lungs), -450.0) == []
    gas = organ(phantom, "gas")
    labels[gas] = 1 if side == "right" else 2
    (told,) = gas_doubts(in_blocks(phantom.ct, phantom.lungs.like(labels)), -450.0)
    ml, _, rest = told.partition(" ")
    assert rest == f"ml of pure air below the {side} lung may be bowel"
    assert float(ml) == pytest.approx(gas.sum() * phantom.ct.voxel_ml, rel=0.25)


@pytest.mark.parametrize("name", ["giant-bulla", "emphysema"])
def test_bullae_and_emphysema_raise_no_doubt(name):
    phantom = case(name, spacing_mm=(4.0, 4.0, 4.0))
    assert gas_doubts(in_blocks(phantom.ct, phantom.lungs), -450.0) == []


@pytest.mark.parametrize(
    ("rows", "end", "told"),
    [
        (30, 0, ["cut at the bottom: 36 cm2 of lung on the first slice"]),
        (30, -1, ["cut at the top: 36 cm2 of lung on the last slice"]),
        (10, 0, []),
    ],
)
def test_a_lung_that_is_cut_over_a_large_area_is_told_and_a_touched_tip_is_not(rows, end, told):
    labels = np.zeros((6, 40, 40), np.uint8)
    labels[1:5, 5:35, 5:35] = 2
    labels[end, 5 : 5 + rows, 5:35] = 2
    assert cut_doubts(Volume(labels, GRID)) == told
