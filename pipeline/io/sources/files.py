"""What one file is: a CT slice, a MetaImage, NIfTI or NRRD volume, or nothing to work on."""

from dataclasses import dataclass
from pathlib import Path

from lungseg.core.errors import ScanError
from lungseg.io.dicom import header as dh
from lungseg.io.volumes import headers, voxels

# PS3.6, annex A: what may hold a CT. Screenshots and dose reports have Modality CT as well.
_CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT Image",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image",
}
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_SCREEN_CLASS = "1.2.840.10008.5.1.4.1.1.7"
_MULTIFRAME_WORD_CLASS = "1.2.840.10008.5.1.4.1.1.7.3"
_LOCALIZERS = {"LOCALIZER", "SCOUT", "TOPOGRAM"}
_STANDARD_ROOT = "1.2.840.10008."
_PACKED = {".zip", ".gz", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst"}
_PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a file is.

    Attributes
    ----------
    kind
        ``dicom``, ``metaimage``, ``nifti``, ``nrrd``, ``nothing`` (not worth a word) or ``other``.
    reason
        Why it is not used; empty if it is used.
    fault
        True if it should have been part of a scan.
    series, patient, modality, instance, position
        Of a DICOM file: SeriesInstanceUID, PatientID, Modality, SOPInstanceUID,
        ImagePositionPatient.
    """

    kind: str
    reason: str = ""
    fault: bool = False
    series: str = ""
    patient: str = ""
    modality: str = ""
    instance: str = ""
    position: str = ""


def examine(path: Path) -> Found:
    """Look into a file and say what it is.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    suffix = headers.suffix_of(path)
    if suffix and voxels.hold_no_hu(path):
        return Found("other", "8 bits a voxel hold no HU: a mask or labels, not CT")
    if suffix:
        return Found(headers.SUFFIXES[suffix])
    try:
        header = dh.read_header(path)
    except dh.NotDicomError:
        return _not_dicom(path)
    except ScanError as error:
        return Found("other", str(error), fault=True)
    return _dicom(header)


def _not_dicom(path: Path) -> Found:
    suffix = path.suffix.lower()
    if suffix in {"", ".dcm", ".ima"} and not path.stat().st_size:
        return Found("other", "empty: nothing of the file was copied", fault=True)
    if suffix in {".raw", ".zraw", ".img"} or path.name.lower().endswith(".raw.gz"):
        return Found("nothing")
    if suffix in _PACKED:
        return Found("other", f"an archive ({suffix}) is not looked into; unpack it")
    if suffix in _PICTURES:
        return Found("other", f"a picture ({suffix}) has no HU and no geometry")
    return Found("other", "not a DICOM file, nor MetaImage, NIfTI or NRRD")


def _dicom(header: dh.Header) -> Found:
    series, modality = header.text(dh.SERIES_UID), header.text(dh.MODALITY)
    sop_class = header.text(dh.SOP_CLASS)
    if sop_class == _DIRECTORY_CLASS:
        return Found("nothing")
    reason = _why_not_ct(header, modality, sop_class)
    fault = False
    if not reason and not series:
        reason, fault = "a CT without SeriesInstanceUID: its scan cannot be told", True
    return Found(
        kind="dicom" if series else "other",
        reason=reason,
        fault=fault,
        series=series,
        patient=header.text(dh.PATIENT_ID),
        modality=modality,
        instance=header.text(dh.SOP_INSTANCE),
        position=header.text(dh.POSITION),
    )


def _why_not_ct(header: dh.Header, modality: str, sop_class: str) -> str:
    is_class = sop_class in _CT_CLASSES
    if modality not in {"CT", ""}:
        return f"modality {modality}, not CT"
    if not modality and not is_class:
        return "neither Modality nor SOP class say that it is a CT"
    parts = {part.strip() for part in header.text(dh.IMAGE_TYPE).upper().split("\\")}
    # An enhanced CT may be stored under the class of screenshots; its frames have positions.
    is_enhanced = sop_class == _MULTIFRAME_WORD_CLASS and dh.FRAME_GROUPS in header.values
    reason = ""
    if parts & _LOCALIZERS:
        reason = "a localizer, not slices"
    elif sop_class == _SCREEN_CLASS:
        reason = "a screenshot (Secondary Capture), not slices"
    elif sop_class.startswith(_STANDARD_ROOT) and not is_class and not is_enhanced:
        reason = f"a DICOM object of another kind (SOP class {sop_class}), not slices"
    elif header.whole(dh.SAMPLES, 1) != 1:
        reason = "a colour picture, not slices"
    return reason
