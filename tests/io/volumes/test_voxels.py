"""Where voxels are and what they mean, in the forms of header that are rarely written."""

import struct

import nibabel
import numpy as np
import pytest

from lungseg.core.errors import ScanError
from lungseg.io.volumes import voxels
from lungseg.io.volumes.formats import read_hu_file, read_volume, write_volume
from lungseg.io.volumes.headers import data_file_of, read_header
from lungseg.volume import Geometry, Volume
from tests.io.volumes.volume_files import metaimage

RNG = np.random.default_rng(2)
HU = RNG.integers(-1024, 2000, (4, 3, 2)).astype(np.int16)
NRRD = (
    "type: short\ndimension: 3\nsizes: 2 3 4\nencoding: raw\nendian: little\nspace: LPS\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
)


def nrrd_file(path, head, voxels_of_it):
    path.write_bytes(f"NRRD0004\n{head}\n".encode() + voxels_of_it)
    return path


@pytest.mark.parametrize("name", ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"])
@pytest.mark.parametrize("stated", ["True", "true", "1"])
def test_either_name_says_that_a_metaimage_is_big_endian(tmp_path, name, stated):
    fields = {"BinaryDataByteOrderMSB": None, name: stated}
    path = metaimage(tmp_path / "a.mhd", HU.astype(">i2"), **fields)
    np.testing.assert_array_equal(read_hu_file(path).volume.array, HU)


def test_bytes_before_the_voxels_of_a_metaimage_are_skipped(tmp_path):
    path = metaimage(tmp_path / "a.mhd", HU, HeaderSize="10")
    (tmp_path / "a.raw").write_bytes(bytes(range(10)) + HU.tobytes())
    np.testing.assert_array_equal(read_hu_file(path).volume.array, HU)


@pytest.mark.parametrize("name", ["data file", "datafile"])
def test_either_name_is_that_of_an_nrrds_voxels(tmp_path, name):
    (tmp_path / "b.raw").write_bytes(HU.tobytes())
    path = nrrd_file(tmp_path / "a.nhdr", f"{NRRD}{name}: b.raw\n", b"")
    assert data_file_of(path) == tmp_path / "b.raw"
    np.testing.assert_array_equal(read_hu_file(path).volume.array, HU)


def test_comments_and_notes_of_an_nrrd_are_not_fields(tmp_path):
    head = f"{NRRD}# sizes: 9 9 9\nsizes:=7 7 7\nEncoding:=by hand\n"
    path = nrrd_file(tmp_path / "a.nrrd", head, HU.tobytes())
    assert read_header(path).fields["sizes"] == "2 3 4"
    np.testing.assert_array_equal(read_hu_file(path).volume.array, HU)


@pytest.mark.parametrize("name", ["byte skip", "byteskip"])
def test_bytes_before_the_voxels_of_an_nrrd_are_skipped(tmp_path, name):
    path = nrrd_file(tmp_path / "a.nrrd", f"{NRRD}{name}: 6\n", b"skip me"[:6] + HU.tobytes())
    np.testing.assert_array_equal(read_hu_file(path).volume.array, HU)


@pytest.mark.parametrize(("slope", "intercept"), [(0.0, 5.0), (np.nan, 5.0), (np.nan, np.nan)])
def test_a_slope_that_cannot_be_meant_is_none(tmp_path, slope, intercept):
    write_volume(Volume(HU, Geometry((1, 1, 1))), tmp_path / "a.nii")
    with (tmp_path / "a.nii").open("r+b") as file:
        file.seek(112)
        file.write(struct.pack("<ff", slope, intercept))
    np.testing.assert_array_equal(read_hu_file(tmp_path / "a.nii").volume.array, HU)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_nifti_2_is_read_as_nibabel_reads_it(tmp_path, order, suffix):
    image = nibabel.Nifti2Image(HU.T, np.diag([1, 1, 2, 1]), nibabel.Nifti2Header(endianness=order))
    image.header.set_slope_inter(0.5, 100.0)
    nibabel.save(image, tmp_path / f"a{suffix}")
    found = read_header(tmp_path / f"a{suffix}").voxels
    expected = nibabel.load(tmp_path / f"a{suffix}")
    out = np.empty(HU.shape)
    voxels.read_voxels(found, HU.shape, out, lambda part, place: np.copyto(place, part))
    np.testing.assert_allclose(out, np.asarray(expected.dataobj).T, atol=1e-9)


def test_a_fraction_in_any_part_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(voxels, "_PART_BYTES", 16)
    values = HU.astype(np.float32)
    values[1, 1, 1] += 0.25
    write_volume(Volume(values, Geometry((1, 1, 1))), tmp_path / "a.nrrd")
    found = read_hu_file(tmp_path / "a.nrrd")
    volume = found.volume
    np.testing.assert_array_equal(volume.array, HU)
    assert found.facts["rounded_hu"]


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_checksum_that_is_cut_off_is_missed(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_volume(Volume(HU, Geometry((1, 1, 1))), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    with pytest.raises(ScanError, match=r"truncated: the voxels of .* end or break after 24 of 24"):
        voxels.read_voxels(read_header(path).voxels, HU.shape, HU.copy(), lambda *_: None)
    path.write_bytes(whole)
    np.testing.assert_array_equal(read_volume(path).array, HU)


@pytest.mark.parametrize(("qform", "sform"), [(0, 0), (1, 0), (0, 1)])
def test_a_nifti_is_unoriented_only_if_both_forms_are_missing(tmp_path, qform, sform):
    image = nibabel.Nifti1Image(HU.T, np.diag([-1, -1, 2, 1]))
    image.set_qform(np.diag([-1, -1, 2, 1]), qform)
    image.set_sform(np.diag([-1, -1, 2, 1]), sform)
    nibabel.save(image, tmp_path / "a.nii")
    known = read_hu_file(tmp_path / "a.nii").facts["orientation_known"]
    assert known == (not qform == sform == 0)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr"])
def test_files_are_compressed(tmp_path, suffix):
    write_volume(
        Volume(np.zeros((20, 60, 60), np.int16), Geometry((1, 1, 1))), tmp_path / f"a{suffix}"
    )
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 4000
