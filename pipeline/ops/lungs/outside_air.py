"""Air inside the patient separated from air around, slice by slice: no trachea joins them."""

from dataclasses import dataclass

import numpy as np

from lungseg.ops.grid.blocks import Zoom, block_factors, block_mean, block_spacing
from lungseg.ops.grid.morphology import axial_components, largest, open_mm, shares_in, sizes
from lungseg.ops.hu.hounsfield import PURE_AIR_HU
from lungseg.volume import HuArray, MaskArray, Triple

# Table tops, tubes and blankets are thinner than twice this; limbs and chest walls are not; the
# blocks in which this is seen, mm.
BODY_OPEN_MM = 5.0
BODY_BLOCK_MM = 4.0
# A lung open to the outside is separated at a bottleneck narrower than twice this.
NECK_MM = 3.0
# Air at the picture's frame that is smaller than this is not a lung cut by the frame, mm2.
SMALLEST_CUT_MM2 = 200.0
# Air behind a bottleneck is looked at by itself if it is larger than this, mm2.
SMALLEST_POCKET_MM2 = 600.0
# A pixel and its four neighbours within the slice.
FOUR_SIDES = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], bool)
# Clinical scanners give air -1000; an estimate beyond these bounds is something else.
AIR_BETWEEN_HU = (-1024, -950)


@dataclass(frozen=True)
class Air:
    """Air of a scan on one grid.

    Attributes
    ----------
    inside
        Air within the patient (lungs, airways, bowel ...), ``(z, y, x)`` bool.
    air_hu
        HU of pure air in this scan.
    """

    inside: MaskArray
    air_hu: float


def separate_body_air(
    ct: HuArray,
    threshold_hu: float,
    spacing_mm: Triple,
    field_of_view: MaskArray | None = None,
) -> Air:
    """Air darker than `threshold_hu` inside the patient, and the HU of pure air.

    Inside is air with the body on at least three of its four sides within its axial slice. So a
    lung cut by the border of the image or of the field of view is kept, and air under the table is
    not, although both touch the border. Where a gap joins a lung to outside air (a thin chest wall,
    a drain), the two are separated at the bottleneck. A trachea that is open to the outside at the
    top slice or through the mouth does no harm, because each slice is looked at by itself.

    Parameters
    ----------
    ct : (z, y, x) int16
    threshold_hu
        Voxels darker than this are air.
    spacing_mm
    field_of_view : (z, y, x) bool, optional
        False where there is no image (padding).

    Examples
    --------
    >>> ct = np.full((2, 60, 60), -1000, np.int16)
    >>> ct[:, 10:50, 10:50] = 40
    >>> ct[:, 20:40, 20:40] = -850
    >>> air = separate_body_air(ct, -500.0, (2.0, 2.0, 2.0))
    >>> int(air.inside.sum()), air.air_hu
    (800, -1000.0)
    """
    from scipy.ndimage import binary_dilation

    air: MaskArray = ct < threshold_hu
    framed = np.zeros(ct.shape, bool)
    framed[:, [0, -1], :] = True
    framed[:, :, [0, -1]] = True
    unseen = None
    if field_of_view is not None:
        unseen = ~field_of_view
        air &= field_of_view
        framed |= binary_dilation(unseen, FOUR_SIDES)
    air_hu = pure_air_hu(ct[air & framed])
    surrounded = _within_body(ct, threshold_hu, spacing_mm)
    pixel_mm2 = spacing_mm[1] * spacing_mm[2]
    pieces, n_pieces = axial_components(air)
    pixels = sizes(pieces, n_pieces)
    area_mm2 = pixels * pixel_mm2
    enclosed = shares_in(pieces, pixels, surrounded & air) > 0.5
    at_frame = np.zeros(n_pieces + 1, bool)
    at_frame[pieces[framed & air]] = True
    enclosed &= ~at_frame | (area_mm2 >= SMALLEST_CUT_MM2)
    inside: MaskArray = enclosed[pieces] & air
    inside |= _behind_necks(air & ~inside, surrounded, unseen, spacing_mm)
    return Air(inside, air_hu)


def _behind_necks(
    outside: MaskArray, surrounded: MaskArray, unseen: MaskArray | None, spacing_mm: Triple
) -> MaskArray:
    """Lungs open to the outside, which hide in pieces of air that are outside as a whole."""
    from scipy.ndimage import binary_dilation, binary_erosion

    pixel_mm2 = spacing_mm[1] * spacing_mm[2]
    found = np.zeros_like(outside)
    suspects = np.count_nonzero(outside & surrounded, axis=(1, 2)) * pixel_mm2
    # Few slices have so much; the others need no second look.
    slices = np.flatnonzero(suspects > SMALLEST_POCKET_MM2)
    if len(slices) == 0:
        return found
    rest, around = outside[slices], surrounded[slices]
    core = rest if unseen is None else rest | unseen[slices]
    steps = max(1, round(NECK_MM / min(spacing_mm[1:])))
    # What lies beyond the slice counts as air: a lung at the picture's border has no neck there.
    core = binary_erosion(core, FOUR_SIDES, iterations=steps, border_value=1) & rest
    cores, count = axial_components(core)
    voxels = sizes(cores, count)
    lost = (shares_in(cores, voxels, around & core) > 0.8) & (
        voxels * pixel_mm2 > SMALLEST_POCKET_MM2
    )
    regained: MaskArray = binary_dilation(lost[cores] & core, FOUR_SIDES, iterations=steps)
    found[slices] = regained & rest
    return found


def _within_body(ct: HuArray, threshold_hu: float, spacing_mm: Triple) -> MaskArray:
    """Voxels with the patient's body around them; seen in blocks, which is enough for a body."""
    factors = block_factors(spacing_mm, BODY_BLOCK_MM)
    tissue = block_mean(ct, factors) >= threshold_hu
    opened = open_mm(tissue, BODY_OPEN_MM, block_spacing(spacing_mm, factors))
    body = largest(opened, connectivity=6)
    return Zoom((ct.shape[0], ct.shape[1], ct.shape[2]), factors).whole(_surrounded(body))


def _surrounded(body: MaskArray) -> MaskArray:
    """Voxels with `body` on at least three of their four sides in the axial slice."""
    sides = np.zeros(body.shape, np.uint8)
    for axis in (1, 2):
        n = body.shape[axis]
        any_body = body.any(axis=axis)
        first = np.where(any_body, body.argmax(axis=axis), n)
        last = np.where(any_body, n - 1 - np.flip(body, axis).argmax(axis=axis), -1)
        place = np.arange(n).reshape((-1, 1) if axis == 1 else (1, -1))
        sides += place > np.expand_dims(first, axis)
        sides += place < np.expand_dims(last, axis)
    return sides >= 3


def pure_air_hu(at_frame: HuArray) -> float:
    """HU of pure air, from the air at a picture's frame: ``(n,)`` int16.

    Examples
    --------
    >>> pure_air_hu(np.array([-998, -996, -994, -850, -850], np.int16))
    -996.0
    """
    if len(at_frame) == 0:
        return PURE_AIR_HU
    # The frame may run through a lung; the darker part of what it shows is outside air.
    return float(np.clip(np.percentile(at_frame, 25), *AIR_BETWEEN_HU))
