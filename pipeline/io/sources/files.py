"""What one file is: a CT slice, a MetaImage, NIfTI or NRRD volume, or nothing to work on."""

from dataclasses import dataclass
from pathlib import Path

from lungseg.core.errors import ScanError
from lungseg.core.shown import shown
from lungseg.io.dicom import header as dh
from lungseg.io.dicom.acquisitions import acquisition_of
from lungseg.io.volumes import headers, nifti, voxels

# PS3.6, annex A: what may hold a CT. Screenshots and dose reports have Modality CT as well.
_CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT Image",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image",
}
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_SCREEN_CLASS = "1.2.840.10008.5.1.4.1.1.7"
_MULTIFRAME_WORD_CLASS = "1.2.840.10008.5.1.4.1.1.7.3"
SCREEN = "a screenshot (Secondary Capture), not slices"
SLICE_AS_SCREEN = "a slice with its place and HU that is stored as a screenshot (Secondary Capture)"
# ImageType of pages that consoles store among the slices, under the class of slices.
_SCREENS = {"SCREEN SAVE", "SCREENSAVE", "SCREENSHOT", "DOSE_INFO", "DOSE INFO", "DOSE REPORT"}
# PixelPaddingValue is one value, or two by mistake; consoles wrote hundreds into dose pages.
_MOST_PADDING_VALUES = 2
_LOCALIZERS = {"LOCALIZER", "SCOUT", "TOPOGRAM"}
FOREIGN_HEADER = "a .hdr of another program, not of NIfTI"
EMPTY = "empty: nothing of the file was copied"
_STANDARD_ROOT = "1.2.840.10008."
_VOXELS = {".raw", ".zraw", ".img"}
# What download tools and people leave beside scans.
_BESIDE = {
    *(".xml", ".csv", ".tsv", ".json", ".md", ".txt", ".html", ".pdf", ".xls", ".xlsx", ".log"),
    *(".toml", ".yaml", ".yml", ".py", ".sh", ".tcia", ".db", ".ini"),
}
_BESIDE_NAMES = {"license", "licence", "readme", "dicomdir", "dirfile"}
_PACKED = {".zip", ".gz", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst"}
_PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a file is.

    Attributes
    ----------
    kind
        ``dicom``, ``metaimage``, ``nifti``, ``nrrd``, ``voxels`` (of a header beside them),
        ``beside`` (lists, licences: no images) or ``other``.
    reason
        Why it is not used; empty if it is used.
    fault
        True if it should have been part of a scan.
    series, patient, modality, instance, position
        Of a DICOM file: SeriesInstanceUID, PatientID, Modality, SOPInstanceUID,
        ImagePositionPatient.
    study, acquisition, stack
        Of a DICOM file: StudyInstanceUID; what tells its acquisition; what slices of one stack
        share (direction, matrix, spacing), empty where there is more than one frame.
    captured
        True if it is left out only because it is stored as Secondary Capture.
    """

    kind: str
    reason: str = ""
    fault: bool = False
    series: str = ""
    patient: str = ""
    modality: str = ""
    instance: str = ""
    position: str = ""
    study: str = ""
    acquisition: str = ""
    stack: str = ""
    captured: bool = False


def examine(path: Path) -> Found:
    """Look into a file and say what it is.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    suffix = headers.suffix_of(path)
    if suffix:
        return _volume(path, suffix)
    if _is_beside(path.name) and not _holds_dicom(path):
        return Found("beside")
    try:
        header = dh.read_header(path)
    except dh.NotDicomError:
        return _not_dicom(path)
    except ScanError as error:
        return Found("other", str(error), fault=True)
    return _dicom(header)


def _volume(path: Path, suffix: str) -> Found:
    if suffix == ".hdr" and path.stat().st_size and not nifti.is_header(path):
        return Found("other", FOREIGN_HEADER)
    if voxels.hold_no_hu(path):
        return Found("other", "8 bits a voxel hold no HU: a mask or labels, not CT")
    return Found(headers.READ[suffix])


def _is_beside(name: str) -> bool:
    stem, dot, suffix = name.lower().rpartition(".")
    return (
        name.lower() in _BESIDE_NAMES
        or (bool(dot) and f".{suffix}" in _BESIDE)
        or stem in _BESIDE_NAMES
    )


def _holds_dicom(path: Path) -> bool:
    # PS3.10, 7.1: a file of DICOM under whatever name.
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _not_dicom(path: Path) -> Found:
    suffix = path.suffix.lower()
    if suffix in _VOXELS or path.name.lower().endswith(".raw.gz"):
        return Found("voxels")
    if suffix in _PACKED:
        return Found("other", f"an archive ({suffix}) is not looked into; unpack it")
    if suffix in _PICTURES:
        return Found("other", f"a picture ({suffix}) has no HU and no geometry")
    if not path.stat().st_size:
        return Found("other", EMPTY, fault=True)
    return Found("other", "not a DICOM file, nor MetaImage, NIfTI or NRRD")


def _dicom(header: dh.Header) -> Found:
    series, modality = header.text(dh.SERIES_UID), header.text(dh.MODALITY)
    sop_class = header.text(dh.SOP_CLASS)
    if sop_class == _DIRECTORY_CLASS:
        return Found("beside")
    reason = _why_not_ct(header, modality, sop_class)
    captured = reason == SLICE_AS_SCREEN
    fault = False
    if not reason and not series:
        reason, fault = "a CT without SeriesInstanceUID: its scan cannot be told", True
    return Found(
        kind="dicom" if series else "other",
        reason=reason,
        fault=fault,
        series=shown(series),
        patient=shown(header.words(dh.PATIENT_ID)),
        modality=modality,
        instance=header.text(dh.SOP_INSTANCE),
        position=header.text(dh.POSITION),
        study=header.text(dh.STUDY_UID),
        acquisition=acquisition_of(header),
        stack=_stack(header),
        captured=captured and bool(series),
    )


def _stack(header: dh.Header) -> str:
    if header.frames > 1 or dh.FRAME_GROUPS in header.values:
        return ""
    try:
        axes = header.numbers(dh.ORIENTATION, 6) or ()
        spacing = header.numbers(dh.PIXEL_SPACING, 2) or ()
    except ScanError:  # told when the slice is read
        return ""
    direction = " ".join(f"{value:.2f}" for value in axes)
    size = header.whole(dh.ROWS, 0), header.whole(dh.COLUMNS, 0)
    return f"{direction} {size[0]} {size[1]} {' '.join(f'{value:.4f}' for value in spacing)}"


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
    elif _is_screen(header, parts):
        reason = "a screenshot (a dose or protocol page), not slices"
    elif sop_class == _SCREEN_CLASS:
        reason = SLICE_AS_SCREEN if _has_place(header, parts) else SCREEN
    elif sop_class.startswith(_STANDARD_ROOT) and not is_class and not is_enhanced:
        reason = f"a DICOM object of another kind (SOP class {sop_class}), not slices"
    elif header.whole(dh.SAMPLES, 1) != 1:
        reason = "a colour picture, not slices"
    return reason


def _is_screen(header: dh.Header, image_type: set[str]) -> bool:
    if header.text(dh.POSITION):
        return False
    return bool(image_type & _SCREENS) or len(header.stored(dh.PADDING)) > _MOST_PADDING_VALUES


def _has_place(header: dh.Header, image_type: set[str]) -> bool:
    if any(word in part for part in image_type for word in (*_LOCALIZERS, "SURVIEW", "SURVEY")):
        return False
    needed = (dh.POSITION, dh.ORIENTATION, dh.PIXEL_SPACING, dh.SLOPE, dh.INTERCEPT)
    gray = header.whole(dh.SAMPLES, 1) == 1 and header.whole(dh.BITS_ALLOCATED, 0) == 16
    return gray and all(header.text(tag) for tag in needed)
