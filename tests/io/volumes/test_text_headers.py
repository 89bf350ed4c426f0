"""Lines of MetaImage and NRRD: what is misspelt, contradicted or no number is refused by name."""

import os

import numpy as np
import pytest

from lungseg.core.errors import ScanError
from lungseg.io.volumes.formats import read_hu_file, read_volume
from tests.io.volumes.volume_files import metaimage, nrrd_file

VOXELS = np.arange(24, dtype=np.int16)
PLACE = "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (1,2,3)\n"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"CompressedData": "Ture"}, "header: .* compresseddata = 'Ture'; expected True or False"),
        ({"BinaryData": "yes"}, "header: .* binarydata = 'yes'; expected True or False"),
        ({"BinaryDataByteOrderMSB": ""}, "header: .*byteordermsb = ''; expected True or False"),
        ({"ElementByteOrderMSB": "True"}, "header: .* contradict each other; leave one"),
        ({"Ofset": "1 2 3"}, "header: .* a line 'ofset', which is no field .* write 'offset' if"),
        ({"TransformMatrx": "1"}, "header: .* 'transformmatrx', which is no field"),
        ({"ElementSpaceing": "1 1 1"}, "header: .* 'elementspaceing', which is no field"),
        ({"NDims": "1e400"}, "header: .* NDims = '1e400', not 1 whole number"),
        ({"NDims": "30", "DimSize": "1 " * 30}, "header: .* has NDims = 30; it is damaged"),
        ({"DimSize": "2 3 nan"}, "header: .* DimSize = '2 3 nan', not 3 whole numbers"),
        ({"DimSize": "2 3 1e300"}, "header: .* DimSize = '2 3 1e300', not 3 whole numbers"),
        ({"DimSize": "2 3 4_0"}, "header: .* DimSize = '2 3 4_0', not 3 whole numbers"),
        ({"DimSize": "2 3 3"}, "header: .*a.raw goes on after the last voxel"),
        ({"ElementSpacing": "1 1"}, "header: .* elementspacing = '1 1', not 3 numbers"),
        ({"ElementSpacing": "1 1 inf"}, "header: .* elementspacing = '1 1 inf', not 3 numbers"),
        ({"ElementSpacing": "1 1 1e999"}, "header: .* elementspacing = '1 1 1e999', not 3"),
        ({"ElementSpacing": "1 1 1000000"}, "spacing: .* 1 x 1 x 1e.06 mm; expected 0.01 to 100"),
        ({"ElementSpacing": "1 1 0"}, "spacing: .* 1 x 1 x 0 mm; expected 0.01 to 100"),
        ({"Offset": "0 0 x"}, "header: .* offset = '0 0 x', not 3 numbers"),
        ({"Offset": "0 0 0", "Origin": "1 1 1"}, "header: .* offset and origin, which contradict"),
        ({"TransformMatrix": "2 0 0 0 1 0 0 0 1"}, "orientation: .* directions of length 1 to 2"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "orientation: .* lie in one plane"),
        ({"DistanceUnits": "furlong"}, "spacing: .* DistanceUnits = 'furlong'; expected mm, um or"),
        ({"HeaderSize": "-7"}, "header: .* HeaderSize = -7; expected the bytes before"),
        ({"CompressedDataSize": "big"}, "header: .* compresseddatasize = 'big', not 1 number"),
        ({"CenterOfRotation": "0 0"}, "header: .* centerofrotation = '0 0', not 3 numbers"),
        ({"HeaderSize": "x"}, "header: .* HeaderSize = x; expected the bytes before"),
        ({"HeaderSize": "4"}, "truncated: .*a.raw has 44 bytes after the first 4, and b.mhd .* 48"),
        ({"ElementToIntensityFunctionSlope": "2"}, "header: .*slope = 2, which some readers apply"),
        ({"ElementToIntensityFunctionOffset": "-1024"}, "header: .*offset = -1024, which some rea"),
    ],
)
def test_a_metaimage_that_is_not_what_it_says_is_refused(tmp_path, fields, told):
    with pytest.raises(ScanError, match=told):
        read_hu_file(metaimage(tmp_path / "b.mhd", VOXELS, **fields))


def test_a_line_that_stands_twice_must_say_the_same(tmp_path):
    path = metaimage(tmp_path / "b.mhd", VOXELS)
    path.write_text("Offset = 1 1 1\nOffset = 1 1 1\n" + path.read_text())
    assert read_hu_file(path).volume.geometry.origin_xyz_mm == (1, 1, 1)
    path.write_text("Offset = 1 1 2\n" + path.read_text())
    with pytest.raises(ScanError, match=r"header: .* states offset twice, '1 1 2' and '1 1 1'"):
        read_hu_file(path)


def test_a_field_of_an_nrrd_stands_once_and_every_line_is_one(tmp_path):
    path = nrrd_file(tmp_path / "a.nrrd", PLACE + "space: LPS\n")
    with pytest.raises(ScanError, match=r"header: .* states space twice, 'LPS' and 'LPS'"):
        read_hu_file(path)
    path = nrrd_file(tmp_path / "a.nrrd", PLACE + "content\n")
    with pytest.raises(ScanError, match=r"header: .* has the line 'content' without `:`"):
        read_hu_file(path)


def test_a_line_without_its_sign_is_refused(tmp_path):
    path = metaimage(tmp_path / "b.mhd", VOXELS)
    path.write_text("a remark\n\n" + path.read_text())
    np.testing.assert_array_equal(read_hu_file(path).volume.array.ravel(), VOXELS)
    path.write_text("TransformMatrix 0 1 0 1 0 0 0 0 1\n" + path.read_text())
    with pytest.raises(ScanError, match=r"header: .* the line 'TransformMatrix 0.* without `=`"):
        read_hu_file(path)


def test_lines_that_the_format_does_not_know_are_passed_over(tmp_path):
    path = metaimage(tmp_path / "b.mhd", VOXELS, ScannerRoom="B 12", ElementSpacingUnit="mm")
    np.testing.assert_array_equal(read_hu_file(path).volume.array.ravel(), VOXELS)


@pytest.mark.parametrize("header_size", ["-1", "6"])
def test_voxels_after_other_bytes_are_found(tmp_path, header_size):
    path = metaimage(tmp_path / "b.mhd", VOXELS, HeaderSize=header_size)
    (tmp_path / "a.raw").write_bytes(b"before" + VOXELS.tobytes())
    np.testing.assert_array_equal(read_hu_file(path).volume.array.ravel(), VOXELS)


def test_zeros_after_the_last_voxel_are_no_harm(tmp_path):
    path = metaimage(tmp_path / "b.mhd", VOXELS)
    (tmp_path / "a.raw").write_bytes(VOXELS.tobytes() + bytes(464))
    np.testing.assert_array_equal(read_hu_file(path).volume.array.ravel(), VOXELS)


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("?", 1), ("cm", 10), ("um", 1e-3)])
def test_units_of_a_metaimage_become_mm(tmp_path, unit, factor):
    fields = {"ElementSpacing": f"{2 / factor} " * 3, "Offset": f"{4 / factor} 0 0"}
    path = metaimage(tmp_path / "b.mhd", VOXELS, DistanceUnits=unit, **fields)
    geometry = read_hu_file(path).volume.geometry
    np.testing.assert_allclose(geometry.spacing_mm, (2, 2, 2))
    np.testing.assert_allclose(geometry.origin_xyz_mm, (4, 0, 0))


@pytest.mark.parametrize("name", ["b.MHD", "b.MHA"])
def test_endings_in_capital_letters_are_read(tmp_path, name):
    path = metaimage(tmp_path / "b.mhd", VOXELS)
    if name == "b.MHA":
        path = metaimage(tmp_path / "b.mha", VOXELS, data="LOCAL")
        path.write_bytes(path.read_bytes() + VOXELS.tobytes())
    path = path.rename(tmp_path / name)
    np.testing.assert_array_equal(read_hu_file(path).volume.array.ravel(), VOXELS)


def test_a_file_of_voxels_whose_name_is_no_utf8_is_found(tmp_path):
    path = metaimage(tmp_path / "b.mhd", VOXELS, data="@.raw")
    path.write_bytes(path.read_bytes().replace(b"@", b"caf\xe9 \xc3\xa9"))
    (tmp_path / "a.raw").rename(tmp_path / os.fsdecode(b"caf\xe9 \xc3\xa9.raw"))
    np.testing.assert_array_equal(read_hu_file(path).volume.array.ravel(), VOXELS)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        (" ".join(map(str, range(23))), "after 0 of 24 .23 numbers are written there"),
        (" ".join(map(str, range(25))), "after 0 of 24 .25 numbers are written there"),
        (" ".join(["1.5"] * 24), "not all of them are whole numbers"),
        (" ".join(["nan"] * 24), "not all of them are whole numbers"),
        (" ".join(["99999"] * 24), "they do not fit into int16"),
        (" ".join(["1", "x"] * 12), "could not convert string to float"),
    ],
)
def test_voxels_that_are_written_as_text_are_checked(tmp_path, numbers, told):
    path = metaimage(tmp_path / "b.mhd", VOXELS, BinaryData="False")
    (tmp_path / "a.raw").write_text(" ".join(map(str, VOXELS)) + "\n")
    np.testing.assert_array_equal(read_volume(path).array.ravel(), VOXELS)
    (tmp_path / "a.raw").write_text(numbers)
    with pytest.raises(ScanError, match=f"truncated: the voxels of .*{told}"):
        read_volume(path)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"type": "block"}, "header: .* type 'block', which is no number of a CT"),
        ({"encoding": "hex"}, "header: .* encoding 'hex', which is not read; expected one of raw"),
        ({"endian": None}, "header: .* endian = ''; expected little or big"),
        ({"endian": "middle"}, "header: .* endian = 'middle'; expected little or big"),
        ({"dimension": "3.5"}, "header: .* dimension = '3.5', not 1 whole number"),
        ({"sizes": "2 3"}, "header: .* sizes = '2 3', not 3 whole numbers"),
        ({"kinds": "vector domain domain"}, "samples: .* kinds 'vector domain domain'; a CT has"),
        ({"byte skip": "-2"}, "header: .* byte skip = '-2'; expected a number of bytes"),
        ({"line skip": "-1"}, "header: .* line skip = '-1'; expected a number of lines"),
        ({"line skip": "1", "byte skip": "1"}, "header: .* has `line skip` and `byte skip`"),
        ({"encoding": "gzip", "byte skip": "4"}, "header: .* skips lines or bytes of packed vox"),
        ({"spcings": "1 1 1"}, "header: .* a line 'spcings', which is no field of the format"),
        ({"space orgin": "(1,2,3)"}, "header: .* 'space orgin', .* write 'space origin' if"),
        ({"space units": '"mm" "mm" "parsec"'}, "spacing: .* space units = .*parsec.*; expected"),
        ({"space units": '"mm" "mm" "cm"'}, "spacing: .* space units = .*; expected the same thr"),
    ],
)
def test_an_nrrd_that_is_not_what_it_says_is_refused(tmp_path, fields, told):
    with pytest.raises(ScanError, match=told):
        read_hu_file(nrrd_file(tmp_path / "a.nrrd", PLACE, **fields))


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("space: scanner-xyz\n", "orientation: .* space 'scanner-xyz', in which the patient's si"),
        ("space: 3D-left-handed\n", "orientation: .* space '3D-left-handed'"),
        ("space origin: (1,2)\n", r"header: .* space origin = '1 2', not 3 numbers"),
        ("space origin: 1 2 3\n", r"header: .* space origin = '1 2 3', not 1 vector such as"),
        ("space origin: (1,2,nan)\n", r"header: .* space origin = '1 2 nan', not 3 numbers"),
        ("space directions: none none none\n", "header: .* = 'none none none', not 3 vectors"),
        ("space directions: (1,0,0) (0,1,0)\n", "header: .* not 3 vectors such as"),
        ("space directions: (1,0,0) (0,1,0) (0,0,1e7)\n", "spacing: .* 1 x 1 x 1e.07 mm"),
        ("space directions: (1,0,0) (0,1,0) (0,2,0)\n", "orientation: .* lie in one plane"),
    ],
)
def test_an_nrrd_whose_place_is_none_is_refused(tmp_path, place, told):
    name = place.partition(":")[0]
    others = "".join(f"{line}\n" for line in PLACE.splitlines() if not line.startswith(f"{name}:"))
    with pytest.raises(ScanError, match=told):
        read_hu_file(nrrd_file(tmp_path / "a.nrrd", place + others))


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1), ("m", 1000), ("cm", 10), ("um", 1e-3)])
def test_units_of_an_nrrd_become_mm(tmp_path, unit, mm):
    d = 2 / mm
    place = (
        f"space: RAS\nspace directions: ({d},0,0) (0,{d},0) (0,0,{d})\n"
        f'space origin: ({4 / mm},0,0)\nspace units: "{unit}" "{unit}" "{unit}"\n'
    )
    geometry = read_hu_file(nrrd_file(tmp_path / "a.nrrd", place)).volume.geometry
    np.testing.assert_allclose(geometry.spacing_mm, (2, 2, 2))
    np.testing.assert_allclose(geometry.origin_xyz_mm, (-4, 0, 0))


@pytest.mark.parametrize(("name", "value"), [("line skip", 2), ("byte skip", 8), ("byte skip", -1)])
def test_lines_and_bytes_before_the_voxels_are_skipped(tmp_path, name, value):
    voxels = b"one\ntwo\n" + VOXELS.tobytes()
    path = nrrd_file(tmp_path / "a.nrrd", PLACE, voxels, **{name: value})
    np.testing.assert_array_equal(read_hu_file(path).volume.array.ravel(), VOXELS)


def test_more_lines_to_skip_than_there_are_end_the_reading(tmp_path):
    path = nrrd_file(tmp_path / "a.nrrd", PLACE, **{"line skip": 99})
    with pytest.raises(ScanError, match=r"truncated: the voxels of .* end or break after 0 of 24"):
        read_hu_file(path)
