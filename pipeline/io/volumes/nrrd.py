"""NRRD: lines of a ``.nrrd`` or ``.nhdr``, told strictly.

The format lets a header leave out its space and origin. Which side is left is then unknown, so that
such a file is told from the others here, and refused unless the user accepts it.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lungseg.core.errors import NotProvenError, ScanError
from lungseg.core.shown import shown
from lungseg.io.volumes import layout, text_header
from lungseg.io.volumes.layout import VolumeHeader, Voxels
from lungseg.volume import FloatArray

_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int"), "i2"),
    **dict.fromkeys(("int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int"), "u2"),
    **dict.fromkeys(("uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long"), "i8"),
    **dict.fromkeys(("signed long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int"), "u8"),
    **dict.fromkeys(("uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_PACKINGS = {
    "raw": layout.NONE,
    **dict.fromkeys(("gz", "gzip"), layout.DATA),
    **dict.fromkeys(("bz2", "bzip2"), layout.BZIP2),
    **dict.fromkeys(("txt", "text", "ascii"), layout.TEXT),
}
_SYNONYMS = {
    name.replace(" ", ""): name
    for name in (
        *("data file", "line skip", "byte skip", "block size", "old min", "old max"),
        *("axis mins", "axis maxs", "sample units"),
    )
}
_NAMES = {
    *("dimension", "type", "block size", "encoding", "endian", "content", "min", "max", "old min"),
    *("old max", "data file", "line skip", "byte skip", "number", "sample units", "sizes"),
    *("spacings", "thicknesses", "axis mins", "axis maxs", "centers", "centerings", "labels"),
    *("units", "kinds", "space", "space dimension", "space units", "space origin"),
    *("space directions", "measurement frame"),
}
# What takes (x, y, z) of each space to LPS.
_SPACES = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1.0, 1.0, 1.0)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1.0, -1.0, 1.0)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1.0, -1.0, 1.0)),
}
_MM = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres", "???"), 1.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1000.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 10.0),
    **dict.fromkeys(("um", "\N{MICRO SIGN}m", "micron", "microns", "micrometer"), 1e-3),
    **dict.fromkeys(("micrometers", "micrometre", "micrometres"), 1e-3),
    "": 1.0,
}
_VECTOR = re.compile(r"\(([^()]*)\)")
_AXES = {"domain", "space", "???", "none"}


def fields_of(path: Path) -> tuple[dict[str, str], int]:
    """The header's fields by name in lower case, and the bytes of the file up to their end.

    Raises
    ------
    ScanError
        If it is no NRRD of a version that is known, a line is no field, or one stands there twice.
    """
    fields: dict[str, str] = {}
    end = 0
    for number, (line, at) in enumerate(text_header.lines(path)):
        end = at
        if number == 0:
            _check_magic(path, line)
            continue
        if not line.strip():
            break
        key, separator, value = text_header.text(line).partition(":")
        if key.startswith("#"):
            continue
        if not separator:
            raise text_header.no_field(path, line, ":")
        # `key:=value` is a note of whoever wrote it, and no field, whatever its key.
        if not value.startswith("="):
            key = key.strip().lower()
            text_header.add(path, fields, _SYNONYMS.get(key, key), value.strip(), once=True)
    if not end:
        _check_magic(path, b"")
    return fields, end


def _check_magic(path: Path, line: bytes) -> None:
    if not re.fullmatch(rb"NRRD000[1-5]", line.strip()):
        raise ScanError(
            f"header: {shown(path)} begins with {shown(text_header.text(line[:8]))!r}, not "
            "NRRD0001 to NRRD0005; it is not an NRRD, or of an unsupported version"
        )


def read_header(path: Path) -> VolumeHeader:
    """What the header says.

    Raises
    ------
    ScanError
        If it is damaged, leaves out its spacing, is of no 3-D scan, names a file elsewhere, or its
        voxels' file is too short.
    NotProvenError
        If that file is not there.
    """
    fields, end = fields_of(path)
    text_header.check_names(path, fields, _NAMES)
    text_header.require(path, fields, ("type", "dimension", "sizes", "encoding"))
    (dimension,) = layout.sizes(path, "dimension", fields["dimension"], 1)
    if dimension != 3:
        raise ScanError(
            f"dimensions: {shown(path)} has {dimension} axes; a scan has three: export one volume"
        )
    x, y, z = layout.sizes(path, "sizes", fields["sizes"], 3)
    kinds = fields.get("kinds", "").lower().split()
    if set(kinds) - _AXES:
        raise ScanError(
            f"samples: {shown(path)} has kinds {shown(fields['kinds'])!r}; a CT has one value a "
            "voxel and three axes in space: it is a picture, leave it out"
        )
    data = text_header.beside(path, fields.get("data file", "LOCAL"))
    if not data.is_file():
        raise NotProvenError(
            f"data-file: {shown(path)} names {shown(data.name)!r}, which is not beside it"
        )
    voxels = _voxels(path, fields, data, end if data == path else 0)
    layout.check_length(path, voxels, (z, y, x))
    affine, unsaid = _affine(path, fields)
    return VolumeHeader(
        path, (z, y, x), voxels, {"": affine}, unsaid=unsaid, is_open=bool(unsaid), fields=fields
    )


def _voxels(path: Path, fields: Mapping[str, str], data: Path, offset: int) -> Voxels:
    kind = _TYPES.get(fields["type"].lower())
    if kind is None:
        raise ScanError(
            f"header: {shown(path)} has type {shown(fields['type'])!r}, which is no number of a "
            "CT; expected one such as short"
        )
    packing = _PACKINGS.get(fields["encoding"].lower())
    if packing is None:
        raise ScanError(
            f"header: {shown(path)} has encoding {shown(fields['encoding'])!r}, which is not read; "
            f"expected one of {', '.join(_PACKINGS)}"
        )
    endian = fields.get("endian", "").lower()
    plain = packing == layout.TEXT or kind in {"i1", "u1"}
    if endian not in {"little", "big"} and not (plain and not endian):
        raise ScanError(
            f"header: {shown(path)} has endian = {shown(endian)!r}; expected little or big: "
            "without it the numbers are unknown"
        )
    dtype = np.dtype((">" if endian == "big" else "<") + kind)
    lines, skip = _skips(path, fields)
    if (lines or skip) and packing not in {layout.NONE, layout.TEXT}:
        raise ScanError(
            f"header: {shown(path)} skips lines or bytes of packed voxels, which is not read; "
            "write it without `line skip` and `byte skip`"
        )
    return Voxels(data, -1 if skip < 0 else offset + skip, dtype, packing, skipped_lines=lines)


def _skips(path: Path, fields: Mapping[str, str]) -> tuple[int, int]:
    found = []
    for name, least in (("line skip", 0), ("byte skip", -1)):
        text = fields.get(name, "0")
        if not re.fullmatch(r"-?\d{1,15}", text) or int(text) < least:
            raise ScanError(
                f"header: {shown(path)} has {name} = {shown(text[:80])!r}; expected a number of "
                f"{name.split()[0]}s"
            )
        found.append(int(text))
    lines, skip = found
    if lines and skip:
        raise ScanError(
            f"header: {shown(path)} has `line skip` and `byte skip`; write it without one of them"
        )
    return lines, skip


def _affine(path: Path, fields: Mapping[str, str]) -> tuple[FloatArray, tuple[str, ...]]:
    if "space directions" not in fields and "spacings" not in fields:
        raise ScanError(
            f"spacing: {shown(path)} states neither `space directions` nor `spacings`; without "
            "them lengths are unknown: export it with its geometry"
        )
    unsaid = [
        name for name in ("space", "space directions", "space origin") if not fields.get(name)
    ]
    space = fields.get("space", "LPS").lower()
    if space not in _SPACES:
        raise ScanError(
            f"orientation: {shown(path)} has space {shown(fields['space'])!r}, in which the "
            f"patient's sides are unknown; expected one of {', '.join(_SPACES)}"
        )
    if "space directions" in fields:
        directions = _vectors(path, "space directions", fields["space directions"], 3)
    else:
        directions = np.diag(layout.numbers(path, "spacings", fields["spacings"], 3))
    origin = np.zeros(3)
    if fields.get("space origin"):
        origin = _vectors(path, "space origin", fields["space origin"], 1)[0]
    affine = np.column_stack([directions.T * _units(path, fields), origin * _units(path, fields)])
    return affine * np.asarray(_SPACES[space])[:, None], tuple(unsaid)


def _vectors(path: Path, name: str, text: str, count: int) -> FloatArray:
    inner = _VECTOR.findall(text)
    if len(inner) != count or _VECTOR.sub("", text).strip():
        raise ScanError(
            f"header: {shown(path)} has {name} = {shown(text[:80])!r}, not {count} "
            f"vector{'s' * (count != 1)} such as (0.7,0,0); it is damaged"
        )
    return np.array([layout.numbers(path, name, part.replace(",", " "), 3) for part in inner])


def _units(path: Path, fields: Mapping[str, str]) -> float:
    # Directions and origin are in units of the space; `units` are of `spacings`.
    name = "space units" if "space directions" in fields else "units"
    words = [word.strip().lower() for word in re.findall(r'"([^"]*)"', fields.get(name, ""))]
    factors = {_MM.get(word, 0.0) for word in words}
    if len(factors) > 1 or 0.0 in factors:
        raise ScanError(
            f"spacing: {shown(path)} has {name} = {shown(fields[name][:80])}; expected the same "
            "three of mm, cm, m or um"
        )
    return factors.pop() if factors else 1.0
