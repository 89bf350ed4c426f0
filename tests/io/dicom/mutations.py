"""DICOM series that are damaged or lie, and what pydicom alone reads in them.

A mutation is one of: an element of one file or of all changed, emptied or taken away; bytes of a
header flipped; a file cut off; pixels longer or shorter; a file copied; headers swapped. What comes
of it must be what pydicom reads, or a refusal in words.
"""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from lungseg.io.sources.index import find_scans
from lungseg.ops.hu.padding import PADDING_HU
from lungseg.stages.ingest import Ingest, ct_of_source
from tests.io.dicom.dicom_files import positions, save, write_enhanced, write_slice

# Nothing is resampled or sheared: what is read is what lies in the files.
STRICT = Ingest(resample_uneven=False, correct_tilt=False)
PLAIN = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"),
    *("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"),
)
PACKED = (RLELossless, JPEG2000Lossless, JPEGLSLossless)
NUMBERS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("SamplesPerPixel", "PixelPaddingValue", "PixelPaddingRangeLimit"),
)
DECIMALS = ("RescaleSlope", "RescaleIntercept", "SliceThickness", "SpacingBetweenSlices")
LISTS = ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
TEXTS = (
    *("PatientID", "SeriesInstanceUID", "Modality", "SOPClassUID", "RescaleType", "ImageType"),
    *("PhotometricInterpretation", "AcquisitionNumber", "NumberOfFrames", "SpecificCharacterSet"),
    *("AcquisitionTime", "TemporalPositionIdentifier", "SOPInstanceUID"),
)


ALLOWED_ABSENT = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "PixelRepresentation": 0,
    "BitsStored": 0,
}


def base(folder, rng):
    """A sound series of five to eight slices in one of many codings; gives back its files."""
    folder.mkdir(parents=True, exist_ok=True)
    count, rows, columns = rng.integers((5, 33, 34), (9, 42, 42))
    signed = bool(rng.integers(2))
    bits = int(rng.choice([12, 16]))
    low = -1000 if signed else 0
    y, x = np.indices((rows, columns))
    waves = 500 + 300 * np.sin(x / 3) * np.cos(y / 4)
    stored = waves + rng.normal(0, 20, (count, rows, columns)) + low
    stored = stored.clip(low, 2000).astype(np.int16 if signed else np.uint16)
    header = {
        "BitsStored": bits,
        "RescaleIntercept": 0 if signed else -1024,
        "SliceThickness": 2.5,
        "PatientID": "P1",
    }
    if rng.random() < 0.3:
        value = -1500 if signed else 0
        stored[:, :2, :2] = value
        header["PixelPaddingValue"] = value
    places = positions(count, origin=(-100, 33.5, -200.25))
    if rng.random() < 0.15:
        header |= {"RescaleIntercept": None}
        return [write_enhanced(folder / "e.dcm", stored, places.tolist(), **header)]
    syntax = str(rng.choice([*PLAIN, *PACKED]))
    files = []
    for k, (plane, place) in enumerate(zip(stored, places, strict=True)):
        path = folder / f"{k}.dcm"
        plain = syntax if syntax in PLAIN else PLAIN[1]
        write_slice(
            path, plane, ImagePositionPatient=place.tolist(), PixelSpacing=[0.75, 0.5],
            syntax=plain, **header,
        )  # fmt: skip
        if syntax in PACKED:
            ds = pydicom.dcmread(path)
            ds.compress(syntax)
            save(ds, path)
        files.append(path)
    return files


def mutate(files, rng):
    """Do one mutation, and say which."""
    kinds = [_change, _change, _change, _change, _flip, _cut, _resize, _copy, _swap, _take_away]
    mutation = kinds[rng.integers(len(kinds))]
    one = [files[rng.integers(len(files))]]
    chosen = files if rng.random() < 0.4 else one
    return f"{mutation.__name__} {mutation(files, chosen, rng)} in {len(chosen)} of {len(files)}"


def _edited(path, change):
    # What pydicom itself will not write is left as it was.
    with warnings.catch_warnings(), contextlib.suppress(ValueError, TypeError, AttributeError):
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(path)
        change(ds)
        buffer = io.BytesIO()
        ds.save_as(buffer)
        path.write_bytes(buffer.getvalue())


def _change(_, chosen, rng):
    kind = rng.integers(4)
    keyword = str(rng.choice([NUMBERS, DECIMALS, LISTS, TEXTS][kind]))
    pick = rng.integers(12)

    def change(ds):
        old = ds.get(keyword)
        if kind == 0:
            old = int(old or 0) if not isinstance(old, pydicom.multival.MultiValue) else 0
            options = (0, 1, 2, 3, 8, 12, 15, 32, old + 1, max(old - 1, 0), old * 2, old // 2)
            ds.add_new(keyword, "US", options[pick] & 0xFFFF)
        elif kind == 1:
            old = float(old or 1)
            options = (0, 1, -1, 2, old + 1, old * 2, old / 2, 1e9, -3024, 0.001, "", -old)
            setattr(ds, keyword, options[pick])
        elif kind == 2:
            values = [float(v) for v in old or ()] or [1.0]
            at = int(rng.integers(len(values)))
            was = values[at]
            options = (
                0,
                -was,
                was + 0.01,
                was + 1,
                was * 2,
                1e6,
                was + 0.4,
                1,
                -1,
                was / 2,
                30,
                0.1,
            )
            values[at] = options[pick]
            setattr(ds, keyword, values[: None if pick else -1])
        else:
            options = (
                "",
                "P2",
                "1.2.3.5",
                "7",
                "MR",
                "US",
                "HU",
                "LOCALIZER",
                "2",
                "-1",
                "0",
                "CT",
            )
            setattr(ds, keyword, options[pick])

    for path in chosen:
        _edited(path, change)
    return f"{keyword} by {pick}"


def _take_away(_, chosen, rng):
    keyword = str(rng.choice([*NUMBERS[:7], *DECIMALS, *LISTS, *TEXTS]))
    for path in chosen:
        _edited(path, lambda ds: delattr(ds, keyword) if keyword in ds else None)
    return keyword


def _flip(_, chosen, rng):
    told = []
    for path in chosen:
        data = bytearray(path.read_bytes())
        until = max(data.find(b"\xe0\x7f\x10\x00"), 300) + 8
        for at in rng.integers(132, min(until, len(data)), rng.integers(1, 4)):
            data[at] = rng.integers(256)
            told.append(int(at))
        path.write_bytes(data)
    return str(told[:6])


def _cut(_, chosen, rng):
    share = rng.random()
    for path in chosen:
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
    return f"{share:.3f}"


def _resize(_, chosen, rng):
    more = int(rng.choice([-400, -50, -2, 2, 20, 50, 400]))

    def change(ds):
        ds.PixelData = ds.PixelData + bytes(more) if more > 0 else ds.PixelData[:more]

    for path in chosen:
        _edited(path, change)
    return str(more)


def _copy(files, _, rng):
    one = files[rng.integers(len(files))]
    other = one.with_name(f"copy{one.name}")
    other.write_bytes(one.read_bytes())
    if rng.random() < 0.5:
        _edited(other, lambda ds: setattr(ds, "RescaleIntercept", -1000))
    return one.name


def _swap(files, _, rng):
    one, other = rng.choice(len(files), 2)
    first = pydicom.dcmread(files[one], stop_before_pixels=True).get("ImagePositionPatient")
    second = pydicom.dcmread(files[other], stop_before_pixels=True).get("ImagePositionPatient")
    if first and second:
        _edited(files[one], lambda ds: setattr(ds, "ImagePositionPatient", second))
        _edited(files[other], lambda ds: setattr(ds, "ImagePositionPatient", first))
    return f"{one} {other}"


def ours(folder, cache):
    """Every source under `folder` with its CT, or the error that refused it; and what was left."""
    return find_scans([folder], cache)


def read(source):
    """The CT of a source and its facts."""
    ct, _, facts = ct_of_source(source, STRICT)
    return ct, facts


def frames_of(path):
    """HU, position, directions, spacing, padding and patient of each frame, by pydicom alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(path, force=True)
        # What a file leaves out and pydicom insists on.
        for name, value in ALLOWED_ABSENT.items():
            if name not in ds or ds[name].value in (None, ""):
                setattr(ds, name, ds.BitsAllocated if name == "BitsStored" else value)
        pixels = ds.pixel_array
        top = [int(v) for k in ("PixelPaddingValue", "PixelPaddingRangeLimit") for v in _all(ds, k)]
        padding = (min(top), max(top)) if top else None
        if "PerFrameFunctionalGroupsSequence" not in ds:
            yield _frame(ds, ds, ds, ds, pixels, padding)
            return
        shared = ds.SharedFunctionalGroupsSequence[0]
        for frame, plane in zip(ds.PerFrameFunctionalGroupsSequence, pixels, strict=True):
            groups = [
                (frame if name in frame else shared)[name][0]
                for name in (
                    "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
                    "PixelValueTransformationSequence",
                )
            ]  # fmt: skip
            yield _frame(*groups, plane, padding)


def _all(ds, keyword):
    value = ds.get(keyword)
    if value in (None, ""):
        return []
    return list(value) if isinstance(value, pydicom.multival.MultiValue) else [value]


def _frame(place, axes, measures, scale, pixels, padding):  # noqa: PLR0917
    hu = pixels * float(scale.RescaleSlope) + float(scale.RescaleIntercept)
    return {
        "hu": hu,
        "stored": pixels,
        "position": [float(v) for v in place.ImagePositionPatient],
        "axes": [float(v) for v in axes.ImageOrientationPatient],
        "spacing": [float(v) for v in measures.PixelSpacing],
        "padding": padding,
    }


def differs(source, ct, facts):
    """What of a CT is not what pydicom reads in its files; "" if all is."""
    try:
        frames = [frame for file in source.files for frame in frames_of(Path(file))]
    except Exception as error:  # pydicom raises nearly anything
        return f"pydicom reads nothing: {type(error).__name__}: {error}"
    axes = np.array(frames[0]["axes"]).reshape(2, 3)
    normal = np.cross(axes[0], axes[1])
    frames.sort(key=lambda frame: float(np.dot(frame["position"], normal)))
    places = [np.dot(frame["position"], normal) for frame in frames]
    kept = [k for k in range(len(frames)) if not k or places[k] - places[k - 1] > 0.05]
    if len(kept) != ct.shape[0]:
        return f"{ct.shape[0]} slices, {len(kept)} by pydicom"
    loose = max(0.06, 0.6 * facts["positions_rounded_to_mm"])
    faults = (_fault(ct, k, frames[i], loose) for k, i in enumerate(kept))
    return next((f"slice {k}: {fault}" for k, fault in enumerate(faults) if fault), "")


def _fault(ct, k, frame, loose):
    if frame["hu"].shape != ct.shape[1:]:
        return f"{ct.shape[1:]} pixels, {frame['hu'].shape} by pydicom"
    off = np.abs(ct.array[k] - frame["hu"]) > 0.5001
    padding = frame["padding"] or (frame["stored"].max(), frame["stored"].max())
    stored = frame["stored"].astype(int)
    off &= ~((ct.array[k] == PADDING_HU) & (stored >= padding[0]) & (stored <= padding[1]))
    if off.any():
        return f"HU differ by up to {np.abs(ct.array[k] - frame['hu'])[off].max():.0f}"
    here = np.array(ct.geometry.to_world((k, 0, 0)))
    if np.abs(here - frame["position"]).max() > loose:
        return f"lies at {here}, at {frame['position']} by pydicom"
    if not np.allclose(ct.spacing_mm[1:], frame["spacing"], rtol=2e-4):
        return f"pixels of {ct.spacing_mm[1:]}, of {frame['spacing']} by pydicom"
    return ""
