"""What this program finds, and what people drew, each as the DICOM object that others expect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import ScanError
from lungseg.core.record import Record
from lungseg.io.annotations.nodule_list import NoduleList
from lungseg.io.results.candidate_list import Detection
from lungseg.io.sources.index import read_source
from lungseg.io.standards import codes
from lungseg.io.standards.measurement_report import measurement_report, tracking_of
from lungseg.io.standards.segmentation import (
    SOFTWARE,
    Algorithm,
    Segment,
    Titles,
    segmentation_of_labels,
    segmentation_of_masks,
    segmentation_of_probability,
    software_version,
    uid_of,
)
from lungseg.io.standards.source_images import SourceImages, source_images
from lungseg.volume import AnyVolume

SEG, SR, MARKUPS = ".seg.dcm", ".sr.dcm", ".mrk.json"
"""Endings of the files, by which they are asked for."""

RIGHT, LEFT = 1, 2
LUNGS = Titles("Lungs", 301, "LUNGS")
NODULES = Titles("Lung nodules, drawn", 302, "NODULES")
READINGS = Titles("Lung nodules, by annotator", 303, "READINGS")
PROBABILITY = Titles("Lung nodules, probability", 304, "PROBABILITY")
CANDIDATES = Titles("Lung nodule candidates", 305, "CANDIDATES")
REPORT = Titles("Lung nodule candidates, report", 306, "CANDIDATES")
_BLUE, _GREEN, _YELLOW = (90, 150, 255), (90, 220, 130), (255, 220, 90)
# Told apart by the colour-blind, too (Okabe and Ito).
_READERS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167))


@dataclass(frozen=True)
class Net:
    """The net that found the candidates: its SHA-256."""

    sha256: str

    @property
    def algorithm(self) -> Algorithm:
        """As an object's algorithm identification."""
        version = f"{software_version()}, net {self.sha256[:16]}"
        return Algorithm(f"{SOFTWARE} nodule net", version, codes.AI)


def made_at(record: Record) -> datetime:
    """When an output was made, in local time, as DICOM's dates are."""
    return datetime.fromisoformat(record.finished).astimezone()


def by_stage(record: Record, family: codes.Code = codes.MORPHOLOGY) -> Algorithm:
    """A stage as an object's algorithm identification."""
    version = f"{software_version()}, stage version {record.version}"
    return Algorithm(f"{SOFTWARE} {record.stage}", version, family)


def images_or_reason(source: Path) -> tuple[SourceImages | None, str]:
    """The images of the scan that the file `source` describes; or None, and why there are none."""
    try:
        return source_images(read_source(source)), ""
    except ScanError as error:
        return None, str(error)


def lungs_object(lungs: AnyVolume, images: SourceImages, record: Record) -> Any:
    """Lungs, 1 right and 2 left on the scan's own grid, as a binary segmentation.

    `record` is that of the stage that found them. A lung that was not found has no segment.
    """
    found_by = by_stage(record)
    segments = {
        RIGHT: Segment("Right lung", codes.RIGHT_LUNG, found_by, colour=_BLUE),
        LEFT: Segment("Left lung", codes.LEFT_LUNG, found_by, colour=_GREEN),
    }
    return segmentation_of_labels(lungs, segments, images, LUNGS, made_at(record))


def nodules_object(
    labels: AnyVolume, listed: NoduleList, how: str, images: SourceImages, record: Record
) -> Any:
    """Nodules that people drew, as labels on the scan's own grid, a segment each.

    `how` says in a few words of which of their voxels a nodule consists.
    """
    joined = by_stage(record, codes.MANUAL)
    segments = {
        nodule.label: Segment(
            f"Nodule {nodule.label} ({nodule.readers} annotators, {how})"[:64],
            codes.LUNG_NODULE,
            joined,
            (_nodule_uid(listed.scan, nodule.readings), f"Nodule {nodule.label}"),
            _YELLOW,
            by_people=True,
        )
        for nodule in listed.nodules
    }
    return segmentation_of_labels(labels, segments, images, NODULES, made_at(record))


def readings_object(
    masks: Mapping[str, AnyVolume], listed: NoduleList, images: SourceImages, record: Record
) -> Any:
    """What each annotator drew, a segment each, as LIDC's standardised collection names them.

    Segments of one nodule share its tracking id. `masks` holds those readings, by their names in
    `listed`, that have a voxel on the scan's own grid.
    """
    segments, volumes = [], []
    for nodule in listed.nodules:
        for number, name in enumerate(nodule.readings):
            if name in masks:
                tracking = (_nodule_uid(listed.scan, nodule.readings), f"Nodule {nodule.label}")
                label = f"Nodule {nodule.label} - Annotation {name}"[:64]
                colour = _READERS[number % len(_READERS)]
                segments.append(Segment(label, codes.LUNG_NODULE, tracking=tracking, colour=colour))
                volumes.append(masks[name])
    return segmentation_of_masks(volumes, segments, images, READINGS, made_at(record))


def probability_object(
    probability: AnyVolume, net: Net, images: SourceImages, record: Record
) -> Any:
    """The net's probability 0 to 1 on the scan's own grid, as a fractional segmentation."""
    segment = Segment("Probability of a lung nodule", codes.LUNG_NODULE, net.algorithm)
    return segmentation_of_probability(probability, segment, images, PROBABILITY, made_at(record))


def candidates_object(
    labels: AnyVolume,
    candidates: Sequence[Detection],
    net: Net,
    images: SourceImages,
    record: Record,
) -> Any:
    """Candidates as a binary segmentation, a segment for each that has a mask.

    Label *k* on the scan's own grid is the mask of the *k*-th candidate; `record` is that of the
    stage that found them.
    """
    segments = {
        rank: Segment(
            f"Candidate {rank}: {one.probability:.2f}",
            codes.LUNG_NODULE,
            net.algorithm,
            tracking_of(one.scan, rank, one),
            _YELLOW,
        )
        for rank, one in enumerate(candidates, 1)
    }
    return segmentation_of_labels(labels, segments, images, CANDIDATES, made_at(record))


def candidate_objects(
    labels: AnyVolume,
    candidates: Sequence[Detection],
    net: Net,
    images: SourceImages,
    record: Record,
) -> tuple[Any, Any]:
    """The segmentation of the candidates, None where none has a mask, and the report on them.

    Raises
    ------
    ScanError
        If there are no candidates.
    """
    if not candidates:
        raise ScanError("there are no candidates, and a report has at least one")
    voxels = np.bincount(labels.array[labels.array != 0])
    masked = {k: float(n) * labels.geometry.voxel_mm3 for k, n in enumerate(voxels) if k and n}
    segmentation = None
    if masked:
        segmentation = candidates_object(labels, candidates, net, images, record)
    report = measurement_report(
        candidates,
        masked,
        segmentation,
        images,
        algorithm=net.algorithm,
        titles=REPORT,
        made=made_at(record),
    )
    return segmentation, report


def _nodule_uid(scan: str, readings: Sequence[str]) -> str:
    return uid_of("nodule", scan, *readings)
