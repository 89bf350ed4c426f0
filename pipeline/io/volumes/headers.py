"""Headers of MetaImage and NRRD, looked at before anything is read.

Both name a file for their voxels. That name must stay beside the header: a header from elsewhere
must not make this program read ``/etc/passwd``. What a header leaves unsaid (its spacing) and what
its voxels' file cannot hold is refused here, with a name, where a lenient reader would guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from lungseg.core.errors import ScanError

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
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}


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
        Where they begin in it.
    fields
        The header's lines, of MetaImage and NRRD, by name in lower case.
    """

    kind: str
    data: Path
    data_offset: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)


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
    offset = _text_length(path, b"elementdatafile") if data == path else 0
    _check_length(path, data, sizes, width, packed)
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
