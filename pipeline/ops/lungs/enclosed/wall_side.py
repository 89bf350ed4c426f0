"""What a mass at the chest wall has grown into, as far as the ribs.

A lung's mask ends where the wall would be without the mass; a tumour that grows into the wall goes
on behind it. It is told from the wall by its thickness: balls around places inside the mass that
hold neither air nor fat nor rib reach into the tumour's own base, and only there. Between ribs and
a lung without a tumour lie some millimetres of fat and muscle, which no such ball fits in.
"""

import numpy as np

from lungseg.ops.grid.morphology import balls, dilate_mm, erode_mm, regions
from lungseg.volume import F32, FloatArray, HuArray, MaskArray, Triple

# A mass is at least twice as thick as HALF_MM, and its volume is at least LEAST_ML.
HALF_MM = 6.0
LEAST_ML = 5.0
# HU of a mass, whose edge is darker by what it shares with air.
EDGE_HU = -100
# HU of what it has grown into, smoothed: from half-way to fat on, and no rib.
GROWN_HU = (-25, 140)
# So deep into the wall it is looked for, mm.
DEPTH_MM = 6.0
# Wall is what lies outward of a mass: the least cosine between the way there and the level way from
# the middle of the chest. Below lies the diaphragm, inward the heart.
OUTWARD = 0.5
# Nearer than this to the middle of the chest, mm, lie spine and mediastinum.
MEDIAN_MM = 40.0


def wall_side(
    lung: MaskArray, free: MaskArray, ct: HuArray, middle_yx: FloatArray, spacing_mm: Triple
) -> MaskArray:
    """What masses in `lung` have grown into, outward of it.

    Parameters
    ----------
    lung, free : (z, y, x) bool
        One lung with its masses, and what may become part of it.
    ct : (z, y, x) int16
    middle_yx : (z, 2)
        Row and column of the middle of the chest, by slice.
    spacing_mm

    Examples
    --------
    A ball of 40 mm, of which 6 mm lie in the fat outside of the lung, but for its edge:

    >>> z, y, x = np.ogrid[:40, :40, :60]
    >>> lung = np.broadcast_to(x >= 10, (40, 40, 60))
    >>> ball = (z - 20) ** 2 + (y - 20) ** 2 + (x - 17) ** 2 <= 100
    >>> ct = np.where(ball, 40, np.where(lung, -850, -90)).astype(np.int16)
    >>> middle_yx = np.tile([20.0, 80.0], (40, 1))
    >>> grown = wall_side(lung, ~lung, ct, middle_yx, (2.0, 2.0, 2.0))
    >>> grown[20, 20, 5:11].astype(int).tolist(), bool((grown <= ball).all())
    ([0, 0, 0, 1, 1, 0], True)
    """
    found = np.zeros_like(lung)
    soft = lung & (ct > EDGE_HU)
    cores = erode_mm(soft, HALF_MM, spacing_mm, border=False)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    margin = [int((2 * HALF_MM + DEPTH_MM) / step) + 1 for step in spacing_mm]
    for box, core in regions(cores, margin):
        mass = dilate_mm(core, HALF_MM + max(spacing_mm) / 2, spacing_mm) & soft[box]
        if np.count_nonzero(mass) * voxel_ml < LEAST_ML:
            continue
        beside = dilate_mm(mass, DEPTH_MM, spacing_mm) & free[box] & ~lung[box]
        middle = middle_yx[box[0]] - [s.start for s in box[1:]]
        beside &= _outward(mass, middle, spacing_mm)
        if beside.any():
            found[box] |= beside & _base(mass, ct[box], spacing_mm)
    return found


def _base(mass: MaskArray, ct: HuArray, spacing_mm: Triple) -> MaskArray:
    """What balls around places in the mass hold, if they hold nothing but what is as dense."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(ct.astype(np.float32), 1.0)
    dense = ((smooth > GROWN_HU[0]) & (smooth < GROWN_HU[1])) | mass
    # What lies beyond the box is not known.
    known = np.pad(dense[1:-1, 1:-1, 1:-1], 1)
    half_mm: F32 = ndimage.distance_transform_edt(known, sampling=spacing_mm).astype(np.float32)
    base: MaskArray = dense & balls(mass & (half_mm >= HALF_MM), half_mm, spacing_mm)
    return base


def _outward(mass: MaskArray, middle_yx: FloatArray, spacing_mm: Triple) -> MaskArray:
    """Places whose nearest place in the mass lies between them and the middle of the chest."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(
        ~mass, sampling=spacing_mm, return_distances=False, return_indices=True
    )
    z, y, x = np.ogrid[tuple(slice(0, n) for n in mass.shape)]
    way_z, way_y, way_x = (
        (here - there) * step
        for here, there, step in zip((z, y, x), nearest, spacing_mm, strict=True)
    )
    out_y = (y - middle_yx[:, 0, None, None]) * spacing_mm[1]
    out_x = (x - middle_yx[:, 1, None, None]) * spacing_mm[2]
    along = way_y * out_y + way_x * out_x
    lengths = np.sqrt(way_z**2 + way_y**2 + way_x**2) * np.hypot(out_y, out_x)
    outward: MaskArray = (along > 0) & (along >= OUTWARD * lengths) & (np.abs(out_x) >= MEDIAN_MM)
    return outward
