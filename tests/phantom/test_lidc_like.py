"""Phantoms of LIDC scans: the radiologists' shapes, in lungs, as DICOM."""

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from scipy import ndimage

from lungseg.core.errors import ConfigError, ScanError
from lungseg.io.annotations.lidc_database import read_scan, scans_of_patient
from lungseg.io.volumes import volume_file
from lungseg.phantom.demo import DEMO_PATIENTS, plan_demo_phantom, write_demo
from lungseg.phantom.lidc_like import (
    DrawnNodule,
    drawn_nodules,
    grid_of,
    plan_phantom,
    rated_hu,
    scene,
)
from lungseg.phantom.render import render
from lungseg.phantom.vessels import solid_depth

PLANS = {}


def planned(patient):
    if patient not in PLANS:
        PLANS[patient] = plan_demo_phantom(next(c for c in DEMO_PATIENTS if c.patient == patient))
    return PLANS[patient]


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("patient", DEMO_PATIENTS, ids=lambda c: c.patient)
def test_every_drawn_voxel_lies_in_the_lungs_of_the_fitted_body(patient):
    found = planned(patient.patient)
    for nodule in found.nodules:
        world = found.geometry.to_world(nodule.points_zyx())
        body = (world - found.chest.centre_xyz_mm) / found.chest.scale_xyz
        depth = solid_depth(found.chest.build, *body.T.astype(np.float32))
        assert depth.min() > 0
    scale = np.asarray(found.chest.scale_xyz)
    assert ((scale > 0.72) & (scale < 1.3)).all()


def test_the_demo_patients_differ_and_have_the_nodules_that_are_claimed():
    assert len({c.patient for c in DEMO_PATIENTS}) == len(DEMO_PATIENTS)
    counted = [sum(n.readers >= 3 for n in planned(c.patient).nodules) for c in DEMO_PATIENTS[:6]]
    assert counted == [3, 4, 0, 2, 1, 2]
    assert all(80 <= planned(c.patient).shape[0] <= 130 for c in DEMO_PATIENTS)
    assert min(n.hu for n in planned("LIDC-IDRI-0240").nodules if n.readers >= 3) < -500


def test_the_grid_is_the_scans():
    record = scans_of_patient("LIDC-IDRI-0078")[0]
    shape, geometry = grid_of(record)
    assert shape == (87, 512, 512)
    assert geometry.spacing_mm == pytest.approx((3.0, 0.65, 0.65))
    slices = geometry.to_world([(k, 255.5, 255.5) for k in range(87)])
    np.testing.assert_allclose(slices[:, 2], record.z_mm, atol=1e-3)
    np.testing.assert_allclose(slices[:, :2], 0.0, atol=1e-3)


def test_a_scan_with_a_gap_is_no_grid():
    record = scans_of_patient("LIDC-IDRI-0078")[0]
    gapped = replace(record, z_mm=record.z_mm[:40] + record.z_mm[44:])
    with pytest.raises(ScanError, match=r"0078: its 83 slice positions are not evenly spaced"):
        grid_of(gapped)


def test_nodules_that_no_lungs_can_hold_are_refused():
    record = scans_of_patient("LIDC-IDRI-0078")[0]
    reading = record.readings[0]
    far = tuple(replace(c, points_xy=c.points_xy * 0 + c.points_xy // 9) for c in reading.contours)
    moved = replace(record, readings=(replace(reading, contours=far),))
    with pytest.raises(ScanError, match=r"0078: no body was found .* mm outside"):
        plan_phantom(moved)


def test_rated_hounsfield_units_follow_texture_calcification_and_readers():
    reading = scans_of_patient("LIDC-IDRI-0078")[0].readings[0]

    def rated(count=4, **ratings):
        own = {**reading.ratings, "calcification": 6, "subtlety": 5, **ratings}
        return rated_hu([replace(reading, ratings=own)] * count)

    assert rated(texture=1) == pytest.approx(-600)
    assert rated(texture=5) == pytest.approx(20)
    assert rated(texture=5, calcification=3) > 200
    assert rated(texture=5, subtlety=1) < -100
    assert rated(2, texture=5) < -250


@pytest.mark.parametrize("patient", DEMO_PATIENTS, ids=lambda c: c.patient)
def test_no_nodule_of_the_demo_lies_in_fluid_or_airless_lung(patient):
    found = planned(patient.patient)
    for nodule in found.nodules:
        around = found.geometry.moved(nodule.first_zyx)
        bare = render(found.chest, nodule.votes.shape, around)
        assert (bare.lungs.array[nodule.consensus] > 0).all()
        assert not bare.airless.array.any()


@pytest.fixture(scope="module")
def clinical():
    return planned("LIDC-IDRI-0078").render()


def test_a_clinical_scan_is_rendered_with_what_its_readers_drew(clinical):
    found, phantom = planned("LIDC-IDRI-0078"), clinical
    ct = phantom.ct.array
    groups = [n for n in found.nodules if n.readers >= 3]
    assert len(groups) == 3
    for label, nodule in enumerate(found.nodules, 1):
        mask = phantom.nodules.array == label
        points = tuple(nodule.points_zyx().T)
        assert mask.sum() == len(points[0])
        assert mask[points].all()
        if nodule.readers < 3:
            continue
        # Half-way between lung and nodule, in the picture, is where the readers drew its edge.
        box = tuple(slice(a.min() - 6, a.max() + 7) for a in points)
        half = ct[box] > (nodule.hu - 860) / 2
        bodies, _ = ndimage.label(half & ~phantom.vessels.array[box])
        own = bodies == np.bincount(bodies[mask[box] & (bodies > 0)]).argmax()
        assert dice(own, mask[box]) > 0.85, label
    assert phantom.lung_ml()[0] > phantom.lung_ml()[1] > 1200


def test_the_consensus_is_that_of_an_independent_rasteriser():
    record = scans_of_patient("LIDC-IDRI-0104")[0]
    (nodule,) = drawn_nodules(record)
    votes = np.zeros((len(record.z_mm), 512, 512), np.uint8)
    pixels = np.argwhere(np.ones((512, 512), bool))[:, ::-1]
    for reading in record.readings:
        for contour in reading.contours:
            k = int(np.abs(np.array(record.z_mm) - contour.z_mm).argmin())
            # matplotlib's inside, less the line itself: pixels strictly within the polygon.
            ring = np.concatenate([contour.points_xy, contour.points_xy[:1]])
            low, high = ring.min(axis=0), ring.max(axis=0)
            near = pixels[((pixels >= low) & (pixels <= high)).all(axis=1)]
            inside = near[Polygon(ring).contains_points(near, radius=0.0)]
            drawn = np.zeros((512, 512), bool)
            drawn[inside[:, 1], inside[:, 0]] = True
            drawn[contour.points_xy[:, 1], contour.points_xy[:, 0]] = False
            votes[k] += drawn
    ours = np.zeros(votes.shape, bool)
    ours[tuple(nodule.points_zyx().T)] = True
    assert dice(ours, votes >= 2) > 0.98


@pytest.mark.parametrize("kind", ["isolated", "juxtapleural", "vessel_attached", "ground_glass"])
def test_a_scene_sets_a_lidc_shape_where_its_kind_is_found(kind):
    found = planned("LIDC-IDRI-0104")
    nodule = found.nodules[0]
    phantom = scene(nodule, found.geometry.spacing_mm, kind, seed=1)
    mask = phantom.nodule.array
    assert phantom.lung.array[mask].all()
    whole = nodule.consensus.sum()
    if kind == "juxtapleural":
        assert 0.6 * whole < mask.sum() < whole
        assert (~phantom.lung.array[ndimage.binary_dilation(mask)]).any()
    else:
        assert mask.sum() == whole
    hu = np.median(phantom.ct.array[ndimage.binary_erosion(mask)])
    assert abs(hu - (-600 if kind == "ground_glass" else 20)) < 60
    if kind == "vessel_attached":
        near = ndimage.binary_dilation(mask, iterations=2) & ~mask
        assert phantom.vessels.array[near].any()
    assert min(phantom.ct.shape) > 20


def test_a_scene_needs_room():
    large = DrawnNodule(np.full((30, 200, 200), 4, np.uint8), (0, 0, 0), 4, 20.0)
    with pytest.raises(ValueError, match=r"the lung has no isolated place for a nodule of \d+ mm"):
        scene(large, (2.5, 0.7, 0.7), "isolated")


def test_the_demo_is_a_dicom_tree_with_its_truth(tmp_path, clinical):
    import SimpleITK

    written = []
    (one,) = write_demo(tmp_path, scans=1, on_written=written.append)
    assert written == [one]
    record = read_scan(one.scan)
    assert one.folder == tmp_path / "dicom" / record.patient / record.study / record.scan
    assert one.slices == len(list(one.folder.glob("*.dcm"))) == len(record.z_mm)

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(one.folder), one.scan))
    image = reader.Execute()
    found, phantom = planned(record.patient), clinical
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), phantom.ct.array)
    np.testing.assert_allclose(image.GetOrigin(), found.geometry.origin_xyz_mm, atol=1e-4)
    np.testing.assert_allclose(image.GetSpacing()[::-1], found.geometry.spacing_mm, atol=1e-4)
    np.testing.assert_array_equal(volume_file.read(one.lungs).array, phantom.lungs.array)

    assert one.counted == 3
    (row,) = json.loads((tmp_path / "truth" / "truth.json").read_text())
    assert row["folder"] == str(one.folder.relative_to(tmp_path))
    assert row["scan"] == one.scan
    assert row["lung_ml"] == list(one.lung_ml)
    assert row["nodules"] == list(one.nodules)
    for nodule, true_nodule in zip(found.nodules, one.nodules, strict=True):
        index = found.geometry.to_index(true_nodule["centre_xyz_mm"])
        np.testing.assert_allclose(index, nodule.points_zyx().mean(axis=0), atol=0.05)
        assert true_nodule["volume_mm3"] == pytest.approx(
            nodule.consensus.sum() * found.geometry.voxel_mm3, abs=0.1
        )


@pytest.mark.parametrize("scans", [0, 13])
def test_the_demo_has_so_many_scans_and_no_more(tmp_path, scans):
    with pytest.raises(ConfigError, match=f"the demo has 1 to 12 scans, not {scans}"):
        write_demo(tmp_path, scans=scans)
