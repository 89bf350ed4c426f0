"""Segment lungs: HU on the working grid -> right and left lung.

reads   resample/ct.h5              HU
        resample/field_of_view.h5   bool, if the scan has padding
writes  lungs.h5                    uint8: 0, 1 right lung, 2 left lung
        region.h5                   bool: where nodules are looked for

2-means on the HU histogram separates air from tissue. Air with the body around it in its own axial
slice is inside the patient, so neither a trachea open at the top nor a lung cut by the picture's
border does harm. Trachea and main bronchi are grown from tubes between the lungs and removed; what
remains and is not bowel gas is lung. Gas that a thin diaphragm joins to a lung is a smooth pocket
of pure air with no lung below and little around; bullae have lung on more sides. Right and left are
separated along the path of least lung from front to back. Closing with a small ball adds vessels,
with a large one nodules on the chest wall; tumours that the lung encloses in most directions are
added at any size. All this is done on blocks of 2 mm; the outline is then found voxel by voxel.
The region is the lungs closed by a ball that fills hilum and wall, and what is nearly enclosed: a
nodule left out of the lungs lies in it. Lung without air is nothing that a threshold finds, and
what is nearly enclosed may be heart: a net is asked, where no lung is missing a second one that
looks for tumours closely, and much that they add is told.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np

from lungseg.core.errors import ConfigError, ScanError
from lungseg.core.limits import check_memory
from lungseg.core.stage import Facts, Params, ScanStage, param
from lungseg.io.volumes import volume_file
from lungseg.model.lung_net.opinion import SHIPPED, ask, ask_of_the_image
from lungseg.model.lung_net.tumours import SHIPPED as SHIPPED_TUMOURS
from lungseg.model.lung_net.tumours import ask as ask_of_tumours
from lungseg.ops.lungs.find import Lungs, LungSettings, air_and_tissue, find_lungs
from lungseg.ops.lungs.in_blocks import at_middles, edges_mm, in_blocks, zoom_of
from lungseg.ops.lungs.left_right import LEFT, RIGHT, separate_sides
from lungseg.ops.lungs.opinion.added import Opinion, as_seen, joined, opinion_of
from lungseg.ops.lungs.opinion.close_up import CLOSE_MM, tumours
from lungseg.ops.lungs.opinion.close_up import LIKELY as LIKELY_TUMOUR
from lungseg.ops.lungs.opinion.denied import without
from lungseg.ops.lungs.shape import search_region
from lungseg.ops.lungs.slice2d import lungs_slice_by_slice
from lungseg.ops.lungs.verdict import Verdict, judge
from lungseg.volume import F32, HU, Mask, MaskArray, Triple, Volume

# Where so much may be a tumour and is not taken for one, the lung net is asked in doubt, ml.
ASKED_ML = 3.0
# The lung net knows whole chests in blocks of 4 mm, a third more or less: it is not asked of a scan
# that is shorter, mm, nor of one whose blocks have other edges, mm.
LEAST_HEIGHT_MM = 160.0
KNOWN_EDGES_MM = (2.6, 5.3)
# The same of the tumour net's blocks.
KNOWN_CLOSE_MM = (1.3, 2.7)


@dataclass(frozen=True, kw_only=True)
class SegmentLungs(Params):
    """Parameters of this stage."""

    method: str = param(
        "volume3d",
        "volume3d: in three dimensions; slice2d: an older method slice by slice, for comparison; "
        "net: as the lung net sees them, in blocks of 4 mm",
        choices=("volume3d", "slice2d", "net"),
    )
    second_opinion: str = param(
        "always",
        "when the lung net is asked for lung without air, and the tumour net for tumours, which "
        "the mask then takes: for every scan of 160 mm and more (a CPU second or two), only where "
        "lung seems to be missing or something may be a large tumour, or never",
        choices=("always", "doubt", "never"),
    )
    lung_net: str = param(
        "",
        "file of the lung net, see `models teach-lungs`; empty: the one that comes with the "
        "package",
        path=True,
    )
    tumour_net: str = param(
        "",
        "file of the net that is asked about tumours, see `models teach-lungs --tumours`; empty: "
        "the one that comes with the package",
        path=True,
    )
    threshold_min_hu: float = param(
        LungSettings.threshold_min_hu,
        "lower bound of the air threshold that 2-means finds",
        ge=-900,
        le=0,
        was="threshold_from_hu",
    )
    threshold_max_hu: float = param(
        LungSettings.threshold_max_hu,
        "upper bound of the air threshold that 2-means finds",
        ge=-900,
        le=0,
        was="threshold_to_hu",
    )
    rim_mm: float = param(
        LungSettings.rim_mm,
        "how far the lung reaches beyond the point half-way between lung and tissue",
        ge=0,
        le=3,
    )
    coarse_mm: float = param(
        LungSettings.coarse_mm, "edge of the blocks on which the lungs' shape is found", gt=0, le=4
    )
    vessel_mm: float = param(
        LungSettings.vessel_mm,
        "radius of the ball whose closing adds vessels to the lung",
        ge=0,
        le=30,
    )
    wall_mm: float = param(
        LungSettings.wall_mm,
        "radius of the ball whose closing adds nodules on the chest wall",
        ge=0,
        le=40,
    )
    smallest_lung_ml: float = param(
        LungSettings.smallest_lung_ml,
        "less lung than this in the scan is an error: no lungs found",
        ge=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold_min_hu > self.threshold_max_hu:
            raise ConfigError(
                f"threshold_min_hu ({self.threshold_min_hu:g}) must not be above "
                f"threshold_max_hu ({self.threshold_max_hu:g})"
            )

    @property
    def settings(self) -> LungSettings:
        """These parameters, as `find_lungs` takes them."""
        told = {spec.name: getattr(self, spec.name) for spec in fields(LungSettings)}
        return LungSettings(**told)


def segment(
    ct: Volume[HU], field_of_view: MaskArray | None, params: SegmentLungs
) -> tuple[Volume[np.uint8], Verdict]:
    """Lungs of a chest CT, 1 right and 2 left, and whether they can be trusted.

    Parameters
    ----------
    ct
        HU on the working grid: z to the head, y to the back, x to the patient's left.
    field_of_view : (z, y, x) bool, or None
        False where there is no image.
    params

    Raises
    ------
    ScanError
        If there are no lungs.
    """
    found, verdict = lungs_and_region(ct, field_of_view, params)
    return found.labels, verdict


def lungs_and_region(
    ct: Volume[HU], field_of_view: MaskArray | None, params: SegmentLungs
) -> tuple[Lungs, Verdict]:
    """As `segment`, with the region in which nodules are looked for."""
    if params.method == "slice2d":
        found = _slice_by_slice(ct, field_of_view, params)
    else:
        found = find_lungs(ct, field_of_view, params.settings)
    if params.method == "net":
        return _by_net(ct, found, params)
    verdict = judge(ct, found.labels, found.threshold_hu, found.airways_ml)
    if _is_asked(ct, found, verdict, params.second_opinion):
        return _with_opinion(ct, found, verdict, params)
    return found, verdict


def is_known_to_nets(ct: Volume[HU]) -> bool:
    """Whether a scan is one that a lung net knows the like of: high enough, in known blocks."""
    high = ct.shape[0] * ct.spacing_mm[0] >= LEAST_HEIGHT_MM
    return high and _within(edges_mm(ct), KNOWN_EDGES_MM)


def _is_asked(ct: Volume[HU], found: Lungs, verdict: Verdict, when: str) -> bool:
    if when == "never" or not is_known_to_nets(ct):
        return False
    return when == "always" or verdict.lung_missing or found.nearly_ml >= ASKED_ML


def _with_opinion(
    ct: Volume[HU], found: Lungs, verdict: Verdict, params: SegmentLungs
) -> tuple[Lungs, Verdict]:
    """What was found, what the nets add to it, and without what the lung net takes out of it."""
    seen, net = in_blocks(ct, found.labels), _net_of(params)
    likely = ask(seen, net)
    opinion = opinion_of(
        seen,
        likely,
        at_middles(found.region),
        partial(ask_of_the_image, seen, net),
        missing=verdict.lung_missing,
    )
    labels = found.labels
    if opinion.added_ml:
        labels = joined(ct, labels, likely, opinion.blocks, opinion.edge, zoom_of(ct))
    if not verdict.lung_missing:
        labels, opinion = _with_tumours(ct, labels, found.region, opinion, params)
    if opinion.denied is not None:
        labels = without(ct, labels, likely.max(axis=0), opinion.denied)
    if opinion.denied is None and not opinion.added_ml:
        if verdict.reasons:
            # What seems to be missing may be liver, heart or vessels to the net, and gas lung. That
            # lung seemed to be missing is enough not to ask the tumour net, which takes a hernia
            # beside them for a tumour.
            verdict = _judged(ct, found, found.labels, likely)
        return found, opinion.told(verdict)
    return _judged_again(ct, found, labels, opinion, likely)


def _with_tumours(
    ct: Volume[HU],
    labels: Volume[np.uint8],
    region: Volume[Mask],
    opinion: Opinion,
    params: SegmentLungs,
) -> tuple[Volume[np.uint8], Opinion]:
    """The mask and the opinion with what the tumour net adds to both."""
    if not _within(edges_mm(ct, CLOSE_MM), KNOWN_CLOSE_MM):
        return labels, opinion
    seen, near = in_blocks(ct, labels, CLOSE_MM), at_middles(region, CLOSE_MM)
    net = Path(params.tumour_net) if params.tumour_net else SHIPPED_TUMOURS
    likely = ask_of_tumours(seen, near, net)
    added = tumours(seen, likely, near)
    if not added.any():
        return labels, opinion
    both = np.broadcast_to(likely, (2, *likely.shape))
    labels = joined(ct, labels, both, added, LIKELY_TUMOUR, zoom_of(ct, CLOSE_MM))
    right_ml, left_ml = (seen.ml(added == side) for side in (RIGHT, LEFT))
    return labels, replace(
        opinion, right_ml=opinion.right_ml + right_ml, left_ml=opinion.left_ml + left_ml
    )


def _within(edges: Triple, bounds: tuple[float, float]) -> bool:
    return all(bounds[0] <= edge <= bounds[1] for edge in edges)


def _by_net(ct: Volume[HU], found: Lungs, params: SegmentLungs) -> tuple[Lungs, Verdict]:
    """What the lung net sees alone; where it differs from what was found is told."""
    seen = in_blocks(ct, found.labels)
    likely = ask(seen, _net_of(params))
    opinion = opinion_of(seen, likely)
    labels = as_seen(ct, likely)
    seen_ml = float(np.count_nonzero(labels.array)) * ct.voxel_ml
    if seen_ml < params.smallest_lung_ml:
        raise ScanError(
            f"no lungs found: the lung net sees {seen_ml:.0f} ml of lung, against at least "
            f"{params.smallest_lung_ml:g} ml; it knows whole chests",
            setting="method=volume3d to do without it",
        )
    return _judged_again(ct, found, labels, replace(opinion, alone=True))


def _net_of(params: SegmentLungs) -> Path:
    return Path(params.lung_net) if params.lung_net else SHIPPED


def _judged_again(
    ct: Volume[HU],
    found: Lungs,
    labels: Volume[np.uint8],
    opinion: Opinion,
    likely: F32 | None = None,
) -> tuple[Lungs, Verdict]:
    # In blocks, which the margin hides, and in place: whole arrays are most of what a scan needs.
    region = found.region.array
    zoom_of(ct).put(search_region(at_middles(labels), edges_mm(ct)), region)
    # What was taken out of the mask may be a tumour all the same.
    for mask in (labels.array, found.labels.array):
        np.logical_or(region, mask, out=region)
    return replace(found, labels=labels), opinion.told(_judged(ct, found, labels, likely))


def _judged(ct: Volume[HU], found: Lungs, labels: Volume[np.uint8], likely: F32 | None) -> Verdict:
    # That what was added holds no air is known, and no reason to doubt the rest.
    return judge(
        ct,
        labels,
        found.threshold_hu,
        found.airways_ml,
        found.labels.array,
        None if likely is None else likely.max(axis=0),
    )


def _slice_by_slice(ct: Volume[HU], field_of_view: MaskArray | None, params: SegmentLungs) -> Lungs:
    mask = lungs_slice_by_slice(ct.array)
    found_ml = float(mask.sum()) * ct.voxel_ml
    if found_ml < params.smallest_lung_ml:
        raise ScanError(
            f"no lungs found: {found_ml:.0f} ml slice by slice, against at least "
            f"{params.smallest_lung_ml:g} ml; is this a chest CT? Try method = volume3d"
        )
    labels = separate_sides(ct.array, mask, ct.spacing_mm)
    threshold, _ = air_and_tissue(ct.array, field_of_view, params.settings)
    region = search_region(labels, ct.spacing_mm)
    return Lungs(ct.like(labels), ct.like(region), threshold, 0.0)


def run(params: SegmentLungs, inputs: Mapping[str, Path], out: Path) -> Facts:
    """Read, segment, write."""
    shape, _ = volume_file.read_geometry(inputs["resample"] / "ct.h5")
    size = " x ".join(str(count) for count in shape)
    # HU, labels, and masks of as many steps as are held at once.
    check_memory(8.0 * math.prod(shape), f"finding lungs on a grid of {size} voxels")
    ct = volume_file.read_hu(inputs["resample"] / "ct.h5")
    view = inputs["resample"] / "field_of_view.h5"
    field_of_view = volume_file.read_mask(view).array if view.exists() else None
    found, verdict = lungs_and_region(ct, field_of_view, params)
    volume_file.write(found.labels, out / "lungs.h5")
    volume_file.write(found.region, out / "region.h5")
    return verdict.as_facts()


STAGE = ScanStage(
    name="segment-lungs",
    version=2,
    help="find the lungs, right and left, without trachea and main bronchi",
    params=SegmentLungs,
    needs=("resample",),
    run=run,
)
"""The stage, for `lungseg.flow`."""
