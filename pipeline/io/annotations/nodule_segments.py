"""Nodules in DICOM segmentations: what each reader marked, and how the reports rate it.

LIDC's standardised collection (DICOM-LIDC-IDRI-Nodules; Fedorov et al. 2020, Med Phys 47:5953) has
a segmentation for each annotator of each nodule, "Nodule 1 - Annotation 4503", all those of one
nodule under one tracking id, and a structured report with its ratings. Any segmentation that names
a series and shows something abnormal is read alike.

Its masks were filled by pylidc, whose outlines belong to the nodule; LIDC's rule, by which the XML
files and the database are read here, leaves them out. They are a pixel wider all round.
"""

import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.disk.folder_tree import files_in_tree
from lungseg.core.errors import ConfigError, ScanError
from lungseg.ops.nodules.contours import Contour, Reading, marked
from lungseg.volume import Triple

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
# Morphologically abnormal structure, in SNOMED CT and by its old number.
_ABNORMAL = {"49755003", "M-01000"}
_OWN = "99LIDCQIICR"
# Last group of tags of what tells images apart, and of the segments' names.
_IDENTIFYING, _SEGMENTS = 0x20, 0x62
# How the reports of the collection name LIDC's ratings, in its first and its present edition.
_CONCEPTS = {
    "C45992": "subtlety", "200": "internalStructure", "C3672": "calcification",
    "400": "sphericity", "C25563": "margin", "C62175": "lobulation", "600": "lobulation",
    "C28749": "spiculation", "700": "spiculation", "C41144": "texture", "RID36042": "malignancy",
    "900": "malignancy",
}  # fmt: skip
# Grades that have a code elsewhere; those of its own scheme end in their number.
_GRADES = {
    "C12471": 1, "C25278": 2, "C12472": 3, "C73434": 4,
    "RID35453": 1, "RID5741": 3, "RID5827": 5, "RID28473": 6,
    "RID5811": 1, "RID5800": 3, "RID5799": 5, "RID5709": 1, "RID5707": 5,
    "RID50153": 1, "RID50152": 3, "RID50151": 5,
}  # fmt: skip


@dataclass(frozen=True)
class DrawnOn:
    """The images that segmentations lie on.

    Attributes
    ----------
    columns, rows
        Size of each.
    axes_xyz
        Directions in which the column index, and the row index, grows; six numbers.
    pixel_mm, thickness_mm
        Distance of rows, and of slices where it is told, else the slices' thickness.
    corners_xyz_mm
        World positions of the first pixels of those that are drawn on.
    """

    columns: int
    rows: int
    axes_xyz: tuple[float, ...]
    pixel_mm: float
    thickness_mm: float
    corners_xyz_mm: tuple[Triple, ...] = ()

    @property
    def _grid(self) -> tuple[Any, ...]:
        axes = tuple(round(part, 3) + 0.0 for part in self.axes_xyz)
        return self.columns, self.rows, axes, round(self.pixel_mm, 4)


@dataclass(frozen=True, eq=False)
class SegmentScan:
    """What segmentations show of a scan; `problems` names segments that are left out, and why."""

    readings: tuple[Reading, ...]
    drawn_on: DrawnOn
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Files:
    """Segmentations by the series that they name, and reports by their study."""

    segmentations: Mapping[str, tuple[Path, ...]]
    reports: Mapping[str, tuple[Path, ...]]


def read_scan(uid: str, folder: Path) -> SegmentScan | None:
    """What the segmentations below `folder` show of the scan `uid`; None if none names it.

    Raises
    ------
    ConfigError
        If the folder is absent or holds no segmentation.
    ScanError
        If one of the scan's files is damaged, or they lie on different images.
    """
    files = files_below(folder)
    paths = files.segmentations.get(uid, ())
    if not paths:
        return None
    loaded = [_load(path) for path in paths]
    studies = {str(dataset.get("StudyInstanceUID", "")) for dataset in loaded}
    reports = [path for study in sorted(studies) for path in files.reports.get(study, ())]
    ratings = _ratings_in(reports)
    readings: list[Reading] = []
    problems: list[str] = []
    drawn: list[DrawnOn] = []
    for path, dataset in zip(paths, loaded, strict=True):
        try:
            drawn.append(_drawn_on(dataset))
            _take_segments(path, dataset, ratings, readings, problems)
        except (AttributeError, LookupError, ValueError, TypeError, RuntimeError) as error:
            raise ScanError(
                f"{path} is not a complete DICOM segmentation ({error}); fetch it again"
            ) from error
    _check_one_grid(paths, drawn)
    corners = {corner for one in drawn for corner in one.corners_xyz_mm}
    first = drawn[0]
    images = DrawnOn(
        first.columns,
        first.rows,
        first.axes_xyz,
        first.pixel_mm,
        first.thickness_mm,
        tuple(sorted(corners)),
    )
    return SegmentScan(tuple(_with_own_keys(readings)), images, tuple(problems))


def told_of(folder: Path, scans: Collection[str]) -> list[str]:
    """What a person is told of the folder: how many segmentations are of `scans`, and left out.

    Parameters
    ----------
    folder
        As for `read_scan`.
    scans
        SeriesInstanceUIDs.

    Raises
    ------
    ConfigError
        As `read_scan`.
    """
    files = files_below(folder)
    named = {series: len(paths) for series, paths in files.segmentations.items()}
    here = {series: count for series, count in named.items() if series in scans}
    return [
        f"{folder} holds {sum(named.values())} segmentations; {sum(here.values())} of them are of "
        f"{len(here)} of the {len(scans)} scans here",
        *(
            text
            for series in here
            for path in files.segmentations[series]
            for text in _left_out_in(path)
        ),
    ]


@lru_cache(maxsize=4)
def files_below(folder: Path) -> _Files:
    """The segmentations and reports in a tree of files, by what they are about.

    Raises
    ------
    ConfigError
        If the folder is absent, holds no segmentation, or one that names no series.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; expected DICOM segmentations in it")
    segmentations: dict[str, list[Path]] = {}
    reports: dict[str, list[Path]] = {}
    for path in files_in_tree(folder):
        head = _head(path)
        if head is None:
            continue
        if head.get("Modality") == "SR":
            reports.setdefault(str(head.get("StudyInstanceUID", "")), []).append(path)
        elif head.get("SOPClassUID") == SEGMENTATION:
            named = [
                str(item.SeriesInstanceUID) for item in head.get("ReferencedSeriesSequence", ())
            ]
            if len(named) != 1:
                raise ConfigError(
                    f"{path} names {len(named)} series as that which it segments, expected one; "
                    "take it out of the folder"
                )
            segmentations.setdefault(named[0], []).append(path)
    if not segmentations:
        raise ConfigError(
            f"no file in {folder} or below it is a DICOM segmentation; expected those of TCIA's "
            "collection DICOM-LIDC-IDRI-Nodules, or their like"
        )
    return _Files(
        {series: tuple(paths) for series, paths in segmentations.items()},
        {study: tuple(paths) for study, paths in reports.items()},
    )


def _left_out_in(path: Path) -> list[str]:
    segments = _head(path, _SEGMENTS).get("SegmentSequence", ())
    try:
        told = [_nothing_abnormal(path, item) for item in segments]
    except (AttributeError, LookupError):
        # Where the scan's segmentations are read, this one is refused by name.
        return []
    return [text for text in told if text]


def _head(path: Path, last_group: int = _IDENTIFYING) -> Any:
    # What is behind is most of a file, and says nothing here.
    from pydicom.filereader import read_partial

    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return None
        file.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return read_partial(file, stop_when=lambda tag, *_: tag.group > last_group)
        except Exception as error:  # a damaged file makes pydicom raise nearly anything
            raise ConfigError(
                f"{path} cannot be read as DICOM ({error}); take it out of the folder, or fetch it "
                "again"
            ) from error


def _load(path: Path) -> Any:
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path)
            dataset.decode()
    except Exception as error:  # a damaged file makes pydicom raise nearly anything
        raise ScanError(f"{path} cannot be read ({error}); fetch it again") from error
    return dataset


def _drawn_on(dataset: Any) -> DrawnOn:
    groups = list(_frame_groups(dataset))
    measures = _of(dataset, groups[0], "PixelMeasuresSequence")
    axes = _of(dataset, groups[0], "PlaneOrientationSequence").ImageOrientationPatient
    thickness = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or "nan"
    return DrawnOn(
        int(dataset.Columns),
        int(dataset.Rows),
        tuple(float(part) for part in axes),
        float(measures.PixelSpacing[0]),
        float(thickness),
        tuple(_corner(dataset, group) for group in groups),
    )


def _frame_groups(dataset: Any) -> Iterator[Any]:
    yield from dataset.PerFrameFunctionalGroupsSequence


def _of(dataset: Any, group: Any, name: str) -> Any:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    return (group.get(name) or shared[name].value)[0]


def _corner(dataset: Any, group: Any) -> Triple:
    x, y, z = _of(dataset, group, "PlanePositionSequence").ImagePositionPatient
    return float(x), float(y), float(z)


def _check_one_grid(paths: Sequence[Path], drawn: Sequence[DrawnOn]) -> None:
    for path, one in zip(paths, drawn, strict=True):
        if one._grid != drawn[0]._grid:
            raise ScanError(
                f"{path} lies on images of {one.columns} x {one.rows} pixels of {one.pixel_mm:g} "
                f"mm, and {paths[0]}, of the same series, on {drawn[0].columns} x "
                f"{drawn[0].rows} of {drawn[0].pixel_mm:g} mm, or turned; keep those on the images"
            )


def _take_segments(
    path: Path,
    dataset: Any,
    ratings: Mapping[tuple[str, int], dict[str, int]],
    readings: list[Reading],
    problems: list[str],
) -> None:
    full = int(dataset.get("MaximumFractionalValue", 1))
    pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    lines: dict[int, list[Contour]] = {}
    for group, frame in zip(_frame_groups(dataset), pixels, strict=True):
        number = int(_of(dataset, group, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        mask = frame.astype(np.int32) * 2 >= full
        if mask.any():
            z_mm = _corner(dataset, group)[2]
            lines.setdefault(number, []).append(marked(mask, z_mm))
    for item in dataset.SegmentSequence:
        number, name = int(item.SegmentNumber), _name_of(item)
        other = _nothing_abnormal(path, item)
        if other:
            problems.append(other)
        elif number not in lines:
            problems.append(f"{path}: segment {number}, {name!r}, is empty; it is left out")
        else:
            rated = ratings.get((str(dataset.SOPInstanceUID), number), {})
            nodule = str(item.get("TrackingUID", ""))
            readings.append(Reading(name, tuple(lines[number]), rated, nodule))


def _nothing_abnormal(path: Path, item: Any) -> str:
    """A sentence on a segment that is no nodule, by its category; else empty."""
    category = item.SegmentedPropertyCategoryCodeSequence[0]
    if category.CodeValue in _ABNORMAL:
        return ""
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    return (
        f"{path}: segment {item.SegmentNumber}, {_name_of(item)!r}, shows {kind.CodeMeaning}, "
        "nothing abnormal; it is left out"
    )


def _name_of(item: Any) -> str:
    names = [
        str(item.get(key) or "") for key in ("SegmentLabel", "SegmentDescription", "TrackingID")
    ]
    named = [name for name in names if re.search(r"annotation", name, re.IGNORECASE)]
    return (named or [name for name in names if name] or ["segment"])[0]


def _with_own_keys(readings: Sequence[Reading]) -> Iterator[Reading]:
    # Nine segmentations by one algorithm are all called alike.
    names = [reading.key for reading in readings]
    for number, reading in enumerate(readings, 1):
        key = reading.key if names.count(reading.key) == 1 else f"{reading.key} ({number})"
        yield Reading(key, reading.contours, reading.ratings, reading.nodule)


def _ratings_in(paths: Sequence[Path]) -> dict[tuple[str, int], dict[str, int]]:
    """Ratings by segmentation and segment, of all the reports."""
    found: dict[tuple[str, int], dict[str, int]] = {}
    for path in paths:
        for group in _containers(_load(path)):
            rated: dict[str, int] = {}
            about = None
            for item in group.get("ContentSequence", ()):
                if item.get("ReferencedSOPSequence"):
                    named = item.ReferencedSOPSequence[0]
                    if named.ReferencedSOPClassUID == SEGMENTATION:
                        number = named.get("ReferencedSegmentNumber", 1)
                        about = (str(named.ReferencedSOPInstanceUID), int(number))
                elif item.get("ConceptCodeSequence") and item.get("ConceptNameCodeSequence"):
                    rated |= _rating(item)
            if about and rated:
                found.setdefault(about, {}).update(rated)
    return found


def _containers(item: Any) -> Iterator[Any]:
    for child in item.get("ContentSequence", ()):
        if child.get("ValueType") == "CONTAINER":
            yield child
            yield from _containers(child)


def _rating(item: Any) -> dict[str, int]:
    concept, value = item.ConceptNameCodeSequence[0], item.ConceptCodeSequence[0]
    name, code = _CONCEPTS.get(str(concept.get("CodeValue"))), str(value.get("CodeValue", ""))
    if name is None:
        return {}
    if value.get("CodingSchemeDesignator") == _OWN and code[-1:].isdigit():
        return {name: int(code[-1])}
    return {name: _GRADES[code]} if code in _GRADES else {}
