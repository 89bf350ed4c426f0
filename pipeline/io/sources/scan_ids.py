"""Ids of scans that are not simply a SeriesInstanceUID."""

import re

# An acquisition or a stack of a series, or slices around one of its nodules.
_PART = re.compile(r"([0-9.]+)(?:_(?:[apkst][0-9]+)+|#[0-9]+)")


def part_of_series(series: str, label: str) -> str:
    """Id of a part of a series: an acquisition's label, or a stack's number, behind its UID."""
    return f"{series}_{label}" if label else series


def series_of(scan: str) -> str:
    """SeriesInstanceUID of a scan that is the whole series or a part of it.

    >>> series_of("1.2.3_a2"), series_of("1.2.3"), series_of("case_a2"), series_of("1.2.3#1")
    ('1.2.3', '1.2.3', 'case_a2', '1.2.3')
    """
    part = _PART.fullmatch(scan)
    return part.group(1) if part else scan
