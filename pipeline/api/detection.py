"""Nodule candidates of a scan, by a trained net."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from lungseg.api.lungs import FoundLungs, lungs_of
from lungseg.api.scans import Scan, params_of, resample
from lungseg.core.stage import Scalar
from lungseg.io.results.candidate_list import Detection, listed
from lungseg.io.sources.pseudonyms import key_above
from lungseg.model.inference import load_to_predict
from lungseg.model.model_record import read_model_record
from lungseg.model.nets import find_net
from lungseg.model.reducer.member import read_reducer
from lungseg.ops.grid.resample import labels_to_grid
from lungseg.ops.nodules.probability import from_stored, to_stored
from lungseg.ops.scores.calibration import usable
from lungseg.ops.surroundings.measure import Around
from lungseg.stages.find_nodules import FindNodules, nodules_in
from lungseg.stages.locate_candidates import located
from lungseg.stages.predict import HowToPredict, Predict, check_fits, probability_of
from lungseg.stages.reduce_false_positives import judged, relabelled
from lungseg.stages.segment_lungs import SegmentLungs
from lungseg.stages.write_detections import SEEN, described
from lungseg.volume import HU, Volume


@dataclass(frozen=True, kw_only=True)
class FoundCandidate(Detection):
    """One place that may be a nodule: scan, ``xyz_mm``, probability, ``diameter_mm``, and more.

    ``around`` says where in the lungs it lies, and whether it touches a vessel, a rib or the end of
    the scan.

    Attributes
    ----------
    rank
        1 for the likeliest; its label in the mask.
    voxel_zyx
        The nearest voxel of the scan's own grid.
    mean_hu
        In its mask, or in the ball of its diameter if it has none.
    mask_voxels
        Voxels of its mask on the scan's own grid; 0 if it is too faint for one.
    """

    rank: int
    voxel_zyx: tuple[int, int, int]
    mean_hu: float
    mask_voxels: int


@dataclass(frozen=True, eq=False)
class Detections:
    """What a net found in a scan.

    Attributes
    ----------
    candidates
        The likeliest first.
    mask
        uint16 on the scan's own grid; label *k* is the mask of the *k*-th candidate.
    probability
        float32 on the even grid of the net.
    lungs
        The lungs in which it was looked for.
    threshold
        Voxels of this probability or more are in the mask.
    seen
        ``train`` or ``validation`` if the net has learnt from this patient or scan, else ``no``;
        ``unknown`` if it knows patients by pseudonyms of a key that is not beside it.
    net
        The net's file.
    """

    candidates: tuple[FoundCandidate, ...]
    mask: Volume[np.uint16]
    probability: Volume[np.float32]
    lungs: FoundLungs
    threshold: float
    seen: str
    net: Path


def detect(ct: Volume[HU], model: Path | str = "nodules", **settings: Scalar) -> Detections:
    """Nodule candidates of a scan, by a trained net.

    Parameters
    ----------
    ct
        HU, int16; a `Scan` tells whose it is, too.
    model
        Name of a net that comes with the package, a ``.keras`` file, or a work folder in which
        one was trained.
    **settings
        Of the stage ``find-nodules``: ``threshold=0.5``, ``max_candidates=100``.

    Raises
    ------
    ScanError
        If there are no lungs, or they do not fit into the net's input.
    DataError
        If the net finds no nodules in CT, or cannot be read.
    ConfigError
        If there is no such net, or a setting is wrong.

    Examples
    --------
    >>> import lungseg
    >>> from lungseg.phantom.small_chest import chest
    >>> found = lungseg.detect(chest(nodules=("isolated",)).ct, model, max_candidates=3)
    >>> len(found.candidates), found.candidates[0].rank, found.mask.array.max().item()
    (3, 1, 3)
    """
    params = params_of(FindNodules, settings)
    file = find_net(str(model))
    record = read_model_record(file)
    check_fits(record, (record.grid_mm,) * 3)
    even = resample(ct, record.grid_mm)
    lungs = lungs_of(ct, even, SegmentLungs())
    how = Predict()
    net = load_to_predict(file, how.mixed_precision)
    likely, _ = probability_of(
        even.ct, lungs.on_even_grid.array, net, record,
        HowToPredict.by(how, record), region=lungs.region.array,
    )  # fmt: skip
    stored = even.ct.like(to_stored(likely))
    labels, candidates, threshold = nodules_in(stored, lungs.region, params)
    mask = labels_to_grid(labels, ct.shape, ct.geometry)
    scan, patient = (ct.scan, ct.patient) if isinstance(ct, Scan) else ("", "")
    rows = listed(scan, candidates, usable(record.calibration, asdict(params)))
    reducer = read_reducer(file)
    if reducer is not None:
        rows, order = judged(rows, even.ct, stored.array, reducer, asdict(params))
        mask, labels = relabelled(mask, order), relabelled(labels, order)
    rows = located(rows, labels, Around(even.ct, lungs.on_even_grid, ct.spacing_mm[0]))
    return Detections(
        candidates=tuple(
            FoundCandidate(
                **{known.name: getattr(one, known.name) for known in fields(Detection)},
                rank=told["rank"], voxel_zyx=tuple(told["voxel_zyx"]), mean_hu=told["mean_hu"],
                mask_voxels=told["mask_voxels"],
            )
            for one, told in zip(rows, described(ct, mask, rows), strict=True)
        ),
        mask=mask,
        probability=even.ct.like(from_stored(stored.array)),
        lungs=lungs,
        threshold=threshold,
        seen=SEEN[record.part_of(patient, scan, key_above(file))],
        net=file,
    )  # fmt: skip
