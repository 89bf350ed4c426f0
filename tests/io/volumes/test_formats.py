"""MetaImage, NIfTI and NRRD: there and back, against other readers, and refused when unsound."""

import contextlib
import errno
import gzip
import os

import nibabel
import nrrd
import numpy as np
import pytest

from lungseg.core.errors import ConfigError, NotProvenError, ScanError
from lungseg.io.volumes.formats import read_hu_file, read_volume, write_volume
from lungseg.io.volumes.headers import SUFFIXES, data_file_of, suffix_of
from lungseg.volume import Geometry, Volume
from tests.io.volumes.volume_files import metaimage

RNG = np.random.default_rng(9)
OBLIQUE = (0.9396926, -0.3420201, 0, 0.3420201, 0.9396926, 0, 0, 0, 1)
GEOMETRY = Geometry((2.5, 0.7, 0.6), (-150.5, 20.25, -700.0), OBLIQUE)
HU = RNG.integers(-1024, 2000, (5, 6, 7)).astype(np.int16)
PLACED = {"space": "LPS", "space directions": np.diag([1, 1, 1]), "space origin": [0, 0, 0]}


def read_with_facts(path):
    found = read_hu_file(path)
    return found.volume, found.facts


def unoriented(path):
    return not read_hu_file(path).facts["orientation_known"]


def written(path, array=HU, geometry=GEOMETRY):
    write_volume(Volume(array, geometry), path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("mirror", [1, -1])
def test_a_volume_comes_back_as_it_was_written(tmp_path, suffix, mirror):
    direction = tuple(np.reshape(OBLIQUE, (3, 3)) @ np.diag([1, 1, mirror]))
    geometry = Geometry(GEOMETRY.spacing_mm, GEOMETRY.origin_xyz_mm, np.ravel(direction))
    back = read_volume(written(tmp_path / f"a{suffix}", geometry=geometry))
    np.testing.assert_array_equal(back.array, HU)
    assert back.array.dtype == np.int16
    np.testing.assert_allclose(back.spacing_mm, geometry.spacing_mm, atol=1e-5)
    corner = (4, 5, 6)
    np.testing.assert_allclose(back.geometry.to_world(corner), geometry.to_world(corner), atol=1e-4)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_the_type_is_kept_and_hu_are_int16(tmp_path, kind, suffix):
    values = RNG.integers(0, 200, (5, 6, 7)).astype(kind)
    path = written(tmp_path / f"a{suffix}", values)
    assert read_volume(path).array.dtype == kind
    volume, notes = read_with_facts(path)
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, values)
    assert not notes["rounded_hu"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_of_any_bytes_is_written_and_read(tmp_path, suffix):
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    path = written(folder / os.fsdecode(b"caf\xe9\n" + suffix.encode()))
    np.testing.assert_array_equal(read_hu_file(path).volume.array, HU)
    assert len(list(folder.iterdir())) == (2 if suffix in {".mhd", ".nhdr"} else 1)


def test_what_the_file_system_does_not_take_is_its_own_error(tmp_path, monkeypatch):
    """ITK tells it as a fault without a number, which looks like one of ours."""
    volume = Volume(HU, GEOMETRY)
    with pytest.raises(FileNotFoundError, match=r"none/a\.nrrd"):
        write_volume(volume, tmp_path / "none" / "a.nrrd")

    def full(*_, **__):
        raise RuntimeError("Exception thrown in SimpleITK ImageFileWriter_Execute")

    monkeypatch.setattr("SimpleITK.WriteImage", full)
    with pytest.raises(OSError, match="it could not be written whole") as raised:
        write_volume(volume, tmp_path / "a.nrrd")
    assert raised.value.errno == errno.EIO
    assert list(tmp_path.iterdir()) == []


def test_a_mask_is_written_as_bytes(tmp_path):
    mask = HU > 0
    back = read_volume(written(tmp_path / "a.nii.gz", mask))
    assert back.array.dtype == np.uint8
    np.testing.assert_array_equal(back.array, mask)


def test_fractions_are_rounded_and_that_is_recorded(tmp_path):
    path = written(tmp_path / "a.nrrd", HU + np.float32(0.3))
    volume, notes = read_with_facts(path)
    np.testing.assert_array_equal(volume.array, HU)
    assert notes["rounded_hu"]


def test_nibabel_and_we_mean_the_same_place(tmp_path):
    affine = np.array([[-0.6, 0.1, 0, 12], [0.1, 0.6, 0, 34], [0, 0, 2.5, 56], [0, 0, 0, 1.0]])
    affine[:3, :3] /= np.linalg.norm(affine[:3, :3], axis=0) / [0.6, 0.6, 2.5]
    nibabel.save(nibabel.Nifti1Image(HU.T.astype(np.float32), affine), tmp_path / "a.nii.gz")
    volume, _ = read_with_facts(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.array, HU)
    for index in [(0, 0, 0), (4, 5, 6), (1, 2, 3)]:
        ras = affine[:3] @ [*index[::-1], 1]
        np.testing.assert_allclose(volume.geometry.to_world(index), ras * [-1, -1, 1], atol=1e-3)


def test_pynrrd_and_we_mean_the_same_place(tmp_path):
    directions = np.array([[0.6, 0, 0], [0, -0.7, 0], [0, 0, -2.5]])
    header = {
        "space": "right-anterior-superior",
        "space directions": directions,
        "space origin": [1, 2, 3],
    }
    nrrd.write(str(tmp_path / "a.nrrd"), HU.T, header)
    volume, _ = read_with_facts(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.array, HU)
    ras = np.array([6, 5, 4]) @ directions + [1, 2, 3]
    np.testing.assert_allclose(volume.geometry.to_world((4, 5, 6)), ras * [-1, -1, 1], atol=1e-6)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.int64])
@pytest.mark.parametrize("more", [(1,), (1, 1)])
def test_axes_of_one_after_the_third_are_none(tmp_path, kind, more):
    image = nibabel.Nifti1Image(
        HU.T.reshape(*HU.T.shape, *more).astype(kind), np.diag([1, 1, 2, 1]), dtype=kind
    )
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume, _ = read_with_facts(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.array, HU)
    assert volume.spacing_mm == (2, 1, 1)


def test_a_nifti_without_patient_orientation_is_reported(tmp_path):
    image = nibabel.Nifti1Image(HU.T, None)
    image.header["pixdim"][1:4] = 0.6, 0.7, 2.5
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "a.nii")
    assert unoriented(tmp_path / "a.nii")
    assert not unoriented(written(tmp_path / "b.nii"))


def test_axes_slightly_off_are_put_right_and_far_off_refused(tmp_path):
    def with_skew(name, degrees):
        directions = np.diag([0.6, 0.7, 2.5])
        directions[1, 0] = 0.7 * np.tan(np.radians(degrees))
        header = {"space": "LPS", "space directions": directions, "space origin": [0, 0, 0]}
        nrrd.write(str(tmp_path / name), HU.T, header)
        return tmp_path / name

    volume, notes = read_with_facts(with_skew("little.nrrd", 0.05))
    assert notes["skew_degrees"] == pytest.approx(0.05, abs=1e-4)
    matrix = np.reshape(volume.geometry.direction_xyz, (3, 3))
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-12)
    with pytest.raises(ScanError, match=r"orientation: .* 14.00 degrees off right angles"):
        read_volume(with_skew("much.nrrd", 14))
    assert read_volume(tmp_path / "much.nrrd", 15.0).shape == HU.shape


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"NDims": "2", "DimSize": "2 3"}, "dimensions: .* 2 axes"),
        ({"NDims": "4", "DimSize": "2 3 2 2"}, "dimensions: .* 4 axes"),
        ({"ElementNumberOfChannels": "3"}, "samples: .* 3 values a voxel"),
        ({"ElementSpacing": None}, "spacing: .* no ElementSpacing"),
        ({"ElementSpacing": "0 1 1"}, "header: .* damaged|spacing: "),
        ({"ElementType": "MET_OTHER"}, "header: .* ElementType 'MET_OTHER'"),
        ({"DimSize": "2 3"}, "header: .* DimSize = '2 3', not 3 whole numbers"),
        ({"DimSize": "2 3 x"}, "header: .* DimSize = '2 3 x'"),
        ({"DimSize": "2 3 0"}, "header: .* DimSize = '2 3 0'"),
        ({"NDims": "x"}, "header: .* NDims = 'x', not 1 whole number above 0"),
        ({"DimSize": None}, "header: .* does not say dimsize"),
        ({"DimSize": "2 3 40"}, "truncated: .*a.raw has 48 bytes, and b.mhd describes 480"),
        (
            {"DimSize": "999 999 999", "CompressedData": "True"},
            "truncated: .* 48 compressed bytes, which cannot hold",
        ),
    ],
)
def test_a_metaimage_that_cannot_be_a_scan_is_refused(tmp_path, fields, told):
    with pytest.raises(ScanError, match=told):
        read_volume(metaimage(tmp_path / "b.mhd", **fields))


@pytest.mark.parametrize(
    "named", ["/etc/passwd", "../a.raw", "sub/a.raw", "..", "C:\\a.raw", "..\\a.raw"]
)
def test_voxels_outside_the_folder_are_not_read(tmp_path, named):
    with pytest.raises(ScanError, match=r"data-file: .* lies outside its folder, and is not read"):
        read_volume(metaimage(tmp_path / "b.mhd", data=named))
    (tmp_path / "b.nhdr").write_text(
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 3 4\nencoding: raw\nspacings: 1 1 1\n"
        f"data file: {named}\n"
    )
    with pytest.raises(ScanError, match=r"data-file: .* lies outside its folder, and is not read"):
        read_volume(tmp_path / "b.nhdr")
    assert data_file_of(tmp_path / "b.nhdr") is None


@pytest.mark.parametrize("named", ["LIST", "a%03d.raw"])
def test_voxels_in_several_files_are_refused(tmp_path, named):
    with pytest.raises(ScanError, match=r"data-file: .* in several files"):
        read_volume(metaimage(tmp_path / "b.mhd", data=named))


def test_voxels_that_are_not_there_are_named(tmp_path):
    with pytest.raises(NotProvenError, match=r"data-file: .*'c.raw', which is not beside it"):
        read_volume(metaimage(tmp_path / "b.mhd", data="c.raw"))
    (tmp_path / "b.nhdr").write_text(
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 3 4\nencoding: raw\nspacings: 1 1 1\n"
        "data file: c.raw\n"
    )
    with pytest.raises(NotProvenError, match=r"data-file: .*'c.raw', which is not beside it"):
        read_volume(tmp_path / "b.nhdr")


def test_a_header_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.mhd").write_text("hello")
    with pytest.raises(ScanError, match=r"header: .* no line `ElementDataFile"):
        read_volume(tmp_path / "a.mhd")
    (tmp_path / "a.nrrd").write_text("NRRD1004\n")
    with pytest.raises(ScanError, match=r"header: .* begins with 'NRRD1004'"):
        read_volume(tmp_path / "a.nrrd")
    (tmp_path / "a.nii").write_text("hello")
    with pytest.raises(
        ScanError, match=r"header: .*a.nii begins with b.hell., not with the length 348"
    ):
        read_volume(tmp_path / "a.nii")
    with pytest.raises(NotProvenError, match=r"unreadable: .*b.nii is not there"):
        read_volume(tmp_path / "b.nii")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dimension: 4\nsizes: 2 3 2 2\nspacings: 1 1 1 1\n", "dimensions: .* 4 axes"),
        ("dimension: 3\nsizes: 2 3 4\n", "spacing: .* neither `space directions` nor `spacings`"),
        ("dimension: 3\nsizes: 2 3 400\nspacings: 1 1 1\n", "truncated: .* has .* bytes after the"),
    ],
)
def test_an_nrrd_that_cannot_be_a_scan_is_refused(tmp_path, text, told):
    head = f"NRRD0004\ntype: short\nencoding: raw\nendian: little\n{text}\n"
    (tmp_path / "a.nrrd").write_bytes(head.encode() + bytes(48))
    with pytest.raises(ScanError, match=told):
        read_volume(tmp_path / "a.nrrd")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_cut_short_is_refused(tmp_path, suffix):
    big = RNG.integers(-1024, 2000, (20, 60, 60)).astype(np.int16)
    path = written(tmp_path / f"a{suffix}", big)
    data = data_file_of(path) or path
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    with pytest.raises(ScanError, match=r"truncated: |header: "):
        read_hu_file(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mhd", ".mha", ".nrrd", ".nhdr"])
def test_a_flipped_byte_in_packed_voxels_is_refused(tmp_path, suffix):
    big = RNG.integers(-1024, 2000, (20, 60, 60)).astype(np.int16)
    path = written(tmp_path / f"a{suffix}", big)
    data = data_file_of(path) or path
    for at in (0.3, 0.6, 0.9):
        bent = bytearray(data.read_bytes())
        whole = bytes(bent)
        bent[int(at * len(bent))] ^= 0x55
        data.write_bytes(bent)
        with pytest.raises(
            ScanError, match=r"truncated: the voxels of .* break after|header: .*gz cannot"
        ):
            read_hu_file(path)
        data.write_bytes(whole)
    np.testing.assert_array_equal(read_hu_file(path).volume.array, big)


def test_a_nifti_that_ends_within_its_header_is_refused(tmp_path):
    path = written(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ScanError, match=r"truncated: .*a.nii ends within its header .200 bytes"):
        read_volume(path)
    path = written(tmp_path / "b.nii.gz")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ScanError, match=r"truncated: .*b.nii.gz ends or breaks within its header"):
        read_volume(path)


def test_a_gzip_file_of_several_parts_is_read(tmp_path):
    whole = written(tmp_path / "a.nii").read_bytes()
    parts = [gzip.compress(whole[k : k + 100]) for k in range(0, len(whole), 100)]
    (tmp_path / "b.nii.gz").write_bytes(b"".join(parts))
    np.testing.assert_array_equal(read_hu_file(tmp_path / "b.nii.gz").volume.array, HU)
    (tmp_path / "b.nii.gz").write_bytes(b"".join(parts[:-1]))
    with pytest.raises(ScanError, match=r"truncated: "):
        read_hu_file(tmp_path / "b.nii.gz")


def test_big_endian_voxels_are_read(tmp_path):
    big = HU.astype(">i2")
    fields = {"BinaryDataByteOrderMSB": "True", "DimSize": "7 6 5"}
    found = read_volume(metaimage(tmp_path / "a.mhd", big, **fields))
    np.testing.assert_array_equal(found.array, HU)
    assert found.array.dtype == np.int16
    nrrd.write(str(tmp_path / "a.nrrd"), big.T, {**PLACED, "endian": "big"})
    np.testing.assert_array_equal(read_hu_file(tmp_path / "a.nrrd").volume.array, HU)
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(nibabel.Nifti1Image(HU.T, np.eye(4), header), tmp_path / "a.nii.gz")
    assert (tmp_path / "a.nii.gz").stat().st_size
    np.testing.assert_array_equal(read_hu_file(tmp_path / "a.nii.gz").volume.array, HU)


def test_a_nifti_with_slope_and_intercept_is_read_as_its_values(tmp_path):
    image = nibabel.Nifti1Image((HU.T.astype(float) + 1024) / 2, np.eye(4))
    image.header.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "a.nii.gz")
    stored = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(
        read_volume(tmp_path / "a.nii.gz").array, np.asarray(stored.dataobj).T, atol=1e-3
    )


@pytest.mark.parametrize("encoding", ["ascii", "text", "bzip2", "bz2", "gzip", "raw"])
def test_every_encoding_of_an_nrrd_is_read(tmp_path, encoding):
    nrrd.write(str(tmp_path / "a.nrrd"), HU.T, {**PLACED, "encoding": encoding})
    np.testing.assert_array_equal(read_hu_file(tmp_path / "a.nrrd").volume.array, HU)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nrrd").array, HU)


def test_pictures_are_refused(tmp_path):
    import SimpleITK

    rgb = SimpleITK.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    for name in ("a.nii", "a.mha"):
        SimpleITK.WriteImage(rgb, str(tmp_path / name))
        with pytest.raises(ScanError, match=r"samples: .* 3 values a voxel"):
            read_volume(tmp_path / name)


def test_four_axes_of_a_nifti_are_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 2)), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(ScanError, match=r"dimensions: .* 4 axes \(4 x 5 x 6 x 2\)"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.nan, "hu-range: .* not numbers"),
        (np.inf, "hu-range: .* not numbers"),
        (70000, r"hu-range: .* to 70000, which no CT has"),
        (-70000, r"hu-range: .* from -70000 to .*, which no CT has"),
    ],
)
def test_values_that_are_not_hu_are_refused(tmp_path, value, told):
    array = HU.astype(np.float32)
    array[2, 3, 4] = value
    with pytest.raises(ScanError, match=told):
        read_hu_file(written(tmp_path / "a.nrrd", array))


def test_unsigned_values_beyond_hu_are_refused(tmp_path):
    array = np.full((3, 4, 5), 64512, np.uint16)
    with pytest.raises(ScanError, match=r"hu-range: .* 64512 to 64512"):
        read_hu_file(written(tmp_path / "a.mha", array))


@pytest.mark.parametrize("name", ["a.png", "a.MHD", "a.NII"])
def test_an_unknown_suffix_is_a_wrong_setting(tmp_path, name):
    with pytest.raises(ConfigError, match=rf"{name}: the name tells no format; .* \.nii\.gz"):
        written(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.NII.GZ", ".nii.gz"), ("b.gz", ""), ("c.Mhd", ".mhd"), ("nrrd", "")]
)
def test_a_suffix_is_known_in_any_case(tmp_path, name, suffix):
    assert suffix_of(tmp_path / name) == suffix


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".nii"])
def test_a_damaged_file_is_read_or_refused(tmp_path, suffix):
    path = written(tmp_path / f"a{suffix}")
    whole = path.read_bytes()
    for trial in range(25):
        data = bytearray(gzip.decompress(whole) if suffix == ".nii.gz" else whole)
        for at in RNG.integers(0, min(len(data), 348), 1 + trial % 3):
            data[at] = RNG.integers(256)
        path.write_bytes(gzip.compress(data, 1) if suffix == ".nii.gz" else data)
        with contextlib.suppress(ScanError):
            assert read_hu_file(path).volume.array.dtype == np.int16
