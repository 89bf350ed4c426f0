"""Headers of MetaImage and NRRD, checked before any voxel is read.

Both name a file for their voxels. That name must stay beside the header: a header from elsewhere
must not make this program read ``/etc/passwd``. A header without spacing,
or one that describes more voxels than their file can hold, is refused here by name, where a
lenient reader would guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from lungseg.core.errors import ScanError

SUFFIXES = {
    ".nii.gz": "nifti",
    ".nii": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",
}
"""Formats by suffix; all are read and written."""
METAIMAGE_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
"""numpy's name of each ElementType, without byte order."""
_LONGEST_HEADER = 1 << 20
# No deflate stream grows by more than this.
_MOST_GROWTH = 1040


@dataclass(frozen=True)
class Checked:
    """A header that may be read.

    Attributes
    ----------
    kind
        ``metaimage``, ``nifti`` or ``nrrd``.
    data
        File that holds the voxels; the header's own file if they follow it.
    data_offset
        Bytes before the first of them in that file.
    fields
        The header's lines, of MetaImage and NRRD, by name in lower case.
    """

    kind: str
    data: Path
    data_offset: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)


def suffix_of(path: Path) -> str:
    """Suffix of a MetaImage, NIfTI or NRRD file, in lower case; empty for any other file."""
    name = path.name.lower()
    return next((s for s in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(s)), "")


def data_file_of(path: Path) -> Path | None:
    """File beside a ``.mhd`` or ``.nhdr`` that its header names for the voxels; it need not exist.

    None if the voxels are in the header's own file, or it names none, or one outside its folder.
    """
    try:
        suffix = suffix_of(path)
        if suffix == ".mhd":
            named = _metaimage_fields(path).get("elementdatafile", "")
        elif suffix == ".nhdr":
            named = _nrrd_fields(path).get("data file", "")
        else:
            return None
        data = _beside(path, named)
    except (ScanError, OSError):
        return None
    return data if data != path else None


def check_header(path: Path) -> Checked:
    """Check the header of a MetaImage or NRRD and tell where its voxels are.

    A NIfTI is passed on unchecked: its header leaves nothing unsaid, and names no other file.

    Raises
    ------
    ScanError
        If it is damaged, leaves out its spacing, names a file elsewhere, or its voxels' file is
        too short.
    """
    kind = SUFFIXES[suffix_of(path)]
    if kind == "metaimage":
        return _check_metaimage(path)
    if kind == "nrrd":
        return _check_nrrd(path)
    return Checked(kind, path)


def _check_metaimage(path: Path) -> Checked:
    fields = _metaimage_fields(path)
    _require(path, fields, ("ndims", "dimsize", "elementtype", "elementdatafile"))
    dimensions = _numbers(path, "NDims", fields["ndims"], 1)[0]
    sizes = _numbers(path, "DimSize", fields["dimsize"], int(dimensions))
    if dimensions != 3:
        raise ScanError(
            f"dimensions: {path} has {dimensions:g} axes; a scan has three: export one volume"
        )
    channels = fields.get("elementnumberofchannels", "1")
    if channels != "1":
        raise ScanError(
            f"samples: {path} has {channels} values a voxel; a CT has one: it is a picture, "
            "leave it out"
        )
    if "elementspacing" not in fields and "elementsize" not in fields:
        raise ScanError(
            f"spacing: {path} states no ElementSpacing; without it lengths are unknown: "
            "add the line `ElementSpacing = X Y Z`, in mm"
        )
    kind = METAIMAGE_TYPES.get(fields["elementtype"])
    if kind is None:
        raise ScanError(
            f"header: {path} has ElementType {fields['elementtype']!r}; expected one of "
            f"{', '.join(METAIMAGE_TYPES)}"
        )
    data = _beside(path, fields["elementdatafile"])
    if not data.is_file():
        raise ScanError(
            f"data-file: {path} names {data.name!r}, which is not beside it; a .mhd needs its "
            ".raw or .zraw"
        )
    packed = fields.get("compresseddata", "false").lower() == "true"
    offset = _text_length(path, b"elementdatafile") if data == path else 0
    _check_length(path, data, sizes, np.dtype(kind).itemsize, packed)
    return Checked("metaimage", data, offset, fields)


def _check_nrrd(path: Path) -> Checked:
    fields = _nrrd_fields(path)
    _require(path, fields, ("type", "dimension", "sizes", "encoding"))
    dimension = fields["dimension"]
    if dimension != "3":
        raise ScanError(
            f"dimensions: {path} has {dimension} axes; a scan has three: export one volume"
        )
    if "space directions" not in fields and "spacings" not in fields:
        raise ScanError(
            f"spacing: {path} states neither `space directions` nor `spacings`; without them "
            "lengths are unknown: export it with its geometry"
        )
    data = _beside(path, fields.get("data file", "LOCAL"))
    if not data.is_file():
        raise ScanError(f"data-file: {path} names {data.name!r}, which is not beside it")
    sizes = _numbers(path, "sizes", fields["sizes"], 3)
    _check_length(path, data, sizes, 1, fields["encoding"].lower() != "raw")
    offset = _text_length(path, b"") if data == path else 0
    return Checked("nrrd", data, offset, fields)


def _metaimage_fields(path: Path) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in _head(path).splitlines():
        key, separator, value = line.partition("=")
        if not separator:
            continue
        fields[key.strip().lower()] = value.strip()
        if key.strip().lower() == "elementdatafile":
            return fields
    raise ScanError(
        f"header: {path} has no line `ElementDataFile = ...`; it is not a MetaImage header, or "
        "cut short"
    )


def _nrrd_fields(path: Path) -> dict[str, str]:
    text = _head(path)
    if not text.startswith("NRRD000"):
        raise ScanError(
            f"header: {path} begins with {text[:8]!r}, not NRRD0001 to NRRD0005; it is not an "
            "NRRD, or of an unsupported version"
        )
    fields: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        if not line.strip():
            break
        key, separator, value = line.partition(":")
        # `key:=value` is a note of whoever wrote it, and no field, whatever its key.
        if separator and not line.startswith("#") and not value.startswith("="):
            fields[key.strip().lower()] = value.strip()
    if "datafile" in fields:
        fields["data file"] = fields["datafile"]
    return fields


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LONGEST_HEADER).decode("latin-1")


def _text_length(path: Path, last: bytes) -> int:
    # Bytes up to the voxels, which follow the line that begins with `last`, or an empty one.
    at = 0
    with path.open("rb") as file:
        for line in file.read(_LONGEST_HEADER).splitlines(keepends=True):
            at += len(line)
            if line.lower().startswith(last) if last else not line.strip():
                break
    return at


def _require(path: Path, fields: dict[str, str], names: tuple[str, ...]) -> None:
    missing = [name for name in names if not fields.get(name)]
    if missing:
        raise ScanError(f"header: {path} does not say {', '.join(missing)}; it is damaged")


def _numbers(path: Path, name: str, text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or min(numbers) < 1 or any(n != int(n) for n in numbers):
        raise ScanError(
            f"header: {path} has {name} = {text!r}, not {count} whole number"
            f"{'s' * (count != 1)} above 0; it is damaged"
        )
    return numbers


def _beside(path: Path, named: str) -> Path:
    if named.upper() in {"LOCAL", ""}:
        return path
    if named.upper().startswith("LIST") or "%" in named:
        raise ScanError(
            f"data-file: {path} keeps its voxels in several files ({named!r}); convert it to one "
            ".mha or .nrrd"
        )
    parts = PurePosixPath(named).parts, PureWindowsPath(named).parts
    if any(len(p) != 1 or p[0] in {"..", "."} for p in parts):
        raise ScanError(
            f"data-file: {path} names {named!r}, which lies outside its folder, and is not read; "
            "the voxels must be in a file beside the header"
        )
    return path.parent / named


def _check_length(path: Path, data: Path, sizes: list[float], width: int, packed: bool) -> None:
    needed = width
    for size in sizes:
        needed *= int(size)
    there = data.stat().st_size
    if not packed and there < needed:
        raise ScanError(
            f"truncated: {data} has {there} bytes, and {path.name} describes {needed}; copy it "
            "again from where it came"
        )
    if packed and there * _MOST_GROWTH < needed:
        raise ScanError(
            f"truncated: {data} has {there} compressed bytes, which cannot hold the {needed} that "
            f"{path.name} describes"
        )
