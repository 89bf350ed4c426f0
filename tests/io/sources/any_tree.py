"""Trees of anything, under any name, and the rule that every path in them is accounted for."""

import os
import re
from pathlib import Path

import nibabel
import numpy as np

from lungseg.core.shown import shown
from lungseg.io.sources.index import find_scans
from lungseg.io.volumes.headers import data_file_of, suffix_of
from lungseg.io.volumes.nifti import is_header
from tests.io.dicom.dicom_files import write_slice
from tests.io.sources.trees import STORED, volume

_NAMES = (
    *(
        b"a",
        b"A",
        b".hidden",
        b"caf\xe9",
        b"new\nline",
        b"\x1b[2J",
        b"LICENSE",
        b"readme",
        b"x" * 240,
    ),
    *(b"back\\slash", b" ", b"-rf", b"%s", b"\xff\xfe", "山田".encode(), b"..x", b"CON"),
)
_ENDINGS = (
    *(b"", b".dcm", b".txt", b".xml", b".nii", b".nii.gz", b".mha", b".mhd", b".nrrd", b".nhdr"),
    *(b".hdr", b".img", b".raw", b".zip", b".png", b".IMA", b".MHA", b".tar.gz"),
)
_CONTENTS = (
    *(b"", b"text", bytes(400), b"NDims = 1e400\nElementDataFile = a.raw\n", b"NRRD0004\n\n"),
    *(bytes(128) + b"DICM", b"\x1f\x8b", b"\x5c\x01\0\0" + bytes(400), b"PK\3\4"),
)


def grow(root, rng, paths):
    """Make a tree of about `paths` paths of all kinds; give back those that are to be told of."""
    root.mkdir()
    folders, told = [root], set()
    for number in range(paths):
        folder = folders[rng.integers(len(folders))]
        name = _NAMES[rng.integers(len(_NAMES))] + _ENDINGS[rng.integers(len(_ENDINGS))]
        path = folder / os.fsdecode(name)
        if os.path.lexists(path):
            continue
        kind = int(rng.integers(10))
        if kind == 0 and len(name) < 200:
            path.mkdir()
            folders.append(path)
            continue
        if kind == 1:
            path.symlink_to(os.fsdecode(name)[:100] if rng.integers(2) else root / "nowhere")
        elif kind == 2:
            os.mkfifo(path)
        elif kind <= 4:
            uid = f"1.2.{rng.integers(4)}"
            write_slice(path, STORED[0], SeriesInstanceUID=uid, SOPInstanceUID=f"1.3.{number}")
        elif kind == 5:
            volume(folder / "good.mha").rename(path)
        elif kind == 6:
            nibabel.save(nibabel.Nifti1Image(STORED.T, np.eye(4)), folder / "good.nii")
            (folder / "good.nii").rename(path)
        else:
            path.write_bytes(_CONTENTS[rng.integers(len(_CONTENTS))])
        told.add(str(path))
    return told


def unaccounted(root, told, cache):
    """How many of the paths are neither a scan's nor told of; also negative, if more are."""
    found, left_out = find_scans([root], cache)
    scans = sum(len(source.files) for source in found)
    for source in found:
        source.scan.encode()
    lines = 0
    for item in left_out:
        item.path.encode()
        several = re.search(r"(?:: |\()(\d+) files?\b", item.reason)
        both = re.match(r"duplicates: .* are both scan", item.reason)
        lines += int(several[1]) if several else item.reason.count(" and /") + 1 if both else 1
    alone = {file for source in found for file in source.files}
    named = {item.path for item in left_out}
    parts = {str(data_file_of(Path(path))) for path in told if _is_header(Path(path))} & told
    voxels = [path for path in parts - alone if shown(path) not in named and Path(path).is_file()]
    return len(told) - scans - lines - len(voxels)


def _is_header(path):
    # Of the formats that keep their voxels in a file beside them.
    suffix = suffix_of(path)
    if not path.is_file() or suffix not in {".mhd", ".nhdr", ".hdr"}:
        return False
    return suffix != ".hdr" or not path.stat().st_size or is_header(path)
