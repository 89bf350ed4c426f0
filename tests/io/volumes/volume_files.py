"""MetaImage, NIfTI and NRRD files for tests, right or wrong in every way that a test wants."""

import nibabel
import numpy as np

VOXELS = np.random.default_rng(4).integers(-1024, 2000, (5, 6, 7)).astype(np.int16)


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
        voxels = np.arange(24, dtype=np.int16)
    path.write_bytes(f"NRRD0004\n{lines}{place}\n".encode() + bytes(voxels))
    return path


def nifti(path, *, sform=None, qform=None, codes=(1, 1), array=VOXELS, **fields):
    """Write a NIfTI that states these forms, to the byte, and fields of its header by name."""
    image = nibabel.Nifti1Image(array.T, None)
    header = image.header
    if qform is not None:
        header.set_qform(qform, codes[1])
    if sform is not None:
        header.set_sform(sform, codes[0])
        if qform is None:
            header["pixdim"][1:4] = np.linalg.norm(np.asarray(sform)[:3, :3], axis=0)
    for name, value in fields.items():
        header[name] = value
    header["magic"], header["vox_offset"] = b"n+1", fields.get("vox_offset", 352)
    path.write_bytes(header.binaryblock + bytes(4) + np.ascontiguousarray(array).tobytes())
    return path
