"""Annotate nodules, on a scan of boxes that are known and on the real ones."""

import hashlib
import json

import numpy as np
import pytest

from lungseg.core.errors import ScanError
from lungseg.core.record import Record, write_record
from lungseg.io.annotations import lidc_database
from lungseg.io.annotations.nodule_list import read_nodules
from lungseg.io.annotations.nodule_segments import files_below
from lungseg.io.sources.index import find_scans
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.resample import working_grid
from lungseg.ops.nodules.consensus import consensus
from lungseg.ops.nodules.contours import rasterise
from lungseg.ops.nodules.patches import clipped
from lungseg.stages.annotate_nodules import STAGE, AnnotateNodules
from lungseg.volume import Geometry, Volume
from tests.io.annotations.segment_files import write_segment
from tests.io.dicom.dicom_files import write_series
from tests.readings import box_reading, write_database, xml_text

UID = "1.2.3"
SHAPE = (12, 60, 60)
STRAIGHT = Geometry((2.5, 0.8, 0.8), (-24.0, -30.0, -100.0))
Z = [-100.0 + 2.5 * k for k in range(12)]
# nodule 1: three readers, one of them wider; nodule 2: one reader, partly beyond the stack
READINGS = [
    box_reading("a", Z[4:8], 20, 30, 27, 37, malignancy=5),
    box_reading("b", Z[4:8], 20, 30, 27, 37, malignancy=5),
    box_reading("c", Z[4:8], 20, 30, 31, 37, malignancy=2),
    box_reading("d", [*Z[10:], -70.0, -67.5], 40, 10, 45, 15),
]


def prepare(root, geometry=STRAIGHT, shape=SHAPE, uid=UID, **facts):
    """Folders of the stages before, as the flow would leave them; the lungs are x above 0."""
    grid_shape, grid = working_grid(shape, geometry, 1.0)
    columns = np.zeros((grid_shape[2], 3))
    columns[:, 2] = np.arange(grid_shape[2])
    lungs = np.zeros(grid_shape, np.uint8)
    lungs[..., grid.to_world(columns)[:, 0] > -6] = 1
    outputs = {
        "ingest": ("ct.h5", Volume(np.zeros(shape, np.int16), geometry)),
        "resample": ("ct.h5", Volume(np.zeros(grid_shape, np.int16), grid)),
        "segment-lungs": ("lungs.h5", Volume(lungs, grid)),
    }
    for stage, (name, volume) in outputs.items():
        (root / stage).mkdir(parents=True)
        volume_file.write(volume, root / stage / name)
        record = Record(stage=stage, version=1, fingerprint="f", scan=uid, patient="P", facts=facts)
        write_record(record, root / stage / "stage.json")
    return {stage: root / stage for stage in outputs}


def annotate(tmp_path, inputs, **params):
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    params.setdefault("database", str(tmp_path / "own.sqlite"))
    facts = STAGE.run(AnnotateNodules(**params), inputs, out)
    votes, labels = volume_file.read(out / "votes.h5"), volume_file.read(out / "nodules.h5")
    assert (votes.array.dtype, labels.array.dtype) == (np.uint8, np.uint16)
    drawn = volume_file.read(out / "drawn.h5").array
    if facts["truth"] == "contours":
        np.testing.assert_array_equal(np.bitwise_count(drawn), votes.array)
    else:
        assert not drawn.any()
    return facts, votes, labels, read_nodules(out)


@pytest.fixture
def inputs(tmp_path):
    write_database(tmp_path / "own.sqlite", [(UID, "P", 2.5, 0.8, Z, READINGS)])
    return prepare(tmp_path / "work")


def test_votes_labels_and_list_of_a_known_scan(tmp_path, inputs):
    facts, votes, labels, found = annotate(tmp_path, inputs)
    assert facts == {
        "truth": "contours",
        "nodules": 2,
        "nodules_1_reader": 1,
        "nodules_2_readers": 0,
        "nodules_3_readers": 1,
        "largest_mm": 9.2,
        "annotations": 4,
        "annotations_outside": 1,
        "share_in_lungs": pytest.approx(0.69, abs=0.15),
        "in_lungs": False,
        "points_to_ignore": 0,
        "rows_unused": 0,
        "wand_found_no_edge": 0,
        "verdict": "suspect",
        "reasons": found.left_out[0],
    }
    share = int(100 * found.nodules[0].share_in_lungs)
    assert found.left_out == (
        "nodule 1 (9 mm, 3 annotators) at (-5, -3, -86) mm: only "
        f"{share} % of it lies inside the lungs",
    )
    one, two = found.nodules
    assert (one.label, one.readers, one.readings) == (1, 3, ("1", "2", "3"))
    assert one.ratings["malignancy"] == 4.0
    assert one.ratings_median["malignancy"] == 5.0
    # 8 x 8 pixels on 4 slices, of which each reading keeps the volume to half a voxel
    assert one.volume_mm3 == pytest.approx(8 * 8 * 0.8**2 * 10, abs=25)
    assert one.voxels == (votes.array[labels.array == 1] >= 2).sum()
    assert votes.array[labels.array == 1].sum() == pytest.approx((64 * 2 + 96) * 6.4, abs=1.5)
    assert one.centroid_xyz_mm == pytest.approx(
        (-24 + 23.5 * 0.8, -30 + 33.5 * 0.8, -86.25), abs=0.3
    )
    # The lung, x above -6, has one label from z -100 to -72.5; its edge cuts the first nodule.
    assert [(n.side, n.third, n.edge_mm) for n in found.nodules] == [
        ("right", "middle", 0.0), ("right", "upper", pytest.approx(13, abs=1.5)),
    ]  # fmt: skip
    assert (two.label, two.readers) == (2, 1)
    assert two.share_in_lungs == 1.0
    assert found.outside == (
        "annotation 4: 2 of 4 contours, at z -70 to -67.5 mm; the stack has z -100 to -72.5 mm",
    )
    target, ignore = consensus(votes.array, labels.array, found.readers)
    assert target.sum() == one.voxels
    assert set(np.unique(labels.array[ignore])) == {1, 2}


def test_the_outputs_move_only_with_the_version(tmp_path, inputs):
    _, votes, labels, _ = annotate(tmp_path, inputs)
    digest = hashlib.sha256(votes.array.tobytes() + labels.array.tobytes()).hexdigest()[:16]
    assert (STAGE.version, digest) == (3, "939fe0e6ff33a45c")


@pytest.mark.parametrize(
    ("kind", "sign", "rotated"),
    [
        ("dicom", (1, 1), False),
        ("dicom", (-1, -1), True),
        ("metaimage", (1, 1), False),
        # LUNA16 keeps the pixels of a rotated scan and says so in its direction
        ("metaimage", (-1, -1), True),
        # other formats may store another order; the world position tells
        ("nifti", (-1, -1), False),
        ("nifti", (1, -1), False),
        ("nrrd", (1, 1), False),
    ],
)
def test_the_same_place_in_the_patient_however_the_grid_runs(tmp_path, kind, sign, rotated):
    write_database(tmp_path / "own.sqlite", [(UID, "P", 2.5, 0.8, Z, READINGS)])
    first = [0 if s > 0 else 59 for s in sign]
    origin = STRAIGHT.to_world((0, first[1], first[0]))
    direction = (sign[0], 0, 0, 0, sign[1], 0, 0, 0, 1)
    grid = Geometry((2.5, 0.8, 0.8), tuple(origin), direction)
    _, _, _, found = annotate(tmp_path, prepare(tmp_path / "work", grid, kind=kind))
    pixel = np.array([23.5, 33.5])
    world = (59 - pixel if rotated else pixel) * 0.8 + (-24, -30)
    assert found.nodules[0].centroid_xyz_mm[:2] == pytest.approx(tuple(world), abs=0.6)


def test_a_rotated_patient_in_another_format(tmp_path, monkeypatch):
    monkeypatch.setattr(lidc_database, "ROTATED", frozenset({UID}))
    write_database(tmp_path / "own.sqlite", [(UID, "P", 2.5, 0.8, Z, READINGS)])
    inputs = prepare(tmp_path / "work", kind="nifti")
    _, _, _, found = annotate(tmp_path, inputs)
    x, y, _ = found.nodules[0].centroid_xyz_mm
    assert (x, y) == pytest.approx((-24 + 35.5 * 0.8, -30 + 25.5 * 0.8), abs=0.6)


def test_slices_from_the_head_down_give_the_same(tmp_path, inputs):
    falling = Geometry((2.5, 0.8, 0.8), (-24.0, -30.0, Z[-1]), (1, 0, 0, 0, 1, 0, 0, 0, -1))
    _, votes, _, found = annotate(tmp_path, inputs)
    _, turned, _, again = annotate(tmp_path, prepare(tmp_path / "other", falling, kind="nifti"))
    np.testing.assert_array_equal(turned.array, votes.array)
    assert again == found


def test_xml_gives_the_masks_of_the_database_and_points_to_ignore(tmp_path, inputs):
    folder = tmp_path / "xml"
    folder.mkdir()
    marks = ([(5, 6, Z[3]), (5, 6, -500.0)], [(40, 50, Z[2] + 1.0)])
    (folder / "a.xml").write_text(xml_text(UID, [(READINGS, *marks)]))
    _, votes, labels, _ = annotate(tmp_path, inputs)
    facts, same_votes, same_labels, found = annotate(tmp_path, inputs, xml=str(folder))
    np.testing.assert_array_equal(same_votes.array, votes.array)
    np.testing.assert_array_equal(same_labels.array, labels.array)
    assert facts["points_to_ignore"] == 2
    small, other = found.points
    assert (small.kind, other.kind) == ("nodule < 3 mm", "non-nodule")
    assert small.xyz_mm == pytest.approx((-24 + 4.0, -30 + 4.8, Z[3]))
    assert other.xyz_mm == pytest.approx((-24 + 32.0, -30 + 40.0, Z[2] + 1.0))


def write_points(tmp_path, *rows):
    path = tmp_path / "points.csv"
    path.write_text("\n".join(["scan,x_mm,y_mm,z_mm,diameter_mm", *rows]) + "\n")
    return str(path)


def test_positions_become_balls_and_say_so(tmp_path, inputs):
    points = write_points(
        tmp_path, f"{UID},1,-5,-85,9", f"{UID},500,0,-85,9", f"{UID},2,0,-85,-1", "x,1,2,3,4"
    )
    facts, votes, labels, found = annotate(
        tmp_path, inputs, source="coordinates", coordinates=points, excluded=points
    )
    assert (facts["truth"], facts["nodules"], facts["annotations_outside"]) == ("coordinates", 1, 1)
    (nodule,) = found.nodules
    assert (nodule.truth, nodule.readers) == ("coordinates", 3)
    assert nodule.centroid_xyz_mm == pytest.approx((1, -5, -85), abs=0.3)
    assert nodule.diameter_mm == pytest.approx(9, abs=0.02)
    assert set(np.unique(votes.array)) == {0, 3}
    assert consensus(votes.array, labels.array, found.readers)[0].sum() == nodule.voxels
    assert found.outside == (
        "line 3 of points.csv: (500.0, 0.0, -85.0) mm lies outside the volume",
    )
    assert "line 4" in found.problems[0]
    assert [point.kind for point in found.points] == ["excluded"]


def test_vias_pixels_are_placed_by_the_slices_of_the_scan(tmp_path, inputs):
    database = tmp_path / "own.sqlite"
    database.unlink()
    write_database(database, [(UID, "LIDC-IDRI-0007", 2.5, 0.8, Z, READINGS)])
    table = tmp_path / "list3.2.csv"
    table.write_text(
        "id,case,scan,roi,volume,eq. diam.,x loc.,y loc.,slice no.,,nodIDs,,,\n"
        "1,7,30,1,500,9.85,25,35,7,,a,b,,\n"
    )
    params = {"source": "coordinates", "coordinates": str(table)}
    _, votes, _, found = annotate(tmp_path, inputs, **params)
    world = (-24 + 24 * 0.8, -30 + 34 * 0.8, Z[-7])
    assert found.nodules[0].centroid_xyz_mm == pytest.approx(world, abs=0.3)
    assert (found.nodules[0].readers, votes.array.max()) == (2, 2)


def test_the_wand_follows_the_edge_and_a_ball_is_used_without_one(tmp_path, inputs):
    ct = volume_file.read(inputs["resample"] / "ct.h5")
    world = ct.geometry.to_world(np.moveaxis(np.indices(ct.shape), 0, -1))
    # a nodule of 12 x 8 x 8 mm, and nothing at all where the other is said to be
    egg = np.linalg.norm((world - (5, -5, -85)) / (6, 4, 4), axis=-1) < 1
    volume_file.write(
        ct.like(np.where(egg, 0, -850).astype(np.int16)), inputs["resample"] / "ct.h5"
    )
    points = write_points(tmp_path, f"{UID},5,-5,-85,9.16", f"{UID},14,9,-80,6")
    params = {"source": "coordinates", "coordinates": points, "coordinate_mask": "wand"}
    facts, _, labels, found = annotate(tmp_path, inputs, **params)
    assert facts["wand_found_no_edge"] == 1
    one, two = found.nodules
    assert one.readings == ("line 2",)
    assert two.readings[0].startswith("line 3; a ball stands in, no edge: -850 HU inside")
    mine = labels.array == one.label
    assert 2 * (mine & egg).sum() / (mine.sum() + egg.sum()) > 0.95
    assert two.voxels == pytest.approx(np.pi / 6 * 6**3, abs=1)
    # between two diameters, that no volume was measured for
    points = tmp_path / "between.csv"
    points.write_text(f"scan,x_mm,y_mm,z_mm,min_diameter_mm,max_diameter_mm\n{UID},5,-5,-85,6,16\n")
    _, _, labels, _ = annotate(tmp_path, inputs, **{**params, "coordinates": str(points)})
    mine = labels.array > 0
    assert 2 * (mine & egg).sum() / (mine.sum() + egg.sum()) > 0.93


def test_a_scan_in_no_source_is_unannotated(tmp_path, inputs):
    write_database(tmp_path / "other.sqlite", [("9.9", "P", 2.5, 0.8, Z, [])])
    facts, votes, _, found = annotate(tmp_path, inputs, database=str(tmp_path / "other.sqlite"))
    assert (facts["truth"], found.truth, facts["nodules"]) == ("unannotated", "unannotated", 0)
    assert facts["share_in_lungs"] is None
    assert "verdict" not in facts
    assert not votes.array.any()


def test_a_scan_read_as_clean_is_a_negative(tmp_path, inputs):
    write_database(tmp_path / "clean.sqlite", [(UID, "P", 2.5, 0.8, Z, [])])
    facts, *_ = annotate(tmp_path, inputs, database=str(tmp_path / "clean.sqlite"))
    assert facts["truth"] == "none"


@pytest.mark.parametrize(
    ("geometry", "shape", "message"),
    [
        (Geometry((2.5, 1.6, 1.6)), SHAPE, "pixels of 1.6 mm, but its contours .* 0.8 mm"),
        (STRAIGHT, (12, 36, 60), "60 columns and 36 rows, but annotation 1 reaches pixel"),
        (
            Geometry((2.5, 0.8, 0.8), direction_xyz=(1, 0, 0, 0, 0, 1, 0, 1, 0)),
            SHAPE,
            "1.2.3 is not axial",
        ),
    ],
)
def test_images_that_the_contours_were_not_drawn_on_are_refused(
    tmp_path, inputs, geometry, shape, message
):
    with pytest.raises(ScanError, match=message):
        annotate(tmp_path, prepare(tmp_path / "other", geometry, shape))


def test_a_straightened_stack_is_not_what_was_drawn_on(tmp_path, inputs):
    with pytest.raises(ScanError, match=r"tilted by 12\.5 degrees .*source=coordinates"):
        annotate(tmp_path, prepare(tmp_path / "other", kind="dicom", tilt_degrees=12.5))


def test_a_scan_without_contours_may_lie_as_it_likes(tmp_path, inputs):
    coronal = Geometry((2.5, 0.8, 0.8), direction_xyz=(1, 0, 0, 0, 0, 1, 0, 1, 0))
    facts, *_ = annotate(tmp_path, prepare(tmp_path / "other", coronal, uid="own", tilt_degrees=9))
    assert facts["truth"] == "unannotated"


@pytest.mark.data
@pytest.mark.parametrize(
    ("block", "readers", "outside"),
    [
        ("LIDC-IDRI-0314_full275", 4, 0),
        ("LIDC-IDRI-0001_small", 4, 0),
        ("LIDC-IDRI-0002_small", 2, 2),
        ("LIDC-IDRI-0003_small", 4, 9),
    ],
)
def test_real_scans_have_the_nodules_that_were_drawn(tmp_path, data, block, readers, outside):
    facts = json.loads((data / "facts.json").read_text())[block]
    first, _ = facts["z_first_last"]
    x, y = facts["origin_xy"]
    geometry = Geometry((facts["dz"], *facts["pixel_spacing"]), (x, y, first))
    inputs = prepare(tmp_path / "work", geometry, tuple(facts["shape_zyx"]), facts["series_uid"])
    record, votes, labels, found = annotate(tmp_path, inputs, database="")
    assert (record["truth"], record["nodules"]) == ("contours", 1)
    assert len(found.outside) == outside
    assert found.nodules[0].readers == readers
    if len(votes.array) < 100:  # the whole scan's XML is compared where it is read
        _, by_xml, _, again = annotate(tmp_path, inputs, database="", xml=str(data / "xml"))
        np.testing.assert_array_equal(by_xml.array, votes.array)
        assert {point.kind for point in again.points} <= {"nodule < 3 mm", "non-nodule"}

    target, _ = consensus(votes.array, labels.array, found.readers, min_readers=2)
    whole = [a for a in facts["annotations"] if a["contours_in_this_stack"] == a["contours"]]
    if readers == 4:
        polygons = [a["polygon_volume_mm3"] for a in whole]
        assert 0.8 < target.sum() / np.mean(polygons) < 1.0
    inside = 0
    for known in facts["luna16"]:
        index = np.rint(votes.geometry.to_index(known["world_xyz"])).astype(int)
        if (index >= 0).all() and (index < votes.shape).all():
            assert target[tuple(index)]
            assert found.nodules[0].centroid_xyz_mm == pytest.approx(known["world_xyz"], abs=0.5)
            assert found.nodules[0].diameter_mm == pytest.approx(known["diam"], rel=0.03)
            inside += 1
    assert inside == (0 if block == "LIDC-IDRI-0002_small" else 1)


@pytest.fixture
def segments(tmp_path, inputs):
    """The readings as the DICOM segmentations of LIDC's standardised collection."""
    files_below.cache_clear()
    stored = np.zeros(SHAPE, np.uint16)
    places = [STRAIGHT.to_world((k, 0, 0)) for k in range(SHAPE[0])]
    header = {"StudyInstanceUID": "1.2", "FrameOfReferenceUID": "1.5", "SeriesInstanceUID": UID}
    write_series(tmp_path / "scan", stored, places, spacing=(0.8, 0.8), **header)
    (source,), _ = find_scans([tmp_path / "scan"], tmp_path / "headers.cache")
    for reading, nodule in zip(READINGS, (1, 1, 1, 2), strict=True):
        patch = clipped(rasterise(reading, np.array(Z))[0], SHAPE)
        array = np.zeros(SHAPE, bool)
        array[patch.box] = patch.mask
        path = tmp_path / "segments" / f"{reading.key}.dcm"
        mask = Volume(array, STRAIGHT)
        write_segment(path, source, mask, nodule=nodule, annotation=reading.key)
    return tmp_path / "segments"


def test_segmentations_give_the_masks_of_the_database_and_stand_before_it(
    tmp_path, inputs, segments
):
    _, votes, labels, _ = annotate(tmp_path, inputs)
    facts, by_segments, same, found = annotate(tmp_path, inputs, segmentations=str(segments))
    np.testing.assert_array_equal(by_segments.array, votes.array)
    np.testing.assert_array_equal(same.array, labels.array)
    assert (facts["truth"], facts["annotations"]) == ("contours", 4)
    assert found.nodules[0].readings == tuple(f"Nodule 1 - Annotation {key}" for key in "abc")
    assert [nodule.readers for nodule in found.nodules] == [3, 1]


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((2.5, 0.8, 0.8), (-22.0, -30.0, -100.0)),
        Geometry((2.5, 0.8, 0.8), (-24.0, -30.0, -100.0), (-1, 0, 0, 0, -1, 0, 0, 0, 1)),
    ],
    ids=["shifted", "turned"],
)
def test_segmentations_of_other_images_are_refused(tmp_path, inputs, segments, geometry):
    other = prepare(tmp_path / "other", geometry)
    with pytest.raises(ScanError, match=r"lie on other images than it has: on 60 x 60 pixels"):
        annotate(tmp_path, other, segmentations=str(segments))
