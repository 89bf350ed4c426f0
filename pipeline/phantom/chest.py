"""What a phantom is asked for, and what it is."""

from dataclasses import dataclass, field

import numpy as np

from lungseg.phantom.anatomy import Build
from lungseg.phantom.nodules import PhantomNodule
from lungseg.phantom.shapes import Point
from lungseg.volume import HU, Mask, Volume

RIGHT, LEFT = 1, 2


@dataclass(frozen=True, kw_only=True)
class Chest:
    """A chest to be rendered: body, findings, and the nuisances of real scans.

    Attributes
    ----------
    build
        Its large parts.
    centre_xyz_mm, scale_xyz
        Where the body's zero lies in the world, and how much larger than the middle-sized body.
    seed
        Chooses vessels, textures, the nodules' shapes and the noise.
    nodules
        Nodules in body coordinates.
    noise_hu
        Standard deviation of the noise; 10 is a good dose, 40 screening at low dose.
    table, bowel_gas
        The couch; gas in stomach and colon.
    open_trachea
        The trachea leads to the outside air (a stoma), near the top of the scan.
    contrast
        Blood is bright: heart, great vessels, the lungs' vessels, liver and spleen.
    collapsed_lobe
        The right upper lobe is without air and lies as a wedge against the mediastinum.
    effusion
        Fluid behind and under the right lung.
    tumour
        A mass of 7 cm in the left lung, on the wall and on the mediastinum.
    arms_down
        The arms lie beside the trunk, cut by the field of view.
    padding_hu
        What pixels outside the scanner's circle hold; None: the circle does not show.
    """

    build: Build = field(default_factory=Build)
    centre_xyz_mm: Point = (0.0, 0.0, 0.0)
    scale_xyz: Point = (1.0, 1.0, 1.0)
    seed: int = 0
    nodules: tuple[PhantomNodule, ...] = ()
    noise_hu: float = 15.0
    table: bool = True
    bowel_gas: bool = True
    open_trachea: bool = False
    contrast: bool = False
    collapsed_lobe: bool = False
    effusion: bool = False
    tumour: bool = False
    arms_down: bool = False
    padding_hu: int | None = None


@dataclass(frozen=True, eq=False)
class Phantom:
    """A rendered chest and the truth about it, all on one grid.

    Attributes
    ----------
    ct
        The scan, HU.
    lungs
        0, 1 right, 2 left, as anatomy has it: vessels, nodules, a collapsed lobe and a tumour are
        inside; trachea, main bronchi, pleural fluid and the mediastinum are not.
    nodules
        0, or 1 + the nodule's place in `chest.nodules`.
    airways
        Lumen of trachea and main bronchi.
    vessels
        Vessels inside the lungs.
    airless
        Parts of the lungs without air that are no nodule: collapse and tumour.
    chest
        What was asked for.
    """

    ct: Volume[HU]
    lungs: Volume[np.uint8]
    nodules: Volume[np.uint16]
    airways: Volume[Mask]
    vessels: Volume[Mask]
    airless: Volume[Mask]
    chest: Chest

    @property
    def nodule(self) -> Volume[Mask]:
        """Voxels of any nodule."""
        return self.nodules.like(self.nodules.array > 0)

    @property
    def lung(self) -> Volume[Mask]:
        """Voxels of either lung."""
        return self.lungs.like(self.lungs.array > 0)

    @property
    def right(self) -> Volume[Mask]:
        """Voxels of the right lung."""
        return self.lungs.like(self.lungs.array == RIGHT)

    @property
    def left(self) -> Volume[Mask]:
        """Voxels of the left lung."""
        return self.lungs.like(self.lungs.array == LEFT)

    def lung_ml(self) -> tuple[float, float]:
        """Volume of the right and of the left lung, ml."""
        right, left = (
            float(np.count_nonzero(self.lungs.array == side)) * self.lungs.voxel_ml
            for side in (RIGHT, LEFT)
        )
        return right, left
