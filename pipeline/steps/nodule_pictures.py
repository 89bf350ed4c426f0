"""Pictures of nodules, drawn and found: the best, the median and the worst."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lungseg.io.pictures.png import write_sheet
from lungseg.ops.nodules.consensus import agreed
from lungseg.ops.nodules.windows import NoduleSlices
from lungseg.ops.overlay import BY_VOTES, LUNG_WINDOW_HU, Colour, Outline, Panel, outlined, windowed
from lungseg.ops.scores.nodules import NoduleScore
from lungseg.volume import MaskArray

WORST = 10
FOUND: Colour = (86, 180, 233)
ZOOM, MOST_SLICES = 2, 6

Shown = tuple[NoduleSlices, MaskArray, NoduleScore, str]


def write_nodule_pictures(nodules: Sequence[Shown], folder: Path) -> None:
    """Write ``best.png``, ``median.png`` and ``worst_01.png`` to ``worst_10.png`` into `folder`.

    Each has the slices from the lowest that has anything to the highest: above them as they are,
    below them the consensus yellow and what was found blue.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ranked = sorted(nodules, key=lambda one: one[2].counts.dice)
    named = [(f"worst_{k:02d}", one) for k, one in enumerate(ranked[:WORST], 1)]
    named += [("median", ranked[len(ranked) // 2]), ("best", ranked[-1])]
    for name, (window, found, _, title) in named:
        slices = _slices(window, found)
        consensus = agreed(window.votes, len(window.masks))
        plain, drawn = [], []
        for z in slices:
            grey = windowed(window.hu[z], LUNG_WINDOW_HU).repeat(ZOOM, 0).repeat(ZOOM, 1)
            lines = [
                Outline(mask[z].repeat(ZOOM, 0).repeat(ZOOM, 1), colour)
                for mask, colour in ((consensus, BY_VOTES[0]), (found, FOUND))
            ]
            plain.append(Panel(np.repeat(grey[:, :, None], 3, axis=2), f"z {window.z_mm[z]:.1f}"))
            drawn.append(Panel(outlined(grey, lines), "consensus yellow, found blue"))
        write_sheet([plain, drawn], title, folder / f"{name}.png")


def _slices(window: NoduleSlices, found: MaskArray) -> list[int]:
    seen = np.flatnonzero((window.votes > 0).any(axis=(1, 2)) | found.any(axis=(1, 2)))
    chosen = np.linspace(seen[0], seen[-1], min(MOST_SLICES, seen[-1] - seen[0] + 1))
    return sorted({round(float(z)) for z in chosen})
