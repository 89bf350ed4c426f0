"""NIfTI-1 and -2, in one file or a pair: the header by the standard's own byte table.

The standard is at nifti.nimh.nih.gov: nifti1.h and nifti2.h. A NIfTI may say twice where it lies,
by `sform` and by `qform`; both are told here as they are, and `lungseg.io.volumes.placement` judges
them.
"""

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import NotProvenError, ScanError
from lungseg.core.shown import shown
from lungseg.io.volumes import layout
from lungseg.io.volumes.layout import VolumeHeader, Voxels
from lungseg.io.volumes.streams import Unpacked
from lungseg.volume import FloatArray

_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_NO_CT = {128: 3, 2304: 4, 32: 2, 1792: 2, 2048: 2}
# To LPS: NIfTI's x and y grow to the patient's right and front.
_LPS = np.array([[-1.0], [-1.0], [1.0]])
_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}
_FIRST, _SECOND = 348, 540
_LENGTH = {_FIRST: 348, _SECOND: 540}
_SINGLE = {_FIRST: b"n+1\0", _SECOND: b"n+2\0\r\n\x1a\n"}
_PAIR = {_FIRST: b"ni1\0", _SECOND: b"ni2\0\r\n\x1a\n"}
_MOST_CODE = 5
_ROUNDING = 1e-5
# Three times the last digit of the numbers that the header is written in, as nibabel has it.
_HALF_TURN = {_FIRST: 3 * 2.0**-23, _SECOND: 3 * 2.0**-52}
GZIP = b"\x1f\x8b"

# Name, format and place of each field that is read (nifti1.h, nifti2.h).
_FIELDS: Mapping[int, Mapping[str, tuple[str, int]]] = {
    _FIRST: {
        "dim": ("8h", 40),
        "datatype": ("h", 70),
        "bitpix": ("h", 72),
        "pixdim": ("8f", 76),
        "vox_offset": ("f", 108),
        "scl": ("2f", 112),
        "xyzt_units": ("B", 123),
        "codes": ("2h", 252),
        "quatern": ("3f", 256),
        "qoffset": ("3f", 268),
        "srow": ("12f", 280),
        "magic": ("4s", 344),
    },
    _SECOND: {
        "magic": ("8s", 4),
        "datatype": ("h", 12),
        "bitpix": ("h", 14),
        "dim": ("8q", 16),
        "pixdim": ("8d", 104),
        "vox_offset": ("q", 168),
        "scl": ("2d", 176),
        "codes": ("2i", 344),
        "quatern": ("3d", 352),
        "qoffset": ("3d", 376),
        "srow": ("12d", 400),
        "xyzt_units": ("i", 500),
    },
}


@dataclass(frozen=True)
class _Raw:
    path: Path
    version: int
    order: str
    packed: bool
    values: Mapping[str, tuple[Any, ...]]

    def one(self, name: str) -> Any:
        return self.values[name][0]


def read_header(path: Path) -> VolumeHeader:
    """What the header says.

    Raises
    ------
    ScanError
        If it is none, is damaged or of no 3-D scan, or if it contradicts its file.
    NotProvenError
        If the ``.img`` of a pair is not there.
    """
    raw = _raw(path)
    x, y, z = _size(raw)
    voxels = _voxels(raw)
    layout.check_length(path, voxels, (z, y, x))
    pixel_mm = tuple(float(mm) * _unit(raw) for mm in raw.values["pixdim"][1:4])
    affines = _affines(raw, (x, y, z))
    return VolumeHeader(
        path,
        (z, y, x),
        voxels,
        {name: affine * _unit(raw) for name, affine in affines.items()},
        pixel_mm,
        () if {"sform", "qform"} & affines.keys() else ("sform", "qform"),
    )


def is_header(path: Path) -> bool:
    """Whether a ``.hdr`` is one of NIfTI or Analyze, and not of another program."""
    with path.open("rb") as file:
        head = file.read(4)
    return head[:2] == GZIP or any(head in _marks(size) for size in _LENGTH)


def image_of(path: Path) -> Path:
    """The ``.img`` of a ``.hdr``, whether their endings are in small or capital letters."""
    endings = (".IMG", ".img") if path.suffix.isupper() else (".img", ".IMG", ".Img")
    named = [path.with_suffix(ending) for ending in endings]
    return next((image for image in named if image.is_file()), named[0])


def _head(path: Path) -> tuple[bytes, bool]:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        stream: Any = Unpacked(file) if packed else file
        head = b""
        try:
            for length in (_FIRST, _SECOND):
                # No further than it takes: a small file may break where its header does not.
                if not head or head[:4] in _marks(_SECOND):
                    while len(head) < length and (part := stream.read(length - len(head))):
                        head += part
        except (EOFError, zlib.error) as error:
            raise ScanError(
                f"truncated: {shown(path)} ends or breaks within its header; copy it again from "
                "where it came"
            ) from error
    return head, packed


def _marks(length: int) -> dict[bytes, str]:
    # How a header of this length begins, and the order of bytes that it tells.
    return {struct.pack(order + "i", length): order for order in "<>"}


def _raw(path: Path) -> _Raw:
    head, packed = _head(path)
    known = {mark: (size, order) for size in _LENGTH for mark, order in _marks(size).items()}
    if len(head) >= 4 and head[:4] not in known:
        raise ScanError(
            f"header: {shown(path)} begins with {shown(repr(head[:4]))}, not with the length 348 "
            "or 540 of a NIfTI header; it is damaged, or no NIfTI"
        )
    version, order = known.get(head[:4], (_FIRST, "<"))
    if len(head) < _LENGTH[version]:
        raise ScanError(
            f"truncated: {shown(path)} ends within its header ({len(head)} bytes); copy it again "
            "from where it came"
        )
    values = {
        name: struct.unpack_from(order + kind, head, at)
        for name, (kind, at) in _FIELDS[version].items()
    }
    _check_magic(path, version, values["magic"][0])
    return _Raw(path, version, order, packed, values)


def _check_magic(path: Path, version: int, magic: bytes) -> None:
    in_pair = path.suffix.lower() == ".hdr"
    if magic == (_PAIR if in_pair else _SINGLE)[version]:
        return
    if in_pair and not magic.startswith(b"n"):
        raise ScanError(
            f"orientation: {shown(path)} is an Analyze header, which does not tell the patient's "
            "left from right; convert the scan to NIfTI from its DICOM files"
        )
    raise ScanError(
        f"header: {shown(path)} has the mark {shown(repr(magic))}, expected "
        f"{(_PAIR if in_pair else _SINGLE)[version]!r}; it is damaged, or misnamed"
    )


def _size(raw: _Raw) -> list[int]:
    dim = raw.values["dim"]
    if not 1 <= dim[0] <= 7:
        raise ScanError(
            f"header: {shown(raw.path)} has {dim[0]} axes (dim[0]), not 1 to 7; it is damaged"
        )
    text = " ".join(map(str, dim[1 : dim[0] + 1]))
    size = layout.sizes(raw.path, "dim", text, dim[0])
    while len(size) > 3 and size[-1] == 1:
        size.pop()
    if len(size) == 5 and size[3] == 1:  # the fifth axis is that of vectors
        raise _not_one_value(raw.path, size[4])
    if len(size) != 3:
        raise ScanError(
            f"dimensions: {shown(raw.path)} has {len(size)} axes ({' x '.join(map(str, size))}); a "
            "scan has three: export one volume"
        )
    return size


def _not_one_value(path: Path, count: int) -> ScanError:
    return ScanError(
        f"samples: {shown(path)} has {count} values a voxel; a CT has one: it is a picture, leave "
        "it out"
    )


def _voxels(raw: _Raw) -> Voxels:
    code = raw.one("datatype")
    if code in _NO_CT:
        raise _not_one_value(raw.path, _NO_CT[code])
    if code not in _TYPES:
        raise ScanError(
            f"header: {shown(raw.path)} has datatype {code}, which is no number of a CT; expected "
            f"one of {', '.join(map(str, sorted(_TYPES)))}"
        )
    dtype = np.dtype(raw.order + _TYPES[code])
    if raw.one("bitpix") not in {0, 8 * dtype.itemsize}:
        raise ScanError(
            f"header: {shown(raw.path)} has datatype {code} of {8 * dtype.itemsize} bits, and "
            f"bitpix {raw.one('bitpix')}; it is damaged"
        )
    slope, intercept = _scale(raw)
    data, packed = raw.path, raw.packed
    if raw.path.suffix.lower() == ".hdr":
        data = image_of(raw.path)
        if not data.is_file():
            raise NotProvenError(
                f"data-file: {shown(raw.path)} needs {shown(data.name)}, which is not beside it"
            )
        with data.open("rb") as file:
            packed = file.read(2) == GZIP
    packing = layout.FILE if packed else layout.NONE
    return Voxels(data, _offset(raw), dtype, packing, slope, intercept)


def _offset(raw: _Raw) -> int:
    offset = raw.one("vox_offset")
    # A single file has the header and four bytes that announce extensions before its voxels.
    least = 0 if raw.path.suffix.lower() == ".hdr" else _LENGTH[raw.version] + 4
    if not (math.isfinite(offset) and offset == int(offset) and offset >= least):
        raise ScanError(
            f"header: {shown(raw.path)} has its voxels at byte {offset:g} (vox_offset); expected a "
            f"whole number from {least} on: it is damaged"
        )
    return int(offset)


def _scale(raw: _Raw) -> tuple[float, float]:
    slope, intercept = raw.values["scl"]
    if slope == 0 or math.isnan(slope):  # nibabel and SPM write them for "not scaled"
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise ScanError(
            f"header: {shown(raw.path)} has scl_slope {slope:g} and scl_inter {intercept:g}, which "
            "give no HU; it is damaged"
        )
    return slope, intercept


def _unit(raw: _Raw) -> float:
    code = raw.one("xyzt_units") & 7
    if code not in _MM:
        raise ScanError(
            f"spacing: {shown(raw.path)} has the unit of length {code} (xyzt_units), which there "
            "is none; expected 1 (metres), 2 (mm), 3 (microns) or 0 (unsaid)"
        )
    return _MM[code]


def _affines(raw: _Raw, size_xyz: tuple[int, int, int]) -> dict[str, FloatArray]:
    qform_code, sform_code = raw.values["codes"]
    for name, code in (("qform_code", qform_code), ("sform_code", sform_code)):
        if not 0 <= code <= _MOST_CODE:
            raise ScanError(
                f"header: {shown(raw.path)} has {name} {code}, which there is none (0 to "
                f"{_MOST_CODE}); it is damaged"
            )
    found: dict[str, FloatArray] = {}
    if sform_code:
        found["sform"] = np.reshape(raw.values["srow"], (3, 4)) * _LPS
    if qform_code:
        found["qform"] = _qform(raw) * _LPS
    if not found:
        # As nibabel has it: x to the left, the middle of the volume at 0.
        matrix = np.diag(raw.values["pixdim"][1:4]) * [-1.0, 1.0, 1.0]
        middle = matrix @ ((np.asarray(size_xyz) - 1) / 2)
        found[""] = np.column_stack([matrix, -middle]) * _LPS
    return found


def _qform(raw: _Raw) -> FloatArray:
    b, c, d = raw.values["quatern"]
    square = b * b + c * c + d * d
    if not square <= 1 + _ROUNDING:
        raise ScanError(
            f"orientation: {shown(raw.path)} has a qform that is no rotation (quatern_b, _c, _d = "
            f"{b:g}, {c:g}, {d:g}); it is damaged"
        )
    a = math.sqrt(max(1 - square, 0.0))
    if 1 - square < _HALF_TURN[raw.version]:  # a half turn, but for the last digit of its numbers
        a = 0.0
        b, c, d = (part / math.sqrt(square) for part in (b, c, d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    side = raw.one("pixdim")
    if side not in {-1.0, 0.0, 1.0}:
        raise ScanError(
            f"orientation: {shown(raw.path)} has pixdim[0] {side:g}; expected -1 or 1, which tell "
            "left from right: it is damaged"
        )
    sizes_mm = np.asarray(raw.values["pixdim"][1:4]) * [1.0, 1.0, side or 1.0]
    return np.column_stack([rotation * sizes_mm, raw.values["qoffset"]])
