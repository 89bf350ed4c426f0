"""Chest -> scan and truth, on any grid: flipped, oblique, coarse or fine, of any part of it.

Rendering runs over slabs of slices, so that its arrays fit into the processor's cache. On a grid
much finer in plane than a scanner resolves, the large parts may be rendered at half the resolution
and interpolated (`halve`); vessels and nodules are always drawn on the grid itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lungseg.ops.hu.hounsfield import PURE_AIR_HU
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.phantom import bones, lesions, organs, scanner
from lungseg.phantom.anatomy import (
    cavity_depth,
    core_depth,
    diaphragm_height,
    trunk_depth,
)
from lungseg.phantom.chest import Chest, Phantom
from lungseg.phantom.nodules import occupancy
from lungseg.phantom.shapes import Frame, cover, cover_sparsely, draw_tubes, edge, ellipsoid, join
from lungseg.phantom.vessels import pulmonary_tree
from lungseg.volume import F32, Geometry, MaskArray, Volume

SLAB_VOXELS = 1_200_000
SOFT_HU, FAT_HU, FLUID_HU, BRONCHUS_HU = 50.0, -98.0, 12.0, 10.0
TUMOUR = (
    ((82.0, -18.0, 38.0), (38.0, 39.0, 37.0)),
    ((58.0, -38.0, 52.0), (26.0, 23.0, 21.0)),
    ((98.0, 6.0, 20.0), (21.0, 23.0, 22.0)),
)


Kind = TypeVar("Kind")


@dataclass(frozen=True, eq=False)
class VoxelNodule:
    """A nodule given as voxels of the grid.

    Attributes
    ----------
    first_zyx
        Index of its box on the grid.
    filled, mask
        ``(z, y, x)`` in the box: its occupancy with soft edges, and the truth.
    hu
        Its value.
    clip
        Whether it ends where the lung ends; otherwise the lung is extended to include it.
    """

    first_zyx: tuple[int, int, int]
    filled: F32
    mask: MaskArray
    hu: float
    clip: bool = False


def render(
    chest: Chest,
    shape: tuple[int, int, int],
    geometry: Geometry,
    *,
    drawn: Sequence[VoxelNodule] = (),
    halve: bool = False,
) -> Phantom:
    """Scan and truth of `chest` on a grid.

    Parameters
    ----------
    chest
        What to render.
    shape, geometry
        The grid, in world coordinates.
    drawn
        Further nodules, given as voxels; their labels follow those of `chest.nodules`.
    halve
        Render large parts at half the in-plane resolution (rows and columns must be even).

    Returns
    -------
    Phantom
        Arrays of `shape`; the same for the same arguments.

    Raises
    ------
    ValueError
        If `halve` meets an odd number of rows or columns.
    """
    if halve and (shape[1] % 2 or shape[2] % 2):
        raise ValueError(f"halving needs even rows and columns, not {shape[1]} x {shape[2]}")
    ct = np.empty(shape, np.int16)
    lungs = np.empty(shape, np.uint8)
    nodules = np.zeros(shape, np.uint16)
    airways, vessels, airless = (np.empty(shape, bool) for _ in range(3))
    findings = np.zeros(shape, np.uint8)
    thick = max(4, (2 if halve else 1) * SLAB_VOXELS // (shape[1] * shape[2]))
    for first in range(0, shape[0], thick):
        slab = slice(first, min(first + thick, shape[0]))
        part = _Slab(chest, (slab.stop - first, *shape[1:]), geometry.moved((first, 0, 0)), first)
        part.drawn = drawn
        part.render(halve=halve)
        np.clip(part.ct, -1024, 3071, out=part.ct)
        ct[slab] = np.rint(part.ct)
        lungs[slab], nodules[slab] = part.lungs, part.nodules
        airways[slab], vessels[slab], airless[slab] = part.airways, part.vessels, part.airless
        findings[slab] = part.findings
    if chest.padding_hu is not None:
        ct[:, scanner.outside_circle(*shape[1:])] = chest.padding_hu
    volume = Volume(ct, geometry)
    return Phantom(
        ct=volume,
        lungs=volume.like(lungs),
        nodules=volume.like(nodules),
        airways=volume.like(airways),
        vessels=volume.like(vessels),
        airless=volume.like(airless),
        findings=volume.like(findings),
        chest=chest,
    )


class _Slab:
    """Some slices of the scan while they are rendered."""

    def __init__(
        self, chest: Chest, shape: tuple[int, int, int], geometry: Geometry, first: int
    ) -> None:
        self.chest, self.shape, self.geometry, self.first = chest, shape, geometry, first
        self.frame = Frame.of(shape, geometry, chest.centre_xyz_mm, chest.scale_xyz)
        self.ct: F32 = np.full(shape, PURE_AIR_HU, np.float32)
        self.lung: F32 = np.zeros((1, 1, 1), np.float32)
        self.airways = self.airless = self.vessels = np.zeros((1, 1, 1), bool)
        self.lungs: npt.NDArray[np.uint8] = np.zeros((1, 1, 1), np.uint8)
        self.nodules = np.zeros(shape, np.uint16)
        self.findings = np.zeros(shape, np.uint8)
        self.drawn: Sequence[VoxelNodule] = ()

    def render(self, *, halve: bool) -> None:
        """Paint everything."""
        chest = self.chest
        if halve:
            coarse = _Slab(chest, *_halved(self.shape, self.geometry), self.first)
            coarse.render_body()
            self.ct, self.lung = doubled(coarse.ct), doubled(coarse.lung)
            self.airways, self.airless = (
                _repeated(mask) for mask in (coarse.airways, coarse.airless)
            )
            self.findings = coarse.findings.repeat(2, axis=1).repeat(2, axis=2)
        else:
            self.render_body()
        self._fine_parts()
        scanner.add_noise(self.ct, chest.noise_hu, self.geometry.spacing_mm, self.first, chest.seed)

    def render_body(self) -> None:
        """Paint everything but vessels and nodules; settle where the lungs are."""
        f, chest = self.frame, self.chest
        x, y, z = f.x, f.y, f.z
        ct = self.ct
        skin = trunk_depth(x, y, z)
        if chest.table:
            organs.table(f, ct)
        if chest.arms_down:
            organs.arms(f, ct)
        cover(ct, edge(skin, f.width_xy), FAT_HU)
        cover(ct, edge(skin - np.float32(chest.build.fat_mm), f.width_xy), SOFT_HU)
        depth = cavity_depth(x, y, z)
        inside = edge(depth, f.width_xy)
        cover(ct, inside, FAT_HU)
        organs.abdomen(f, ct, inside, contrast=chest.contrast, bowel_gas=chest.bowel_gas)
        for label, finding in self._of(lesions.Gas):
            gas = np.minimum(lesions.gas_under_dome(finding, chest.build, f), inside)
            cover_sparsely(ct, gas, organs.GAS_HU)
            self.findings[gas >= 0.5] = label
        blood = organs.heart_and_vessels(f)
        cover(ct, blood, organs.CONTRAST_HU if chest.contrast else organs.BLOOD_HU)
        bones.ribs(f, ct, depth)
        bones.spine(f, ct)
        bones.shoulder_girdle(f, ct, edge(skin - np.float32(6.0), f.width_xy))
        wall = organs.central_airways(f, organs.WALL_MM)
        lumen = organs.central_airways(f)
        cover(ct, wall, SOFT_HU)
        self._lungs(inside, blood, wall)
        cover(ct, lumen, organs.GAS_HU)
        if chest.open_trachea:
            way = organs.tracheostoma(f, ct)
            np.maximum(lumen, way * (skin > 0), out=lumen)
        self.airways = lumen >= 0.5

    def _lungs(self, inside: F32, blood: F32, wall: F32) -> None:
        f, chest = self.frame, self.chest
        x, y, z = f.x, f.y, f.z
        height, steepness = diaphragm_height(chest.build, x, y)
        width = np.maximum(f.width_z / steepness, np.float32(f.width_xy))
        lung = np.minimum(inside, edge((z - height) / steepness, width))
        core = edge(core_depth(chest.build, x, y, z), f.width_xy)
        lung = np.minimum(lung, 1 - np.maximum(np.maximum(core, blood), wall))
        if chest.build.single:
            gone = np.minimum(lung, edge(-x, f.width_xy) + 0 * lung)
            cover(self.ct, gone, FLUID_HU)
            lung -= gone
        if chest.effusion:
            fluid = np.minimum(lung, self._fluid())
            cover(self.ct, fluid, FLUID_HU)
            lung -= fluid
        pressed = self._without_fluid_and_hernia(lung)
        self.lung = lung
        tile = scanner.mottle(round(float(self.geometry.spacing_mm[1]), 3), chest.seed)
        hu = np.float32(-868.0) + np.float32(0.45) * y + z * np.float32(-0.08)
        cover(self.ct, lung, hu + 9 * scanner.window_of(tile, self.shape, self.first))
        for _, finding in self._of(lesions.Emphysema):
            lesions.paint_emphysema(finding, f, self.ct, lung, chest.seed)
        self._airless(pressed)

    def _of(self, kind: type[Kind]) -> list[tuple[int, Kind]]:
        """The findings of one kind, each with its label."""
        return [(n, f) for n, f in enumerate(self.chest.findings, 1) if isinstance(f, kind)]

    def _without_fluid_and_hernia(self, lung: F32) -> F32:
        """Take pleural fluid and a hernia out of `lung`; return what the fluid presses on."""
        f = self.frame
        pressed = np.zeros(f.shape, np.float32)
        for label, effusion in self._of(lesions.Effusion):
            depth = lesions.fluid_depth(effusion, f.x, f.y, f.z)
            fluid = np.minimum(lung, edge(depth, f.width_xy))
            cover_sparsely(self.ct, fluid, FLUID_HU)
            lung -= fluid
            self.findings[fluid >= 0.5] = label
            np.maximum(pressed, edge(depth + effusion.pressed_mm, f.width_xy), out=pressed)
        for label, hernia in self._of(lesions.Hernia):
            sac, gas = lesions.hernia_parts(hernia, f)
            cover_sparsely(self.ct, sac, lesions.WALL_HU)
            cover_sparsely(self.ct, gas, organs.GAS_HU)
            np.minimum(lung, 1 - sac, out=lung)
            self.findings[sac >= 0.5] = label
        return np.asarray(np.minimum(pressed, lung))

    def _fluid(self) -> F32:
        """Pleural effusion on the right: behind the lung, rising along the wall."""
        f = self.frame
        level = np.float32(48.0) + np.float32(0.42) * (f.z + np.float32(70.0))
        depth = f.y - np.minimum(level, np.float32(86.0))
        depth = np.maximum(depth, np.float32(-116.0) - f.z - np.float32(0.2) * f.x)
        return np.minimum(edge(depth, f.width_xy), edge(-f.x, f.width_xy))

    def _airless(self, blank: F32) -> None:
        """Paint what has no air into the lung: `blank`, lobes, a tumour."""
        f, chest = self.frame, self.chest
        if chest.collapsed_lobe:
            x, y, z = f.x, f.y, f.z
            side = (x + np.float32(36.0) + np.float32(0.42) * (z - np.float32(18.0))) / 1.08
            wedge = np.minimum(np.minimum(side, -x), z - np.float32(18.0))
            wedge = np.minimum(wedge, np.float32(62.0) - y)
            np.maximum(blank, edge(wedge, f.width_xy), out=blank)
        if chest.tumour:
            for centre, radii in TUMOUR:
                join(blank, ellipsoid(f, centre, radii))
        np.minimum(blank, self.lung, out=blank)
        cover_sparsely(self.ct, blank, 40.0)
        for label, lobe in self._of(lesions.Lobe):
            filled = lesions.paint_lobe(lobe, f, self.ct, self.lung, chest.seed)
            self.findings[filled >= 0.5] = label
            np.maximum(blank, filled, out=blank)
        self.airless = blank >= 0.5

    def _fine_parts(self) -> None:
        """Draw vessels, bronchi and nodules, and the truth about them."""
        f, chest = self.frame, self.chest
        drawn = np.zeros(f.shape, np.float32)
        draw_tubes(f, drawn, pulmonary_tree(chest.build, chest.seed))
        np.minimum(drawn, self.lung, out=drawn)
        cover_sparsely(self.ct, drawn, organs.CONTRAST_HU if chest.contrast else organs.BLOOD_HU)
        for _, vessel in self._of(lesions.ThickVessel):
            tube = lesions.paint_vessel(vessel, f, self.ct, self.lung, contrast=chest.contrast)
            np.maximum(drawn, tube, out=drawn)
        self.vessels = drawn >= 0.5
        for _, lobe in self._of(lesions.Lobe):
            lesions.paint_bronchograms(lobe, chest.build, f, self.ct, self.lung, chest.seed)
        for wall_mm, hu in ((organs.WALL_MM, BRONCHUS_HU), (0.0, organs.GAS_HU)):
            drawn.fill(0.0)
            draw_tubes(f, drawn, organs.widened(organs.LOBAR_BRONCHI, wall_mm))
            np.minimum(drawn, self.lung, out=drawn)
            cover_sparsely(self.ct, drawn, hu)
        for label, bulla in self._of(lesions.Bulla):
            filled = lesions.paint_bulla(bulla, f, self.ct, self.lung)
            self.findings[filled >= 0.5] = label
        side = np.where(f.x < 0, np.uint8(RIGHT), np.uint8(LEFT))
        self.lungs = np.asarray((self.lung >= 0.5) * side, np.uint8)
        for label, nodule in enumerate(chest.nodules, 1):
            seen = occupancy(f, nodule, chest.seed)
            if seen is None:
                continue
            box, body, extra = seen
            clip = self.lung[box]
            body, extra = np.minimum(body, clip), np.minimum(extra, clip)
            cover(self.ct[box], body, nodule.hu)
            cover(self.ct[box], extra, 20.0)
            self.nodules[box][body >= 0.5] = label
        self._draw(len(chest.nodules))

    def _draw(self, labelled: int) -> None:
        """Paint the nodules given as voxels; the lung is extended to include them."""
        for label, nodule in enumerate(self.drawn, labelled + 1):
            z, y, x = nodule.first_zyx
            depth, rows, columns = nodule.mask.shape
            start, stop = max(z - self.first, 0), min(z - self.first + depth, self.shape[0])
            if start >= stop:
                continue
            box = (slice(start, stop), slice(y, y + rows), slice(x, x + columns))
            inner = slice(start + self.first - z, stop + self.first - z)
            filled, mask = nodule.filled[inner], nodule.mask[inner]
            if nodule.clip:
                filled = np.minimum(filled, self.lung[box])
                mask = mask & (self.lung[box] >= 0.5)
            cover(self.ct[box], filled, nodule.hu)
            self.nodules[box][mask] = label
            right = np.broadcast_to(self.frame.x < 0, self.shape)[box]
            self.lungs[box][mask] = np.where(right[mask], RIGHT, LEFT)


def _halved(
    shape: tuple[int, int, int], geometry: Geometry
) -> tuple[tuple[int, int, int], Geometry]:
    """The grid with pixels twice as wide and high that covers the same plane."""
    z, y, x = geometry.spacing_mm
    moved = geometry.moved((0.0, 0.5, 0.5))
    half = Geometry((z, 2 * y, 2 * x), moved.origin_xyz_mm, geometry.direction_xyz)
    return (shape[0], shape[1] // 2, shape[2] // 2), half


def _repeated(mask: MaskArray) -> MaskArray:
    return mask.repeat(2, axis=1).repeat(2, axis=2)


def doubled(array: F32) -> F32:
    """Twice the rows and columns by linear interpolation between the pixels' centres."""
    n, rows, columns = array.shape
    tall = np.empty((n, 2 * rows, columns), np.float32)
    _interpolate(array, tall, 1)
    wide = np.empty((n, 2 * rows, 2 * columns), np.float32)
    _interpolate(tall, wide, 2)
    return wide


def _interpolate(array: F32, out: F32, axis: int) -> None:
    values, target = np.moveaxis(array, axis, -1), np.moveaxis(out, axis, -1)
    near, far = np.float32(0.75) * values, np.float32(0.25) * values
    np.add(near[..., 1:], far[..., :-1], out=target[..., 2::2])
    np.add(near[..., :-1], far[..., 1:], out=target[..., 1:-1:2])
    # Beyond the outermost centres the edge pixel goes on.
    target[..., 0], target[..., -1] = values[..., 0], values[..., -1]
