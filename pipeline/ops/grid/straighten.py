"""Straighten a stack of slices: an even, orthogonal grid from where the slices truly lie.

Along the normal a new slice is the linear mix of the two that it lies between; a slice of a
tilted gantry is first moved sideways in its own plane to where its pixels are (the true shear, not
a rotation), on a canvas that holds all of them. Nothing is made up beyond the first and last slice
or the edge of a plane, and padding is never mixed with tissue.
"""

import numpy as np

from lungseg.ops.grid.slices import StackGeometry
from lungseg.volume import F32, FloatArray, HuArray

UNSEEN_HU = -2048


def straighten(
    stack: HuArray,
    stack_geometry: StackGeometry,
    spacing_yx_mm: tuple[float, float],
    padding_hu: int | None,
) -> tuple[HuArray, FloatArray, int | None]:
    """Stack on the even grid of `stack_geometry`, the shift of its first pixel, and its padding.

    Parameters
    ----------
    stack
        Slices in order, ``(z, y, x) int16`` HU.
    stack_geometry
        Where they lie.
    spacing_yx_mm
        Distance of rows and of columns.
    padding_hu
        Voxels of this HU or less were not seen by the scanner; None if all were.

    Returns
    -------
    grid
        ``(z, y, x) int16``; the stack itself if it is an even, orthogonal grid already.
    first_xy_mm
        Place of the grid's first pixel from the stack's first pixel, along columns and rows.
    padding_hu
        As given, or the value that marks what the canvas of a tilted gantry adds.

    Examples
    --------
    >>> z_mm = np.array([0.0, 2.0, 4.0, 8.0])
    >>> even = np.linspace(0.0, 8.0, 5)
    >>> geometry = StackGeometry(2.0, even, z_mm, np.zeros((4, 2)), 0.0, "holes")
    >>> stack = np.array([0, 10, 20, 40], np.int16).reshape(4, 1, 1)
    >>> grid, first_xy_mm, _ = straighten(stack, geometry, (1.0, 1.0), None)
    >>> grid.ravel().tolist(), first_xy_mm.tolist()
    ([0, 10, 20, 30, 40], [0.0, 0.0])
    """
    if stack_geometry.is_plain:
        return stack, np.zeros(2), padding_hu
    _, rows, columns = stack.shape
    first_mm = stack_geometry.shift_xy_mm.min(axis=0)
    # In pixels, (y, x): how far each slice's first pixel lies from the canvas's.
    offset = (stack_geometry.shift_xy_mm - first_mm)[:, ::-1] / np.asarray(spacing_yx_mm)
    offset[np.abs(offset) < 1e-6] = 0
    more = np.ceil(offset.max(axis=0) - 1e-6).astype(int)
    floor = int(stack.min())
    unseen = padding_hu
    if unseen is None:
        unseen = UNSEEN_HU if floor > UNSEEN_HU else max(floor - 1, -32768)
    out = np.empty((len(stack_geometry.grid_z_mm), rows + more[0], columns + more[1]), np.int16)
    shifted: dict[int, F32] = {}
    for k, z in enumerate(stack_geometry.grid_z_mm):
        below, weight = _between(stack_geometry.z_mm, float(z))
        for j in [j for j in shifted if j < below]:
            del shifted[j]
        for j in (below, below + 1) if weight else (below,):
            if j not in shifted:
                shifted[j] = _moved(stack[j], offset[j], out.shape[1:], unseen)
        plane = shifted[below]
        if weight:
            plane = _mixed(plane, shifted[below + 1], weight, unseen)
        out[k] = np.rint(plane)
    canvas_grew = bool(more.any() or offset.any())
    return out, first_mm, unseen if canvas_grew else padding_hu


def _between(places_mm: FloatArray, z_mm: float) -> tuple[int, float]:
    # Index of the slice at or below, and how far on to the next, 0 to 1.
    below = int(np.clip(np.searchsorted(places_mm, z_mm + 1e-6) - 1, 0, len(places_mm) - 1))
    if below == len(places_mm) - 1:
        return below, 0.0
    weight = (z_mm - places_mm[below]) / (places_mm[below + 1] - places_mm[below])
    return below, float(weight) if weight > 1e-6 else 0.0


def _mixed(one: F32, other: F32, weight: float, unseen: int) -> F32:
    mixed = one + np.float32(weight) * (other - one)
    blind = (one <= unseen) | (other <= unseen)
    mixed[blind] = np.where(weight < 0.5, one, other)[blind]
    return mixed


def _moved(plane: HuArray, offset_px: FloatArray, shape: tuple[int, ...], unseen: int) -> F32:
    # `plane` on the canvas, its first pixel at `offset_px` (y, x).
    moved = plane.astype(np.float32)
    for axis, offset in enumerate(offset_px):
        moved = _moved_along(moved, float(offset), axis, shape[axis], unseen)
    return moved


def _moved_along(plane: F32, offset_px: float, axis: int, size: int, unseen: int) -> F32:
    whole = int(np.floor(offset_px + 1e-6))
    part = max(offset_px - whole, 0.0)
    lines = np.moveaxis(plane, axis, 0)
    canvas = np.full((size, lines.shape[1]), unseen, np.float32)
    if part < 1e-6:
        canvas[whole : whole + len(lines)] = lines
    else:
        # Pixel k of the canvas lies between pixels k - whole - 1 and k - whole of the plane.
        canvas[whole + 1 : whole + len(lines)] = _mixed(lines[1:], lines[:-1], part, unseen)
    return np.moveaxis(canvas, 0, axis)
