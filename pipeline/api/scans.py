"""Scans: read from files of any form, resampled to an even grid, written."""

import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

import numpy as np

from lungseg.core.errors import ConfigError, ScanError, ScanSkipped
from lungseg.core.stage import Params, Scalar
from lungseg.io.sources import index
from lungseg.io.sources.index import LeftOut, Source
from lungseg.io.sources.series import SourceRules
from lungseg.io.volumes import formats
from lungseg.ops.hu.padding import find_padding
from lungseg.stages.ingest import Ingest, ct_of_source
from lungseg.stages.resample import Resample, on_working_grid
from lungseg.volume import HU, AnyVolume, Mask, Volume

P = TypeVar("P", bound=Params)


@dataclass(frozen=True, eq=False)
class Scan(Volume[HU]):
    """A CT in HU on its own grid: a volume that knows whose it is.

    Attributes
    ----------
    scan, patient
        SeriesInstanceUID and PatientID, or the file's name without its suffix.
    padding_hu
        Voxels of this value or less lie outside the field of view; NaN if there are none.
    facts
        What was found and corrected in the files, as the stage ``ingest`` records it.
    """

    scan: str = ""
    patient: str = ""
    padding_hu: float = math.nan
    facts: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Resampled:
    """A scan on an even grid, and on it where there is an image (None: everywhere)."""

    ct: Volume[HU]
    field_of_view: Volume[Mask] | None


def find_scans(place: Path | str) -> list[Source]:
    """The scans in a folder, by their headers: DICOM series, NIfTI, NRRD, MetaImage.

    Parameters
    ----------
    place
        A folder, searched to its ends, or a file.

    Raises
    ------
    ScanError
        If there is nothing at `place`.

    Examples
    --------
    >>> import lungseg
    >>> [(found.scan, found.kind) for found in lungseg.find_scans(folder)]
    [('case7', 'nifti')]
    """
    return _indexed(place)[0]


def _indexed(
    place: Path | str, rules: SourceRules | None = None
) -> tuple[list[Source], list[LeftOut]]:
    if not os.path.exists(place):  # noqa: PTH110 - of any length
        raise ScanError(f"there is nothing at {place}")
    with tempfile.TemporaryDirectory(prefix="lungseg-") as folder:
        return index.find_scans([Path(place)], Path(folder) / "headers.db", rules=rules)


def read_scan(place: Path | str, scan: str = "", **settings: Scalar) -> Scan:
    """The CT of a file or folder in HU, on its own grid.

    Parameters
    ----------
    place
        A NIfTI, NRRD or MetaImage, or a folder with one of these or with the DICOM files of a
        series.
    scan
        Which one, if there are several: its id, or its patient.
    **settings
        Of the stage ``ingest``: ``fill_missing_slices=True``.

    Raises
    ------
    ScanError
        If there is no scan, there are several, or its HU or geometry is uncertain.
    ConfigError
        If a setting is wrong.

    Examples
    --------
    >>> import lungseg
    >>> ct = lungseg.read_scan(f"{folder}/case7.nii.gz")
    >>> ct.array.dtype, ct.shape, ct.spacing_mm, ct.patient
    (dtype('int16'), (70, 100, 128), (5.0, 3.0, 3.0), 'case7')
    """
    params = params_of(Ingest, settings)
    found, left_out = _indexed(place, params.source_rules())
    chosen = [source for source in found if not scan or scan in {source.scan, source.patient}]
    if not chosen:
        others = "".join(f"\n  {source.scan} ({source.patient})" for source in found)
        why = "".join(f"\n  {item.path}: {item.reason}" for item in left_out[:5])
        raise ScanError(
            f"there is no scan {f'{scan} ' if scan else ''}in {place}{others or why}",
            setting=tuple({item.setting: "" for item in left_out if item.setting}),
        )
    if len(chosen) > 1:
        names = "".join(f"\n  {source.scan} ({source.patient})" for source in chosen)
        raise ScanError(f"there are {len(chosen)} scans in {place}; name one with scan=:{names}")
    source = chosen[0]
    try:
        ct, padding_hu, facts = ct_of_source(source, params)
    except ScanSkipped as error:
        raise ScanError(str(error)) from error
    padding = math.nan if padding_hu is None else float(padding_hu)
    return Scan(ct.array, ct.geometry, source.scan, source.patient, padding, facts)


def resample(ct: Volume[HU], spacing_mm: float = 1.0, **settings: Scalar) -> Resampled:
    """A scan on an even grid whose axes are nearest to the world's, clipped to a window of HU.

    Parameters
    ----------
    ct
        HU, int16.
    spacing_mm
        Distance of voxels on all axes.
    **settings
        Others of the stage ``resample``: ``hu_low=-1024``, ``hu_high=400``.

    Raises
    ------
    ScanError
        If the volume is not int16, or nothing but padding.
    ConfigError
        If a setting is wrong.

    Examples
    --------
    >>> import lungseg
    >>> from lungseg.phantom.small_chest import chest
    >>> lungseg.resample(chest().ct, 6.0).ct.spacing_mm
    (6.0, 6.0, 6.0)
    """
    if ct.array.dtype != np.int16:
        raise ScanError(f"the volume holds {ct.array.dtype}, not HU as int16")
    params = params_of(Resample, {"spacing_mm": float(spacing_mm), **settings})
    return Resampled(*on_working_grid(ct, padding_hu_of(ct), params))


def write_volume(volume: AnyVolume, path: Path | str) -> None:
    """Write a volume as ``.nii.gz``, ``.nrrd`` or ``.mha``; a file that is there is replaced.

    Raises
    ------
    ConfigError
        If the suffix of `path` names no format.

    Examples
    --------
    >>> import lungseg
    >>> from lungseg.phantom.small_chest import chest
    >>> lungseg.write_volume(chest().lungs, f"{folder}/out/lungs.nrrd")
    """
    formats.write_volume(volume, Path(path))


def padding_hu_of(ct: Volume[HU]) -> float:
    """Voxels of this HU or less are padding; NaN if there are none."""
    if isinstance(ct, Scan):
        return ct.padding_hu
    found = find_padding(ct.array)
    return math.nan if found is None else float(found)


def params_of(kind: type[P], settings: Mapping[str, Scalar]) -> P:
    """A stage's parameters with these settings.

    Raises
    ------
    ConfigError
        If there is no such setting, or a value is wrong.
    """
    known = [spec.name for spec in fields(kind)]
    for name in settings:
        if name not in known:
            raise ConfigError(f"there is no setting {name}; there are {', '.join(known)}")
    return kind(**settings)
