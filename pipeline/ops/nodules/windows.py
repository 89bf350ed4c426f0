"""Windows around nodules: several of one scan joined, and brought to the working grid.

A window shows a nodule and what lies around it, on the slices that the nodule is on. Nothing is
known outside it, and nothing is made up there: no value is carried beyond the outermost pixels
and slices, nor over slices that are missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.ranking import highest_ranked
from lungseg.ops.nodules.consensus import count_votes
from lungseg.ops.nodules.patches import Patch
from lungseg.ops.nodules.voted_nodule import VotedNodule
from lungseg.volume import F32, FloatArray, HuArray, IntArray, MaskArray

MISSING = 1.6
"""A gap of more than so many times the median gap has slices missing in it."""

SNAP = 1e-6
"""A position this close to a pixel's centre, in pixels, is that centre."""

SAME_Z_MM = 0.01
"""Slices of one scan that are no farther apart are one slice."""


@dataclass(frozen=True)
class Place:
    """Where a window lies in its scan.

    Attributes
    ----------
    first_yx
        Pixel of the whole slice at which it begins; None if that is not known.
    shape_yx
        Its pixels.
    z_mm
        World z of its first and its last slice.
    """

    first_yx: tuple[int, int] | None
    shape_yx: tuple[int, int]
    z_mm: tuple[float, float]

    def overlaps(self, other: "Place") -> bool:
        """Whether a voxel may lie in both.

        Examples
        --------
        >>> one = Place((0, 0), (128, 128), (-100.0, -90.0))
        >>> one.overlaps(Place((127, 0), (128, 128), (-90.0, -80.0)))
        True
        >>> one.overlaps(Place((128, 0), (128, 128), (-90.0, -80.0)))
        False
        """
        if self.first_yx is None or other.first_yx is None:
            return False
        mine = zip(self.first_yx, self.shape_yx, strict=True)
        theirs = zip(other.first_yx, other.shape_yx, strict=True)
        in_plane = all(a < b + m and b < a + n for (a, n), (b, m) in zip(mine, theirs, strict=True))
        return in_plane and self.z_mm[0] <= other.z_mm[1] and other.z_mm[0] <= self.z_mm[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class NoduleSlices:
    """One nodule: its slices, cut to a window, and what each annotator drew.

    Attributes
    ----------
    patient, series, nodule
        PatientID, SeriesInstanceUID (the patient, where it is not known), and the nodule's name
        within the patient.
    hu
        ``(z, y, x)`` int16 HU, native pixels, z ascending.
    masks
        ``(annotator, z, y, x)`` bool.
    z_mm
        ``(z,)`` world z of the slices, LPS mm, ascending.
    pixel_mm
        Distance of pixels along y and x.
    first_yx
        Pixel of the whole slice at which the window begins; None if it is not known.

    Examples
    --------
    >>> drawn = np.array([[[[True, True]]], [[[False, True]]]])
    >>> nodule = NoduleSlices(
    ...     patient="P", series="S", nodule="1", hu=np.zeros((1, 1, 2), np.int16), masks=drawn,
    ...     z_mm=np.array([-80.0]), pixel_mm=0.7, first_yx=(131, 281),
    ... )
    >>> nodule.votes.tolist()
    [[[1, 2]]]
    """

    patient: str
    series: str
    nodule: str
    hu: HuArray
    masks: MaskArray
    z_mm: FloatArray
    pixel_mm: float
    first_yx: tuple[int, int] | None

    @property
    def votes(self) -> npt.NDArray[np.uint8]:
        """Annotators of each voxel, ``(z, y, x)``."""
        votes: npt.NDArray[np.uint8] = self.masks.sum(axis=0, dtype=np.uint8)
        return votes


@dataclass(frozen=True, eq=False)
class Canvas:
    """Windows of one scan that overlap, laid on one grid of native pixels.

    Attributes
    ----------
    hu, known
        ``(z, y, x)``: HU, and where there is one; 0 elsewhere.
    masks
        For each nodule what each annotator drew, ``(annotator, z, y, x)``.
    z_mm, pixel_mm
        World z of the slices, and the distance of pixels.
    """

    hu: HuArray
    known: MaskArray
    masks: tuple[MaskArray, ...]
    z_mm: FloatArray
    pixel_mm: float


@dataclass(frozen=True, eq=False)
class WorkingWindow:
    """A canvas on the working grid, in the middle of a square.

    Attributes
    ----------
    hu, known
        ``(row, y, x)``: HU, and where there is one; 0 elsewhere.
    z_index
        ``(row,)`` slice of the working grid that each row is; slice 0 is the canvas' first.
    nodules
        On these rows, in the canvas' order; None for one that no row shows.
    """

    hu: HuArray
    known: MaskArray
    z_index: npt.NDArray[np.int32]
    nodules: tuple[VotedNodule | None, ...]


def overlapping(places: Sequence[Place]) -> list[list[int]]:
    """Which windows of one scan show the same place: groups of their indices, first ones first.

    Two belong together if they overlap, or if a third joins them. A window whose place is not
    known stays alone.

    Examples
    --------
    >>> at = [0, 500, 90, 180]
    >>> overlapping([Place((0, x), (100, 100), (0.0, 9.0)) for x in at])
    [[0, 2, 3], [1]]
    """
    group = list(range(len(places)))
    for one, place in enumerate(places):
        for other in range(one):
            if place.overlaps(places[other]):
                both = {group[one], group[other]}
                group = [min(both) if each in both else each for each in group]
    return [[k for k, of in enumerate(group) if of == name] for name in sorted(set(group))]


def joined(windows: Sequence[NoduleSlices]) -> Canvas:
    """Lay windows of one scan on one canvas; where two show a pixel, the first one's HU is taken.

    Examples
    --------
    >>> def window(nodule, x, hu):
    ...     return NoduleSlices(
    ...         patient="P", series="S", nodule=nodule, hu=np.full((1, 1, 2), hu, np.int16),
    ...         masks=np.ones((1, 1, 1, 2), bool), z_mm=np.zeros(1), pixel_mm=0.7,
    ...         first_yx=(0, x),
    ...     )
    >>> canvas = joined([window("1", 10, -700), window("2", 11, -690)])
    >>> canvas.hu.tolist(), canvas.masks[1].tolist()
    ([[[-700, -700, -690]]], [[[[False, True, True]]]])
    """
    firsts = np.asarray([window.first_yx or (0, 0) for window in windows])
    low = firsts.min(axis=0)
    ends = firsts + [window.hu.shape[1:] for window in windows]
    z_mm = np.unique(np.concatenate([window.z_mm for window in windows]))
    z_mm = z_mm[np.diff(z_mm, prepend=-np.inf) > SAME_Z_MM]
    shape = (len(z_mm), *(ends.max(axis=0) - low))
    hu, known = np.zeros(shape, np.int16), np.zeros(shape, bool)
    masks = []
    for window, first in zip(windows, firsts - low, strict=True):
        planes = np.abs(z_mm - window.z_mm[:, None]).argmin(axis=1)
        y, x = (slice(f, f + n) for f, n in zip(first, window.hu.shape[1:], strict=True))
        hu[planes, y, x] = np.where(known[planes, y, x], hu[planes, y, x], window.hu)
        known[planes, y, x] = True
        drawn = np.zeros((len(window.masks), *shape), bool)
        drawn[:, planes, y, x] = window.masks
        masks.append(drawn)
    return Canvas(hu, known, tuple(masks), z_mm, windows[0].pixel_mm)


def pixels_needed(places: Sequence[Place], pixel_mm: float, spacing_mm: float) -> int:
    """Edge of the square that holds joined windows on the working grid, pixels.

    Examples
    --------
    >>> one, other = (Place((0, x), (128, 128), (0.0, 9.0)) for x in (0, 64))
    >>> pixels_needed([one], 0.5, spacing_mm=1.0), pixels_needed([one, other], 0.5, spacing_mm=1.0)
    (64, 96)
    """
    firsts = np.asarray([place.first_yx or (0, 0) for place in places])
    ends = firsts + [place.shape_yx for place in places]
    longest = int((ends.max(axis=0) - firsts.min(axis=0)).max())
    return 2 * int(np.floor((longest - 1) / 2 * pixel_mm / spacing_mm + 0.5 + SNAP))


def on_working_grid(canvas: Canvas, spacing_mm: float, size: int) -> WorkingWindow:
    """Resample a canvas: HU linearly, each annotator's mask with the volume it has on these rows.

    The voxels of a mask are ranked by linear interpolation and taken until its volume is met, as
    `lungseg.ops.nodules.patches.resample_mask` does for whole scans.

    Parameters
    ----------
    canvas
        Of native pixels.
    spacing_mm
        Distance of voxels on the working grid, along all axes.
    size
        Edge of the square, even; the canvas' middle comes to its middle.

    Examples
    --------
    >>> ramp = np.arange(0, 400, 100, dtype=np.int16).reshape(1, 1, 4).repeat(4, axis=1)
    >>> canvas = Canvas(ramp, ramp >= 0, (ramp[None] >= 200,), np.zeros(1), pixel_mm=0.5)
    >>> window = on_working_grid(canvas, spacing_mm=1.0, size=4)
    >>> window.hu[0, 1].tolist(), window.known[0, 1].tolist()
    ([0, 50, 250, 0], [False, True, True, False])
    >>> nodule = window.nodules[0]
    >>> nodule.votes.tolist(), nodule.first_zyx
    ([[[1], [1]]], (0, 1, 2))
    """
    z_index, z_at = working_slices(canvas.z_mm, spacing_mm)
    from_middle = (np.arange(size) - (size - 1) / 2) * spacing_mm / canvas.pixel_mm
    taps = [
        _Taps.at(z_at, len(canvas.z_mm)),
        *(_Taps.at(from_middle + (n - 1) / 2, n) for n in canvas.hu.shape[1:]),
    ]
    known = _sampled(canvas.known, taps) > 1 - 1e-4
    hu = np.where(known, np.rint(_sampled(canvas.hu, taps)), 0).astype(np.int16)
    nodules = tuple(
        _nodule(masks, taps, (canvas.pixel_mm / spacing_mm) ** 2, known) for masks in canvas.masks
    )
    return WorkingWindow(hu, known, z_index, nodules)


def working_slices(z_mm: FloatArray, spacing_mm: float) -> tuple[npt.NDArray[np.int32], FloatArray]:
    """Slices of the working grid that lie between the slices `z_mm`, and where between them.

    Slices that stand alone or closer than the grid have the one nearest to them. Where slices are
    missing there is none.

    Returns
    -------
    z_index, position
        Slices of the working grid, counted from the first of `z_mm`; what they are made of, as
        fractional indices of `z_mm`.

    Examples
    --------
    >>> z_index, position = working_slices(np.array([0.0, 2.5, 5.0]), 1.0)
    >>> z_index.tolist(), position.tolist()
    ([0, 1, 2, 3, 4, 5], [0.0, 0.4, 0.8, 1.2, 1.6, 2.0])
    >>> z_index, position = working_slices(np.array([0.0, 1.5, 3.0, 7.5, 12.0, 13.5]), 1.0)
    >>> z_index.tolist(), position.round(2).tolist()
    ([0, 1, 2, 3, 8, 12, 13], [0.0, 0.67, 1.33, 2.0, 3.0, 4.0, 4.67])
    >>> working_slices(np.array([-80.0]), 1.0)[0].tolist()
    [0]
    """
    steps = np.diff(z_mm)
    usual = float(np.median(steps)) if steps.size else np.inf
    starts = np.flatnonzero(steps > MISSING * usual) + 1
    rows: dict[int, float] = {}
    for run in np.split(np.arange(len(z_mm)), starts):
        of_run = (z_mm[run] - z_mm[0]) / spacing_mm
        inside = np.arange(int(np.ceil(of_run[0] - SNAP)), int(np.floor(of_run[-1] + SNAP)) + 1)
        if not inside.size:
            inside = np.rint([(of_run[0] + of_run[-1]) / 2]).astype(np.int64)
        for row, position in zip(inside, np.interp(inside, of_run, run), strict=True):
            rows.setdefault(int(row), float(position))
    z_index = np.asarray(sorted(rows), np.int32)
    return z_index, np.asarray([rows[int(row)] for row in z_index])


@dataclass(frozen=True, eq=False)
class _Taps:
    """Linear interpolation along one axis: two samples and what each counts, by position."""

    index: IntArray
    weight: F32

    @classmethod
    def at(cls, positions: FloatArray, n: int) -> "_Taps":
        """Of `n` samples; beyond them nothing counts."""
        whole = np.rint(positions)
        positions = np.where(np.abs(positions - whole) < SNAP, whole, positions)
        index = np.floor(positions).astype(np.int64)[:, None] + (0, 1)
        weight = np.maximum(0.0, 1.0 - np.abs(positions[:, None] - index))
        weight[(positions < 0) | (positions > n - 1)] = 0
        return cls(index.clip(0, n - 1), weight.astype(np.float32))

    def within(self, part: slice) -> tuple["_Taps", slice]:
        """For the samples of `part` alone, and the positions at which any of them counts."""
        weight = np.where((self.index >= part.start) & (self.index < part.stop), self.weight, 0)
        reached = np.flatnonzero(weight.any(axis=1))
        ends = slice(reached[0], reached[-1] + 1) if reached.size else slice(0, 0)
        index = (self.index[ends] - part.start).clip(0, part.stop - part.start - 1)
        return _Taps(index, weight[ends]), ends

    def sample(self, array: F32, axis: int) -> F32:
        """`array`, sampled along one of its axes."""
        shape = [1] * array.ndim
        shape[axis] = -1
        sampled: F32 = np.zeros(1, np.float32)
        for tap in (0, 1):
            weight = self.weight[:, tap].reshape(shape)
            sampled = sampled + array.take(self.index[:, tap], axis) * weight
        return sampled


def _sampled(array: npt.NDArray[np.generic], taps: Sequence[_Taps]) -> F32:
    sampled = array.astype(np.float32)
    # The planes first: they become fewer pixels, and the slices more.
    for axis in (1, 2, 0):
        sampled = taps[axis].sample(sampled, axis)
    return sampled


def _nodule(
    masks: MaskArray, taps: Sequence[_Taps], pixels: float, known: MaskArray
) -> VotedNodule | None:
    patches = [patch for mask in masks if (patch := _patch(mask, taps, pixels, known)) is not None]
    if not patches:
        return None
    votes, first_zyx = count_votes(patches)
    return VotedNodule(votes, first_zyx, readers=len(masks))


def _patch(mask: MaskArray, taps: Sequence[_Taps], pixels: float, known: MaskArray) -> Patch | None:
    """One annotator's mask on the rows; a native pixel has the area of `pixels` working ones."""
    box = bounding_box(mask)
    if box is None:
        return None
    part = mask[box].astype(np.float32)
    inner, ends = zip(*(t.within(s) for t, s in zip(taps, box, strict=True)), strict=True)
    if not all(len(each.index) for each in inner):
        return None
    value = _sampled(part, inner).round(5)
    wanted = float(inner[0].sample(part.sum(axis=(1, 2)), 0).sum()) * pixels
    # Of voxels that are covered equally, those nearest to the middle.
    covered = value if value.any() else np.ones_like(value)
    places = np.moveaxis(np.indices(value.shape), 0, -1)
    middle = (places * covered[..., None]).sum(axis=(0, 1, 2)) / covered.sum()
    away = ((places - middle) ** 2).sum(axis=-1).round(5)
    chosen = highest_ranked(covered, max(1, round(wanted)), above=0, distance=away)
    # Next to its last slice a mask fades out; another window may not show all that it fades over.
    chosen &= known[ends]
    z, y, x = (int(end.start) for end in ends)
    return Patch(chosen, (z, y, x)) if chosen.any() else None
