"""The cache's own files: what was written comes back, and anything else is refused."""

import numpy as np
import pytest
import tables

from lungseg.core.errors import DamagedOutputError, ScanError
from lungseg.io.volumes import volume_file
from lungseg.volume import Geometry, Volume

OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, -1.0)
GEOMETRY = Geometry((2.5, 0.7, 0.6), (-150.5, 20.25, -700.125), OBLIQUE)
HU = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) - 1024


@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.uint16, np.float32, np.bool_])
def test_a_volume_comes_back_to_the_last_bit_with_its_geometry(tmp_path, kind):
    volume_file.write(Volume(HU.astype(kind), GEOMETRY), tmp_path / "a.h5")
    back = volume_file.read(tmp_path / "a.h5")
    np.testing.assert_array_equal(back.array, HU.astype(kind))
    assert back.array.dtype == kind
    assert back.geometry == GEOMETRY
    assert volume_file.read_geometry(tmp_path / "a.h5") == ((4, 5, 6), GEOMETRY)


def test_attributes_come_back_by_name(tmp_path):
    volume_file.write(Volume(HU, GEOMETRY), tmp_path / "a.h5", padding_hu=-2000, kind="ct")
    assert volume_file.read_attribute(tmp_path / "a.h5", "padding_hu") == -2000
    assert volume_file.read_attribute(tmp_path / "a.h5", "kind") == "ct"


def test_a_chunk_is_a_slice(tmp_path):
    volume_file.write(Volume(HU, GEOMETRY), tmp_path / "a.h5")
    with tables.open_file(str(tmp_path / "a.h5")) as h5:
        assert h5.root.volume.chunkshape == (1, 5, 6)


@pytest.mark.parametrize("marked", [(), (0,), (2,), (0, 3), (1, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("kind", [np.bool_, np.uint16, np.int16])
def test_empty_slices_come_back_and_take_no_room(tmp_path, marked, kind):
    array = np.zeros((4, 5, 6), kind)
    array[list(marked), 4, 5] = 1
    volume_file.write(Volume(array, GEOMETRY), tmp_path / "a.h5")
    back = volume_file.read(tmp_path / "a.h5")
    np.testing.assert_array_equal(back.array, array)
    assert back.array.dtype == kind
    with tables.open_file(str(tmp_path / "a.h5")) as h5:
        written = [h5.root.volume.chunk_info((z, 0, 0)).size is not None for z in range(4)]
    assert written == [z in marked for z in range(4)]


def test_hu_are_int16_and_a_mask_is_what_is_not_0(tmp_path):
    volume_file.write(Volume(HU.astype(np.uint8), GEOMETRY), tmp_path / "a.h5")
    with pytest.raises(ScanError, match=r"a\.h5 holds uint8, not HU as int16"):
        volume_file.read_hu(tmp_path / "a.h5")
    mask = volume_file.read_mask(tmp_path / "a.h5")
    assert mask.array.dtype == bool
    np.testing.assert_array_equal(mask.array, HU.astype(np.uint8) != 0)
    volume_file.write(Volume(HU, GEOMETRY), tmp_path / "b.h5")
    np.testing.assert_array_equal(volume_file.read_hu(tmp_path / "b.h5").array, HU)


def other_table(path):
    with tables.open_file(str(path), "w") as h5:
        h5.create_array("/", "other", obj=HU)


def without_geometry(path):
    with tables.open_file(str(path), "w") as h5:
        h5.create_array("/", "volume", obj=HU)


def cut(path):
    volume_file.write(Volume(HU, GEOMETRY), path)
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    "damage", [cut, other_table, without_geometry, lambda path: path.write_text("no HDF5")]
)
def test_a_file_that_was_not_written_so_must_be_made_again(tmp_path, damage):
    damage(tmp_path / "a.h5")
    with pytest.raises(DamagedOutputError, match=r"a\.h5 cannot be read as a volume of this cache"):
        volume_file.read(tmp_path / "a.h5")


def test_a_file_that_is_gone_must_be_made_again(tmp_path):
    with pytest.raises(DamagedOutputError, match=r"a\.h5 cannot be read .* does not exist"):
        volume_file.read(tmp_path / "a.h5")
