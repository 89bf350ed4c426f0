"""The DICOM images that a scan was read from, as objects made from them must name them.

A segmentation, or a report, belongs to the patient and study of its images, lies in their frame of
reference and names each of them. Only the elements it takes over are read here, and what a file
lacks or has in a form that the standard forbids is blank: an export without a study's date must
not keep a mask from being written.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import ScanError
from lungseg.io.dicom import header as dh
from lungseg.io.dicom.planes import HuRules, Plane, planes_of
from lungseg.io.sources.index import Source
from lungseg.io.sources.pseudonyms import is_pseudonym
from lungseg.ops.grid.slices import SliceRules, axes_of, same_places
from lungseg.volume import AnyVolume, FloatArray, Geometry

# Of the images only their place is asked here; what their pixels mean, ingest has decided.
_ANY_HU = HuRules(accept_missing_rescale=True, accept_rescale_type=True)
# A grid and an image count as parallel if no component of their axes differs by more.
_PARALLEL = 1e-3
_WHOSE = (
    "SpecificCharacterSet", "PatientID", "PatientName", "PatientBirthDate", "PatientSex",
    "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber",
    "ReferringPhysicianName", "FrameOfReferenceUID", "PositionReferenceIndicator",
    "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "Modality", "PatientPosition",
)  # fmt: skip
_FORMS = {
    "PatientBirthDate": r"\d{8}",
    "StudyDate": r"\d{8}",
    "StudyTime": r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?",
    "PatientSex": "[MFO]",
    "PatientID": r"[^\\\0-\x1f]{0,64}",
    "StudyID": r"[^\\\0-\x1f]{0,16}",
    "AccessionNumber": r"[^\\\0-\x1f]{0,16}",
    "PatientName": r"[^\\\0-\x1a\x1c-\x1f]{0,324}",
    "ReferringPhysicianName": r"[^\\\0-\x1a\x1c-\x1f]{0,324}",
}
# What says who a patient is, beside the PatientID.
_NAMES = (
    *("PatientName", "PatientBirthDate", "AccessionNumber", "StudyID", "ReferringPhysicianName"),
    *("StudyDate", "StudyTime"),
)


@dataclass(frozen=True, eq=False)
class SourceImages:
    """The images of one scan, slices in order along their normal (frames as the file has them).

    Attributes
    ----------
    datasets
        One pydicom dataset a slice, without pixels, or a single one with frames.
    positions_xyz_mm
        ``(n, 3)`` world position of the first pixel of each slice or frame.
    columns_xyz, rows_xyz
        Directions in which the column index, and the row index, grows.
    spacing_yx_mm
        Distance of rows, then of columns.
    shape
        Rows and columns.
    used
        ``(n,) bool``: False for a frame that repeats another at its place.
    """

    datasets: tuple[Any, ...]
    positions_xyz_mm: FloatArray
    columns_xyz: FloatArray
    rows_xyz: FloatArray
    spacing_yx_mm: tuple[float, float]
    shape: tuple[int, int]
    used: npt.NDArray[np.bool_]

    @property
    def first(self) -> Any:
        """One of the images: whose they are, and which study and series they are of."""
        return self.datasets[0]

    @property
    def frame_of_reference(self) -> str:
        """UID of the coordinates that the positions are in."""
        return str(self.first.FrameOfReferenceUID)

    @cached_property
    def by_frames(self) -> bool:
        """True if one file holds all slices as frames."""
        return len(self.positions_xyz_mm) > len(self.datasets)

    @cached_property
    def distances_mm(self) -> FloatArray:
        """Distance of each two neighbouring slices that are used, along the normal."""
        normal = np.cross(self.columns_xyz, self.rows_xyz)
        return np.asarray(np.diff(np.sort(self.positions_xyz_mm[self.used] @ normal)))

    @property
    def thickness_mm(self) -> float:
        """What readers may take for a slice's thickness: the usual distance of two of them."""
        return float(np.median(self.distances_mm)) if len(self.distances_mm) else 1.0

    def part(self, wanted: npt.NDArray[np.bool_]) -> "SourceImages":
        """Only the slices that are `wanted`; all of them where they are frames of one file."""
        if self.by_frames:
            return self
        return SourceImages(
            tuple(one for one, good in zip(self.datasets, wanted, strict=True) if good),
            self.positions_xyz_mm[wanted],
            self.columns_xyz,
            self.rows_xyz,
            self.spacing_yx_mm,
            self.shape,
            self.used[wanted],
        )


def source_images(source: Source) -> SourceImages:
    """The images of a scan, from its files.

    Where the scan's patient is a pseudonym, that is the PatientID, and names, dates and numbers
    that lead to the patient are blank. The UIDs of study, series and images stay: they are
    what an object made from the images has to name.

    Raises
    ------
    ScanError
        If the scan is not DICOM, or its images are of several series, or in several multi-frame
        files.
    FileNotFoundError
        If a file is not there any more.
    """
    if source.kind != "dicom":
        raise ScanError(
            f"{source.scan} was read from a {source.kind} file; DICOM segmentations and reports "
            "name the DICOM images that they are of: give the scan as DICOM, or take another format"
        )
    headers = [_header(Path(file)) for file in source.files]
    planes = [p for h in headers for p in planes_of(h, _ANY_HU)]
    framed = [h for h in headers if dh.FRAME_GROUPS in h.values]
    if framed and len(headers) > 1:
        raise ScanError(
            f"{source.scan} is in {len(headers)} files, {len(framed)} of them multi-frame; a DICOM "
            "segmentation refers to single slices or to one multi-frame file: export nii.gz"
        )
    pseudonym = source.patient if is_pseudonym(source.patient) else ""
    rules = SliceRules()
    axes = axes_of([plane.axes_xyz for plane in planes], rules)
    groups = same_places(axes.along([plane.position_xyz_mm for plane in planes]), rules)
    firsts = [group[0] for group in groups]
    order = sorted(firsts) if framed else firsts
    if framed:
        datasets = [_framed(headers[0].path, pseudonym)]
        used = np.isin(np.arange(len(planes)), order)
    else:
        planes = [planes[k] for k in order]
        datasets = _slices(planes, pseudonym)
        used = np.ones(len(planes), bool)
    _check_one_series(source, datasets)
    images = SourceImages(
        tuple(datasets),
        np.array([plane.position_xyz_mm for plane in planes], float),
        axes.matrix_xyz[:, 0],
        axes.matrix_xyz[:, 1],
        (planes[0].spacing_yx_mm[0], planes[0].spacing_yx_mm[1]),
        (planes[0].rows, planes[0].columns),
        used,
    )
    for dataset in datasets:
        dataset.update({"SliceThickness": _ds(images.thickness_mm)})
    if framed:
        _regroup(datasets[0], planes, images.thickness_mm)
    return images


def _check_one_series(source: Source, datasets: Sequence[Any]) -> None:
    for name in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        count = len({str(dataset[name].value) for dataset in datasets})
        if count > 1:
            raise ScanError(
                f"the images of {source.scan} have {count} different {name}; a DICOM segmentation "
                "or report is of one series: export nii.gz"
            )


def on_images(volume: AnyVolume, images: SourceImages) -> npt.NDArray[Any]:
    """`volume` at the pixels of each image: ``(n, rows, columns)``, 0 outside the volume.

    The value is that of the nearest voxel: on a scan whose slices are even and upright the very
    voxel, and within half a voxel where ingest straightened a tilt or evened the slices out.

    Raises
    ------
    ScanError
        If the grid is turned against the images.
    """
    geometry = volume.geometry
    axes = np.asarray(geometry.direction_xyz).reshape(3, 3)
    turned = np.abs(axes[:, :2] - np.stack([images.columns_xyz, images.rows_xyz], axis=1)).max()
    if turned > _PARALLEL:
        raise ScanError(
            "the mask's grid is turned against the scan's images; take it on the scan's own grid"
        )
    out = np.zeros((len(images.positions_xyz_mm), *images.shape), volume.array.dtype)
    for k, position in enumerate(images.positions_xyz_mm):
        if images.used[k]:
            _fill(out[k], volume.array, geometry, position, images.spacing_yx_mm)
    return out


def _fill(
    out: npt.NDArray[Any],
    array: npt.NDArray[Any],
    geometry: Geometry,
    position_xyz_mm: FloatArray,
    spacing_yx_mm: tuple[float, float],
) -> None:
    first = geometry.to_index(position_xyz_mm)
    z = round(float(first[0]))
    if not 0 <= z < array.shape[0]:
        return
    ratio = np.asarray(spacing_yx_mm) / np.asarray(geometry.spacing_mm[1:])
    rows, columns = (
        np.rint(first[1 + k] + ratio[k] * np.arange(out.shape[k])).astype(int) for k in (0, 1)
    )
    if np.array_equal(rows, np.arange(array.shape[1])) and np.array_equal(
        columns, np.arange(array.shape[2])
    ):
        out[...] = array[z]
        return
    good = [(i >= 0) & (i < n) for i, n in ((rows, array.shape[1]), (columns, array.shape[2]))]
    out[np.ix_(*good)] = array[z][np.ix_(rows[good[0]], columns[good[1]])]


def _header(path: Path) -> dh.Header:
    try:
        return dh.read_header(path)
    except (dh.NotDicomError, OSError) as error:
        # Not the scan's fault, and so nothing to remember of it.
        raise FileNotFoundError(
            f"{path} was there when the scan was found, and is not, or is no DICOM file, now; "
            "name the scan's folder again"
        ) from error


def _slices(planes: Sequence[Plane], pseudonym: str) -> list[Any]:
    from pydicom.dataset import Dataset

    made = []
    for plane in planes:
        dataset = Dataset()
        dataset.update(_whose(_read(plane.path, _WHOSE), plane.path, pseudonym))
        dataset.file_meta = _meta()
        y, x = plane.spacing_yx_mm
        dataset.update(
            {
                "Rows": plane.rows,
                "Columns": plane.columns,
                "ImagePositionPatient": [_ds(mm) for mm in plane.position_xyz_mm],
                "ImageOrientationPatient": [_ds(part) for part in plane.axes_xyz],
                "PixelSpacing": [_ds(y), _ds(x)],
            }
        )
        made.append(dataset)
    return made


def _framed(path: Path, pseudonym: str) -> Any:
    dataset = _read(path)
    dataset.update(_whose(dataset, path, pseudonym))
    dataset.file_meta = _meta()
    return dataset


def _regroup(dataset: Any, planes: Sequence[Plane], thickness_mm: float) -> None:
    # Files differ in which properties all frames share; what is made from them asks for these.
    from pydicom.dataset import Dataset

    def item(**elements: Any) -> Any:
        made = Dataset()
        made.update(elements)
        return [made]

    y, x = planes[0].spacing_yx_mm
    shared = item(
        PixelMeasuresSequence=item(PixelSpacing=[_ds(y), _ds(x)], SliceThickness=_ds(thickness_mm)),
        PlaneOrientationSequence=item(
            ImageOrientationPatient=[_ds(part) for part in planes[0].axes_xyz]
        ),
    )
    frames = [
        item(
            PlanePositionSequence=item(
                ImagePositionPatient=[_ds(mm) for mm in plane.position_xyz_mm]
            )
        )[0]
        for plane in planes
    ]
    dataset.update(
        {"SharedFunctionalGroupsSequence": shared, "PerFrameFunctionalGroupsSequence": frames}
    )


def _read(path: Path, wanted: Sequence[str] | None = None) -> Any:
    import pydicom

    try:
        with warnings.catch_warnings():
            # About values in no valid form, which are taken for blank.
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(
                path, stop_before_pixels=True, force=True, specific_tags=wanted
            )
            dataset.decode()
    except Exception as error:  # a damaged file makes pydicom raise nearly anything
        raise ScanError(
            f"header: {path}: the DICOM header cannot be read ({error}); copy it again from where "
            "it came"
        ) from error
    return dataset


def _whose(dataset: Any, path: Path, pseudonym: str) -> Mapping[str, Any]:
    from pydicom.uid import generate_uid

    values = {name: _text(dataset, name) for name in _WHOSE if name != "SpecificCharacterSet"}
    if pseudonym:
        values |= dict.fromkeys(_NAMES, "") | {"PatientID": pseudonym}
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID"):
        if not values[name]:
            raise ScanError(
                f"header: {path} has no {name}; a DICOM segmentation or report cannot name it: "
                "export nii.gz"
            )
    if not values["FrameOfReferenceUID"]:
        # Every position needs one. What is made from the series is the same in every export of it.
        made = generate_uid(entropy_srcs=[values["SeriesInstanceUID"], "frame of reference"])
        values["FrameOfReferenceUID"] = str(made)
    return values | {"SpecificCharacterSet": "ISO_IR 192"}


def _text(dataset: Any, name: str) -> str:
    value = dataset.get(name)
    text = "" if value is None else str(value).strip(" \0")
    form = _FORMS.get(name)
    return text if form is None or re.fullmatch(form, text) else ""


def _meta() -> Any:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.update({"TransferSyntaxUID": ExplicitVRLittleEndian})
    return meta


def _ds(value: float) -> str:
    from pydicom.valuerep import format_number_as_ds

    return str(format_number_as_ds(float(value)))
