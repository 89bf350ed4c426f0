"""Masks as DICOM segmentations (PS3.3, A.51), made by highdicom.

One object a scan: binary, a segment for each label, or fractional for probabilities, each frame on
one of the scan's images and naming it; frames without a voxel are left out, as the standard allows.
Binary frames are packed to bits and not compressed, because few readers unpack compressed bits;
probabilities are compressed by run length, which all of them read.

UIDs are made of what they name: the same mask of the same scan has the same UIDs in every export,
so that a report can name a segmentation that is written at another time.
"""

import hashlib
import importlib.metadata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import ScanError
from lungseg.io.standards.codes import Code, Structure, concept
from lungseg.io.standards.source_images import SourceImages, on_images
from lungseg.volume import AnyVolume

SOFTWARE = "lungseg-cli"
_STEPS = 255


@dataclass(frozen=True)
class Algorithm:
    """What found a structure: its name, version and family (CID 7162), and its settings."""

    name: str
    version: str
    family: Code


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes
    ----------
    label
        Its name for people.
    structure
        What it shows.
    algorithm
        What found it; None if people drew it.
    tracking
        Unique id and name of the finding, by which it is known again in reports; None: it has none.
    colour
        Red, green and blue to show it in, 0 to 255.
    by_people
        True if people drew what the algorithm then joined (a consensus): semi-automatic.
    """

    label: str
    structure: Structure
    algorithm: Algorithm | None = None
    tracking: tuple[str, str] | None = None
    colour: tuple[int, int, int] = (255, 220, 90)
    by_people: bool = False


@dataclass(frozen=True)
class Titles:
    """How an object is called: its series' description, number, and the label of its content."""

    series: str
    number: int
    label: str


def software_version() -> str:
    """Version of this program."""
    return importlib.metadata.version(SOFTWARE)


def uid_of(*parts: str) -> str:
    """A UID that is always the same for the same parts."""
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=[SOFTWARE, *parts]))


def segmentation_of_labels(
    labels: AnyVolume,
    segments: Mapping[int, Segment],
    images: SourceImages,
    titles: Titles,
    made: datetime,
) -> Any:
    """A binary segmentation of a label map: value *k* is the segment ``segments[k]``.

    Parameters
    ----------
    labels
        On the scan's own grid.
    segments
        By label; they are numbered 1, 2, ... in this order. One without a voxel is left out.
    images
        The scan's images.
    titles, made
        What the object is called, and when its content was made.

    Returns
    -------
    highdicom.seg.Segmentation

    Raises
    ------
    ScanError
        If no segment has a voxel on the images.
    """
    frames = on_images(labels, images)
    filled = np.flatnonzero(frames.any(axis=(1, 2)))
    present = {int(label) for k in filled for label in np.unique(frames[k])}
    there = [label for label in segments if label in present]
    _check_any(there)
    kind = np.uint8 if len(there) <= np.iinfo(np.uint8).max else np.uint16
    number = np.zeros(max(present) + 1, kind)
    number[there] = np.arange(1, len(there) + 1)
    numbered = np.zeros(frames.shape, kind)
    for k in filled:
        np.take(number, frames[k], out=numbered[k])
    return _made(numbered, [segments[label] for label in there], images, titles, made)


def segmentation_of_masks(
    masks: Sequence[AnyVolume],
    segments: Sequence[Segment],
    images: SourceImages,
    titles: Titles,
    made: datetime,
) -> Any:
    """A binary segmentation of masks that may overlap; see `segmentation_of_labels`.

    Only the images that some mask touches are held, and named, so that many masks fit in memory.

    Raises
    ------
    ScanError
        If a mask has no voxel on the images.
    """
    frames = [on_images(mask, images) != 0 for mask in masks]
    empty = [s.label for s, frame in zip(segments, frames, strict=True) if not frame.any()]
    _check_any([segment for segment in segments if segment.label not in empty])
    touched = np.any([frame.any(axis=(1, 2)) for frame in frames], axis=0)
    kept = touched if not images.by_frames else np.ones_like(touched)
    stacked = np.stack([frame[kept] for frame in frames], axis=-1).astype(np.uint8)
    return _made(stacked, segments, images.part(kept), titles, made)


def segmentation_of_probability(
    probability: AnyVolume,
    segment: Segment,
    images: SourceImages,
    titles: Titles,
    made: datetime,
) -> Any:
    """A fractional segmentation of probabilities 0 to 1, in steps of 1 / 255.

    Raises
    ------
    ScanError
        If every probability rounds to 0.
    """
    frames = on_images(probability, images).astype(np.float32, copy=False)
    for frame in frames:
        np.rint(frame * _STEPS, out=frame)
    _check_any(np.flatnonzero(frames.any(axis=(1, 2))))
    frames /= _STEPS
    return _made(frames, [segment], images, titles, made)


def _check_any(found: Any) -> None:
    if not len(found):
        raise ScanError(
            "the mask has no voxel, and a DICOM segmentation without a frame is not allowed; "
            "nii.gz, nrrd and mha hold empty masks"
        )


def _made(
    frames: npt.NDArray[Any],
    segments: Sequence[Segment],
    images: SourceImages,
    titles: Titles,
    made: datetime,
) -> Any:
    from highdicom.seg import Segmentation
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless

    fractional = frames.dtype == np.float32
    study, series = str(images.first.StudyInstanceUID), str(images.first.SeriesInstanceUID)
    content = hashlib.sha256(repr(segments).encode())
    for k in np.flatnonzero(frames.reshape(len(frames), -1).any(axis=1)):
        content.update(f" {k} ".encode() + np.ascontiguousarray(frames[k]).tobytes())
    with warnings.catch_warnings():
        # About a patient's name without the carets of family and given name, and alike.
        warnings.simplefilter("ignore")
        made_of = Segmentation(
            source_images=list(images.datasets),
            pixel_array=frames,
            segmentation_type="FRACTIONAL" if fractional else "BINARY",
            segment_descriptions=[_described(k, s) for k, s in enumerate(segments, 1)],
            series_instance_uid=uid_of(study, series, titles.series),
            series_number=titles.number,
            sop_instance_uid=uid_of(study, series, titles.series, content.hexdigest()),
            instance_number=1,
            manufacturer=SOFTWARE,
            manufacturer_model_name=SOFTWARE,
            software_versions=software_version(),
            device_serial_number="none",
            max_fractional_value=_STEPS,
            content_label=titles.label,
            content_description=titles.series,
            transfer_syntax_uid=RLELossless if fractional else ExplicitVRLittleEndian,
            series_description=titles.series,
        )
    finish(made_of, made)
    for item, segment in zip(made_of.SegmentSequence, segments, strict=True):
        if segment.structure.side:
            kind = item.SegmentedPropertyTypeCodeSequence[0]
            side = [concept(segment.structure.side)]
            kind.update({"SegmentedPropertyTypeModifierCodeSequence": side})
    return made_of


def finish(dataset: Any, made: datetime) -> None:
    """Date an object by when its content was made, so that it is the same whenever written."""
    date, time = made.strftime("%Y%m%d"), made.strftime("%H%M%S")
    for name in ("ContentDate", "InstanceCreationDate", "SeriesDate"):
        if name in dataset or name == "ContentDate":
            setattr(dataset, name, date)
    for name in ("ContentTime", "InstanceCreationTime", "SeriesTime"):
        if name in dataset or name == "ContentTime":
            setattr(dataset, name, time)


def _described(number: int, segment: Segment) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    structure, algorithm = segment.structure, segment.algorithm
    identification = None
    if algorithm:
        identification = AlgorithmIdentificationSequence(
            name=algorithm.name, family=concept(algorithm.family), version=algorithm.version
        )
    how = "SEMIAUTOMATIC" if segment.by_people else "AUTOMATIC"
    return SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=concept(structure.category),
        segmented_property_type=concept(structure.kind),
        algorithm_type=how if algorithm else "MANUAL",
        algorithm_identification=identification,
        tracking_uid=segment.tracking[0] if segment.tracking else None,
        tracking_id=segment.tracking[1] if segment.tracking else None,
        anatomic_regions=[concept(structure.place)] if structure.place else None,
        display_color=CIELabColor.from_rgb(*segment.colour),
    )
