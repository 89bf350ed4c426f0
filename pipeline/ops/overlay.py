"""Pictures of a scan: planes through a windowed CT with the outlines of what was found in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.picture_size import resized, resized_mask
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.volume import HU, MaskArray, Volume

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

LUNG_WINDOW_HU = (-1350.0, 150.0)
# Sky blue, green, then yellow to red by votes, white for what was detected: told apart by the
# colour-blind too (after Okabe and Ito 2008).
RIGHT_LUNG: Colour = (86, 180, 233)
LEFT_LUNG: Colour = (0, 200, 120)
BY_VOTES: tuple[Colour, ...] = ((240, 228, 66), (245, 175, 20), (235, 105, 0), (225, 0, 60))
DETECTED: Colour = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Outline:
    """What to draw a line around: the voxels of a volume with a value in ``low .. high``.

    Examples
    --------
    >>> Outline(np.array([0, 1, 2]), DETECTED, low=2).mask.tolist()
    [False, False, True]
    """

    values: npt.NDArray[Any]
    colour: Colour
    low: int = 1
    high: int = int(np.iinfo(np.uint16).max)

    @property
    def mask(self) -> MaskArray:
        """Where it is."""
        return np.asarray((self.values >= self.low) & (self.values <= self.high))


@dataclass(frozen=True, eq=False)
class Panel:
    """One plane as an RGB picture ``(rows, columns, 3)``, and what it shows."""

    picture: Picture
    caption: str


def outlines(
    lungs: npt.NDArray[np.uint8] | None = None,
    votes: npt.NDArray[np.uint8] | None = None,
    detected: npt.NDArray[Any] | None = None,
) -> list[Outline]:
    """What to draw, in fixed colours: right and left lung, nodules by votes, detections.

    Examples
    --------
    >>> lines = outlines(lungs=np.zeros((2, 2, 2), np.uint8))
    >>> [(line.low, line.high, line.colour == RIGHT_LUNG) for line in lines]
    [(1, 1, True), (2, 2, False)]
    """
    lines = []
    if lungs is not None:
        lines += [Outline(lungs, RIGHT_LUNG, RIGHT, RIGHT), Outline(lungs, LEFT_LUNG, LEFT, LEFT)]
    if votes is not None:
        lines += [Outline(votes, colour, k) for k, colour in enumerate(BY_VOTES, 1)]
    if detected is not None:
        lines.append(Outline(detected, DETECTED))
    return lines


def sheet(  # noqa: PLR0913
    ct: Volume[HU],
    lines: Sequence[Outline],
    *,
    region: npt.NDArray[Any] | None = None,
    focus: tuple[int, int, int] | None = None,
    window_hu: tuple[float, float] = LUNG_WINDOW_HU,
    width_px: int = 360,
) -> list[list[Panel]]:
    """Rows of panels of one scan: axial planes, then coronal ones, head up.

    Parameters
    ----------
    ct
        HU on the working grid (z to the head, y to the back, x to the patient's left).
    lines
        What to outline, later ones on top.
    region : (z, y, x), optional
        Planes are set at the quarters of what is not 0 here, else of the whole scan.
    focus : (z, y, x), optional
        A voxel that both rows also cut, first, with a close-up.
    window_hu
        HU shown as black and as white.
    width_px
        Width of every full plane, pixels; heights follow the voxels' true proportions.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> ct = Volume(np.zeros((8, 8, 8), HU), Geometry((1.0, 1.0, 1.0)))
    >>> axial, coronal = sheet(ct, [], width_px=16)
    >>> [panel.caption for panel in axial]
    ['axial z 2.0 mm', 'axial z 4.0 mm', 'axial z 5.0 mm']
    >>> coronal[0].picture.shape
    (16, 16, 3)
    """
    quarters = _quarters(region, ct.shape)
    px_per_mm = width_px / (ct.shape[2] * ct.spacing_mm[2])
    rows = []
    for axis, name, end in ((0, "axial", 2), (1, "coronal", 1)):
        cuts = list(dict.fromkeys(quarters[axis]))
        if focus is not None:
            cuts = [focus[axis], *(k for k in cuts if k != focus[axis])]
        row = [
            Panel(
                _plane(ct, lines, axis, k, px_per_mm, window_hu),
                f"{name} {'xyz'[end]} {_world(ct, axis, k):.1f} mm",
            )
            for k in cuts
        ]
        if focus is not None:
            row.insert(1, Panel(_close_up(ct, lines, axis, focus, window_hu, row[0]), "close-up"))
        rows.append(row)
    return rows


def _world(ct: Volume[HU], axis: int, k: int) -> float:
    index = (np.asarray(ct.shape) - 1) / 2
    index[axis] = k
    return float(ct.geometry.to_world(index)[2 - axis])


def _quarters(region: npt.NDArray[Any] | None, shape: Sequence[int]) -> list[list[int]]:
    box = None if region is None else bounding_box(region != 0)
    ends = [(s.start, s.stop) for s in box] if box else [(0, n) for n in shape]
    return [
        [round(first + (stop - 1 - first) * share) for share in (0.25, 0.5, 0.75)]
        for first, stop in ends
    ]


CLOSE_UP_MM = 60.0


def _close_up(  # noqa: PLR0913, PLR0917
    ct: Volume[HU],
    lines: Sequence[Outline],
    axis: int,
    focus: tuple[int, int, int],
    window_hu: tuple[float, float],
    beside: Panel,
) -> Picture:
    """The plane through `focus`, 60 mm wide, as high as the panel beside it and square at most."""
    part, near = _around(ct, lines, axis, focus)
    down = 1 - axis
    height_mm = part.shape[down] * part.spacing_mm[down]
    width_mm = part.shape[2] * part.spacing_mm[2]
    rows, columns, _ = beside.picture.shape
    return _plane(part, near, axis, 0, min(rows / height_mm, columns / width_mm), window_hu)


def close_ups(
    ct: Volume[HU],
    lines: Sequence[Outline],
    focus: tuple[int, int, int],
    window_hu: tuple[float, float] = LUNG_WINDOW_HU,
    width_px: int = 360,
) -> list[list[Panel]]:
    """Two rows, axial and coronal: the 60 mm around the voxel `focus`, without and with outlines.

    Parameters
    ----------
    ct
        HU on the working grid (z to the head, y to the back, x to the patient's left).
    lines
        What to outline, later ones on top.
    focus : (z, y, x)
        The voxel in the middle.
    window_hu
        HU shown as black and as white.
    width_px
        Width of 60 mm, pixels.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> ct = Volume(np.zeros((80, 80, 80), HU), Geometry((1.0, 1.0, 1.0)))
    >>> axial, coronal = close_ups(ct, [], focus=(40, 30, 35), width_px=60)
    >>> [panel.caption for panel in (*axial, *coronal)]
    ['axial z 40.0 mm', 'outlined', 'coronal y 30.0 mm', 'outlined']
    >>> axial[0].picture.shape
    (61, 61, 3)
    """
    rows = []
    for axis, name, end in ((0, "axial", 2), (1, "coronal", 1)):
        part, near = _around(ct, lines, axis, focus)
        rows.append(
            [
                Panel(_plane(part, shown, axis, 0, width_px / CLOSE_UP_MM, window_hu), caption)
                for shown, caption in (
                    ([], f"{name} {'xyz'[end]} {_world(ct, axis, focus[axis]):.1f} mm"),
                    (near, "outlined"),
                )
            ]
        )
    return rows


def _around(
    ct: Volume[HU], lines: Sequence[Outline], axis: int, focus: tuple[int, int, int]
) -> tuple[Volume[HU], list[Outline]]:
    """One plane of the 60 mm around `focus`, and the outlines of the same part."""
    half = [max(1, round(CLOSE_UP_MM / 2 / mm)) for mm in ct.spacing_mm]
    box = [
        slice(max(0, f - h), min(n, f + h + 1))
        for f, h, n in zip(focus, half, ct.shape, strict=True)
    ]
    box[axis] = slice(focus[axis], focus[axis] + 1)
    part = ct.crop((box[0], box[1], box[2]))
    return part, [Outline(o.values[tuple(box)], o.colour, o.low, o.high) for o in lines]


def _plane(  # noqa: PLR0913, PLR0917
    ct: Volume[HU],
    lines: Sequence[Outline],
    axis: int,
    k: int,
    px_per_mm: float,
    window_hu: tuple[float, float],
) -> Picture:
    down = 1 - axis
    height, width = (max(1, round(ct.shape[a] * ct.spacing_mm[a] * px_per_mm)) for a in (down, 2))
    size = (height, width)
    # Rows run to the feet: z is turned over, y runs to the back already.
    turn = slice(None, None, -1) if down == 0 else slice(None)
    plane = np.moveaxis(ct.array, axis, 0)[k][turn].astype(np.float32)
    grey = windowed(resized(plane, size), window_hu)
    masks = [
        Outline(resized_mask(mask[turn], size), colour) for colour, mask in _masks(lines, axis, k)
    ]
    return outlined(grey, masks)


def _masks(lines: Sequence[Outline], axis: int, k: int) -> Iterator[tuple[Colour, MaskArray]]:
    for line in lines:
        plane = Outline(np.moveaxis(line.values, axis, 0)[k], line.colour, line.low, line.high)
        yield line.colour, plane.mask


def windowed(values: npt.NDArray[Any], window: tuple[float, float]) -> Picture:
    """Grey picture ``(rows, columns)`` of HU or greys, from black to white over the window.

    Examples
    --------
    >>> windowed(np.array([[-2000, -1350, 150, 400]]), LUNG_WINDOW_HU).tolist()
    [[0, 0, 255, 255]]
    """
    low, high = window
    shade = (values.astype(np.float32) - low).clip(0, high - low)
    return np.rint(shade * (255.0 / (high - low))).astype(np.uint8)


def outlined(picture: Picture, lines: Sequence[Outline]) -> Picture:
    """The picture, grey or RGB, as RGB with the outlines of masks of its size, later on top.

    Examples
    --------
    >>> mask = np.array([[False, True]])
    >>> outlined(np.zeros((1, 2), np.uint8), [Outline(mask, DETECTED)]).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    drawn = picture.copy() if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
    for line in lines:
        mask = line.mask
        if mask.any():
            drawn[edge_of(mask)] = line.colour
    return drawn


def edge_of(mask: MaskArray) -> MaskArray:
    """Pixels of a mask that have one of their four neighbours outside of it.

    Examples
    --------
    >>> mask = np.zeros((5, 5), bool)
    >>> mask[1:4, 1:4] = True
    >>> edge = edge_of(mask)
    >>> int(edge.sum()), bool(edge[2, 2])
    (8, False)
    """
    from skimage.segmentation import find_boundaries

    return np.asarray(find_boundaries(mask, connectivity=1, mode="inner"), bool)
