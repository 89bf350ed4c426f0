"""Which files are volumes, by their names, and what their headers say."""

from pathlib import Path

import numpy as np

from lungseg.core.errors import NotProvenError, ScanError
from lungseg.core.shown import shown
from lungseg.io.volumes import metaimage, nifti, nrrd, text_header
from lungseg.io.volumes.layout import VolumeHeader

SUFFIXES = {
    ".nii.gz": "nifti",
    ".nii": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",
}
"""Formats by suffix that are read and written."""
READ = {**SUFFIXES, ".hdr": "nifti"}
"""Formats by suffix that are read."""
_READERS = {
    "metaimage": metaimage.read_header,
    "nifti": nifti.read_header,
    "nrrd": nrrd.read_header,
}


def suffix_of(path: Path) -> str:
    """Suffix of a MetaImage, NIfTI or NRRD file, in lower case; empty for any other file."""
    name = path.name.lower()
    return next((s for s in sorted(READ, key=len, reverse=True) if name.endswith(s)), "")


def data_file_of(path: Path) -> Path | None:
    """File beside a ``.mhd``, ``.nhdr`` or ``.hdr`` that holds the voxels; it need not exist.

    None if the voxels are in the header's own file, or it names none, or one outside its folder.
    """
    try:
        suffix = suffix_of(path)
        if suffix == ".hdr":
            return nifti.image_of(path)
        if suffix == ".mhd":
            named = metaimage.fields_of(path)[0].get("elementdatafile", "")
        elif suffix == ".nhdr":
            named = nrrd.fields_of(path)[0].get("data file", "")
        else:
            return None
        data = text_header.beside(path, named)
    except (ScanError, OSError):
        return None
    return data if data != path else None


def read_header(path: Path) -> VolumeHeader:
    """What a volume's header says of it.

    Raises
    ------
    ScanError
        If it is damaged, leaves out its spacing, is of no 3-D scan, names a file elsewhere, or
        contradicts its file.
    NotProvenError
        If it, or the file of its voxels, is not there.
    """
    if not path.is_file():
        raise NotProvenError(f"unreadable: {shown(path)} is not there")
    # Numbers of any size stand in headers; those that are no number are refused, not warned of.
    with np.errstate(all="ignore"):
        return _READERS[READ[suffix_of(path)]](path)
