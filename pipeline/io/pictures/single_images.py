"""Single 2-D images of any kind: pictures, DICOM X-rays and single CT slices."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import ConfigError, DataError, ScanError
from lungseg.io.pictures.pairs import ENDINGS, MASK_SUFFIX, is_trace
from lungseg.io.pictures.reading import read_grey
from lungseg.ops.grid.picture_size import Grey
from lungseg.ops.nodules.probability import to_stored

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SingleImage:
    """One image.

    Attributes
    ----------
    values
        ``(y, x)`` float32: HU, or grey from 0 (black) to 255.
    in_hu
        Whether the values are HU.
    spacing_mm
        Distance of pixels ``(y, x)``; None if the file does not say.
    """

    values: Grey
    in_hu: bool
    spacing_mm: tuple[float, float] | None = None


def find_images(places: Iterable[Path]) -> list[Path]:
    """The files named, and for each folder the pictures and DICOM files in it, sorted by name.

    Masks (``a_mask.png``) of a folder are left out; what else is no image is named in the log.

    Raises
    ------
    ConfigError
        If there is no such file or folder, or a folder holds no image.
    """
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise ConfigError(f"{place}: there is no such file or folder")
        if not place.is_dir():
            found.append(place)
            continue
        inside = [file for file in sorted(place.iterdir()) if _is_image(file)]
        if not inside:
            raise ConfigError(
                f"there is no image in {place}; {', '.join(ENDINGS)} and DICOM files are read"
            )
        left = [
            file.name
            for file in sorted(place.iterdir())
            if file not in inside and not is_trace(file) and not file.stem.endswith(MASK_SUFFIX)
        ]
        if left:
            log.warning(
                "%s: %d that are no images are left out: %s", place, len(left), ", ".join(left[:5])
            )
        found += inside
    return found


def _is_image(file: Path) -> bool:
    if not file.is_file() or file.name.startswith(".") or file.stem.endswith(MASK_SUFFIX):
        return False
    if file.suffix.lower() in {*ENDINGS, ".dcm"}:
        return True
    with file.open("rb") as opened:
        return opened.read(132)[128:] == b"DICM"


def read_single_image(path: Path) -> SingleImage:
    """Read a picture, a DICOM X-ray or a DICOM CT slice.

    The greys of an X-ray are those of its own window (DICOM PS3.3 C.11.2); without one, or if its
    width is 0 or it shows nothing, they run from the darkest to the brightest half percent of its
    pixels. MONOCHROME1, in which low values
    are bright, is inverted.

    Raises
    ------
    DataError
        If it is none of these, or damaged.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.suffix.lower() in ENDINGS:
        grey, most = read_grey(path)
        return SingleImage(grey * np.float32(255.0 / most), in_hu=False)
    return _read_dicom(path)


def write_probability(probability: Grey, path: Path) -> None:
    """Write a probability ``(y, x)`` as a PNG of 16 bits, in which 65535 is 1."""
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(to_stored(probability))).save(path, format="PNG")


def _read_dicom(path: Path) -> SingleImage:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(path)
    except InvalidDicomError as error:
        raise DataError(
            f"{path} is neither a DICOM file nor a picture ({', '.join(ENDINGS)} are read)"
        ) from error
    except Exception as error:
        raise DataError(f"{path} is a damaged DICOM file ({_first_line(error)})") from error
    if str(dataset.get("Modality", "")) == "CT":
        return _ct_slice(path, dataset)
    return SingleImage(_radiograph(path, dataset), in_hu=False, spacing_mm=_spacing(dataset))


def _ct_slice(path: Path, dataset: Any) -> SingleImage:
    from lungseg.io.dicom.pixels import slice_hu

    try:
        hu = slice_hu(path).astype(np.float32)
    except ScanError as error:
        raise DataError(str(error)) from error
    return SingleImage(hu, in_hu=True, spacing_mm=_spacing(dataset))


def _radiograph(path: Path, dataset: Any) -> Grey:
    from pydicom.pixels import apply_modality_lut

    try:
        raw = np.asarray(apply_modality_lut(dataset.pixel_array, dataset))
        shown = _windowed(raw, dataset) if raw.ndim == 2 else None
    except Exception as error:
        raise DataError(f"the pixels of {path} cannot be read ({_first_line(error)})") from error
    if raw.ndim != 2:
        raise DataError(
            f"{path} holds an array of shape {raw.shape}; one grey image (rows, columns) is read"
        )
    if shown is None:
        shown = raw.astype(np.float32)
        low, high = (float(end) for end in np.percentile(shown, [0.5, 99.5]))
    else:
        low, high = _ends(shown)
    grey = np.clip((shown - low) / max(high - low, 1e-6), 0, 1) * 255
    inverted = str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1"
    return np.asarray(255 - grey if inverted else grey, np.float32)


def _windowed(raw: npt.NDArray[Any], dataset: Any) -> Grey | None:
    """An X-ray through its own look-up table or first usable window; None if it has none."""
    from pydicom.pixels import apply_voi, apply_windowing

    if any("LUTDescriptor" in item for item in dataset.get("VOILUTSequence") or ()):
        shown = np.asarray(apply_voi(raw, dataset), np.float32)
    else:
        usable = _usable_window(dataset)
        if usable is None:
            return None
        shown = np.asarray(apply_windowing(raw, dataset, index=usable), np.float32)
    # A window beside all pixels shows nothing of a film that is there.
    return None if np.ptp(shown) == 0 else shown


def _usable_window(dataset: Any) -> int | None:
    """Number of the first window whose centre and width PS3.3 C.11.2.1.2 allows."""
    least = 1.0 if str(dataset.get("VOILUTFunction") or "LINEAR") == "LINEAR" else 1e-9
    centres, widths = (_numbers(dataset.get(f"Window{which}")) for which in ("Center", "Width"))
    pairs = zip(centres, widths, strict=False)
    good = [k for k, (c, w) in enumerate(pairs) if np.isfinite(c) and least <= w < np.inf]
    return good[0] if good else None


def _numbers(value: Any) -> list[float]:
    from pydicom.multival import MultiValue

    values = value if isinstance(value, (MultiValue, list)) else [value]
    return [float("nan") if v in {None, ""} else float(v) for v in values]


def _ends(shown: npt.NDArray[Any]) -> tuple[float, float]:
    return float(shown.min()), float(shown.max())


def _spacing(dataset: Any) -> tuple[float, float] | None:
    found = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    if not found or len(found) != 2 or not all(float(mm) > 0 for mm in found):
        return None
    return float(found[0]), float(found[1])


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
