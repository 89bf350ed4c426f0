"""Groups of nodules that scores are told of: by size, texture and place."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

# Lower bounds and ends of the groups by diameter, mm, after the thresholds of nodule management (6
# and 8 mm, Fleischner Society 2017) and LUNA16's many of below 15 mm.
SIZES_MM: tuple[tuple[str, float, float], ...] = (
    ("below 6 mm", 0.0, 6.0),
    ("6 to 8 mm", 6.0, 8.0),
    ("8 mm and more", 8.0, np.inf),
    ("8 to 15 mm", 8.0, 15.0),
    ("15 mm and more", 15.0, np.inf),
)
# LIDC's rating of texture, 1 to 5, by the median of the annotators.
TEXTURES: tuple[tuple[str, float, float], ...] = (
    ("ground-glass", 1.0, 2.5),
    ("part-solid", 2.5, 4.0),
    ("solid", 4.0, np.inf),
)

# Distance to the edge of the lungs, mm.
EDGES_MM: tuple[tuple[str, float, float], ...] = (
    ("juxtapleural (below 2 mm)", 0.0, 2.0),
    ("2 to 10 mm", 2.0, 10.0),
    ("10 mm and more", 10.0, np.inf),
)


def groups_of(value: float, groups: Sequence[tuple[str, float, float]]) -> tuple[str, ...]:
    """Names of the groups in whose half-open range a value lies; none for NaN.

    Examples
    --------
    >>> groups_of(9.0, SIZES_MM), groups_of(float("nan"), TEXTURES)
    (('8 mm and more', '8 to 15 mm'), ())
    """
    return tuple(name for name, low, high in groups if low <= value < high)


Kinds = Mapping[str, Sequence[tuple[str, ...]]]
"""By kind of group, such as ``by_size``: the groups that each nodule is in."""


def grouped(
    diameter_mm: Sequence[float], texture: Sequence[float]
) -> dict[str, list[tuple[str, ...]]]:
    """Groups of nodules by size and, where it is known, by texture.

    Examples
    --------
    >>> grouped([5.0], [float("nan")])
    {'by_size': [('below 6 mm',)], 'by_texture': [()]}
    """
    return {
        "by_size": [groups_of(mm, SIZES_MM) for mm in diameter_mm],
        "by_texture": [groups_of(value, TEXTURES) for value in texture],
    }


ORDER = {
    name: rank
    for rank, name in enumerate(
        (*(name for name, _, _ in (*SIZES_MM, *TEXTURES, *EDGES_MM)), "upper", "middle", "lower")
    )
}
"""In what order groups are told; others follow by their names."""


def in_order(names: Iterable[tuple[str, ...]]) -> list[str]:
    """Every group that occurs, once, in the order in which they are told.

    Examples
    --------
    >>> in_order([("15 mm and more", "8 mm and more"), (), ("below 6 mm",)])
    ['below 6 mm', '8 mm and more', '15 mm and more']
    """
    there = {name for those in names for name in those}
    return sorted(there, key=lambda name: (ORDER.get(name, len(ORDER)), name))


def placed(
    side: Sequence[str], third: Sequence[str], edge_mm: Sequence[float | None]
) -> dict[str, list[tuple[str, ...]]]:
    """Groups of nodules by where they lie in the lungs, as far as it is known.

    Examples
    --------
    >>> placed(["left", ""], ["upper", ""], [1.0, None])["by_edge"]
    [('juxtapleural (below 2 mm)',), ()]
    """
    return {
        "by_side": [(name,) if name else () for name in side],
        "by_third": [(name,) if name else () for name in third],
        "by_edge": [() if mm is None else groups_of(mm, EDGES_MM) for mm in edge_mm],
    }
