"""Description of a phantom chest, and the rendered phantom with its truth."""

from dataclasses import dataclass, field

import numpy as np

from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.phantom.anatomy import Build
from lungseg.phantom.lesions import Finding
from lungseg.phantom.nodules import PhantomNodule
from lungseg.volume import HU, Mask, Triple, Volume


@dataclass(frozen=True, kw_only=True)
class Chest:
    """Description of a chest: body, findings, and the nuisances of real scans.

    Attributes
    ----------
    build
        What differs between bodies in their large parts.
    centre_xyz_mm, scale_xyz
        World position of the body's origin, and its size relative to the middle-sized body.
    seed
        Of the vessels, textures, nodules' shapes and noise.
    nodules
        Nodules in body coordinates.
    noise_hu
        Standard deviation of the noise; 10 is diagnostic dose, 40 low-dose screening.
    table, bowel_gas
        The patient table; gas in stomach and colon.
    open_trachea
        The trachea opens to the outside air (a tracheostoma), near the top of the scan.
    contrast
        Contrast agent: heart, great and pulmonary vessels, liver and spleen are bright.
    collapsed_lobe
        Atelectasis: the right upper lobe is an airless wedge against the mediastinum.
    effusion
        Pleural effusion behind and under the right lung.
    tumour
        A mass of 7 cm in the left lung that touches chest wall and mediastinum.
    arms_down
        The arms lie beside the trunk, cut by the field of view.
    padding_hu
        Value of the pixels outside the circular field of view; None: no padding.
    findings
        Further disease, one description each, of `lungseg.phantom.lesions`.
    """

    build: Build = field(default_factory=Build)
    centre_xyz_mm: Triple = (0.0, 0.0, 0.0)
    scale_xyz: Triple = (1.0, 1.0, 1.0)
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
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, eq=False)
class Phantom:
    """A rendered chest and its truth, all on one grid.

    Attributes
    ----------
    ct
        The scan, HU.
    lungs
        0 outside, 1 right, 2 left: vessels, nodules, a collapsed lobe and a tumour are inside;
        trachea, main bronchi, pleural fluid and the mediastinum are not.
    nodules
        0, or 1 + the nodule's index in `chest.nodules`.
    airways
        Lumen of trachea and main bronchi.
    vessels
        Vessels inside the lungs.
    airless
        Parts of the lungs without air other than nodules: lobes, pressed lung and tumour.
    findings
        0, or 1 + the finding's index in `chest.findings`. Fluid, bowel gas and a hernia lie outside
        the lungs, lobes and bullae inside.
    chest
        Its description.
    """

    ct: Volume[HU]
    lungs: Volume[np.uint8]
    nodules: Volume[np.uint16]
    airways: Volume[Mask]
    vessels: Volume[Mask]
    airless: Volume[Mask]
    findings: Volume[np.uint8]
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
