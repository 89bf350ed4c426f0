"""Coded terms (SNOMED CT, DICOM, UCUM) for what this program finds.

Structures follow DICOM's context groups for segmentations: categories of CID 7150, lungs with a
side as modifier (CID 244), and nodules as LIDC's standardised collection has them, so that a
viewer shows both alike.
"""

from dataclasses import dataclass
from typing import Any

Code = tuple[str, str, str]
"""Value, scheme, meaning."""

ANATOMICAL: Code = ("91723000", "SCT", "Anatomical Structure")
ABNORMAL: Code = ("49755003", "SCT", "Morphologically Abnormal Structure")
LUNG: Code = ("39607008", "SCT", "Lung")
NODULE: Code = ("27925004", "SCT", "Nodule")
RIGHT: Code = ("24028007", "SCT", "Right")
LEFT: Code = ("7771000", "SCT", "Left")
DIAMETER: Code = ("81827009", "SCT", "Diameter")
VOLUME: Code = ("118565006", "SCT", "Volume")
CERTAINTY: Code = ("111012", "DCM", "Certainty of Finding")
# No coding scheme that all readers know has these: they are this program's own (PS3.3, 8.2).
OWN = "99LUNGSEG"
SURROUNDINGS: Code = ("surroundings", OWN, "What the finding touches")
TOUCHES_VESSEL: Code = ("vessel", OWN, "Touches a vessel or scar")
TOUCHES_RIB: Code = ("rib", OWN, "Touches a rib")
AT_SCAN_END: Code = ("scan-end", OWN, "Reaches the end of the scan")
CT_SCAN: Code = ("25045-6", "LN", "CT unspecified body region")
DEVICE: Code = ("121007", "DCM", "Device")
MILLIMETRE: Code = ("mm", "UCUM", "millimeter")
CUBIC_MILLIMETRE: Code = ("mm3", "UCUM", "cubic millimeter")
PERCENT: Code = ("%", "UCUM", "percent")
AI: Code = ("123110", "DCM", "Artificial Intelligence")
MANUAL: Code = ("123109", "DCM", "Manual Processing")
MORPHOLOGY: Code = ("123104", "DCM", "Morphological Operations")


@dataclass(frozen=True)
class Structure:
    """What a segment shows: category and type, side, and where it lies."""

    category: Code
    kind: Code
    side: Code | None = None
    place: Code | None = None


RIGHT_LUNG = Structure(ANATOMICAL, LUNG, RIGHT)
LEFT_LUNG = Structure(ANATOMICAL, LUNG, LEFT)
LUNG_NODULE = Structure(ABNORMAL, NODULE, place=LUNG)


def concept(code: Code) -> Any:
    """The code as highdicom takes it."""
    from highdicom.sr import CodedConcept

    value, scheme, meaning = code
    return CodedConcept(value, scheme, meaning)
