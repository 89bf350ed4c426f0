"""Ingest: a scan's files -> CT in Hounsfield units on its own grid.

reads   source    a scan's files, as `lungseg.io.sources.index` found them
writes  ct.h5     HU int16 (z, y, x), slices ascending along cross(row, column); attribute
                  `padding_hu`: voxels of this value or less are padding (nan: there is none)

Where the slices lie on an even, orthogonal grid, the values are stored exactly as the files state
them. Gantry tilt and uneven spacing are corrected from the slices' true positions, and recorded.
A scan whose values or geometry are uncertain (slices missing, two different slices at one position,
no rescale) is refused, with the name of the check and the setting, if any, that accepts it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from lungseg.core.errors import LungsegError, NotProvenError, ScanError, ScanSkipped
from lungseg.core.shown import shown
from lungseg.core.stage import Facts, Params, Scalar, ScanStage, param
from lungseg.io.dicom.planes import HuRules
from lungseg.io.dicom.series import Series, read_series
from lungseg.io.sources.index import Source, read_source
from lungseg.io.sources.pseudonyms import without_names
from lungseg.io.sources.series import JOIN, REFUSE, SPLIT, SourceRules
from lungseg.io.sources.unreadable import unreadable
from lungseg.io.volumes import volume_file
from lungseg.io.volumes.formats import read_hu_file
from lungseg.io.volumes.placement import FORMS, PlaceRules
from lungseg.ops.grid.slices import SliceRules, StackGeometry
from lungseg.ops.grid.straighten import straighten
from lungseg.ops.hu.hounsfield import hu_check, look_like_labels
from lungseg.ops.hu.padding import find_padding
from lungseg.volume import HU, Geometry, Volume

# Broken copies that are named.
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Ingest(Params):
    """Parameters of this stage."""

    min_slices: int = param(SliceRules.min_slices, "series with fewer slices are refused", ge=2)
    position_tolerance_mm: float = param(
        SliceRules.position_tolerance_mm,
        "largest distance of a slice from its place on an even, orthogonal grid",
        gt=0,
        le=5,
    )
    angle_tolerance_degrees: float = param(
        SliceRules.angle_tolerance_degrees,
        "largest deviation of axes from right angles, and of slices from parallel",
        gt=0,
        le=5,
    )
    fill_missing_slices: bool = param(
        SliceRules.fill_missing_slices, "interpolate missing slices (false: refuse the series)"
    )
    correct_tilt: bool = param(
        SliceRules.correct_tilt, "shear a series taken with gantry tilt upright (false: refuse it)"
    )
    resample_uneven: bool = param(
        SliceRules.resample_uneven,
        "resample unevenly spaced slices to an even grid (false: refuse the series)",
    )
    accept_missing_rescale: bool = param(
        False, "take stored values as HU where DICOM files state no slope and intercept"
    )
    accept_missing_geometry: bool = param(
        PlaceRules.accept_missing_geometry,
        "take an NRRD without space, directions or origin as lying along the patient's axes",
    )
    nifti_form: str = param(
        PlaceRules.nifti_form,
        "what counts in a NIfTI that says twice where it lies: both, which must agree, or one",
        choices=FORMS,
    )
    accept_rescale_type: bool = param(
        False, "take values as HU where RescaleType is another unit (false: refuse the series)"
    )
    accept_rescale_outliers: bool = param(
        False,
        "take slope and intercept of each slice as stated (false: refuse a series in which one "
        "slice's contradict its neighbours)",
    )
    acquisitions: str = param(
        REFUSE,
        "a series whose acquisitions overlap (by number, phase, time or kernel) is refused, split "
        "into a scan each, or joined as it lies",
        choices=(REFUSE, SPLIT, JOIN),
        affects_output=False,
    )
    join_series: bool = param(
        False,
        "join series of one slice each that make a stack in their study (false: refuse them)",
        affects_output=False,
    )
    secondary_capture: bool = param(
        False,
        "use slices with place and HU that are stored as Secondary Capture (false: leave them out)",
        affects_output=False,
    )
    pseudonyms: bool = param(
        False,
        "write a keyed hash in place of each PatientID; the key stays in the work folder",
        affects_output=False,
    )

    @property
    def rules(self) -> SliceRules:
        """Rules for the slices' positions."""
        return SliceRules(**{spec.name: getattr(self, spec.name) for spec in fields(SliceRules)})

    @property
    def place_rules(self) -> PlaceRules:
        """Rules for the place that a MetaImage, NIfTI or NRRD states."""
        return PlaceRules(**{spec.name: getattr(self, spec.name) for spec in fields(PlaceRules)})

    @property
    def hu_rules(self) -> HuRules:
        """Rules for the headers that HU rest on."""
        return HuRules(
            accept_missing_rescale=self.accept_missing_rescale,
            accept_rescale_type=self.accept_rescale_type,
            accept_rescale_outliers=self.accept_rescale_outliers,
            join_acquisitions=self.acquisitions == JOIN,
        )

    def source_rules(self, key: bytes = b"") -> SourceRules:
        """Rules for what is one scan; `key` is that of the pseudonyms."""
        return SourceRules(
            acquisitions=self.acquisitions,
            join_series=self.join_series,
            secondary_capture=self.secondary_capture,
            key=key if self.pseudonyms else b"",
        )


def ct_of_series(series: Series) -> tuple[Volume[HU], int | None, dict[str, Scalar]]:
    """CT on an even, orthogonal grid, its padding in HU, and facts about what was done."""
    stack_geometry = series.stack_geometry
    grid, first_xy_mm, padding_hu = straighten(
        series.array, stack_geometry, series.spacing_yx_mm, find_padding(series.array)
    )
    columns, rows = series.axes.matrix_xyz[:, 0], series.axes.matrix_xyz[:, 1]
    origin = series.origin_xyz_mm + first_xy_mm[0] * columns + first_xy_mm[1] * rows
    geometry = Geometry(
        (stack_geometry.step_mm, *series.spacing_yx_mm),
        tuple(origin),
        tuple(series.axes.matrix_xyz.ravel()),
    )
    facts: dict[str, Scalar] = {
        "manufacturer": series.manufacturer,
        **_stack_facts(stack_geometry, len(series.array)),
        "duplicate_slices": series.duplicates,
        "broken_copies": _told(series.broken),
        "rounded_hu": series.rounded,
        "mended_padding_slices": series.mended,
        "lossy_files": series.lossy,
        "rescale_type": series.rescale_type or "HU",
    }
    return Volume(grid, geometry), padding_hu, facts


def _told(broken: Sequence[str]) -> str:
    more = f"; and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    return "; ".join(broken[:_NAMED]) + more


def _stack_facts(stack_geometry: StackGeometry, slices: int) -> dict[str, Scalar]:
    return {
        "source_slices": slices,
        "slice_positions": stack_geometry.kind,
        "position_noise_mm": round(stack_geometry.noise_mm, 5),
        "positions_rounded_to_mm": stack_geometry.rounded_mm,
        "filled_slices": sum(gap.missing for gap in stack_geometry.gaps),
        "gaps": "; ".join(str(gap) for gap in stack_geometry.gaps),
        "tilt_degrees": round(stack_geometry.tilt_degrees, 3),
    }


def ct_of_source(
    source: Source, params: Ingest
) -> tuple[Volume[HU], int | None, dict[str, Scalar]]:
    """CT of a scan's files, its padding in HU, and facts about what was done.

    Raises
    ------
    ScanError
        If the files cannot be read, or their HU or geometry is uncertain.
    ScanSkipped
        If a file holds a mask.
    """
    files = [Path(file) for file in source.files]
    if source.kind == "dicom":
        return ct_of_series(read_series(files, params.rules, params.hu_rules))
    found = read_hu_file(files[0], params.place_rules)
    slices = found.volume.shape[0]
    if slices < params.min_slices:
        raise ScanError(
            f"too-few-slices: {shown(files[0])} has {slices} slices; a volume needs "
            f"{params.min_slices}",
            setting=f"min_slices={slices} to accept it" if slices > 1 else (),
        )
    if look_like_labels(found.volume.array):
        raise ScanSkipped(
            f"{shown(files[0])} holds few different values and none below 0: a mask or labels, not "
            "CT"
        )
    return found.volume, found.padding_hu, found.facts


def run(params: Ingest, inputs: Mapping[str, Path], out: Path) -> Facts:
    """Read, straighten, write; a file that holds a mask instead of CT is skipped.

    Raises
    ------
    NotProvenError
        If the files could not all be read to their ends, so that what they hold is not known.
    """
    source = read_source(inputs["source"])
    try:
        ct, padding_hu, facts = ct_of_source(source, params)
    except LungsegError as error:
        unread = unreadable(source) if isinstance(error, ScanError | ScanSkipped) else ""
        # What is said here is kept and handed on, and folders are named after patients.
        files = source.files if params.pseudonyms else ()
        if unread:
            raise NotProvenError(
                f"{without_names(unread, files)}; is its disk there, and sound? The next run tries "
                "again"
            ) from error
        if not params.pseudonyms:
            raise
        raise type(error)(without_names(str(error), files), setting=error.settings) from None
    except Exception as error:
        # What nobody foresaw is told by its kind, and a name in it is as little to be handed on.
        if not params.pseudonyms:
            raise
        raise _nameless(error, source.files) from None
    volume_file.write(
        ct, out / "ct.h5", padding_hu=float("nan") if padding_hu is None else padding_hu
    )
    if params.pseudonyms and facts.get("broken_copies"):
        facts["broken_copies"] = without_names(str(facts["broken_copies"]), source.files)
    slices, rows, columns = ct.shape
    z, y, x = ct.spacing_mm
    padded = 0
    if padding_hu is not None:
        padded = sum(int(np.count_nonzero(plane <= padding_hu)) for plane in ct.array)
    return {
        "kind": source.kind,
        "slices": slices,
        "rows": rows,
        "columns": columns,
        "spacing_z_mm": round(z, 6),
        "spacing_y_mm": round(y, 6),
        "spacing_x_mm": round(x, 6),
        "hu_min": int(ct.array.min()),
        "hu_max": int(ct.array.max()),
        "padding_hu": padding_hu,
        "padding_share": round(padded / ct.array.size, 5),
        "hu_check": hu_check(ct.array, padding_hu),
        **facts,
    }


def _nameless(error: Exception, files: Sequence[str]) -> Exception:
    """The same fault, told without the names of a scan's files."""
    if isinstance(error, OSError) and error.errno is not None:
        named = without_names(shown(str(error.filename or "")), files)
        return OSError(error.errno, f"{error.strerror}{named and ': '}{named}")
    if isinstance(error, MemoryError):
        return MemoryError()
    return RuntimeError(without_names(f"{type(error).__name__}: {error}", files))


STAGE = ScanStage(
    name="ingest",
    version=2,
    help="a scan's files to CT in Hounsfield units on the scan's own grid",
    params=Ingest,
    run=run,
)
