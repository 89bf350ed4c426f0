"""MetaImage and NRRD files for tests, right or wrong in every way that a test wants."""

import numpy as np


def metaimage(path, voxels=None, *, data="a.raw", **fields):
    """Write a header with these fields, None takes one away, and `voxels` into ``a.raw``."""
    header = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "ElementSpacing": "1 1 1",
        "DimSize": "2 3 4",
        "ElementType": "MET_SHORT",
        **fields,
        "ElementDataFile": data,
    }
    path.write_text("".join(f"{k} = {v}\n" for k, v in header.items() if v is not None))
    if voxels is None:
        voxels = np.arange(24, dtype=np.int16)
    (path.parent / "a.raw").write_bytes(voxels.tobytes())
    return path


def nrrd_file(path, place, voxels=None, **fields):
    """Write an NRRD of 2 x 3 x 4 voxels with these lines about its place and other fields."""
    header = {
        "type": "short",
        "dimension": "3",
        "sizes": "2 3 4",
        "encoding": "raw",
        "endian": "little",
        **fields,
    }
    lines = "".join(f"{k}: {v}\n" for k, v in header.items() if v is not None)
    if voxels is None:
        voxels = np.arange(24, dtype=np.int16).tobytes()
    path.write_bytes(f"NRRD0004\n{lines}{place}\n".encode() + voxels)
    return path
