"""Readers of other people, as oracles: SimpleITK's series, nibabel, pynrrd, and MetaImage by zlib.

Each gives the voxels ``(z, y, x)`` and the 4x4 matrix from ``(x, y, z)`` indices to LPS mm.
"""

import re
import zlib

import nibabel
import nrrd
import numpy as np


def by_simpleitk(folder):
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image), affine


def by_nibabel(path):
    image = nibabel.load(path)
    affine = np.diag([-1.0, -1, 1, 1]) @ image.affine
    return np.asarray(image.dataobj).T, affine


def by_nrrd(path):
    array, header = nrrd.read(str(path))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = header["space directions"].T, header["space origin"]
    return array.T, affine


def by_zlib(path):
    """A MetaImage whose axes are those of the world."""
    head, _, rest = path.read_bytes().partition(b"ElementDataFile")
    fields = dict(re.findall(rb"^(\w+) = ([^\r\n]*)", head, re.MULTILINE))
    named, _, voxels = rest.partition(b"\n")
    name = named.split(b"=")[1].strip().decode()
    if name != "LOCAL":
        voxels = (path.parent / name).read_bytes()
    if fields[b"CompressedData"] == b"True":
        voxels = zlib.decompress(voxels)
    kind = {b"MET_DOUBLE": "<f8", b"MET_CHAR": "i1", b"MET_SHORT": "<i2", b"MET_UCHAR": "u1"}
    numbers = {
        key: [float(v) for v in fields[key].split()]
        for key in (b"DimSize", b"Offset", b"ElementSpacing", b"ElementSize")
        if key in fields
    }
    affine = np.diag([*numbers.get(b"ElementSpacing", numbers.get(b"ElementSize")), 1])
    affine[:3, 3] = numbers[b"Offset"]
    shape = [int(v) for v in numbers[b"DimSize"][::-1]]
    return np.frombuffer(voxels, kind[fields[b"ElementType"]]).reshape(shape), affine


READERS = {"nibabel": by_nibabel, "nrrd": by_nrrd, "zlib": by_zlib}
