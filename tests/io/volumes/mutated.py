"""Headers with faults, and what other readers make of them: nibabel, SimpleITK, pynrrd.

`judge` says what came of one. Read is right if another reader gives the same voxels at the same
places, or if they are those that were written, whatever the fault; all else that is read is wrong.
"""

import gzip
import re
import warnings

import nibabel
import nrrd
import numpy as np

from lungseg.core.errors import LungsegError
from lungseg.io.volumes.formats import read_hu_file, write_volume
from lungseg.volume import Geometry, Volume

SHAPE = (6, 7, 5)
TURN = (0.9396926, -0.3420201, 0, 0.3420201, 0.9396926, 0, 0, 0, 1)
GEOMETRY = Geometry((2.5, 0.7, 0.6), (-150.5, 20.25, -700.0), TURN)
HU = np.random.default_rng(8).integers(-1024, 2000, SHAPE).astype(np.int16)
SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
_UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}
_WORDS = (
    *("0", "-1", "nan", "inf", "1e400", "1e6", "0.5", "True", "False", "yes", "LOCAL", "4 4", "2"),
    *("", "(1,0,0)", "none", "little", "big", "RAS", "LPS", "gzip", "raw", "short", "float"),
    *("MET_FLOAT", "MET_UCHAR", "3", "7", "1 0 0 0 1 0 0 0 1", '"m" "m" "m"', "cm", "99999999999"),
)
# Place and format of the fields of a NIfTI-1 whose values are drawn anew.
_FIELDS = {
    **{40 + 2 * k: "<i2" for k in range(8)},
    70: "<i2",
    72: "<i2",
    108: "<f4",
    112: "<f4",
    116: "<f4",
    252: "<i2",
    254: "<i2",
    **{76 + 4 * k: "<f4" for k in range(4)},
    **{256 + 4 * k: "<f4" for k in range(18)},
    123: "u1",
}
_VALUES = {"f": (0, -1, np.nan, np.inf, 1e6, 1e-6, 352, 0.5, 3e38), "i": (0, -1, 1, 2, 4, 512, 64)}


def written(folder, suffix):
    """A sound file; of two that belong together, the header."""
    path = folder / f"scan{suffix}"
    write_volume(Volume(HU, GEOMETRY), path)
    return path


def with_fault(path, rng):
    """Put a fault or two into the header of a sound file."""
    packed = path.name.endswith(".gz")
    data = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    for _ in range(int(rng.integers(1, 3))):
        data = _nifti_fault(data, rng) if ".nii" in path.name else _text_fault(data, rng)
    path.write_bytes(gzip.compress(bytes(data), 1) if packed else bytes(data))


def _nifti_fault(data, rng):
    kind = rng.integers(10)
    if kind == 0:
        return data[: int(rng.integers(len(data)))]
    if kind == 1:
        return data + bytes(rng.integers(0, 256, int(rng.integers(1, 40)), dtype=np.uint8))
    if kind == 2:
        at = int(rng.integers(348))
        return data[:at] + bytes(rng.integers(0, 256, 3, dtype=np.uint8)) + data[at:]
    if kind <= 5:
        data[int(rng.integers(min(348, len(data))))] = int(rng.integers(256))
        return data
    at = int(rng.choice(list(_FIELDS)))
    dtype = np.dtype(_FIELDS[at])
    values = _VALUES["f" if dtype.kind == "f" else "i"]
    with np.errstate(all="ignore"):
        new = np.array(values[rng.integers(len(values))]).astype(dtype).tobytes()
    data[at : at + len(new)] = new
    return data


def _text_fault(data, rng):
    end = re.search(rb"ElementDataFile[^\n]*\n|\n\n", bytes(data))
    size = end.end() if end else len(data)
    head, rest = bytes(data[:size]), bytes(data[size:])
    lines = head.split(b"\n")
    k = int(rng.integers(len(lines)))
    kind = rng.integers(8)
    if kind == 0:
        del lines[k]
    elif kind == 1:
        lines.insert(int(rng.integers(len(lines))), re.sub(rb"\d", b"5", lines[k]))
    elif kind == 2 and lines[k]:
        at = int(rng.integers(len(lines[k])))
        lines[k] = lines[k][:at] + lines[k][at + 1 :]
    elif kind == 3 and lines[k]:
        line = bytearray(lines[k])
        line[int(rng.integers(len(line)))] = int(rng.integers(256))
        lines[k] = bytes(line)
    elif kind <= 5:
        key, mark, _ = lines[k].partition(b"=" if b" = " in lines[k] else b":")
        word = _WORDS[rng.integers(len(_WORDS))].encode()
        lines[k] = key + mark + b" " + word if mark else lines[k]
    elif kind == 6:
        numbers = re.findall(rb"-?\d+\.?\d*", lines[k])
        if numbers:
            old = numbers[rng.integers(len(numbers))]
            new = _WORDS[rng.integers(len(_WORDS))].encode()
            lines[k] = lines[k].replace(old, new, 1)
    else:
        rest = rest[: int(rng.integers(len(rest) + 1))]
    return bytearray(b"\n".join(lines) + rest)


def others(path):
    """Voxels and matrix to LPS mm, by readers of other people; those that can read it."""
    read = {".nii": _by_nibabel, ".gz": _by_nibabel, ".nrrd": _by_nrrd, ".nhdr": _by_nrrd}
    for reader in (read.get(path.suffix, _by_itk), _by_itk):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                yield reader(path)
            except Exception:  # a reader of someone else's may fail in any way
                continue


def _by_nibabel(path):
    image = nibabel.load(path)
    unit = _UNIT_MM[int(image.header["xyzt_units"]) & 7]
    array = np.asarray(image.dataobj)
    affine = np.diag([-1.0, -1, 1, 1]) @ image.affine
    return array.reshape(array.shape[:3]).T, affine[:3] * unit


def _by_nrrd(path):
    array, header = nrrd.read(str(path))
    to_lps = {"left-posterior-superior": (1, 1), "right-anterior-superior": (-1, -1)}
    signs = {"lps": (1, 1), "ras": (-1, -1), "las": (1, -1), "left-anterior-superior": (1, -1)}
    sides = {**to_lps, **signs}[header["space"].lower()]
    unit = {"mm": 1, "m": 1000, "cm": 10, "um": 1e-3}
    factor = unit[header.get("space units", ["mm"])[0].strip('"')]
    affine = np.column_stack([header["space directions"].T, header["space origin"]]) * factor
    return array.T, affine * np.array([[sides[0]], [sides[1]], [1]])


def _by_itk(path):
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    matrix = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return SimpleITK.GetArrayFromImage(image), np.column_stack([matrix, image.GetOrigin()])


def is_same(found, array, affine):
    """Whether it is what another reader gives, within half a HU and 0.02 mm at every corner."""
    ours = np.column_stack([found.geometry.matrix, found.geometry.origin_xyz_mm])
    if array.shape != found.array.shape or not np.isfinite(affine).all():
        return False
    last = np.array(found.shape[::-1]) - 1
    corners = np.column_stack([np.array(list(np.ndindex(2, 2, 2))) * last, np.ones(8)])
    apart = np.linalg.norm(corners @ (ours - affine).T, axis=1).max()
    return bool(apart <= 0.02 and np.abs(found.array - array.astype(float)).max() <= 0.5)


def judge(path):
    """``refused``, ``right``, or what is wrong with it.

    Raises
    ------
    Exception
        Of the program's own, which is a fault of it.
    """
    try:
        read = read_hu_file(path)
    except LungsegError:
        return "refused"
    found = read.volume
    if read.facts["tilt_degrees"]:  # test_placement holds such a one against its truth
        affine = _by_nibabel(path)[1]
        first = found.geometry.to_world((0, 0, 0)) - affine[:, 3]
        in_plane = abs(first @ np.cross(affine[:, 0], affine[:, 1])) < 0.01
        return "right" if in_plane else "read as of a tilted gantry"
    truth = np.column_stack([GEOMETRY.matrix, GEOMETRY.origin_xyz_mm])
    if is_same(found, HU, truth) or any(is_same(found, *other) for other in others(path)):
        return "right"
    return f"read as {found.shape} {found.geometry}"
