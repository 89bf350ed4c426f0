"""Named cases: phantoms of what lung masks get wrong, and where each organ of them lies.

`case("consolidation-right-lower")` renders one (a second or less); `CASES` names all. Truth:
`phantom.lungs` (1 right, 2 left; tumours, lobes without air and bullae are inside), `.nodules`
(tumours, 1 for the first), `.findings`, and `organ(phantom, "heart")`.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from lungseg.phantom import bones, organs
from lungseg.phantom.anatomy import (
    Build,
    cavity_depth,
    diaphragm_height,
    heart_depth,
    trunk_depth,
)
from lungseg.phantom.chest import Chest, Phantom
from lungseg.phantom.lesions import (
    Bulla,
    Effusion,
    Emphysema,
    Finding,
    Gas,
    Hernia,
    Lobe,
    ThickVessel,
)
from lungseg.phantom.nodules import PhantomNodule
from lungseg.phantom.render import render
from lungseg.phantom.shapes import Frame, draw_tubes
from lungseg.phantom.small_chest import grid
from lungseg.phantom.vessels import HILUM
from lungseg.volume import MaskArray, Triple

TUMOUR_MM = (15, 30, 50, 70)
PLACES = ("free", "vessel", "wall", "hilum", "diaphragm", "apex")
LOBES = tuple(
    f"{side}-{lobe}"
    for side, lobe in (
        ("right", "upper"), ("right", "middle"), ("right", "lower"),
        ("left", "upper"), ("left", "lower"),
    )
)  # fmt: skip
ORGANS = ("heart", "great_vessels", "liver", "spleen", "spine", "chest_wall", "effusion", "gas")
GAS_BELOW_HU = -500
_GRID_MM: Triple = (2.0, 2.0, 2.0)
_BUILD = Build()


def tumour_centre(place: str, side: str, diameter_mm: float) -> Triple:
    """Centre of a tumour in body coordinates.

    Parameters
    ----------
    place
        free: vessels of the tree touch it, nothing else, where it fits; vessel: near the hilum,
        where a thick vessel ends in it; wall: broadly on the ribs; hilum: broadly on the
        mediastinum; diaphragm: on the dome; apex: in the top of the lung, on two or more sides
        of it the wall.
    """
    r = diameter_mm / 2
    sign = -1.0 if side == "right" else 1.0
    if place == "free":
        return (sign * 78.0, 4.0, 18.0)
    if place == "vessel":
        x, y, z = HILUM[side]
        return (sign * (abs(x) + 14.0 + 0.8 * r), y + 8.0, z + 26.0)
    if place == "wall":
        return (sign * (124.0 - 0.45 * r), 6.0, -14.0)
    if place == "hilum":
        x, y, z = HILUM[side]
        return (sign * (abs(x) + 0.5 * r), y + 4.0, z + 4.0)
    if place == "diaphragm":
        at = np.array([[sign * 82.0], [8.0]], np.float32)
        top, _ = diaphragm_height(_BUILD, at[0], at[1])
        return (sign * 82.0, 8.0, float(top[0]) + 0.5 * r)
    return (sign * 44.0, 24.0, 124.0 - 0.62 * r)


def _tumours(pair: tuple[tuple[str, float], tuple[str, float]]) -> Chest:
    """A tumour in each lung, right first."""
    nodules = []
    findings: list[Finding] = []
    for side, (place, diameter) in zip(("right", "left"), pair, strict=True):
        centre = tumour_centre(place, side, diameter)
        nodules.append(PhantomNodule("spiculated", centre, diameter, 35.0))
        if place == "vessel":
            findings.append(ThickVessel(start=HILUM[side], end=centre, radius_mm=3.5))
    return Chest(nodules=tuple(nodules), findings=tuple(findings))


def _cases() -> dict[str, tuple[Chest, Triple]]:
    """Description and grid of every case."""
    found: dict[str, tuple[Chest, Triple]] = {"sound": (Chest(), _GRID_MM)}
    # Large beside small, and each place with all four sizes.
    for k, place in enumerate(PLACES):
        for n, size in enumerate(TUMOUR_MM):
            if (k + n) % 2:
                continue
            other = PLACES[(k + 2) % len(PLACES)]
            size_there = TUMOUR_MM[3 - n]
            pair = ((place, float(size)), (other, float(size_there)))
            found[f"tumour-{place}-{size}-{other}-{size_there}"] = (_tumours(pair), _GRID_MM)
    for step in (1.0, 2.5, 5.0):
        grid_mm = (step, 2.0, 2.0)
        gas = Chest(bowel_gas=False, findings=(Gas(side="left"),))
        found[f"gas-left-{step:g}"] = (gas, grid_mm)
        gas = Chest(bowel_gas=False, findings=(Gas(side="right"),))
        found[f"gas-right-{step:g}"] = (gas, grid_mm)
        found[f"sound-{step:g}"] = (Chest(), grid_mm)
    for name in LOBES:
        side, lobe = name.split("-")
        for kind, collapsed in (("consolidation", False), ("collapse", True)):
            ill = Lobe(side=side, lobe=lobe, collapsed=collapsed)
            found[f"{kind}-{name}"] = (Chest(findings=(ill,)), _GRID_MM)
    for side in ("right", "left"):
        for amount, rise in (("small", 0.0), ("large", 40.0)):
            wet = Effusion(side=side, rise_mm=rise, pressed_mm=8.0 + rise / 4)
            found[f"effusion-{side}-{amount}"] = (Chest(findings=(wet,)), _GRID_MM)
    found["bullae"] = (Chest(findings=_BULLAE), _GRID_MM)
    found["giant-bulla"] = (
        Chest(findings=(Bulla(centre=(76.0, 6.0, 52.0), radii=(46.0, 58.0, 64.0)),)), _GRID_MM
    )  # fmt: skip
    found["bulla-on-diaphragm"] = (
        Chest(findings=(Bulla(centre=(74.0, -8.0, -62.0), radii=(40.0, 44.0, 38.0)),)), _GRID_MM
    )  # fmt: skip
    found["emphysema"] = (Chest(findings=(Emphysema(),)), _GRID_MM)
    found["emphysema-severe"] = (
        Chest(findings=(Emphysema(share=0.7), *_BULLAE[:3])), _GRID_MM
    )  # fmt: skip
    for step in (2.0, 5.0):
        found[f"hernia-{step:g}"] = (Chest(findings=(Hernia(),)), (step, 2.0, 2.0))
    return found


_BULLAE: tuple[Bulla, ...] = (
    Bulla(centre=(-62.0, 20.0, 98.0), radii=(24.0, 22.0, 26.0)),
    Bulla(centre=(-84.0, 34.0, 66.0), radii=(20.0, 24.0, 22.0)),
    Bulla(centre=(-98.0, 4.0, 40.0), radii=(18.0, 20.0, 15.0)),
    Bulla(centre=(60.0, 26.0, 100.0), radii=(20.0, 18.0, 20.0)),
    Bulla(centre=(106.0, 30.0, -60.0), radii=(22.0, 26.0, 30.0)),
)
_DESCRIBED = _cases()
CASES = tuple(_DESCRIBED)


@lru_cache(maxsize=6)
def case(
    name: str, *, seed: int = 0, noise_hu: float = 20.0, spacing_mm: Triple | None = None
) -> Phantom:
    """Render a case of `CASES`; its arrays are read-only.

    Parameters
    ----------
    name
        One of `CASES`.
    seed
        Of vessels, textures, tumours' shapes and noise.
    noise_hu
        Standard deviation of the noise.
    spacing_mm
        Another grid, (z, y, x).

    Raises
    ------
    KeyError
        If there is no such case.
    """
    if name not in _DESCRIBED:
        raise KeyError(f"no case {name!r}; there are {', '.join(CASES)}")
    chest, own_mm = _DESCRIBED[name]
    wanted = replace(chest, seed=seed, noise_hu=noise_hu)
    shape, geometry = grid(spacing_mm or own_mm, (-190.0, 160.0), (280.0, 352.0))
    phantom = render(wanted, shape, geometry)
    for volume in (phantom.ct, phantom.lungs, phantom.nodules, phantom.findings, phantom.airless):
        volume.array.flags.writeable = False
    return phantom


def organ(phantom: Phantom, name: str) -> MaskArray:
    """Voxels of an organ of `ORGANS`, without those of the lungs, ``(z, y, x)``.

    Raises
    ------
    KeyError
        If there is no such organ.
    """
    chest, ct = phantom.chest, phantom.ct
    f = Frame.of(ct.shape, ct.geometry, chest.centre_xyz_mm, chest.scale_xyz)
    x, y, z = f.x, f.y, f.z
    if name == "effusion":
        inside = _found(phantom, Effusion)
    elif name == "gas":
        height, _ = diaphragm_height(chest.build, x, y)
        under = (z < height) & (cavity_depth(x, y, z) > 0)
        inside = (under | _found(phantom, Hernia)) & (ct.array < GAS_BELOW_HU)
    elif name == "heart":
        inside = heart_depth(x, y, z) > 0
    elif name == "great_vessels":
        drawn = np.zeros(ct.shape, np.float32)
        draw_tubes(f, drawn, np.concatenate([organs.GREAT_VESSELS, organs.PULMONARY_VEINS]))
        inside = drawn >= 0.5
    elif name in {"liver", "spleen"}:
        height, _ = diaphragm_height(chest.build, x, y)
        inside = (z < height) & (cavity_depth(x, y, z) > 0) & organs.filled_organ(f, name)
    elif name == "spine":
        inside = bones.column_depth(x, y) + 0 * z > 0
    elif name == "chest_wall":
        inside = (cavity_depth(x, y, z) < 0) & (trunk_depth(x, y, z) > 0)
    else:
        raise KeyError(f"no organ {name!r}; there are {', '.join(ORGANS)}")
    return np.asarray(inside & (phantom.lungs.array == 0))


def _found(phantom: Phantom, kind: type[Finding]) -> MaskArray:
    labels = [n for n, f in enumerate(phantom.chest.findings, 1) if isinstance(f, kind)]
    return np.asarray(np.isin(phantom.findings.array, labels))
