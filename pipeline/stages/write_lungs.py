"""Write lungs: a scan's lungs as a file that others read, and what they measure.

reads   source                  a scan's files, for a DICOM segmentation
        ingest/ct.h5            HU on the scan's own grid
        resample/ct.h5          for the picture
        segment-lungs/lungs.h5  right and left lung on the working grid
writes  lungs.nii.gz            (or .nrrd, .mha) uint8 on the scan's own grid: 1 right, 2 left lung
        lungs.seg.dcm           the same as a DICOM segmentation, if `dicom` asks for it
        picture.png             if `pictures` asks for it

Volumes are those of the mask that is written, and HU are measured in it on the scan's own grid:
resampling smooths noise away, and with it 4 to 87 per cent of the voxels below -950 HU of nine
real scans. Voxels that the scanner did not see are left out.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lungseg.core.record import read_record
from lungseg.core.stage import Facts, Params, Scalar, ScanStage, param
from lungseg.io.standards.objects import SEG, images_or_reason, lungs_object
from lungseg.io.volumes import formats, volume_file
from lungseg.ops.grid.resample import labels_to_grid
from lungseg.ops.hu.hounsfield import OK
from lungseg.ops.lungs.density import air_share, density
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.steps.pictures_of_scan import PICTURE, write_picture_of_scan
from lungseg.volume import HU, Volume

MASK = "lungs"


@dataclass(frozen=True, kw_only=True)
class WriteLungs(Params):
    """Parameters of this stage."""

    format: str = param("nii.gz", "format of the mask's file", choices=formats.FORMATS)
    pictures: bool = param(False, "a picture of the scan, too")
    dicom: bool = param(False, "a DICOM segmentation, too, if the scan is DICOM")


def measured(ct: Volume[HU], lungs: Volume[np.uint8], padding_hu: float) -> dict[str, Scalar]:
    """Volumes and HU of the lungs, 1 right and 2 left, of a scan on the same grid.

    `padding_hu` tells the voxels that the scanner did not see: those of that value or less; NaN
    if there are none.
    """
    seen = np.ones(ct.shape, bool) if np.isnan(padding_hu) else ct.array > padding_hu
    ml, air_ml = {}, {}
    for side, name in ((RIGHT, "right"), (LEFT, "left")):
        mask = lungs.array == side
        ml[name] = np.count_nonzero(mask) * lungs.voxel_ml
        air_ml[name] = ml[name] * air_share(ct.array[mask & seen])
    z, y, x = ct.spacing_mm
    return {
        "lung_ml": round(sum(ml.values()), 1),
        "right_ml": round(ml["right"], 1),
        "left_ml": round(ml["left"], 1),
        "air_ml": round(sum(air_ml.values()), 1),
        "right_air_ml": round(air_ml["right"], 1),
        "left_air_ml": round(air_ml["left"], 1),
        **asdict(density(ct.array, seen & (lungs.array != 0))),
        "spacing_z_mm": round(z, 6),
        "spacing_y_mm": round(y, 6),
        "spacing_x_mm": round(x, 6),
    }


def run(params: WriteLungs, inputs: Mapping[str, Path], out: Path) -> Facts:
    """Read, carry the mask to the scan's own grid, measure, write."""
    source = inputs["ingest"] / "ct.h5"
    ct = volume_file.read_hu(source)
    found = volume_file.read(inputs["segment-lungs"] / "lungs.h5")
    lungs = labels_to_grid(found, ct.shape, ct.geometry)
    formats.write_volume(lungs, out / f"{MASK}.{params.format}")
    if params.pictures:
        write_picture_of_scan(inputs, out / PICTURE)
    no_dicom = write_dicom(lungs, inputs, out) if params.dicom else ""
    verdict = read_record(inputs["segment-lungs"]).facts
    hu_told = read_record(inputs["ingest"]).facts.get("hu_check", OK)
    return {
        **measured(ct, lungs, float(volume_file.read_attribute(source, "padding_hu"))),
        "hu_check": hu_told,
        "verdict": verdict.get("verdict", ""),
        "reasons": verdict.get("reasons", ""),
        **({"no_dicom": no_dicom} if no_dicom else {}),
    }


def write_dicom(lungs: Volume[np.uint8], inputs: Mapping[str, Path], out: Path) -> str:
    """Write the lungs as a DICOM segmentation; why not, where it cannot be."""
    images, why_not = images_or_reason(inputs["source"])
    if images:
        found = lungs_object(lungs, images, read_record(inputs["segment-lungs"]))
        found.save_as(out / f"{MASK}{SEG}")
    return why_not


STAGE = ScanStage(
    name="write-lungs",
    version=1,
    help="the lung mask on the scan's own grid, in a common format, and its figures",
    params=WriteLungs,
    needs=("ingest", "resample", "segment-lungs"),
    run=run,
)
"""The stage, for `lungseg.flow`."""
