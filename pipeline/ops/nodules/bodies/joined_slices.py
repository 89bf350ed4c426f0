"""From slices to bodies: a map smoothed along z, and regions joined where they overlap."""

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.morphology import Components, components
from lungseg.ops.nodules.probability import ONE, Probability
from lungseg.volume import IndexArray, MaskArray


def smoothed_along_z(probability: Probability, sigma: float, above: float = 0.0) -> Probability:
    """The map smoothed by a Gaussian along z; the end slices go on beyond the ends.

    Only columns that somewhere reach `above` are smoothed, the others are left as they are: no
    mean of a column reaches what none of its voxels does. That is a hundredth of the work.

    Parameters
    ----------
    probability : (z, y, x) uint16
        Probability times 65535.
    sigma
        Standard deviation, slices; 0 returns the map itself.
    above
        What the caller cuts at, in stored units.

    Examples
    --------
    >>> smoothed_along_z(np.array([[[0]], [[1000]], [[0]]], np.uint16), 1.0).ravel().tolist()
    [242, 399, 242]
    """
    from scipy.ndimage import gaussian_filter1d

    if sigma <= 0:
        return probability
    columns = probability.max(axis=0) >= above
    smoothed = probability.copy()
    line = gaussian_filter1d(probability[:, columns].astype(np.float32), sigma, 0, mode="nearest")
    smoothed[:, columns] = np.rint(line).clip(0, ONE).astype(np.uint16)
    return smoothed


def joined(mask: MaskArray, min_overlap: float = 0.0) -> Components:
    """Labels of the parts of a mask, joined over slices by how much their regions overlap.

    A nodule's region in one slice lies over its region in the next, while a vessel that passes
    touches it with its rim. Regions are 8-connected in their slice.

    Parameters
    ----------
    mask : (z, y, x) bool
    min_overlap
        Regions of neighbouring slices are one part if the pixels they share are at least this
        share of the smaller region; 0: if they touch over a face, an edge or a corner.

    Examples
    --------
    Regions of two pixels and of three, which share one:

    >>> mask = np.array([[[1, 1, 0, 0]], [[0, 1, 1, 1]]], bool)
    >>> int(joined(mask).max()), int(joined(mask, 0.5).max()), int(joined(mask, 0.6).max())
    (1, 1, 2)
    """
    if min_overlap <= 0:
        return components(mask)[0]
    regions, count = _regions(mask)
    return _labels_of(regions, count, _links(regions, count, min_overlap))


def _regions(mask: MaskArray) -> tuple[Components, int]:
    """Labels of the 8-connected regions of each slice."""
    import cc3d

    labels = np.zeros(mask.shape, np.uint32)
    count = 0
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        plane, found = cc3d.connected_components(
            np.ascontiguousarray(mask[z]).view(np.uint8), connectivity=8, return_N=True
        )
        labels[z] = np.where(plane, plane + count, 0)
        count += int(found)
    return labels, count


def _links(regions: Components, count: int, min_overlap: float) -> npt.NDArray[np.int64]:
    """Pairs ``(n, 2)`` of regions of neighbouring slices that overlap enough."""
    lower, upper = regions[:-1], regions[1:]
    both = (lower > 0) & (upper > 0)
    pairs = lower[both].astype(np.int64) * (count + 1) + upper[both]
    pair, shared = np.unique(pairs, return_counts=True)
    ends = np.stack(np.divmod(pair, count + 1), axis=1)
    area = np.bincount(regions[regions > 0], minlength=count + 1)
    enough: npt.NDArray[np.int64] = ends[shared >= min_overlap * area[ends].min(axis=1) - 1e-9]
    return enough


def _labels_of(regions: Components, count: int, links: npt.NDArray[np.int64]) -> Components:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array(
        (np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(count + 1, count + 1)
    )
    # Label 0, the background, is linked to nothing, so it is a part of its own: the first.
    _, part = connected_components(graph, directed=False)
    names: IndexArray = part
    return np.asarray(names.astype(np.uint32)[regions])
