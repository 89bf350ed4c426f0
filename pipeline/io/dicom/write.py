"""A volume as a DICOM CT series, in the layout and with the headers that LIDC's downloads have.

One file a slice, explicit little endian: ``<patient>/<study uid>/<series uid>/000001.dcm``. The
files' names are shuffled against the slices' order, as they are in LIDC: order is a matter of
ImagePositionPatient.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.volume import HU, Volume

INTERCEPT_HU = -1024


@dataclass(frozen=True, kw_only=True)
class SeriesHeader:
    """What the files say about the series.

    Attributes
    ----------
    patient, study, series
        PatientID, StudyInstanceUID, SeriesInstanceUID.
    slice_thickness_mm
        SliceThickness; it need not be the distance of the slices. None: that distance.
    signed
        PixelRepresentation: 16-bit signed (needed for HU below the intercept), or unsigned.
    intercept_hu
        RescaleIntercept; the slope is 1.
    padding_hu
        What pixels outside the field of view hold, told by PixelPaddingValue; None: not told.
    contrast, manufacturer, kernel
        ContrastBolusAgent is there or not; Manufacturer and ConvolutionKernel.
    """

    patient: str
    study: str
    series: str
    slice_thickness_mm: float | None = None
    signed: bool = False
    intercept_hu: int = INTERCEPT_HU
    padding_hu: int | None = None
    contrast: bool = False
    manufacturer: str = "LUNGSEG PHANTOM"
    kernel: str = "STANDARD"


def series_folder(root: Path, header: SeriesHeader) -> Path:
    """Where a series lies in LIDC's layout."""
    return root / header.patient / header.study / header.series


def write_series(ct: Volume[HU], root: Path, header: SeriesHeader) -> list[Path]:
    """Write one file a slice under `root`; return their paths in the order of the slices.

    Parameters
    ----------
    ct
        ``(z, y, x)`` int16, HU; any direction.
    root
        Folder that will hold the patient's folder.
    header
        Ids and encoding.

    Raises
    ------
    ValueError
        If a value does not fit the encoding, which would wrap around.
    """
    stored = _stored(ct, header)
    folder = series_folder(root, header)
    folder.mkdir(parents=True, exist_ok=True)
    dataset = _common(ct, header)
    order = np.random.default_rng(len(stored)).permutation(len(stored)) + 1
    paths = []
    for k, (pixels, number) in enumerate(zip(stored, order, strict=True)):
        path = folder / f"{number:06d}.dcm"
        _place(dataset, ct, k, header.series)
        dataset.update({"PixelData": pixels.tobytes()})
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _stored(ct: Volume[HU], header: SeriesHeader) -> Any:
    kind = np.dtype("<i2" if header.signed else "<u2")
    limits = np.iinfo(kind)
    lowest, highest = int(ct.array.min()), int(ct.array.max())
    least, most = lowest - header.intercept_hu, highest - header.intercept_hu
    if least < limits.min or most > limits.max:
        raise ValueError(
            f"HU {lowest} to {highest} with intercept {header.intercept_hu} are {least} to {most}, "
            f"which {'signed' if header.signed else 'unsigned'} 16-bit pixels do not hold; "
            "write them signed, or with another intercept"
        )
    # Pixels are brought to their type slice by slice: a scan is never held twice.
    shift = np.int32(header.intercept_hu)
    return _Slices(ct, kind, int(shift))


class _Slices:
    """The stored pixels of each slice, made when asked for."""

    def __init__(self, ct: Volume[HU], kind: np.dtype[Any], intercept: int) -> None:
        self.ct, self.kind, self.intercept = ct, kind, intercept

    def __len__(self) -> int:
        return self.ct.shape[0]

    def __iter__(self) -> Any:
        for pixels in self.ct.array:
            yield (pixels.astype(np.int32) - self.intercept).astype(self.kind)


def _common(ct: Volume[HU], header: SeriesHeader) -> Any:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.update(
        {
            "MediaStorageSOPClassUID": CTImageStorage,
            "TransferSyntaxUID": ExplicitVRLittleEndian,
        }
    )
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.update(
        {
            "SpecificCharacterSet": "ISO_IR 100",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "SOPClassUID": CTImageStorage,
            "StudyDate": "20000101",
            "SeriesDate": "20000101",
            "AcquisitionDate": "20000101",
            "ContentDate": "20000101",
            "StudyTime": "",
            "AccessionNumber": "",
            "Modality": "CT",
            "Manufacturer": header.manufacturer,
            "SeriesDescription": "digital phantom, no patient",
            "ReferringPhysicianName": "",
            "PatientName": "",
            "PatientBirthDate": "",
            "PatientSex": "",
            "PatientID": header.patient,
            "PatientIdentityRemoved": "YES",
            "DeidentificationMethod": "digital phantom",
            **({"ContrastBolusAgent": "IV"} if header.contrast else {}),
            "BodyPartExamined": "CHEST",
            "KVP": "120",
            "GantryDetectorTilt": "0",
            "ConvolutionKernel": header.kernel,
            "PatientPosition": "HFS",
            "StudyInstanceUID": header.study,
            "SeriesInstanceUID": header.series,
            "StudyID": "",
            "SeriesNumber": "1",
            "FrameOfReferenceUID": generate_uid(entropy_srcs=[header.study, "frame"]),
            "WindowCenter": "-600",
            "WindowWidth": "1600",
        }
    )
    dataset.update(_geometry(ct, header.slice_thickness_mm))
    dataset.update(_encoding(ct, header))
    return dataset


def _geometry(ct: Volume[HU], slice_thickness_mm: float | None) -> dict[str, Any]:
    dz, dy, dx = ct.spacing_mm
    axes = np.asarray(ct.geometry.direction_xyz).reshape(3, 3)
    return {
        "SliceThickness": _ds(slice_thickness_mm or dz),
        "ReconstructionDiameter": _ds(dx * ct.shape[2]),
        "ImageOrientationPatient": [_ds(v) for v in (*axes[:, 0], *axes[:, 1])],
        "PixelSpacing": [_ds(dy), _ds(dx)],
    }


def _encoding(ct: Volume[HU], header: SeriesHeader) -> dict[str, Any]:
    _, rows, columns = ct.shape
    encoding: dict[str, Any] = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(header.signed),
        "RescaleIntercept": str(header.intercept_hu),
        "RescaleSlope": "1",
    }
    if header.padding_hu is not None:
        encoding["PixelPaddingValue"] = header.padding_hu - header.intercept_hu
    return encoding


def _place(dataset: Any, ct: Volume[HU], k: int, series: str) -> None:
    from pydicom.uid import generate_uid

    x, y, z = ct.geometry.to_world((k, 0, 0))
    uid = generate_uid(entropy_srcs=[series, str(k)])
    dataset.file_meta.update({"MediaStorageSOPInstanceUID": uid})
    dataset.update(
        {
            "SOPInstanceUID": uid,
            # Slices are counted from the head down, as scanners do.
            "InstanceNumber": str(ct.shape[0] - k),
            "ImagePositionPatient": [_ds(x), _ds(y), _ds(z)],
            "SliceLocation": _ds(z),
        }
    )


def _ds(value: float) -> str:
    from pydicom.valuerep import format_number_as_ds

    return str(format_number_as_ds(float(value)))
