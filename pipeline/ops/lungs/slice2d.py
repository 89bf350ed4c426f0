"""Lungs slice by slice, by a recipe with fixed squares and boxes, for comparison.

Each axial slice is cut in two by 2-means on its central square; what is dark is shrunk, grown,
kept by its bounding box and grown again. All lengths are pixels of a slice of 512 x 512 and are
scaled to the slice's size. It keeps the trachea, knows no third dimension and finds "lungs" in
any slice; that is the point of having it here.
"""

from typing import Any

import numpy as np

from lungseg.ops.grid.histogram import hu_counts, two_means
from lungseg.volume import HuArray, MaskArray

RECIPE_PX = 512
CENTRE_PX = (100, 400)
ERODE_PX = 4
DILATE_PX = 10
LARGEST_PX = 475
FIRST_ROW_PX = 40
LAST_ROW_PX = 472


def lungs_slice_by_slice(ct: HuArray) -> MaskArray:
    """Mask of every axial slice by itself, ``(z, y, x)`` bool.

    Examples
    --------
    >>> ct = np.full((1, 128, 128), 40, np.int16)
    >>> ct[0, 30:98, 30:60] = -850
    >>> mask = lungs_slice_by_slice(ct)
    >>> bool(mask[0, 30:98, 30:60].all()), bool(mask[0, :, 70:].any())
    (True, False)
    """
    return np.stack([_lungs_of_slice(axial) for axial in ct])


def _lungs_of_slice(axial: HuArray) -> MaskArray:
    from scipy import ndimage

    rows, columns = (n / RECIPE_PX for n in axial.shape)
    centre = axial[
        round(CENTRE_PX[0] * rows) : round(CENTRE_PX[1] * rows),
        round(CENTRE_PX[0] * columns) : round(CENTRE_PX[1] * columns),
    ]
    low, high = int(centre.min()), int(centre.max())
    if low == high:
        return np.zeros(axial.shape, bool)
    # A z-score moves values and threshold alike, so HU serve as well.
    threshold = two_means(hu_counts(centre[None], low, high), low).threshold
    dark = (axial < threshold).astype(np.uint8)
    shrunk = ndimage.minimum_filter(dark, **_square(ERODE_PX, axial.shape))
    grown = ndimage.maximum_filter(shrunk, **_square(DILATE_PX, axial.shape))
    kept = np.zeros(axial.shape, np.uint8)
    regions, _ = ndimage.label(grown, structure=np.ones((3, 3)))
    for label, box in enumerate(ndimage.find_objects(regions), start=1):
        height, width = ((s.stop - s.start) for s in box)
        if (
            height < LARGEST_PX * rows
            and width < LARGEST_PX * columns
            and box[0].start > FIRST_ROW_PX * rows
            and box[0].stop < LAST_ROW_PX * rows
        ):
            kept[box] |= regions[box] == label
    grown = ndimage.maximum_filter(kept, **_square(DILATE_PX, axial.shape))
    return np.asarray(grown > 0)


def _square(edge_px: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """Size and origin of a square, as scipy's filters take them."""
    size = [max(1, round(edge_px * n / RECIPE_PX)) for n in shape]
    # A square of even size has no middle; scikit-image, with which the recipe was written, takes
    # the pixel after it.
    return {"size": size, "origin": [n % 2 - 1 for n in size], "mode": "nearest"}
