"""Tables of the scores: masks, nodules found by groups, masks beside those of the annotators.

They are read out of `scores.json` by name; what a file does not have is not shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

# Kinds of groups, as `evaluate` names them, and what they are called.
_KINDS = {
    "by_size": "Size",
    "by_texture": "Texture",
    "by_edge": "Distance to the lung's edge",
    "by_side": "Lung",
    "by_third": "Third of the lung's height",
    "by_found": "Found or missed",
}
# Of fewer nodules an interval says nothing.
_FEWEST = 3
_BESIDE = (
    ("Dice with the consensus", "dice"),
    ("Dice with each annotator", "with_annotators"),
    ("Dice of two annotators", "annotators_with_annotators"),
    ("difference (95 %)", "fifth_reader"),
    ("ASD, mm", "asd_mm"),
    ("ASD of two annotators, mm", "asd_mm_between_annotators"),
    ("HD95, mm", "hd95_mm"),
    ("HD95 of two annotators, mm", "hd95_mm_between_annotators"),
)
_MASKS = (
    ("pooled", "voxels of all scans"),
    ("mean_per_scan", "mean of scans"),
    ("mean_per_nodule", "mean of nodules"),
    ("mean_per_found_nodule", "mean of nodules touched"),
)


def score_tables(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Title, a sentence, heads and rows of each table; a row of one cell is a heading.

    Parameters
    ----------
    told
        What `evaluate` wrote.
    """
    segmentation = part_of(told, "segmentation")
    tables = (
        _found(part_of(told, "detection")),
        _beside(part_of(segmentation, "beside_annotators")),
        _masks(segmentation),
    )
    return [table for table in tables if table["rows"]]


def part_of(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The part of this name; empty without one."""
    found = told.get(name)
    return found if isinstance(found, Mapping) else {}


def share(value: Any) -> str | None:
    """A number from 0 to 1 for a person; None without one.

    Examples
    --------
    >>> share(0.35714), share(None)
    ('0.357', None)
    """
    return f"{value:.3f}" if isinstance(value, int | float) else None


def is_pair(value: object) -> TypeGuard[Sequence[float]]:
    """True for two numbers."""
    return (
        isinstance(value, Sequence)
        and len(value) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    )


def _found(detection: Mapping[str, Any]) -> dict[str, Any]:
    rows = list(_grouped(detection, _found_row))
    return {
        "title": "Nodules found, by group",
        "said": "against the false positives of all scans; sensitivity at one false positive a "
        "scan, and CPM with its 95 % interval",
        "head": ("", "nodules", "found", "sensitivity", "at 1 a scan", "CPM", "95 %"),
        "rows": rows,
    }


def _found_row(group: Mapping[str, Any]) -> tuple[Any, ...]:
    band = _band(group, group.get("cpm_interval"), ".2f")
    at_one = part_of(group, "sensitivity_at").get("1")
    shares = (group.get("sensitivity"), at_one, group.get("cpm"))
    return (group.get("nodules"), group.get("hits"), *(share(v) for v in shares), band)


def _beside(beside: Mapping[str, Any]) -> dict[str, Any]:
    every = part_of(beside, "all")
    rows = [("all", *_beside_row(every))] if every else []
    return {
        "title": "Masks beside the annotators\u2019 own",
        "said": "mean over nodules. Difference: the net's Dice with each annotator, less that of "
        "two annotators; where its interval holds 0, the net agrees with a "
        "radiologist as another one does. ASD and HD95: mean and 95 % quantile of the distance of "
        "the surfaces, of what is found",
        "head": ("", "nodules", *(name for name, _ in _BESIDE)),
        "rows": [*rows, *_grouped(beside, _beside_row)],
    }


def _beside_row(group: Mapping[str, Any]) -> tuple[Any, ...]:
    return (group.get("nodules"), *(_with_interval(group, key) for _, key in _BESIDE))


def _band(group: Mapping[str, Any], bounds: Any, form: str) -> str | None:
    if not is_pair(bounds) or (group.get("nodules") or 0) < _FEWEST:
        return None
    return f"{bounds[0]:{form}} to {bounds[1]:{form}}"


def _with_interval(group: Mapping[str, Any], key: str) -> str | None:
    one = part_of(group, key)
    value = one.get("value")
    if value is None or key != "fifth_reader":
        return None if value is None else f"{value:.2f}"
    band = _band(group, one.get("interval"), "+.2f")
    # No minus before zero.
    return f"{round(value, 2) + 0.0:+.2f}" + (f" ({band})" if band else "")


def _grouped(told: Mapping[str, Any], row: Any) -> Iterator[tuple[Any, ...]]:
    """A heading for each kind of groups that there are, and a row for each of them."""
    for key, title in _KINDS.items():
        groups = {name: g for name, g in part_of(told, key).items() if isinstance(g, Mapping)}
        if groups:
            yield (title,)
            for name, group in groups.items():
                yield (name, *row(group))


def _masks(segmentation: Mapping[str, Any]) -> dict[str, Any]:
    names = ("dice", "iou", "sensitivity", "precision")
    rows = [
        (title, *(share(part.get(name)) for name in names))
        for key, title in _MASKS
        if (part := part_of(segmentation, key))
    ]
    head = ("", "Dice", "IoU", "sensitivity", "precision")
    title = "Masks against the annotators\u2019 consensus"
    return {"title": title, "said": "", "head": head, "rows": rows}
