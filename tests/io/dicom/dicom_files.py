"""Small DICOM files for tests, right or wrong in every way that a test wants."""

import copy

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CLASS = "1.2.840.10008.5.1.4.1.1.2.1"
AXIAL = (1, 0, 0, 0, 1, 0)


def dataset(pixels, *, syntax=ExplicitVRLittleEndian, **header):
    """A CT slice; header elements by keyword, None takes one away."""
    pixels = np.asarray(pixels)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID = CT_CLASS
    ds.SOPInstanceUID = generate_uid()
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientID = "P1"
    ds.PatientName = "Nobody^Known"
    ds.SeriesInstanceUID = "1.2.3.4"
    ds.ImagePositionPatient = [0, 0, 0]
    ds.ImageOrientationPatient = list(AXIAL)
    ds.PixelSpacing = [1, 1]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.BitsAllocated = pixels.dtype.itemsize * 8
    ds.BitsStored = ds.BitsAllocated
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    ds["PixelData"].VR = "OW"
    for keyword, value in header.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.HighBit = max(ds.BitsStored - 1, 0)
    return ds


def save(ds, path):
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", CT_CLASS)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", generate_uid())
    ds.save_as(path, enforce_file_format=True)
    return path


def write_slice(path, pixels, **header):
    """Write one slice and give back its path."""
    return save(dataset(pixels, **header), path)


def positions(count, *, orientation=AXIAL, step=None, origin=(0.0, 0.0, 0.0), gap_mm=2.5):
    """Where slices lie: along their normal, or by the vector `step`."""
    row, column = np.reshape(orientation, (2, 3)).astype(float)
    step = gap_mm * np.cross(row, column) if step is None else np.asarray(step, float)
    return np.asarray(origin) + np.arange(count)[:, None] * step


def write_series(folder, stored, places, *, spacing=(0.75, 0.5), orientation=AXIAL, **header):
    """Write stored values ``(z, y, x)``, one slice at each place, and give back the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_slice(
            folder / f"{k:03d}.dcm",
            plane,
            ImagePositionPatient=[float(f"{v:.6f}") for v in place],
            ImageOrientationPatient=[float(f"{v:.8f}") for v in orientation],
            PixelSpacing=list(spacing),
            InstanceNumber=k + 1,
            **header,
        )
        for k, (plane, place) in enumerate(zip(stored, places, strict=True))
    ]


def write_enhanced(path, stored, places, *, spacing=(0.75, 0.5), shared=True, **header):
    """Write an enhanced file; the groups that all frames share once, or with each frame."""
    common = Dataset()
    common.PlaneOrientationSequence = Sequence([_with(ImageOrientationPatient=list(AXIAL))])
    common.PixelMeasuresSequence = Sequence([_with(PixelSpacing=list(spacing))])
    common.PixelValueTransformationSequence = Sequence(
        [_with(RescaleSlope=1, RescaleIntercept=-1024)]
    )
    frames = []
    for place in places:
        frame = Dataset() if shared else copy.deepcopy(common)
        frame.PlanePositionSequence = Sequence([_with(ImagePositionPatient=list(place))])
        frames.append(frame)
    return write_slice(
        path,
        stored,
        SharedFunctionalGroupsSequence=Sequence([common if shared else Dataset()]),
        PerFrameFunctionalGroupsSequence=Sequence(frames),
        **{
            "SOPClassUID": ENHANCED_CLASS,
            "NumberOfFrames": len(stored),
            "ImagePositionPatient": None,
            "ImageOrientationPatient": None,
            "PixelSpacing": None,
            "RescaleSlope": None,
            "RescaleIntercept": None,
            **header,
        },
    )


def _with(**elements):
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds
