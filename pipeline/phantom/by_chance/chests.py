"""A chest whose build, illness and scanner chance decides."""

import numpy as np

from lungseg.phantom.anatomy import Build
from lungseg.phantom.cases import LOBES, PLACES, tumour_centre
from lungseg.phantom.chest import Chest, Phantom
from lungseg.phantom.lesions import Effusion, Finding, Gas, Hernia, Lobe
from lungseg.phantom.nodules import PhantomNodule
from lungseg.phantom.render import render
from lungseg.phantom.small_chest import grid

SPACING_MM = (2.5, 2.5, 2.5)
Z_RANGE_MM, FIELD_MM = (-200.0, 170.0), (300.0, 380.0)
# How many have tumours, and of these each lung; and, up to these numbers, lobes without air, an
# effusion, gas under the diaphragm, a hernia.
WITH_TUMOURS, EACH_LUNG = 0.6, 0.7
ILLNESSES = (0.45, 0.65, 0.75, 0.8)


def chest_by_chance(seed: int) -> Phantom:
    """The phantom of this seed, in voxels of `SPACING_MM`; a second or two."""
    rng = np.random.default_rng(seed)
    build = Build(
        fat_mm=float(rng.uniform(6, 30)),
        junction=bool(rng.random() < 0.3),
        dome_right_mm=float(rng.uniform(-95, -50)),
        dome_left_mm=float(rng.uniform(-100, -60)),
    )
    x, y, z = rng.uniform(0.85, 1.15, 3)
    chest = Chest(
        build=build,
        seed=int(rng.integers(1_000_000)),
        nodules=tuple(_tumours(rng)),
        findings=tuple(_findings(rng)),
        scale_xyz=(float(x), float(y), float(z)),
        noise_hu=float(rng.uniform(8, 35)),
        table=bool(rng.random() < 0.7),
        bowel_gas=bool(rng.random() < 0.6),
        contrast=bool(rng.random() < 0.5),
        arms_down=bool(rng.random() < 0.2),
    )
    shape, geometry = grid(SPACING_MM, Z_RANGE_MM, FIELD_MM)
    return render(chest, shape, geometry)


def _tumours(rng: np.random.Generator) -> list[PhantomNodule]:
    tumours: list[PhantomNodule] = []
    if rng.random() >= WITH_TUMOURS:
        return tumours
    for side in ("right", "left"):
        if rng.random() < EACH_LUNG:
            diameter = float(rng.uniform(12, 75))
            at = np.array(tumour_centre(str(rng.choice(PLACES)), side, diameter))
            x, y, z = at + rng.normal(0, 6, 3)
            centre = (float(x), float(y), float(z))
            hu = float(rng.uniform(20, 60))
            tumours.append(PhantomNodule("spiculated", centre, diameter, hu))
    return tumours


def _findings(rng: np.random.Generator) -> list[Finding]:
    lobes, effusion, gas, hernia = ILLNESSES
    kind = rng.random()
    if kind < lobes:
        names = rng.choice(LOBES, int(rng.integers(1, 3)), replace=False)
        parts = [str(name).split("-") for name in names]
        return [
            Lobe(side=side, lobe=lobe, collapsed=bool(rng.random() < 0.4)) for side, lobe in parts
        ]
    side = "right" if rng.random() < 0.5 else "left"
    if kind < effusion:
        rise = float(rng.uniform(0, 60))
        return [Effusion(side=side, rise_mm=rise, pressed_mm=8 + rise / 4)]
    if kind < gas:
        return [Gas(side=side)]
    return [Hernia()] if kind < hernia else []
