"""Where nodules are looked for: the region that `segment-lungs` leaves beside the lungs."""

from pathlib import Path

from lungseg.io.volumes import volume_file
from lungseg.ops.grid.morphology import dilate_mm
from lungseg.volume import AnyVolume

# Where no region was kept, what lies so near to the lungs is looked at.
NEAR_MM = 3.0


def read_search_region(folder: Path) -> AnyVolume:
    """The search region in the folder of `segment-lungs`, or the lungs and 3 mm around them."""
    if (folder / "region.h5").is_file():
        return volume_file.read(folder / "region.h5")
    lungs = volume_file.read(folder / "lungs.h5")
    return lungs.like(dilate_mm(lungs.array > 0, NEAR_MM, lungs.spacing_mm))
