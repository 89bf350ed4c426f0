"""The first and last slice of a scan, which cut what they show."""

from lungseg.volume import Box


def at_scan_end(box: Box, slices: int, spacing_mm: float, slice_mm: float) -> bool:
    """Whether a candidate reaches the first or the last slice of its scan.

    Parameters
    ----------
    box
        The smallest that holds it, on the working grid.
    slices, spacing_mm
        How many slices the working grid has, and their distance.
    slice_mm
        Distance of the scan's own slices: a thick one is several of the working grid.

    Examples
    --------
    >>> box = (slice(2, 5), slice(0, 9), slice(0, 9))
    >>> at_scan_end(box, 100, 1.0, 1.25), at_scan_end(box, 100, 1.0, 2.5)
    (False, True)
    >>> at_scan_end(box, 6, 1.0, 1.0)
    False
    >>> at_scan_end(box, 5, 1.0, 1.0)
    True
    """
    before, behind = box[0].start, slices - box[0].stop
    return bool(min(before, behind) * spacing_mm < 0.999 * max(slice_mm, spacing_mm))
