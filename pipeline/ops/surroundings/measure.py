"""What is around a candidate, in one: its place in the lungs, and what it touches."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lungseg.ops.grid.boxes import bounding_box, widened
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.ops.nodules.location import locate, lung_heights
from lungseg.ops.nodules.patches import Patch, clipped
from lungseg.ops.surroundings.ribs import between_lungs, enclosed_by_lungs, touches_rib
from lungseg.ops.surroundings.scan_ends import at_scan_end
from lungseg.ops.surroundings.strands import strands
from lungseg.volume import HU, AnyVolume, MaskArray, Volume

SIDES: Mapping[int, str] = {RIGHT: "right", LEFT: "left"}
# What is looked at around a candidate: longer than a strand has to be.
_AROUND_MM = 15.0
_AT_EDGE_MM = 1.0


@dataclass(frozen=True)
class Surroundings:
    """Where a candidate lies, and what it touches.

    Attributes
    ----------
    side, third
        ``right`` or ``left`` lung, and ``upper``, ``middle`` or ``lower`` third of that lung's
        height; empty if no lung is within 20 mm.
    edge_mm
        From its surface to the edge of the lungs; 0 where it touches that, 20 at most. None
        without a lung near.
    vessels
        Strands of a vessel's shape that leave it.
    touches_rib
        Whether a rib lies within 3 mm.
    at_scan_end
        Whether it reaches the scan's first or last slice.
    """

    side: str
    third: str
    edge_mm: float | None
    vessels: int
    touches_rib: bool
    at_scan_end: bool

    def in_words(self) -> list[str]:
        """The same for a person, as far as there is something to say.

        Examples
        --------
        >>> for told in Surroundings("left", "upper", 0.0, 2, True, False).in_words():
        ...     print(told)
        left lung, upper third
        at the edge of the lung
        touches a vessel or scar (2 strands)
        touches a rib
        """
        told = [f"{self.side} lung, {self.third} third"] if self.side else ["outside the lungs"]
        if self.edge_mm is not None:
            near = f"{self.edge_mm:.0f} mm from the edge of the lung"
            told.append("at the edge of the lung" if self.edge_mm < _AT_EDGE_MM else near)
        if self.vessels:
            strands_told = f" ({self.vessels} strands)" if self.vessels > 1 else ""
            told.append(f"touches a vessel or scar{strands_told}")
        told += ["touches a rib"] if self.touches_rib else []
        return told + (["at the end of the scan"] if self.at_scan_end else [])


class Around:
    """Measures candidates of one scan.

    Parameters
    ----------
    ct
        HU on the working grid.
    lungs
        Right and left lung on the same grid.
    slice_mm
        Distance of the scan's own slices.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> hu = np.full((40, 40, 40), -850, np.int16)
    >>> labels = np.zeros(hu.shape, np.uint8)
    >>> labels[:, 2:38, 2:38] = RIGHT
    >>> grid = Geometry((1.0, 1.0, 1.0))
    >>> around = Around(Volume(hu, grid), Volume(labels, grid), 1.0)
    >>> around.of(Patch(np.ones((4, 4, 4), bool), (36, 18, 5)))
    Surroundings(side='right', third='upper', edge_mm=3.0, vessels=0, touches_rib=False, \
at_scan_end=True)
    """

    def __init__(self, ct: Volume[HU], lungs: AnyVolume, slice_mm: float) -> None:
        self.ct, self.lungs, self.slice_mm = ct, lungs, slice_mm
        self.heights = lung_heights(lungs)
        down = lungs.geometry.to_world((0, 1, 0)) - lungs.geometry.to_world((0, 0, 0))
        self.no_ribs: MaskArray = lungs.array > 0
        box = bounding_box(self.no_ribs)
        if box is not None:
            within, back = lungs.array[box], 1 if down[1] > 0 else -1
            self.no_ribs[box] |= between_lungs(within) | enclosed_by_lungs(within, back)

    def of(self, candidate: Patch) -> Surroundings:
        """What is around a mask on the working grid; what lies outside the grid is left out."""
        steps = self.ct.spacing_mm
        patch = clipped(candidate, self.ct.shape)
        if patch is None:
            return Surroundings("", "", None, 0, touches_rib=False, at_scan_end=True)
        place = locate(patch, self.lungs, SIDES, self.heights)
        margin = [int(np.ceil(_AROUND_MM / mm)) for mm in steps]
        box = widened(patch.box, margin, self.ct.shape)
        body = np.zeros([s.stop - s.start for s in box], bool)
        z, y, x = (
            slice(p.start - b.start, p.stop - b.start) for p, b in zip(patch.box, box, strict=True)
        )
        body[z, y, x] = patch.mask
        hu = self.ct.array[box]
        return Surroundings(
            place.side,
            place.third,
            round(place.edge_mm, 1) if place.side else None,
            strands(body, hu, self.lungs.array[box] > 0, steps),
            touches_rib=touches_rib(body, hu, self.no_ribs[box], steps),
            at_scan_end=at_scan_end(patch.box, self.ct.shape[0], steps[0], self.slice_mm),
        )
