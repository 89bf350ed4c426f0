"""What tests ask of DICOM objects: by pydicom alone, and by the validator dciodvfy."""

import re
import shutil
import subprocess

import numpy as np
import pydicom
import pytest

VALIDATOR = shutil.which("dciodvfy")
needs_validator = pytest.mark.skipif(
    VALIDATOR is None,
    reason="NO VALIDATOR: dciodvfy (Debian: dicom3tools) is not installed, and no DICOM object "
    "that is written here is held against the standard",
)


def errors_of(path):
    """The lines in which dciodvfy finds an error."""
    told = subprocess.run([VALIDATOR, str(path)], capture_output=True, text=True, check=False)
    lines = (told.stdout + told.stderr).splitlines()
    return [line for line in lines if re.match(r"Error|Abort", line)]


def frames_of(path):
    """Segment number, world position of the first pixel, pixels and image of each frame."""
    ds = pydicom.dcmread(path)
    shared = ds.SharedFunctionalGroupsSequence[0]
    pixels = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    for item, frame in zip(ds.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        whose = item if "SegmentIdentificationSequence" in item else shared
        number = whose.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        place = np.array(item.PlanePositionSequence[0].ImagePositionPatient, float)
        image = item.DerivationImageSequence[0].SourceImageSequence[0]
        yield number, place, frame, image


def points_of(path, number):
    """World position of every pixel of a segment that is set, sorted: ``(n, 3)``."""
    ds = pydicom.dcmread(path)
    shared = ds.SharedFunctionalGroupsSequence[0]
    axes = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    dy, dx = shared.PixelMeasuresSequence[0].PixelSpacing
    found = []
    for segment, place, frame, _ in frames_of(path):
        if segment == number:
            y, x = np.nonzero(frame)
            found.append(place + x[:, None] * dx * axes[:3] + y[:, None] * dy * axes[3:])
    return in_order(np.concatenate(found))


def points_in(volume, label):
    """The same of a label of a volume."""
    return in_order(volume.geometry.to_world(np.argwhere(volume.array == label)))


def in_order(points):
    rounded = np.round(points, 3) + 0.0
    return rounded[np.lexsort(rounded.T)]
