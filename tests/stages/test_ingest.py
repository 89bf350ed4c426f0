"""Ingest: what is stored is what the files state, and every correction is recorded."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from lungseg.core.errors import NotProvenError, ScanError, ScanSkipped
from lungseg.io.sources.index import find_scans, write_source
from lungseg.io.sources.unreadable import unreadable
from lungseg.io.volumes import volume_file
from lungseg.io.volumes.formats import write_volume
from lungseg.stages.ingest import STAGE, Ingest
from lungseg.volume import Geometry, Volume
from tests.io.dicom.dicom_files import positions, write_series
from tests.io.volumes.volume_files import nifti, nrrd_file

SHAPE = (40, 36)
SPACING = (0.75, 0.5)


def field(places, orientation=(1, 0, 0, 0, 1, 0), spacing=SPACING, shape=SHAPE):
    """Stored values (HU + 1024) of something smooth in the world, sampled where slices lie."""
    row, column = np.reshape(orientation, (2, 3)).astype(float)
    rows, columns = np.indices(shape)
    stored = []
    for place in places:
        world = (
            np.asarray(place)
            + rows[..., None] * spacing[0] * column
            + columns[..., None] * spacing[1] * row
        )
        stored.append(np.rint(hu_at(world) + 1024))
    return np.stack(stored).astype(np.uint16)


def hu_at(world):
    x, y, z = np.moveaxis(np.asarray(world), -1, 0)
    return 300 * np.sin(x / 9) + 250 * np.cos(y / 11) + 200 * np.sin(z / 13)


def ingested(roots, tmp_path, **settings):
    (source,), left_out = find_scans([roots], tmp_path / "headers.cache")
    assert not left_out
    write_source(source, tmp_path / "source.json")
    out = tmp_path / "out"
    out.mkdir()
    facts = STAGE.run(Ingest(**settings), {"source": tmp_path / "source.json"}, out)
    return volume_file.read_hu(out / "ct.h5"), facts


def wrong_by(ct, padding):
    """Largest difference from the field, over all voxels that were seen."""
    index_zyx = np.moveaxis(np.indices(ct.shape), 0, -1)
    truth = hu_at(ct.geometry.to_world(index_zyx))
    seen = ct.array > (-30000 if padding is None else padding)
    return np.abs(ct.array - truth)[seen].max(), seen.mean()


TILT = np.radians(20)
TILTED = (1, 0, 0, 0, np.cos(TILT), -np.sin(TILT))


@pytest.mark.parametrize(
    ("orientation", "step", "slides"),
    [
        ((1, 0, 0, 0, 1, 0), None, 0),
        ((-1, 0, 0, 0, -1, 0), None, 0),
        ((0, -1, 0, 1, 0, 0), None, 0),
        ((1, 0, 0, 0, 0, -1), None, 0),
        ((0.9396926, 0.3420201, 0, -0.3213938, 0.8830222, 0.3420201), None, 0),
        (TILTED, (0, 0, 2), 20),
        (TILTED, (0, 0, -2), 20),
        ((1, 0, 0, 0, 1, 0), (0.4, 0.8, 2), 24.09),
    ],
)
def test_every_voxel_is_where_it_was(tmp_path, orientation, step, slides):
    places = positions(9, orientation=orientation, step=step, origin=(-20, 30, -700), gap_mm=2)
    stored = field(places, orientation)
    write_series(tmp_path / "in", stored, places, orientation=orientation, spacing=SPACING)
    ct, facts = ingested(tmp_path / "in", tmp_path)
    assert facts["tilt_degrees"] == pytest.approx(slides, abs=0.01)
    off, seen = wrong_by(ct, facts["padding_hu"])
    # Whole voxels are exact; voxels between two are as wrong as a line is against the curve.
    assert off <= (2.6 if slides else 0.51)
    assert seen > (0.5 if slides else 0.999)
    spacing_z = 2 * np.cos(np.radians(20)) if orientation is TILTED else 2
    assert facts["spacing_z_mm"] == pytest.approx(spacing_z, abs=1e-5)
    assert (facts["spacing_y_mm"], facts["spacing_x_mm"]) == SPACING


def test_a_tilt_can_be_refused(tmp_path):
    places = positions(5, orientation=TILTED, step=(0, 0, 2))
    write_series(tmp_path / "in", field(places, TILTED), places, orientation=TILTED)
    with pytest.raises(ScanError, match=r"tilt: .* 20.00 degrees"):
        ingested(tmp_path / "in", tmp_path, correct_tilt=False)


def test_uneven_slices_are_sampled_where_they_lie(tmp_path):
    z = np.array([0, 1, 2.4, 3.3, 4, 5.2, 6.2, 7])
    places = np.stack([0 * z, 0 * z, z], axis=1)
    write_series(tmp_path / "in", field(places), places, spacing=SPACING)
    ct, facts = ingested(tmp_path / "in", tmp_path)
    assert facts["slice_positions"] == "uneven"
    assert wrong_by(ct, None)[0] <= 1.5
    assert ct.geometry.to_world((ct.shape[0] - 1, 0, 0))[2] == pytest.approx(7)


def test_missing_slices_are_refused_or_filled_and_recorded(tmp_path):
    places = positions(9, gap_mm=1.5)[[0, 1, 2, 3, 6, 7, 8]]
    write_series(tmp_path / "in", field(places), places, spacing=SPACING)
    with pytest.raises(ScanError, match=r"missing-slices: .* 2 missing: 4.5 mm between 4.50 and 9"):
        ingested(tmp_path / "in", tmp_path)
    (tmp_path / "out").rmdir()
    ct, facts = ingested(tmp_path / "in", tmp_path, fill_missing_slices=True)
    assert ct.shape[0] == facts["slices"] == 9
    assert (facts["source_slices"], facts["filled_slices"]) == (7, 2)
    assert facts["gaps"] == "4.5 mm between 4.50 and 9.00 mm"
    assert wrong_by(ct, None)[0] <= 5


@pytest.mark.parametrize("pseudonyms", [False, True])
def test_copies_are_counted_and_broken_ones_named_unless_names_are_secret(tmp_path, pseudonyms):
    folder = tmp_path / "DOE JANE"
    places = positions(4)
    files = write_series(folder, field(places), places)
    content = files[1].read_bytes()
    (folder / "again.dcm").write_bytes(content)
    for k in range(4):
        (folder / f"broken{k}.dcm").write_bytes(content[:-100])
    ct, facts = ingested(folder, tmp_path, pseudonyms=pseudonyms)
    assert ct.shape[0] == facts["source_slices"] == 4
    assert facts["duplicate_slices"] == 1
    told = facts["broken_copies"]
    assert told.endswith("; and 1 more")
    named = "file 6 of 9" if pseudonyms else str(folder / "broken0.dcm")
    assert told.startswith(f"truncated: {named} holds 2780 of the 2880 bytes of its pixels; ")
    assert ("DOE" in told) != pseudonyms


def test_padding_is_kept_and_recorded(tmp_path):
    places = positions(5)
    stored = field(places).astype(np.int16)
    stored[:, :6] = -2000
    write_series(tmp_path / "in", stored, places)
    ct, facts = ingested(tmp_path / "in", tmp_path)
    assert (ct.array[:, :6] == -3024).all()
    assert facts["padding_hu"] == -3024
    assert facts["padding_share"] == pytest.approx(6 / 40)
    assert volume_file.read_attribute(tmp_path / "out/ct.h5", "padding_hu") == -3024


def test_without_padding_the_attribute_is_nan(tmp_path):
    places = positions(5)
    write_series(tmp_path / "in", field(places), places)
    _, facts = ingested(tmp_path / "in", tmp_path)
    assert facts["padding_hu"] is None
    assert np.isnan(volume_file.read_attribute(tmp_path / "out/ct.h5", "padding_hu"))
    assert facts["hu_check"] != "ok"
    json.dumps(facts)


@pytest.mark.parametrize("suffix", [".mhd", ".nii.gz", ".nrrd"])
def test_a_volume_of_another_form_is_stored_as_it_is(tmp_path, suffix):
    array = np.random.default_rng(0).integers(-1024, 1000, (4, 5, 6)).astype(np.int16)
    (tmp_path / "in").mkdir()
    volume = Volume(array, Geometry((2, 0.5, 0.5), (1, 2, 3), (-1.0, 0, 0, 0, -1, 0, 0, 0, 1)))
    write_volume(volume, tmp_path / "in" / f"a{suffix}")
    ct, facts = ingested(tmp_path / "in", tmp_path)
    np.testing.assert_array_equal(ct.array, array)
    np.testing.assert_allclose(ct.geometry.origin_xyz_mm, (1, 2, 3), atol=1e-5)
    assert facts["orientation_known"]
    assert not facts["rounded_hu"]


def test_a_volume_of_two_slices_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    write_volume(
        Volume(np.full((2, 5, 6), -1000, np.int16), Geometry((1, 1, 1))), tmp_path / "in/a.nrrd"
    )
    with pytest.raises(ScanError, match=r"too-few-slices: .* has 2 slices; .* needs 3"):
        ingested(tmp_path / "in", tmp_path)
    (tmp_path / "out").rmdir()
    assert ingested(tmp_path / "in", tmp_path, min_slices=2)[0].shape[0] == 2


def by_its_advice(error, number=0):
    """Settings that the advice of an error names first: what a user would type."""
    name, _, value = error.settings[number].split(" to ")[0].partition("=")
    return {name: {"true": True, "false": False}.get(value, value)}


def test_the_advice_about_a_place_that_is_uncertain_works(tmp_path):
    (tmp_path / "in").mkdir()
    one, other = np.diag([-0.7, 0.7, 2.0, 1.0]), np.diag([0.7, 0.7, 2.0, 1.0])
    hu = np.random.default_rng(3).integers(-1024, 900, (6, 5, 4)).astype(np.int16)
    nifti(tmp_path / "in" / "a.nii", sform=one, qform=other, array=hu)
    with pytest.raises(ScanError, match=r"sform and qform .* contradict each other") as told:
        ingested(tmp_path / "in", tmp_path)
    assert "; set ingest.nifti_form=sform to believe the sform, or set ingest.nifti_form=qform" in (
        told.value.advised("ingest")
    )
    for number, form, mirrored in ((0, "sform", False), (1, "qform", True)):
        (tmp_path / "out").rmdir()
        ct, facts = ingested(tmp_path / "in", tmp_path, **by_its_advice(told.value, number))
        assert facts["geometry_from"] == form
        assert (np.linalg.det(ct.geometry.matrix) > 0) == mirrored
        for file in (tmp_path / "out").iterdir():
            file.unlink()
    (tmp_path / "in" / "a.nii").unlink()
    nrrd_file(tmp_path / "in" / "a.nrrd", "spacings: 1 1 1\n", (np.arange(24) - 9).astype("<i2"))
    (tmp_path / "out").rmdir()
    with pytest.raises(ScanError, match=r"does not state space") as told:
        ingested(tmp_path / "in", tmp_path)
    (tmp_path / "out").rmdir()
    _, facts = ingested(tmp_path / "in", tmp_path, **by_its_advice(told.value))
    assert facts["orientation_known"] is False


def test_files_that_cannot_be_read_prove_nothing(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.mha"
    volume = Volume(np.full((2, 5, 6), -1000, np.int16), Geometry((1, 1, 1)))
    write_volume(volume, path)
    with monkeypatch.context() as patched:
        patched.setattr("lungseg.stages.ingest.unreadable", lambda _: "a.mha cannot be read (EIO)")
        with pytest.raises(NotProvenError, match=r"a.mha cannot be read .* The next run tries"):
            ingested(tmp_path / "in", tmp_path)
    (source,), _ = find_scans([tmp_path / "in"], tmp_path / "headers.cache")
    assert unreadable(source) == ""
    path.unlink()
    assert unreadable(source) == f"{path} cannot be read (No such file or directory)"
    with pytest.raises(NotProvenError, match=r"unreadable: .*a.mha is not there"):
        STAGE.run(Ingest(), {"source": tmp_path / "source.json"}, tmp_path / "out")


def test_labels_of_many_bits_are_skipped(tmp_path):
    (tmp_path / "in").mkdir()
    labels = np.random.default_rng(0).integers(0, 30, (4, 5, 6)).astype(np.int16) * 100
    write_volume(Volume(labels, Geometry((1, 1, 1))), tmp_path / "in/a.nrrd")
    with pytest.raises(ScanSkipped, match="a mask or labels, not CT"):
        ingested(tmp_path / "in", tmp_path)


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "key", "padding"),
    [
        ("LIDC-IDRI/LIDC-IDRI-0314", "LIDC-IDRI-0314_full275", None),
        ("LIDC-IDRI/LIDC-IDRI-0001", "LIDC-IDRI-0001_small", -2048),
        ("LIDC-IDRI/LIDC-IDRI-0002", "LIDC-IDRI-0002_small", -3024),
        ("LIDC-IDRI/LIDC-IDRI-0003", "LIDC-IDRI-0003_small", -2048),
        ("lungs/cip64_dicom", "CIP_ct64dcm", None),
    ],
)
def test_real_scans_are_stored_as_their_files_state(data, tmp_path, folder, key, padding):
    truth = json.loads((data / "facts.json").read_text())[key]
    ct, facts = ingested(data / folder, tmp_path)
    digest = hashlib.sha256(ct.array.astype("<i2").tobytes()).hexdigest()
    assert digest == truth["sha256_int16_hu_zascending"]
    assert list(ct.shape) == truth["shape_zyx"]
    np.testing.assert_allclose(ct.spacing_mm, [truth["dz"], *truth["pixel_spacing"]], atol=1e-3)
    first, last = truth["z_first_last"]
    assert ct.geometry.origin_xyz_mm[2] == pytest.approx(first)
    assert ct.geometry.to_world((ct.shape[0] - 1, 0, 0))[2] == pytest.approx(last, abs=1e-3)
    np.testing.assert_allclose(ct.geometry.origin_xyz_mm[:2], truth["origin_xy"], atol=1e-3)
    assert [facts["hu_min"], facts["hu_max"]] == truth["hu_min_max"]
    assert facts["padding_hu"] == padding
    assert facts["hu_check"] == "ok"


MEASURE = """
import re, sys
from pathlib import Path
import cc3d, tables
from lungseg.io.volumes import volume_file
from lungseg.stages.ingest import STAGE, Ingest
# Not getrusage, which counts what the process that started this one had.
status = Path("/proc/self/status")
peak = lambda: 1024 * int(re.search("VmHWM:\\s+(\\d+)", status.read_text())[1])
before = peak()
STAGE.run(Ingest(), {"source": Path(sys.argv[1])}, Path(sys.argv[2]))
print(peak() - before)
"""


@pytest.mark.data
def test_one_scan_takes_at_most_two_and_a_half_times_its_volume(data, tmp_path):
    (source,), _ = find_scans([data / "LIDC-IDRI/LIDC-IDRI-0314"], tmp_path / "headers.cache")
    write_source(source, tmp_path / "source.json")
    (tmp_path / "out").mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "source.json"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    volume = 275 * 512 * 512 * 2
    assert volume <= int(ran.stdout) <= 2.5 * volume
