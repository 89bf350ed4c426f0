"""Resample, on scans small enough to know by hand."""

import tracemalloc

import numpy as np
import pytest

from lungseg.core.errors import ConfigError, LimitError, ScanError
from lungseg.core.limits import memory_limit
from lungseg.io.volumes import volume_file
from lungseg.stages.resample import STAGE, Resample, check_size, on_working_grid
from lungseg.volume import Geometry, Volume

FLIPPED = (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)


def scan(padding=None):
    """Tissue of 40 HU with a metal clip, in a round field of view if `padding` is given."""
    z, y, x = np.indices((6, 24, 24))
    hu = np.full(z.shape, 40, np.int16)
    hu[2, 10, 10] = 3000
    if padding is not None:
        hu[(y - 11.5) ** 2 + (x - 11.5) ** 2 > 100] = padding
    return Volume(hu, Geometry((2.5, 0.7, 0.7), (100.0, 50.0, -20.0), FLIPPED))


def test_grid_is_upright_and_even_and_stays_within_the_scan():
    ct, view = on_working_grid(scan(), np.nan, Resample())
    assert view is None
    assert ct.shape == (13, 17, 17)
    assert ct.spacing_mm == (1.0, 1.0, 1.0)
    assert ct.geometry.direction_xyz == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    np.testing.assert_allclose(ct.geometry.origin_xyz_mm, (100 - 23 * 0.7, 50 - 23 * 0.7, -20))


def test_the_window_holds_metal_back_before_it_spreads():
    ct, _ = on_working_grid(scan(), np.nan, Resample(spacing_mm=0.35))
    assert 300 < ct.array.max() <= 400
    # Above 300 HU within a quarter of the way to the next voxels only, so along z alone; clipped
    # afterwards it would reach nine tenths of the way on every side.
    assert (ct.array > 300).sum() == 4


@pytest.mark.parametrize("padding", [-2000, -3024, -1000])
@pytest.mark.parametrize(("hu_low", "air"), [(-1024, -1024), (-1350, -1024), (-125, -125)])
def test_padding_becomes_air_and_is_recorded(padding, hu_low, air):
    ct, view = on_working_grid(scan(padding), padding, Resample(hu_low=hu_low))
    outside = ~view.array
    assert ct.array.min() == air
    assert (ct.array[outside] < 40).all()
    assert ct.array[:, 0, 0].tolist() == [air] * 13
    area = view.array.mean(axis=(1, 2)) * (17 * 17)
    np.testing.assert_allclose(area, np.pi * 7**2, rtol=0.06)


def test_a_scan_of_nothing_but_padding_is_refused():
    empty = scan().like(np.full((6, 24, 24), -2000, np.int16))
    with pytest.raises(ScanError, match=r"every voxel is padding .*-2000 HU"):
        on_working_grid(empty, -2000.0, Resample())


def test_a_window_upside_down_is_refused():
    with pytest.raises(ConfigError, match="hu_low must be below hu_high, not 400 against 400"):
        Resample(hu_low=400)


@pytest.mark.parametrize("padding", [None, -2000])
def test_run_writes_both_volumes_and_facts(tmp_path, padding):
    source = scan(padding)
    (tmp_path / "ingest").mkdir()
    (tmp_path / "out").mkdir()
    attribute = float("nan") if padding is None else float(padding)
    volume_file.write(source, tmp_path / "ingest" / "ct.h5", padding_hu=attribute)
    facts = STAGE.run(Resample(), {"ingest": tmp_path / "ingest"}, tmp_path / "out")
    ct, view = on_working_grid(source, attribute, Resample())
    np.testing.assert_array_equal(volume_file.read_hu(tmp_path / "out" / "ct.h5").array, ct.array)
    assert facts["shape_zyx"] == "13x17x17"
    assert facts["padding"] is (padding is not None)
    written = tmp_path / "out" / "field_of_view.h5"
    assert written.exists() == (padding is not None)
    if view is not None:
        np.testing.assert_array_equal(volume_file.read_mask(written).array, view.array)
        assert facts["field_of_view_share"] == round(float(view.array.mean()), 4)


def test_anti_aliasing_reaches_the_kernel():
    rng = np.random.default_rng(1)
    ct = Volume(rng.integers(-900, 300, (40, 8, 8)).astype(np.int16), Geometry((0.5, 1.0, 1.0)))
    plain, _ = on_working_grid(ct, np.nan, Resample(spacing_mm=2.0))
    smooth, _ = on_working_grid(ct, np.nan, Resample(spacing_mm=2.0, anti_alias=True))
    assert smooth.array.std() < 0.6 * plain.array.std()


@pytest.mark.data
def test_a_real_scan_equals_simpleitks_and_its_field_of_view_is_found(data):
    import SimpleITK as sitk  # noqa: N813

    (folder,) = (data / "LIDC-IDRI" / "LIDC-IDRI-0001").glob("*/*")
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = sitk.ReadImage(files)
    source = Volume(
        sitk.GetArrayFromImage(image).astype(np.int16),
        Geometry(image.GetSpacing()[::-1], image.GetOrigin(), image.GetDirection()),
    )
    ct, view = on_working_grid(source, -2000.0, Resample())
    assert view.array.mean() == pytest.approx(np.pi / 4, abs=0.01)
    clipped = sitk.Clamp(sitk.Cast(image, sitk.sitkFloat64), sitk.sitkFloat64, -1024, 400)
    expected = sitk.Resample(
        clipped,
        ct.shape[::-1],
        sitk.Transform(),
        sitk.sitkLinear,
        ct.geometry.origin_xyz_mm,
        ct.spacing_mm,
        ct.geometry.direction_xyz,
    )
    assert np.abs(ct.array - sitk.GetArrayFromImage(expected)).max() <= 0.501


def test_a_monstrous_field_of_view_is_refused_before_memory_is_taken(tmp_path):
    monster = (6, 1, 27307), Geometry((10.0, 500.0, 100.0))
    with pytest.raises(
        LimitError, match=r"the working grid of 51 x 1 x 2730601 voxels at 1 mm needs 664\.7 MiB of"
    ) as told, memory_limit(500_000_000):  # fmt: skip
        check_size(*monster, Resample())
    assert "set resample.spacing_mm to a larger value" in told.value.advised("resample")
    with memory_limit(8_000_000_000):
        check_size((275, 512, 512), Geometry((1.25, 0.7, 0.7)), Resample())
    (tmp_path / "ingest").mkdir()
    wide = Volume(np.zeros((3, 3, 3), np.int16), Geometry((1e4, 1e4, 1e4)))
    volume_file.write(wide, tmp_path / "ingest" / "ct.h5", padding_hu=float("nan"))
    with pytest.raises(LimitError, match="the working grid of 20001 x 20001 x 20001 voxels at 1"):
        STAGE.run(Resample(), {"ingest": tmp_path / "ingest"}, tmp_path)


def test_resampling_holds_the_result_and_a_few_slices_and_no_copy_of_the_scan():
    ct = Volume(np.full((60, 160, 160), 40, np.int16), Geometry((1.0, 0.8, 0.8)))
    result = 60 * 128 * 128 * 2
    tracemalloc.start()
    try:
        resampled, _ = on_working_grid(ct, np.nan, Resample())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert resampled.array.nbytes == result
    assert peak < 1.5 * result < ct.array.nbytes
