"""MetaImage: lines of a ``.mhd`` or ``.mha``, told strictly.

A reader that takes ``CompressedData = Ture`` for False, or passes over ``Ofset``, shows a volume
that nobody has scanned. What a field may leave out, and the synonyms, are those of MetaIO.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lungseg.core.errors import NotProvenError, ScanError
from lungseg.core.shown import shown
from lungseg.io.volumes import layout, text_header
from lungseg.io.volumes.layout import VolumeHeader, Voxels
from lungseg.volume import FloatArray

TYPES = {
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
_NAMES = {
    *("comment", "objecttype", "objectsubtype", "transformtype", "ndims", "name", "id", "parentid"),
    *("acquisitiondate", "compresseddata", "compresseddatasize", "compressionlevel", "binarydata"),
    *("elementbyteordermsb", "binarydatabyteordermsb", "color", "position", "origin", "offset"),
    *("orientation", "rotation", "transformmatrix", "centerofrotation", "anatomicalorientation"),
    *("distanceunits", "elementspacing", "dimsize", "headersize", "headersizeperslice"),
    *("modality", "sequenceid", "elementmin", "elementmax", "elementnumberofchannels"),
    *("elementsize", "elementnbits", "elementtype", "elementdatafile", "imageposition"),
    *("elementtointensityfunctionslope", "elementtointensityfunctionoffset"),
}
_MM = {"mm": 1.0, "?": 1.0, "": 1.0, "um": 1e-3, "cm": 10.0}
_DATA_FILE = "elementdatafile"


def fields_of(path: Path) -> tuple[dict[str, str], int]:
    """The header's lines by name in lower case, and the bytes of the file up to their end.

    Raises
    ------
    ScanError
        If the last line is missing, one is no field, or two contradict each other.
    """
    fields: dict[str, str] = {}
    stray = b""
    for line, end in text_header.lines(path):
        key, separator, value = text_header.text(line).partition("=")
        if not separator:
            if text_header.is_meant_as_field(line.strip(), _NAMES):
                stray = stray or line.strip()
            continue
        key = key.strip().lower()
        text_header.add(path, fields, key, value.strip())
        if key == _DATA_FILE:
            if stray:
                raise text_header.no_field(path, stray, "=")
            return fields, end
    raise ScanError(
        f"header: {shown(path)} has no line `ElementDataFile = ...`; it is not a MetaImage header, "
        "or cut short"
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
    text_header.require(path, fields, ("ndims", "dimsize", "elementtype", _DATA_FILE))
    (dimensions,) = layout.sizes(path, "NDims", fields["ndims"], 1)
    x, y, z = _size(path, fields["dimsize"], dimensions)
    _check_samples(path, fields)
    data = text_header.beside(path, fields[_DATA_FILE])
    if not data.is_file():
        raise NotProvenError(
            f"data-file: {shown(path)} names {shown(data.name)!r}, which is not beside it; a .mhd "
            "needs its .raw or .zraw"
        )
    voxels = _voxels(path, fields, data, end if data == path else 0)
    layout.check_length(path, voxels, (z, y, x))
    affine, unsaid = _affine(path, fields)
    return VolumeHeader(path, (z, y, x), voxels, {"": affine}, unsaid=unsaid, fields=fields)


def _size(path: Path, text: str, dimensions: int) -> list[int]:
    if dimensions > 16:
        raise ScanError(f"header: {shown(path)} has NDims = {dimensions}; it is damaged")
    size = layout.sizes(path, "DimSize", text, dimensions)
    if dimensions != 3:
        raise ScanError(
            f"dimensions: {shown(path)} has {dimensions} axes; a scan has three: export one volume"
        )
    return size


def _check_samples(path: Path, fields: Mapping[str, str]) -> None:
    channels = fields.get("elementnumberofchannels", "1")
    if channels != "1":
        raise ScanError(
            f"samples: {shown(path)} has {shown(channels)} values a voxel; a CT has one: it is a "
            "picture, leave it out"
        )
    if fields["elementtype"] not in TYPES:
        raise ScanError(
            f"header: {shown(path)} has ElementType {shown(fields['elementtype'])!r}; expected one "
            f"of {', '.join(TYPES)}"
        )
    for key, count in (("compresseddatasize", 1), ("centerofrotation", 3)):
        if key in fields:  # of no use here, but a sign of damage where they are no numbers
            layout.numbers(path, key, fields[key], count)
    for name, plain in (("slope", 1.0), ("offset", 0.0)):
        key = f"elementtointensityfunction{name}"
        if key in fields and layout.numbers(path, key, fields[key], 1) != [plain]:
            raise ScanError(
                f"header: {shown(path)} has {key} = {shown(fields[key])}, which some readers apply "
                f"and some do not; write the HU themselves, and {plain:g} here"
            )


def _voxels(path: Path, fields: Mapping[str, str], data: Path, offset: int) -> Voxels:
    big = [
        _is_true(path, fields, name)
        for name in ("binarydatabyteordermsb", "elementbyteordermsb")
        if name in fields
    ]
    if len(set(big)) > 1:
        raise ScanError(
            f"header: {shown(path)} has BinaryDataByteOrderMSB and ElementByteOrderMSB, which "
            "contradict each other; leave one"
        )
    order = ">" if True in big else "<"
    dtype = np.dtype(order + TYPES[fields["elementtype"]])
    packed = _is_true(path, fields, "compresseddata")
    packing = layout.DATA if packed else layout.NONE
    if not _is_true(path, fields, "binarydata", unsaid=True):
        packing = layout.TEXT
    before = fields.get("headersize", "0")
    if before in {"0", ""}:
        return Voxels(data, offset, dtype, packing)
    if packing != layout.NONE or data == path or not (before == "-1" or before.isdecimal()):
        raise ScanError(
            f"header: {shown(path)} has HeaderSize = {shown(before)}; expected the bytes before "
            "the voxels of a .raw beside it, or -1"
        )
    return Voxels(data, int(before), dtype, packing)


def _is_true(path: Path, fields: Mapping[str, str], name: str, *, unsaid: bool = False) -> bool:
    said = fields.get(name)
    if said is None:
        return unsaid
    if said.lower() not in {"true", "false", "t", "f", "1", "0"}:
        raise ScanError(
            f"header: {shown(path)} has {name} = {shown(said[:80])!r}; expected True or False"
        )
    return said.lower() in {"true", "t", "1"}


def _affine(path: Path, fields: Mapping[str, str]) -> tuple[FloatArray, tuple[str, ...]]:
    unit = fields.get("distanceunits", "mm")
    if unit.lower() not in _MM:
        raise ScanError(
            f"spacing: {shown(path)} has DistanceUnits = {shown(unit)!r}; expected mm, um or cm"
        )
    factor = _MM[unit.lower()]
    spacing = _one_of(path, fields, ("elementspacing",)) or _one_of(path, fields, ("elementsize",))
    if spacing is None:
        raise ScanError(
            f"spacing: {shown(path)} states no ElementSpacing; without it lengths are unknown: "
            "add the line `ElementSpacing = X Y Z`, in mm"
        )
    offset = _one_of(path, fields, ("offset", "position", "origin"))
    turned = _one_of(path, fields, ("transformmatrix", "rotation", "orientation"), 9)
    # MetaIO names each axis after the other: the first three numbers are the way of x.
    directions = np.reshape(turned or np.eye(3).ravel(), (3, 3)).T
    lengths = np.linalg.norm(directions, axis=0)
    if not np.allclose(lengths, 1, atol=1e-3):
        raise ScanError(
            f"orientation: {shown(path)} has a TransformMatrix with directions of length "
            f"{lengths.min():.4g} to {lengths.max():.4g}; each must be 1"
        )
    names = {"Offset": offset, "TransformMatrix": turned}
    unsaid = tuple(name for name, value in names.items() if value is None)
    affine = np.column_stack([directions * np.asarray(spacing), offset or np.zeros(3)])
    return affine * factor, unsaid


def _one_of(
    path: Path, fields: Mapping[str, str], names: tuple[str, ...], count: int = 3
) -> list[float] | None:
    # The value of a field that has several names; two that are there must agree.
    stated = {name: fields[name] for name in names if name in fields}
    values = [layout.numbers(path, name, text, count) for name, text in stated.items()]
    if any(value != values[0] for value in values):
        raise ScanError(
            f"header: {shown(path)} has {' and '.join(stated)}, which contradict each other; "
            "leave one"
        )
    return values[0] if values else None
