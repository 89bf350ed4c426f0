"""Single 2-D images of any kind: pictures, DICOM X-rays and single CT slices."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import DataError, ScanError
from lungseg.io.pictures.pairs import ENDINGS, MASK_SUFFIX, read_grey
from lungseg.ops.grid.picture_size import Grey
from lungseg.ops.nodules.probability import to_stored


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

    Masks (``a_mask.png``) and hidden files of a folder are left out.

    Raises
    ------
    DataError
        If a folder holds no image.
    """
    found: list[Path] = []
    for place in places:
        if not place.is_dir():
            found.append(place)
            continue
        inside = [file for file in sorted(place.iterdir()) if _is_image(file)]
        if not inside:
            raise DataError(
                f"there is no image in {place}; {', '.join(ENDINGS)} and DICOM files are read"
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

    The greys of an X-ray are those of its own window (DICOM PS3.3 C.11.2); without one they run
    from the darkest to the brightest half percent of its pixels. MONOCHROME1, in which low values
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
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    try:
        raw = apply_modality_lut(dataset.pixel_array, dataset)
        shown = np.asarray(apply_voi_lut(raw, dataset), np.float32)
    except Exception as error:
        raise DataError(f"the pixels of {path} cannot be read ({_first_line(error)})") from error
    if shown.ndim != 2:
        raise DataError(
            f"{path} holds an array of shape {shown.shape}; one grey image (rows, columns) is read"
        )
    low, high = np.percentile(shown, [0.5, 99.5]) if _no_window(dataset) else _ends(shown)
    grey = np.clip((shown - low) / max(high - low, 1e-6), 0, 1) * 255
    inverted = str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1"
    return np.asarray(255 - grey if inverted else grey, np.float32)


def _no_window(dataset: Any) -> bool:
    return "WindowCenter" not in dataset and "VOILUTSequence" not in dataset


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
