"""Segmentations and reports as LIDC's standardised collection has them, made by highdicom."""

import highdicom
import numpy as np
from highdicom import sr

from lungseg.io.standards import codes
from lungseg.io.standards.codes import concept
from lungseg.io.standards.segmentation import Segment, Titles, segmentation_of_masks
from lungseg.io.standards.source_images import source_images
from tests.io.standards.test_segmentation import MADE

# Each rating's code and that of a grade of it, as the collection has them.
RATINGS = {
    "subtlety": (("C45992", "NCIt"), ("104", "99LIDCQIICR"), 4),
    "internalStructure": (("200", "99LIDCQIICR"), ("C12471", "NCIt"), 1),
    "calcification": (("C3672", "NCIt"), ("RID28473", "RadLex"), 6),
    "sphericity": (("400", "99LIDCQIICR"), ("RID5800", "RadLex"), 3),
    "margin": (("C25563", "NCIt"), ("004", "99LIDCQIICR"), 4),
    "lobulation": (("C62175", "NCIt"), ("601", "99LIDCQIICR"), 1),
    "spiculation": (("C28749", "NCIt"), ("002", "99LIDCQIICR"), 2),
    "texture": (("C41144", "NCIt"), ("RID50151", "RadLex"), 5),
    "malignancy": (("RID36042", "RadLex"), ("905", "99LIDCQIICR"), 5),
}


def write_segment(path, source, mask, *, nodule=1, annotation="4503", structure=codes.LUNG_NODULE):
    """Write what one annotator marked of one nodule, and give the dataset back."""
    label = f"Nodule {nodule} - Annotation {annotation}"
    segment = Segment(label, structure, tracking=(f"1.2.77.{nodule}", f"Nodule {nodule}"))
    titles = Titles(f"Segmentation of {label}", 300, "SEGMENTATION")
    made = segmentation_of_masks([mask], [segment], source_images(source), titles, MADE)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)
    return made


def write_report(path, source, segmentation):
    """Write the ratings of the one segment of a segmentation."""
    images = source_images(source)
    rated = [
        sr.QualitativeEvaluation(
            name=concept((*name, rating)), value=concept((*value, f"grade {number}"))
        )
        for rating, (name, value, number) in RATINGS.items()
    ]
    segment = sr.ReferencedSegment(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        segment_number=1,
        source_series=sr.SourceSeriesForSegmentation(str(images.first.SeriesInstanceUID)),
    )
    group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid="1.2.77.1", identifier="Nodule 1"),
        referenced_segment=segment,
        finding_type=concept(codes.NODULE),
        qualitative_evaluations=rated,
    )
    reader = sr.ObserverContext(
        observer_type=concept(("121006", "DCM", "Person")),
        observer_identifying_attributes=sr.PersonObserverIdentifyingAttributes(name="Reader^One"),
    )
    sr.Comprehensive3DSR(
        evidence=[*images.datasets, segmentation],
        content=sr.MeasurementReport(
            observation_context=sr.ObservationContext(observer_person_context=reader),
            procedure_reported=concept(codes.CT_SCAN),
            imaging_measurements=[group],
        )[0],
        series_instance_uid=highdicom.UID(),
        series_number=1001,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="tests",
    ).save_as(path)


def blob(ct, *box):
    """A mask with a hole, a lone pixel and a notch, in a box of the scan's grid."""
    array = np.zeros(ct.shape, bool)
    array[box] = True
    z, y, x = (part.start for part in box)
    array[z, y + 1, x + 1] = False
    array[z, y, x] = False
    return ct.like(array)
