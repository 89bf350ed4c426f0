"""Entries of the list of nodules: what can be measured of each, and where it lies in the lungs."""

from collections.abc import Sequence

from lungseg.io.annotations.nodule_list import Nodule
from lungseg.ops.nodules.location import Heights, locate, lung_heights
from lungseg.ops.nodules.sizes import equivalent_diameter_mm
from lungseg.ops.nodules.voted_nodule import VotedNodule
from lungseg.ops.surroundings.measure import SIDES
from lungseg.volume import AnyVolume


def listed(nodules: Sequence[VotedNodule], truth: str, lungs: AnyVolume) -> tuple[Nodule, ...]:
    """Entries of the list of nodules, labels in the order given."""
    heights = lung_heights(lungs) if nodules else {}
    return tuple(
        _entry(label, nodule, truth, lungs, heights) for label, nodule in enumerate(nodules, 1)
    )


def _entry(
    label: int, nodule: VotedNodule, truth: str, lungs: AnyVolume, heights: Heights
) -> Nodule:
    inside = nodule.consensus
    voxels = int(inside.mask.sum())
    volume = voxels * lungs.geometry.voxel_mm3
    low, high = nodule.axes_mm(lungs.geometry)
    place = locate(inside, lungs, SIDES, heights)
    return Nodule(
        label=label,
        readers=nodule.readers,
        truth=truth,
        centroid_xyz_mm=nodule.centroid_xyz_mm(lungs.geometry),
        diameter_mm=equivalent_diameter_mm(volume),
        min_diameter_mm=low,
        max_diameter_mm=high,
        volume_mm3=volume,
        voxels=voxels,
        share_in_lungs=float((lungs.array[inside.box] > 0)[inside.mask].mean()),
        ratings=nodule.ratings,
        ratings_median=nodule.ratings_median,
        readings=nodule.names,
        side=place.side,
        third=place.third,
        edge_mm=place.edge_mm if place.side else None,
    )
