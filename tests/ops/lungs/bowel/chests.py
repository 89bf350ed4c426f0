"""A chest in blocks, and the search for lungs without its rules for bowel."""

import numpy as np

SPACING = (4.0, 4.0, 4.0)
AIR_HU = -1000.0


def chest():
    """Tissue with one lung, in blocks of 4 mm: HU."""
    ct = np.full((50, 40, 40), 40, np.int16)
    ct[20:46, 5:35, 5:35] = -850
    return ct


def without(monkeypatch, *rules):
    """Let `find_lungs` do without these rules for bowel."""
    for rule in rules:
        monkeypatch.setattr(
            f"lungseg.ops.lungs.find.{rule}", lambda ct, lungs, air_hu, spacing: lungs & False
        )
