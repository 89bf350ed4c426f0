"""Resample: HU on the scan's own grid -> HU on the working grid, even and upright.

reads   ingest/ct.h5            HU; voxels at or below its attribute padding_hu are padding
writes  ct.h5                   HU, clipped to the window
        field_of_view.h5        bool, only if the scan has padding

Axes are permuted and flipped to be nearest to the world's, the first voxel centre is kept, and the
grid ends at or before the last one, so nothing is extrapolated. Padding is set to air before
interpolation: -2000 HU averaged with a chest wall would look like a rim of lung. The window is
also applied before interpolation, so that metal cannot bleed into its surroundings. A voxel belongs
to the field of view if the nearest voxel of the scan does.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungseg.core.errors import ConfigError, ScanError
from lungseg.core.limits import check_memory
from lungseg.core.stage import Facts, Params, ScanStage, param
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.resample import to_grid, working_grid
from lungseg.ops.hu.padding import AIR_HU, with_air
from lungseg.volume import HU, Geometry, Mask, Volume


@dataclass(frozen=True, kw_only=True)
class Resample(Params):
    """Parameters of this stage."""

    hu_low: int = param(-1024, "darker voxels are raised to this", ge=-32768, le=32767)
    hu_high: int = param(400, "brighter voxels are lowered to this", ge=-32768, le=32767)
    spacing_mm: float = param(
        1.0, "distance of voxel centres on the working grid, along all axes", ge=0.1, le=10
    )
    anti_alias: bool = param(
        False, "where voxels become coarser, average all voxels in between instead of skipping some"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hu_low >= self.hu_high:
            raise ConfigError(
                f"hu_low must be below hu_high, not {self.hu_low} against {self.hu_high}"
            )


def on_working_grid(
    ct: Volume[HU], padding_hu: float, params: Resample
) -> tuple[Volume[HU], Volume[Mask] | None]:
    """The scan on its working grid, and its field of view if it has padding.

    Parameters
    ----------
    ct
        HU on the source grid.
    padding_hu
        Voxels at or below it lie outside the field of view; NaN if there are none.
    params
        Window, spacing and kernel.

    Raises
    ------
    ScanError
        If all of it is padding.
    """
    shape, grid = working_grid(ct.shape, ct.geometry, params.spacing_mm)
    view = None
    air = max(params.hu_low, AIR_HU)
    if np.isfinite(padding_hu):
        # Against a whole number: against a float all voxels would be made floats first.
        seen = ct.like(ct.array > math.floor(padding_hu))
        view = to_grid(seen, shape, grid, "nearest")
        del seen
        if not view.array.any():
            raise ScanError(
                f"every voxel is padding (at or below {padding_hu:g} HU), none is tissue; check "
                "the rescale slope and intercept, or ingest's settings for padding"
            )
        # The window itself makes air of padding that is darker than it.
        if padding_hu > params.hu_low or params.hu_low < AIR_HU:
            ct = ct.like(with_air(ct.array, padding_hu, air))
    resampled = to_grid(
        ct,
        shape,
        grid,
        anti_alias=params.anti_alias,
        clip=(params.hu_low, params.hu_high),
    )
    return resampled, view


def check_size(shape: tuple[int, int, int], geometry: Geometry, params: Resample) -> None:
    """See that the scan and its working grid fit into memory.

    Parameters
    ----------
    shape, geometry
        Of the scan, ``(z, y, x)``.
    params
        The spacing of the working grid.

    Raises
    ------
    LimitError
        If they do not: a small file may tell of a field of view that no scanner has.
    """
    working, _ = working_grid(shape, geometry, params.spacing_mm)
    size = " x ".join(str(count) for count in working)
    # The scan and a copy with air; HU, the nearest voxels and the field of view on the grid.
    check_memory(
        4.0 * math.prod(shape) + 5.0 * math.prod(working),
        f"the working grid of {size} voxels at {params.spacing_mm:g} mm",
        setting="spacing_mm to a larger value for a coarser grid",
    )


def run(params: Resample, inputs: Mapping[str, Path], out: Path) -> Facts:
    """Read, resample, write."""
    path = inputs["ingest"] / "ct.h5"
    check_size(*volume_file.read_geometry(path), params)
    source = volume_file.read_hu(path)
    padding_hu = float(volume_file.read_attribute(path, "padding_hu"))
    resampled, view = on_working_grid(source, padding_hu, params)
    del source
    volume_file.write(resampled, out / "ct.h5")
    facts: dict[str, str | int | float | bool | None] = {
        "shape_zyx": "x".join(str(n) for n in resampled.shape),
        "spacing_mm": params.spacing_mm,
        "volume_ml": round(resampled.array.size * resampled.voxel_ml, 1),
        "padding": view is not None,
    }
    if view is not None:
        volume_file.write(view, out / "field_of_view.h5")
        facts["field_of_view_share"] = round(float(view.array.mean()), 4)
    return facts


STAGE = ScanStage(
    name="resample",
    version=1,
    help="clip to the HU window and resample to an even, upright grid",
    params=Resample,
    needs=("ingest",),
    run=run,
)
"""The stage, for `lungseg.flow`."""
