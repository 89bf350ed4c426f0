"""Headers of MetaImage and NRRD, looked at before anything is read.

Both name a file for their voxels. That name must stay beside the header: a header from elsewhere
must not make this program read ``/etc/passwd``. What a header leaves unsaid (its spacing) and what
its voxels' file cannot hold is refused here, with a name, where a lenient reader would guess.
"""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from pipeline.core.errors import ScanError

SUFFIXES = {
    ".mhd": "metaimage",
    ".mha": "metaimage",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
}
_LONGEST_HEADER = 1 << 20
# No deflate stream grows by more than this.
_MOST_GROWTH = 1040
_METAIMAGE_BYTES = {
    **{f"MET_{name}": 1 for name in ("CHAR", "UCHAR")},
    **{f"MET_{name}": 2 for name in ("SHORT", "USHORT")},
    **{f"MET_{name}": 4 for name in ("INT", "UINT", "FLOAT")},
    **{f"MET_{name}": 8 for name in ("LONG_LONG", "ULONG_LONG", "DOUBLE")},
}


@dataclass(frozen=True)
class Checked:
    """A header that may be read.

    Attributes
    ----------
    data
        File that holds the voxels; the header's own file if they follow it.
    """

    data: Path


def suffix_of(path: Path) -> str:
    """Suffix of an exchange format, in lower case, or empty."""
    name = path.name.lower()
    return next((s for s in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(s)), "")


def data_file_of(path: Path) -> Path | None:
    """File beside a header that holds its voxels; None if it is the same, absent or elsewhere."""
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
    """Check the header of an exchange file and tell where its voxels are.

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
    return Checked(path)


def check_length_of_nifti(path: Path, needed: int) -> None:
    """Check that a NIfTI holds `needed` bytes, unpacked.

    Raises
    ------
    ScanError
        If it is shorter, or its compression is damaged.
    """
    packed = path.name.lower().endswith(".gz")
    there = _unpacked_size(path, needed) if packed else path.stat().st_size
    if there < needed:
        raise ScanError(
            f"truncated: {path} holds {there}{' unpacked' if packed else ''} bytes, its header "
            f"describes {needed}; copy it again from where it came"
        )


def _unpacked_size(path: Path, needed: int) -> int:
    # A whole gzip file ends with its unpacked size (RFC 1952); one that was cut, or written in
    # parts, ends with something else and must be unpacked to know.
    with path.open("rb") as file:
        if path.stat().st_size < 18:
            return 0
        file.seek(-4, 2)
        if int.from_bytes(file.read(4), "little") == needed & 0xFFFFFFFF:
            return needed
    size = 0
    try:
        with gzip.open(path) as stream:
            while size < needed and (part := stream.read(1 << 20)):
                size += len(part)
    except (EOFError, OSError, zlib.error):
        pass
    return size


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
    width = _METAIMAGE_BYTES.get(fields["elementtype"])
    if width is None:
        raise ScanError(f"header: {path} has ElementType {fields['elementtype']!r}, not a number's")
    data = _beside(path, fields["elementdatafile"])
    if not data.is_file():
        raise ScanError(
            f"data-file: {path} names {data.name!r}, which is not beside it; a .mhd needs its "
            ".raw or .zraw"
        )
    packed = fields.get("compresseddata", "false").lower() == "true"
    _check_length(path, data, sizes, width, packed)
    return Checked(data)


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
    return Checked(data)


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
        f"header: {path} has no line `ElementDataFile = ...`; it is no MetaImage header, or cut "
        "short"
    )


def _nrrd_fields(path: Path) -> dict[str, str]:
    text = _head(path)
    if not text.startswith("NRRD000"):
        raise ScanError(
            f"header: {path} begins with {text[:8]!r}, not NRRD0001 to NRRD0005; it is no NRRD, "
            "or of a version nobody reads"
        )
    fields: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        if not line.strip():
            break
        key, separator, value = line.partition(":")
        if separator and not line.startswith("#"):
            fields[key.strip().lower()] = value.lstrip("=").strip()
    if "datafile" in fields:
        fields["data file"] = fields["datafile"]
    return fields


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LONGEST_HEADER).decode("latin-1")


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
