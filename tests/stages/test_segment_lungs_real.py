"""Segment lungs, on real scans: drawn lungs, drawn nodules, and abdomens."""

from pathlib import Path

import numpy as np
import pytest

from lungseg.core.errors import ScanError
from lungseg.io.annotations.lidc_database import scans_of_patient
from lungseg.io.sources.index import find_scans
from lungseg.io.volumes.formats import read_volume
from lungseg.ops.grid.resample import to_grid
from lungseg.ops.nodules.contours import rasterise, slice_z_mm
from lungseg.stages.ingest import Ingest, ct_of_source
from lungseg.stages.resample import Resample, on_working_grid
from lungseg.stages.segment_lungs import SegmentLungs, segment
from tests.hard_cases import hard

pytestmark = pytest.mark.data


def lungs_of(path: Path, cache: Path):
    """The scan on its own grid, its lungs on the working grid, and the verdict."""
    (source,), _ = find_scans([path], cache)
    ct, padding_hu, _ = ct_of_source(source, Ingest(min_slices=2))
    padding = np.nan if padding_hu is None else float(padding_hu)
    working, view = on_working_grid(ct, padding, Resample())
    lungs, verdict = segment(working, None if view is None else view.array, SegmentLungs())
    return ct, lungs, verdict.as_facts()


def cip_regions(labels):
    """Lung regions of the Chest Imaging Platform: 9 to 14 in the low byte."""
    region = labels & 0xFF
    return (region >= 9) & (region <= 14)


DRAWN = [
    ("lctsc_case0_ct.nii.gz", "lctsc_case0_lungs.nii.gz", None, 0.975, "good"),
    ("lctsc_case3_ct.nii.gz", "lctsc_case3_lungs.nii.gz", None, 0.975, "good"),
    ("cip64_ct.nrrd", "cip64_regions.nrrd", cip_regions, 0.97, "good"),
    (
        "one_lung_touching_border_ct.mha",
        "one_lung_touching_border_lungs.mha",
        None,
        0.97,
        "suspect",
    ),
]


@pytest.mark.parametrize(
    ("ct", "truth", "rule", "least", "verdict"),
    [hard(*row) if "case0" in row[0] else row for row in DRAWN],
    ids=[row[0] for row in DRAWN],
)
def test_lungs_are_those_drawn_by_hand(  # noqa: PLR0917
    data, tmp_path, ct, truth, rule, least, verdict
):
    drawn = read_volume(data / "lungs" / truth)
    expected = rule(drawn.array) if rule else drawn.array > 0
    scan, lungs, facts = lungs_of(data / "lungs" / ct, tmp_path)
    assert scan.geometry == drawn.geometry
    found = to_grid(lungs, drawn.shape, drawn.geometry, "nearest").array > 0
    overlap = 2 * (found & expected).sum() / (found.sum() + expected.sum())
    assert overlap >= least
    assert facts["verdict"] == verdict, facts["reasons"]
    if verdict == "suspect":
        assert facts["left_ml"] == 0


@pytest.mark.parametrize("name", ["no_lungs_abdomen_ct.nii.gz", "abdomen_two_slices"])
def test_abdomens_have_no_lungs(data, tmp_path, name):
    with pytest.raises(ScanError, match="no lungs found"):
        lungs_of(data / "lungs" / name, tmp_path)


@pytest.mark.parametrize(
    ("patient", "right_ml", "left_ml", "verdict"),
    [
        hard("LIDC-IDRI-0314", (1080, 1250), (1900, 2060), "suspect"),
        ("LIDC-IDRI-0001", (440, 500), (420, 480), "suspect"),
        ("LIDC-IDRI-0002", (120, 150), (115, 145), "suspect"),
        ("LIDC-IDRI-0003", (350, 410), (390, 450), "suspect"),
    ],
)
def test_voxels_that_two_radiologists_included_are_in_the_lungs(  # noqa: PLR0917
    data, tmp_path, patient, right_ml, left_ml, verdict
):
    ct, lungs, facts = lungs_of(data / "LIDC-IDRI" / patient, tmp_path)
    inside = to_grid(lungs, ct.shape, ct.geometry, "nearest").array > 0
    votes = np.zeros(ct.shape, np.uint8)
    z_mm = slice_z_mm(ct.shape, ct.geometry)
    for reading in scans_of_patient(patient)[0].readings:
        patch, _ = rasterise(reading, z_mm)
        if patch is not None:
            votes[patch.box] += patch.mask
    drawn = votes >= 2
    assert drawn.sum() > 900
    assert inside[drawn].mean() >= 0.995
    assert right_ml[0] < facts["right_ml"] < right_ml[1]
    assert left_ml[0] < facts["left_ml"] < left_ml[1]
    assert facts["verdict"] == verdict, facts["reasons"]
