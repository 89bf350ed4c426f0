"""Where slices lie, against highdicom: the same order, distance, gaps and doubts."""

import contextlib
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom.spatial import get_series_volume_positions, get_volume_positions
from hypothesis import given
from hypothesis import strategies as st

from lungseg.core.errors import ScanError
from lungseg.io.dicom.header import FRAME_GROUPS, read_header
from lungseg.io.dicom.planes import HuRules, planes_of
from lungseg.io.dicom.series import read_series
from lungseg.io.sources.index import find_scans
from lungseg.ops.grid.slices import SliceRules, axes_of, same_places, stack_geometry_of
from tests.io.dicom.dicom_files import AXIAL, positions, write_series
from tests.io.dicom.test_series import DIRECTIONS

RULES = SliceRules()
FILLING = SliceRules(fill_missing_slices=True)
# Columns, then rows, then their cross product: DICOM's own order of the three axes.
OURS = {"index_convention": "RD", "handedness": "RIGHT_HANDED"}
RNG = np.random.default_rng(11)
STORED = RNG.integers(0, 3000, (9, 4, 5)).astype(np.uint16)


def by_highdicom(files, **allowed):
    datasets = [pydicom.dcmread(path) for path in files]
    return get_series_volume_positions(datasets, atol=0.05, **OURS, **allowed)


def shuffled(folder, places, orientation=AXIAL):
    """Slices at these places, in files of any order, and the stored values of each file."""
    order = RNG.permutation(len(places))
    files = write_series(folder, STORED[order], places[order], orientation=orientation)
    return files, STORED[order]


@pytest.mark.parametrize("orientation", DIRECTIONS.values(), ids=DIRECTIONS)
def test_even_slices_of_any_direction_have_its_order_and_distance(tmp_path, orientation):
    places = positions(9, orientation=orientation, origin=(-120.5, 33.25, -700.125))
    files, stored = shuffled(tmp_path, places, orientation)
    spacing, index = by_highdicom(files)
    series = read_series(files, RULES)
    assert series.stack_geometry.is_plain
    assert series.stack_geometry.step_mm == pytest.approx(spacing, abs=1e-4)
    np.testing.assert_array_equal(series.array[index], stored.astype(int) - 1024)


@pytest.mark.parametrize("orientation", DIRECTIONS.values(), ids=DIRECTIONS)
def test_missing_slices_are_the_gaps_in_its_order(tmp_path, orientation):
    places = positions(14, orientation=orientation)[[0, 1, 2, 5, 6, 7, 9, 10, 13]]
    files, stored = shuffled(tmp_path, places, orientation)
    assert by_highdicom(files) == (None, None)
    with pytest.raises(ScanError, match=r"missing-slices: 3 gaps .* 5 missing"):
        read_series(files, RULES)
    spacing, index = by_highdicom(files, allow_missing_positions=True)
    series = read_series(files, FILLING)
    geometry = series.stack_geometry
    assert geometry.step_mm == pytest.approx(spacing, abs=1e-4)
    np.testing.assert_allclose(geometry.grid_z_mm[np.sort(index)], geometry.z_mm, atol=1e-4)
    np.testing.assert_array_equal(
        series.array[np.argsort(np.argsort(index))], stored.astype(int) - 1024
    )


def test_duplicates_are_those_it_finds(tmp_path):
    kept = [0, 1, 1, 2, 3, 3, 3, 4, 5]
    files = write_series(tmp_path, STORED[kept], positions(6)[kept])
    assert by_highdicom(files) == (None, None)
    spacing, index = by_highdicom(files, allow_duplicate_positions=True)
    series = read_series(files, RULES)
    assert series.duplicates == len(index) - len(set(index)) == 3
    assert series.stack_geometry.step_mm == pytest.approx(spacing, abs=1e-4)
    np.testing.assert_array_equal(series.array[index], STORED[kept].astype(int) - 1024)


def test_uneven_and_tilted_slices_are_no_plain_volume_for_either(tmp_path):
    z_mm = np.cumsum([0, 2.5, 2.0, 3.0, 2.5, 2.1, 3.2, 2.5, 2.8])
    uneven, _ = shuffled(tmp_path / "uneven", z_mm[:, None] * [0, 0, 1])
    tilted, _ = shuffled(tmp_path / "tilted", positions(9, step=(0, 0.6, 2.5)))
    for files, kind in ((uneven, "uneven"), (tilted, "even")):
        assert by_highdicom(files) == (None, None)
        geometry = read_series(files, RULES).stack_geometry
        assert geometry.kind == kind
        assert not geometry.is_plain


@given(
    directions=st.sampled_from([*DIRECTIONS.values()]),
    gap_mm=st.floats(0.5, 10),
    holes=st.lists(st.integers(1, 4), max_size=8),
    whole=st.integers(2, 12),
    copies=st.lists(st.integers(0, 20), max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_order_and_gaps_are_its_own_for_any_stack(
    *, directions, gap_mm, holes, whole, copies, seed
):
    rng = np.random.default_rng(seed)
    # No fewer slices beside their neighbour than holes, else the distance is anybody's guess.
    steps = rng.permutation([*(n + 1 for n in holes), *[1] * (len(holes) + whole)])
    number = np.concatenate([[0], np.cumsum(steps)])
    number = np.concatenate([number, number[np.array(copies, int) % len(number)]])
    rng.shuffle(number)
    normal = np.cross(directions[:3], directions[3:])
    # Equal numbers give equal places to the last bit, which alone are duplicates for highdicom.
    places = rng.uniform(-500, 500, 3) + gap_mm * number[:, None] * normal
    spacing, index = get_volume_positions(
        places,
        directions,
        atol=0.05,
        allow_missing_positions=True,
        allow_duplicate_positions=True,
        **OURS,
    )
    coordinates = axes_of([directions] * len(places), RULES).along(places)
    groups = same_places(coordinates, RULES)
    assert [sorted({index[i] for i in group}) for group in groups] == [
        [k] for k in sorted({*index})
    ]
    geometry = stack_geometry_of(coordinates[[group[0] for group in groups]], FILLING)
    assert geometry.step_mm == pytest.approx(spacing, abs=1e-3)
    assert len(geometry.grid_z_mm) == max(index) + 1
    assert sum(gap.missing for gap in geometry.gaps) == sum(holes)


@pytest.mark.data
def test_real_series_are_even_or_not_for_both(data, tmp_path):
    found, _ = find_scans([data / top for top in ("LIDC-IDRI", "lungs", "odd")], tmp_path / "cache")
    even, doubtful = 0, set()
    for source in found:
        headers = [read_header(Path(name)) for name in source.files if source.kind == "dicom"]
        headers = [header for header in headers if FRAME_GROUPS not in header.values]
        if len(headers) < 3:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            datasets = [pydicom.dcmread(h.path, stop_before_pixels=True) for h in headers]
        spacing, index = get_volume_positions(
            [ds.ImagePositionPatient for ds in datasets],
            datasets[0].ImageOrientationPatient,
            atol=0.05,
            **OURS,
        )
        planes = [planes_of(header, HuRules(accept_rescale_type=True))[0] for header in headers]
        axes = axes_of([plane.axes_xyz for plane in planes], RULES)
        coordinates = axes.along([plane.position_xyz_mm for plane in planes])
        groups = same_places(coordinates, RULES)
        first = coordinates[[group[0] for group in groups]]
        if index is None:
            doubtful.add(headers[0].path.relative_to(data).parts[2])
            with contextlib.suppress(ScanError):
                assert len(groups) < len(planes) or not stack_geometry_of(first, RULES).is_plain
            continue
        even += 1
        geometry = stack_geometry_of(first, RULES)
        assert geometry.is_plain
        assert geometry.step_mm == pytest.approx(spacing, abs=1e-3)
        assert [[index[i] for i in group] for group in groups] == [[k] for k in range(len(planes))]
    assert even == 26
    assert doubtful == {
        *("notavolume", "sliceincrement", "gantrytilting", "GE"),
        *("dicom_4d", "CTImage.dcm"),  # several images at one place
    }
