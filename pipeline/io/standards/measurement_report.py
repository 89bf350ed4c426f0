"""Candidates as a DICOM structured report: Measurement Report, TID 1500 (PS3.16), by highdicom.

Every candidate is a point in the scan's frame of reference (TID 1410) with its diameter, and with
the net's probability as the certainty of the finding in per cent. One that has a mask is a
volumetric region (TID 1411) as well, under the same tracking id, which names its segment in the
scan's segmentation and has its volume; the template does not let one group hold both. Whether it is
a nodule nobody has verified: the report says so (unverified, its observer a device).
"""

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from lungseg.io.results.candidate_list import Detection
from lungseg.io.standards import codes
from lungseg.io.standards.codes import concept
from lungseg.io.standards.segmentation import (
    SOFTWARE,
    Algorithm,
    Titles,
    finish,
    software_version,
    uid_of,
)
from lungseg.io.standards.source_images import SourceImages


def tracking_of(scan: str, rank: int, one: Detection) -> tuple[str, str]:
    """Unique id and name of a candidate, the same in segmentation and report."""
    place = " ".join(f"{mm:.3f}" for mm in (*one.xyz_mm, one.diameter_mm, one.probability))
    return uid_of("candidate", scan, str(rank), place), f"Candidate {rank}"


def measurement_report(  # noqa: PLR0913 - what a report joins
    candidates: Sequence[Detection],
    volumes_mm3: Mapping[int, float],
    segmentation: Any,
    images: SourceImages,
    *,
    algorithm: Algorithm,
    titles: Titles,
    made: datetime,
) -> Any:
    """A report on the candidates of a scan.

    Parameters
    ----------
    candidates
        The likeliest first; their ranks count from 1.
    volumes_mm3
        Volume of the mask of those that have one, by rank.
    segmentation
        The scan's segmentation of candidates, in which a segment is known by its tracking id; None
        if no candidate has a mask.
    images
        The scan's images.
    algorithm
        The net.
    titles, made
        What the object is called, and when the candidates were found.

    Returns
    -------
    highdicom.sr.Comprehensive3DSR
    """
    from highdicom.sr import Comprehensive3DSR, MeasurementReport

    segments = {}
    if segmentation is not None:
        segments = {
            str(item.TrackingUID): int(item.SegmentNumber) for item in segmentation.SegmentSequence
        }
    groups = []
    for rank, one in enumerate(candidates, 1):
        common = _common(one, rank, algorithm)
        groups.append(_point(one, images, common))
        number = segments.get(tracking_of(one.scan, rank, one)[0])
        if number is not None:
            groups.append(_region(number, segmentation, volumes_mm3[rank], images, common))
    study, series = str(images.first.StudyInstanceUID), str(images.first.SeriesInstanceUID)
    told = f"{list(candidates)!r} {sorted(volumes_mm3.items())!r} {sorted(segments.items())!r}"
    content = hashlib.sha256(f"{told} {algorithm!r}".encode()).hexdigest()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = Comprehensive3DSR(
            evidence=[*images.datasets, *([] if segmentation is None else [segmentation])],
            content=MeasurementReport(
                observation_context=_observed(algorithm),
                procedure_reported=concept(codes.CT_SCAN),
                imaging_measurements=groups,
            )[0],
            series_instance_uid=uid_of(study, series, titles.series),
            series_number=titles.number,
            sop_instance_uid=uid_of(study, series, titles.series, content),
            instance_number=1,
            manufacturer=SOFTWARE,
            is_complete=True,
            manufacturer_model_name=SOFTWARE,
            software_versions=software_version(),
            series_description=titles.series,
        )
    if any(True for one in candidates for _ in _touched(one)):
        report.CodingSchemeIdentificationSequence = [_own_codes()]
    finish(report, made)
    return report


def _own_codes() -> Any:
    """Whose the codes are that this program has made up (PS3.3, C.12.1.4.1)."""
    from pydicom import Dataset

    item = Dataset()
    item.CodingSchemeDesignator = codes.OWN
    item.CodingSchemeName = "What a finding touches"
    item.CodingSchemeResponsibleOrganization = SOFTWARE
    return item


def _observed(algorithm: Algorithm) -> Any:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        ObservationContext,
        ObserverContext,
    )

    device = DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", algorithm.name, algorithm.version),
        name=SOFTWARE,
        manufacturer_name=SOFTWARE,
        model_name=algorithm.name,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=concept(codes.DEVICE), observer_identifying_attributes=device
        )
    )


def _common(one: Detection, rank: int, algorithm: Algorithm) -> dict[str, Any]:
    from highdicom import sr

    uid, name = tracking_of(one.scan, rank, one)
    return {
        "tracking_identifier": sr.TrackingIdentifier(uid=uid, identifier=name),
        "finding_type": concept(codes.NODULE),
        "finding_sites": [_site(one)],
        "qualitative_evaluations": [
            sr.QualitativeEvaluation(name=concept(codes.SURROUNDINGS), value=concept(fact))
            for fact in _touched(one)
        ],
        "algorithm_id": sr.AlgorithmIdentification(
            name=algorithm.name, version=algorithm.version, family=concept(algorithm.family)
        ),
        "measurements": [
            _measured(codes.DIAMETER, one.diameter_mm, codes.MILLIMETRE),
            _measured(codes.CERTAINTY, 100 * one.probability, codes.PERCENT),
        ],
    }


def _site(one: Detection) -> Any:
    """The lung, and which of the two if that is known."""
    from highdicom.sr import FindingSite

    side = {"right": codes.RIGHT, "left": codes.LEFT}.get(one.around.side if one.around else "")
    return FindingSite(concept(codes.LUNG), laterality=side and concept(side))


def _touched(one: Detection) -> Iterator[codes.Code]:
    around = one.around
    if around and around.vessels:
        yield codes.TOUCHES_VESSEL
    if around and around.touches_rib:
        yield codes.TOUCHES_RIB
    if around and around.at_scan_end:
        yield codes.AT_SCAN_END


def _measured(what: codes.Code, value: float, unit: codes.Code) -> Any:
    from highdicom.sr import Measurement

    return Measurement(name=concept(what), value=round(value, 4), unit=concept(unit))


def _point(one: Detection, images: SourceImages, common: Mapping[str, Any]) -> Any:
    from highdicom import sr

    centre = sr.ImageRegion3D(
        graphic_type="POINT",
        graphic_data=np.array([one.xyz_mm], float),
        frame_of_reference_uid=images.frame_of_reference,
    )
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=centre, **common)


def _region(
    number: int,
    segmentation: Any,
    volume_mm3: float,
    images: SourceImages,
    common: Mapping[str, Any],
) -> Any:
    from highdicom import sr

    segment = sr.ReferencedSegment(
        sop_class_uid=str(segmentation.SOPClassUID),
        sop_instance_uid=str(segmentation.SOPInstanceUID),
        segment_number=number,
        source_series=sr.SourceSeriesForSegmentation(str(images.first.SeriesInstanceUID)),
    )
    volume = _measured(codes.VOLUME, volume_mm3, codes.CUBIC_MILLIMETRE)
    measurements = [*common["measurements"], volume]
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=segment, **{**common, "measurements": measurements}
    )
