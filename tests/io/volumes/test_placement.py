"""Where a NIfTI lies: as nibabel has it, sheared back, or refused where it contradicts itself."""

import gzip
import struct
import warnings

import nibabel
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lungseg.core.errors import LimitError, NotProvenError, ScanError
from lungseg.core.limits import MEMORY_VARIABLE
from lungseg.io.volumes.formats import read_hu_file, read_volume
from lungseg.io.volumes.placement import AGREE_MM, PlaceRules
from tests.io.volumes.volume_files import VOXELS as HU
from tests.io.volumes.volume_files import metaimage, nifti, nrrd_file

RAS = np.diag([-1.0, -1, 1, 1])


def affine_of(volume):
    """Matrix of ours from ``(x, y, z)`` indices to RAS, as nibabel has it."""
    matrix = np.eye(4)
    matrix[:3, :3] = volume.geometry.matrix
    matrix[:3, 3] = volume.geometry.origin_xyz_mm
    return RAS @ matrix


def turned(degrees, axis):
    """A grid of 1 x 2 x 3 mm, turned about an axis."""
    matrix = np.eye(4)
    turn = Rotation.from_euler(axis, degrees, degrees=True)
    matrix[:3, :3] = turn.as_matrix() * (1, 2, 3)
    return matrix


@st.composite
def placements(draw):
    """A right-angled matrix in RAS, mirrored or not."""
    turn = Rotation.from_euler("xyz", draw(st.tuples(*[st.floats(-180, 180)] * 3)), degrees=True)
    mm = draw(st.tuples(*[st.floats(0.3, 8)] * 3))
    sides = draw(st.tuples(*[st.sampled_from((-1, 1))] * 3))
    matrix = np.eye(4)
    matrix[:3, :3] = turn.as_matrix() * (np.array(mm) * sides)
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    return matrix


@settings(max_examples=120)
@example(np.diag([-1.0, -1, 1, 1]) @ turned(180 - 2e-5, "z"), (0, 1))
@example(turned(180 - 2e-2, "x"), (0, 1))
@given(placements(), st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_a_place_is_what_nibabel_makes_of_it(tmp_path_factory, matrix, codes):
    path = tmp_path_factory.getbasetemp() / "place.nii"
    nifti(path, sform=matrix, qform=matrix, codes=codes)
    found = read_hu_file(path)
    np.testing.assert_allclose(affine_of(found.volume), nibabel.load(path).affine, atol=2e-3)
    np.testing.assert_array_equal(found.volume.array, HU)
    assert found.facts["orientation_known"] == (codes != (0, 0))
    assert found.facts["geometry_from"] == (
        "sform" if codes[0] else "qform" if codes[1] else "header"
    )


@settings(max_examples=80)
@given(placements(), placements(), st.tuples(st.integers(0, 1), st.integers(0, 1)))
def test_two_places_are_one_of_them_or_refused(tmp_path_factory, one, other, codes):
    path = tmp_path_factory.getbasetemp() / "places.nii"
    nifti(path, sform=one, qform=other, codes=codes)
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]) * [6, 5, 4, 1]
    apart = np.linalg.norm(corners @ (one - other).T, axis=1).max()
    if codes == (1, 1) and apart > AGREE_MM:
        with pytest.raises(ScanError, match=r"orientation: sform and qform .* contradict each ot"):
            read_hu_file(path)
        header = nibabel.load(path).header  # near a half turn a qform has few digits
        for form, matrix in (("sform", one), ("qform", header.get_qform())):
            found = read_hu_file(path, PlaceRules(nifti_form=form))
            np.testing.assert_allclose(affine_of(found.volume), matrix, atol=2e-3)
            assert found.facts["geometry_from"] == form
    elif codes == (0, 1):
        expected = nibabel.load(path).affine
        np.testing.assert_allclose(affine_of(read_hu_file(path).volume), expected, atol=2e-3)


def test_a_mirrored_qform_is_named(tmp_path):
    path = nifti(tmp_path / "a.nii", sform=np.diag([-1, 1, 2, 1]), qform=np.diag([1, 1, 2, 1]))
    with pytest.raises(ScanError, match=r"12 mm apart by the two.*, and one is the mirror of the"):
        read_hu_file(path)


def test_pixdim_must_be_the_sforms(tmp_path):
    path = nifti(tmp_path / "a.nii", sform=np.diag([1.0, 1, 2, 1]), codes=(1, 0))
    assert read_hu_file(path).volume.spacing_mm == (2, 1, 1)
    path = nifti(tmp_path / "a.nii", sform=np.diag([1.0, 1, 2, 1]), pixdim=[1, 1, 1, 1] + [0] * 4)
    with pytest.raises(ScanError, match=r"spacing: .* 1 x 1 x 2 mm by its sform, and of 1 x 1 x 1"):
        read_hu_file(path)
    found = read_hu_file(path, PlaceRules(nifti_form="sform"))
    assert found.volume.spacing_mm == (2, 1, 1)


def tilted(degrees, mirror=(1, 1, 1)):
    """A gantry's shear as dcm2niix writes it: the slices slide along y."""
    matrix = np.diag([-0.7, 0.7, 2.5, 1.0])
    matrix[1, 2] = 2.5 * np.tan(np.radians(degrees))
    matrix[:3, 3] = 20, -30, 40
    matrix[:3, :3] *= mirror
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
    return turn @ matrix


def field(places):
    """HU that are a linear function of the place in RAS, so that linear mixing keeps them."""
    return places[..., 0] * 3 - places[..., 1] * 4 + places[..., 2] * 5 + 100


@pytest.mark.parametrize("degrees", [14.0, -20.0, 30.0])
@pytest.mark.parametrize("mirror", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_a_tilted_gantry_is_sheared_back_to_the_truth(tmp_path, degrees, mirror):
    matrix = tilted(degrees, mirror)
    index = np.stack(np.meshgrid(*map(np.arange, (24, 30, 12)), indexing="ij"), axis=-1)
    values = field(index @ matrix[:3, :3].T + matrix[:3, 3])
    array = np.rint(values).astype(np.int16).T
    path = nifti(tmp_path / "a.nii", sform=matrix, qform=matrix, array=array)
    apart = np.abs(nibabel.load(path).get_qform() - matrix).max()
    assert apart > 0.1  # no rotation can say it
    found = read_hu_file(path)
    assert found.facts["tilt_degrees"] == pytest.approx(abs(degrees), abs=1e-3)
    assert found.facts["geometry_from"] == "sform"
    ct = found.volume
    assert ct.shape[0] == 12
    direction = np.reshape(ct.geometry.direction_xyz, (3, 3))
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(direction), np.prod(mirror) * -1, atol=1e-6)
    seen = ct.array > found.padding_hu
    at = np.argwhere(seen)
    truth = field(ct.geometry.to_world(at) * [-1, -1, 1])
    assert np.abs(ct.array[seen] - truth).max() <= 1.1  # rounded twice
    assert seen.sum() > 0.9 * array.size


def test_a_tilt_is_refused_where_the_setting_says_so(tmp_path):
    path = nifti(tmp_path / "a.nii", sform=tilted(14), qform=tilted(14))
    with pytest.raises(ScanError, match=r"tilt: the slices of .* slide by 14.00 degrees"):
        read_hu_file(path, PlaceRules(correct_tilt=False))
    with pytest.raises(ScanError, match=r"tilt: "):
        read_volume(path)


def test_a_tilt_that_the_qform_denies_is_refused(tmp_path):
    upright = np.diag([-0.7, 0.7, 2.5, 1.0])
    upright[:3, 3] = 50, 0, 0
    path = nifti(tmp_path / "a.nii", sform=tilted(14), qform=upright)
    with pytest.raises(ScanError, match=r"orientation: sform and qform .* contradict each other"):
        read_hu_file(path)


def test_a_shear_that_is_no_tilt_is_refused(tmp_path):
    matrix = np.diag([1.0, 1, 2, 1])
    matrix[0, 1] = 0.5  # rows against columns
    path = nifti(tmp_path / "a.nii", sform=matrix)
    with pytest.raises(ScanError, match=r"orientation: the axes of .* 26.57 degrees off right"):
        read_hu_file(path)
    with pytest.raises(ScanError, match=r"orientation: the axes of .* 60.00 degrees off right"):
        read_hu_file(nifti(tmp_path / "a.nii", sform=tilted(60)))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"pixdim": [1, 1, 0, 2] + [0] * 4}, r"spacing: .* \(pixdim: 1 x 0 x 2\); expected 0.01 "),
        ({"pixdim": [1, np.nan, 1, 2] + [0] * 4}, r"spacing: .* \(pixdim: nan x 1 x 2\)"),
        ({"pixdim": [1, 1, np.inf, 2] + [0] * 4}, r"spacing: .* \(pixdim: 1 x inf x 2\)"),
        ({"pixdim": [1, 1, 1, -2] + [0] * 4}, r"spacing: .* \(pixdim: 1 x 1 x -2\)"),
        ({"pixdim": [0.5, 1, 1, 2] + [0] * 4}, r"orientation: .* pixdim\[0\] 0.5; expected -1 or"),
        ({"srow_x": [1, 0, 0, np.nan]}, r"orientation: the sform of .* holds what is no number"),
        ({"srow_x": [1e6, 0, 0, 0]}, r"spacing: .* 1e\+06 x 1 x 2 mm"),
        ({"srow_x": [1, 0, 0, 1e9]}, r"orientation: .* begins 1e\+09 mm from the origin"),
        (
            {"srow_x": [1, 0, 1, 0], "srow_z": [1, 0, 1, 0]},
            r"orientation: the sform of .* lie in one plane",
        ),
        ({"quatern_b": 2}, r"orientation: .* a qform that is no rotation .quatern_b"),
        ({"quatern_b": np.nan}, r"orientation: .* a qform that is no rotation"),
        ({"sform_code": 77}, r"header: .* sform_code 77, which there is none"),
        ({"qform_code": -1}, r"header: .* qform_code -1, which there is none"),
        ({"xyzt_units": 5}, r"spacing: .* the unit of length 5 .xyzt_units., which there is none"),
        ({"xyzt_units": 1}, r"spacing: .* 1000 x 1000 x 2000 mm .* or its unit of length, is wron"),
        ({"vox_offset": 0}, r"header: .* its voxels at byte 0 .vox_offset.; expected .* 352"),
        ({"vox_offset": 352.5}, r"header: .* its voxels at byte 352.5"),
        ({"vox_offset": np.nan}, r"header: .* its voxels at byte nan"),
        ({"vox_offset": -16}, r"header: .* its voxels at byte -16"),
        ({"vox_offset": 400}, r"truncated: .* has 372 bytes after the first 400, and .* 420"),
        ({"vox_offset": 1e9}, r"truncated: .* has 0 bytes after the first 1000000000"),
        ({"dim": [3, 7, 6, 4, 1, 1, 1, 1]}, r"header: .* goes on after the last voxel"),
        ({"dim": [3, 7, 6, 50, 1, 1, 1, 1]}, r"truncated: .* describes 4200"),
        ({"dim": [3, 7, 0, 5, 1, 1, 1, 1]}, r"header: .* dim = '7 0 5', not 3 whole numbers"),
        ({"dim": [3, 7, -6, 5, 1, 1, 1, 1]}, r"header: .* dim = '7 -6 5', not 3 whole numbers"),
        ({"dim": [9, 7, 6, 5, 1, 1, 1, 1]}, r"header: .* has 9 axes .dim.0.., not 1 to 7"),
        ({"dim": [2, 7, 30, 1, 1, 1, 1, 1]}, r"dimensions: .* has 2 axes"),
        ({"datatype": 128, "bitpix": 24}, r"samples: .* has 3 values a voxel"),
        ({"datatype": 32, "bitpix": 64}, r"samples: .* has 2 values a voxel"),
        ({"datatype": 1536, "bitpix": 128}, r"header: .* datatype 1536, which is no number of a"),
        ({"bitpix": 32}, r"header: .* datatype 4 of 16 bits, and bitpix 32"),
        ({"scl_slope": np.inf}, r"header: .* scl_slope inf and scl_inter .*, which give no HU"),
        ({"scl_slope": 2, "scl_inter": np.nan}, r"header: .* scl_slope 2 and scl_inter nan"),
    ],
)
def test_a_header_that_contradicts_its_file_is_refused(tmp_path, fields, told):
    matrix = np.diag([1.0, 1, 2, 1])
    path = nifti(tmp_path / "a.nii", sform=matrix, qform=matrix, **fields)
    with pytest.raises(ScanError, match=told):
        read_hu_file(path)


@pytest.mark.parametrize(("code", "factor"), [(0, 1), (2, 1), (1, 1e-3), (3, 1e3)])
def test_lengths_in_other_units_become_mm(tmp_path, code, factor):
    matrix = np.diag([0.7 * factor, 0.7 * factor, 2.5 * factor, 1])
    matrix[:3, 3] = 10 * factor, 20 * factor, 30 * factor
    path = nifti(tmp_path / "a.nii", sform=matrix, qform=matrix, xyzt_units=code)
    geometry = read_hu_file(path).volume.geometry
    np.testing.assert_allclose(geometry.spacing_mm, (2.5, 0.7, 0.7), rtol=1e-5)
    np.testing.assert_allclose(geometry.origin_xyz_mm, (-10, -20, 30), rtol=1e-5)


def test_what_is_no_header_or_a_misnamed_one_is_refused(tmp_path):
    path = nifti(tmp_path / "a.nii", sform=np.eye(4))
    whole = path.read_bytes()
    path.write_bytes(whole[:344] + b"ni1\0" + whole[348:])
    with pytest.raises(ScanError, match=r"header: .*a.nii has the mark b'ni1.*, expected b'n\+1"):
        read_hu_file(path)
    (tmp_path / "a.hdr").write_bytes(whole[:344] + bytes(4))
    with pytest.raises(ScanError, match=r"orientation: .*a.hdr is an Analyze header, which does n"):
        read_hu_file(tmp_path / "a.hdr")


@pytest.mark.parametrize("name", ["a.hdr", "A.HDR"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
def test_a_pair_of_header_and_voxels_is_read(tmp_path, name, kind):
    matrix = np.diag([-0.7, 0.7, 2.5, 1])
    nibabel.save(kind(HU.T, matrix), tmp_path / "b.hdr")
    image = "a.img" if name == "a.hdr" else "A.IMG"
    (tmp_path / "b.hdr").rename(tmp_path / name)
    with pytest.raises(
        NotProvenError, match=rf"data-file: .*{name} needs {image}, which is not beside"
    ):
        read_hu_file(tmp_path / name)
    (tmp_path / "b.img").rename(tmp_path / image)
    found = read_hu_file(tmp_path / name).volume
    np.testing.assert_array_equal(found.array, HU)
    np.testing.assert_allclose(affine_of(found), matrix, atol=1e-5)


def test_a_nii_gz_that_is_plain_and_a_nii_that_is_packed_are_read(tmp_path):
    plain = nifti(tmp_path / "a.nii.gz", sform=np.eye(4))
    np.testing.assert_array_equal(read_hu_file(plain).volume.array, HU)
    nibabel.save(nibabel.load(nifti(tmp_path / "b.nii", sform=np.eye(4))), tmp_path / "c.nii.gz")
    (tmp_path / "c.nii.gz").rename(tmp_path / "d.nii")
    np.testing.assert_array_equal(read_hu_file(tmp_path / "d.nii").volume.array, HU)


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.uint32, np.float64])
def test_wide_numbers_are_read(tmp_path, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = nibabel.Nifti1Image(np.abs(HU.T).astype(kind), np.eye(4), dtype=kind)
    nibabel.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_hu_file(tmp_path / "a.nii.gz").volume.array, np.abs(HU))


def test_a_volume_that_memory_cannot_hold_is_refused_before_it_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv(MEMORY_VARIABLE, str(1 << 30))
    path = tmp_path / "a.nii"
    nifti(path, sform=np.eye(4), dim=[3, 2048, 2048, 1300, 1, 1, 1, 1])
    with path.open("r+b") as file:
        file.truncate(352 + 2 * 2048 * 2048 * 1300)  # a hole: no byte of the disk
    with pytest.raises(LimitError, match=r"a.nii with 2048 x 2048 x 1300 voxels needs 10.2 GiB"):
        read_hu_file(path)
    with pytest.raises(LimitError, match=r"a.nii with 2048 x 2048 x 1300 voxels needs 10.2 GiB"):
        read_volume(path)


def test_a_small_packed_file_that_claims_a_huge_volume_is_refused_in_no_time(tmp_path):
    path = tmp_path / "a.nii.gz"
    fields = {"dim": [3, 2048, 2048, 1300, 1, 1, 1, 1], "datatype": 1024, "bitpix": 64}
    nifti(path, sform=np.eye(4), **fields)
    path.write_bytes(gzip.compress(path.read_bytes() + bytes(1 << 20)))
    with pytest.raises(ScanError, match=r"truncated: .* compressed bytes, which cannot hold the 4"):
        read_hu_file(path)


def test_a_packed_file_that_does_not_end_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr("lungseg.io.volumes.voxels._MOST_AFTER", 1 << 20)
    path = nifti(tmp_path / "a.nii.gz", sform=np.eye(4))
    path.write_bytes(gzip.compress(path.read_bytes() + bytes(3 << 20)))
    with pytest.raises(ScanError, match=r"header: .*a.nii.gz goes on after the last voxel"):
        read_hu_file(path)


def test_an_nrrd_without_its_place_is_refused_or_accepted(tmp_path):
    places = {
        "space": "space: LPS",
        "space directions": "space directions: (0.7,0,0) (0,0.7,0) (0,0,2.5)",
        "space origin": "space origin: (1,2,3)",
    }
    for missing in places:
        told = "\n".join(line for name, line in places.items() if name != missing)
        spacings = "spacings: 0.7 0.7 2.5\n" if missing == "space directions" else ""
        path = nrrd_file(tmp_path / "a.nrrd", f"{told}\n{spacings}")
        with pytest.raises(ScanError, match=rf"orientation: .* does not state {missing}; which si"):
            read_hu_file(path)
        found = read_hu_file(path, PlaceRules(accept_missing_geometry=True))
        assert found.volume.spacing_mm == (2.5, 0.7, 0.7)
        assert not found.facts["orientation_known"]
        origin = (0, 0, 0) if missing == "space origin" else (1, 2, 3)
        assert found.volume.geometry.origin_xyz_mm == origin


def test_a_metaimage_lies_as_metaio_says_where_it_says_nothing(tmp_path):
    found = read_hu_file(metaimage(tmp_path / "a.mhd"))
    assert found.volume.geometry.origin_xyz_mm == (0, 0, 0)
    assert not found.facts["orientation_known"]
    place = {"Position": "1 2 3", "Rotation": "0 1 0 -1 0 0 0 0 1"}
    found = read_hu_file(metaimage(tmp_path / "a.mhd", **place))
    assert found.facts["orientation_known"]
    # x runs along the world's y, as the first three numbers say.
    np.testing.assert_allclose(found.volume.geometry.to_world((0, 0, 1)), (1, 3, 3))


def test_a_scale_is_read_in_either_order_of_bytes(tmp_path):
    path = nifti(tmp_path / "a.nii", sform=np.eye(4))
    data = bytearray(path.read_bytes())
    data[112:120] = struct.pack("<2f", 0.5, -1.0)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_volume(path).array, HU * 0.5 - 1)
