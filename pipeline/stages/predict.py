"""Predict: the working grid -> the probability of nodule, per voxel.

reads   resample/ct.h5, segment-lungs/{lungs,region}.h5, and the file of a net
writes  probability.h5   uint16 on the working grid, probability = value / 65535
        net.json         which net it was, and in which float type it computed

The axial slices of the search region are cropped around it and scaled just as the table's rows
were, and go through the net in batches; everything else is 0. A net that takes slices of any size
is shown less of them: the region's box in each slab of slices, which is a third of the work.
With `halvings` the scan is shown again at half its size, where a mass looks like the nodules that
the net knows; what is large there counts too. That costs an eighth more.
Scans of patients that the net was trained on are left out unless they are asked for: they would
only show what it remembers. Which patients these are, the net itself tells, wherever it comes from.
The output is known by the net's content: a net that is trained anew to the same weights predicts
nothing anew.
The net's batch normalisation is folded into its convolutions first. With `mixed_precision` auto it
computes in bfloat16 on processors with AMX, three times as fast: probabilities then differ from
those of other machines by up to 0.03, under the same key. The record and net.json tell the float
type; who needs the same values everywhere sets none.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import DataError, ScanError, ScanSkipped
from lungseg.core.fingerprint import identity_of_path
from lungseg.core.json_file import write_json
from lungseg.core.record import read_record
from lungseg.core.stage import Facts, Params, ScanStage, param
from lungseg.io.sources.pseudonyms import key_above
from lungseg.io.volumes import volume_file
from lungseg.model import inference
from lungseg.model.model_record import UNKNOWN, ModelRecord, read_model_record
from lungseg.model.reducer.member import MEMBERS
from lungseg.model.samples import scaled
from lungseg.ops.grid.blocks import block_mean, block_most
from lungseg.ops.grid.crop import crop_corner, cut, footprint, uncut, window_around
from lungseg.ops.hu.padding import AIR_HU
from lungseg.ops.nodules.bodies.seen_from_afar import add_large
from lungseg.ops.nodules.probability import to_stored
from lungseg.ops.samples.context import neighbours
from lungseg.steps.search_region import read_search_region
from lungseg.volume import HU, HuArray, IndexArray, MaskArray, Volume

Predictor = Any
# Rows of the list of slices, and the corner and size of their window.
SlabWindow = tuple[range, tuple[int, int], tuple[int, int]]

# Slices that share a window. Its size is a multiple of 32, so that the net meets few sizes.
SLAB = 16
# Pixels around the search region that the net is shown at least.
SEEN_AROUND = 12


@dataclass(frozen=True, kw_only=True)
class Predict(Params):
    """Parameters of this stage."""

    model: str = param(
        "",
        "file of the net; empty: the one trained last (the option --model names one)",
        path=True,
        ignores=MEMBERS,
    )
    part: str = param(
        "test",
        "whose scans, by what the net has seen: test: of patients it has not; unknown: of those of "
        "whom that cannot be told, as it knows patients by pseudonyms of another key",
        choices=("test", "validation", "train", UNKNOWN, "all"),
        was="parts",
    )
    slice_power: float = param(
        1.0,
        "a slice's probabilities are multiplied with this power of its slice head's (if any)",
        ge=0,
    )
    mirrors: bool = param(
        False,
        "mean of the slices as they are and mirrored along y, x and both: four times the work",
    )
    halvings: int = param(
        -1,
        "how many times the scan is also shown at half its size, for masses larger than the "
        "nodules that the net knows; -1: as many as the net's file says",
        ge=-1,
        le=3,
    )
    mixed_precision: str = param(
        "auto",
        "float type of the layers' arithmetic: auto: bfloat16 where it is much faster (processors "
        "with AMX), and changes probabilities by up to 0.03, else single precision; "
        "none: single precision, and the same probabilities on any machine to the last places",
        choices=("none", "auto", "bfloat16"),
    )
    batch_size: int = param(8, "slices at a time", ge=1, affects_output=False)


@dataclass(frozen=True)
class HowToPredict:
    """How slices go through a net; see the stage's parameters of these names."""

    batch_size: int = 8
    slice_power: float = 0.0
    mirrors: bool = False
    halvings: int = 0

    @classmethod
    def by(cls, params: Predict, record: ModelRecord) -> "HowToPredict":
        """As the stage's parameters say, and where they leave it open the net's file."""
        halvings = record.halvings if params.halvings < 0 else params.halvings
        return cls(params.batch_size, params.slice_power, params.mirrors, halvings)


def run(params: Predict, inputs: Mapping[str, Path], out: Path) -> Facts:
    """Leave out whom the net has seen; predict the others."""
    model = Path(params.model)
    record = read_model_record(model)
    of_scan = read_record(inputs["resample"])
    part = record.part_of(of_scan.patient, of_scan.scan, key_above(inputs["resample"]))
    if params.part not in {part, "all"}:
        if part == UNKNOWN:
            raise ScanSkipped(
                "the net knows patients by pseudonyms of another key, so that it cannot be told "
                f"whether it has seen this one, and predict.part is {params.part}; set "
                "predict.part = unknown (and evaluate.part, too) if it has not"
            )
        raise ScanSkipped(
            f"its patient is one of the net's {part} patients and predict.part is {params.part}; "
            "set predict.part = all to predict every scan"
        )
    ct = volume_file.read_hu(inputs["resample"] / "ct.h5")
    lungs = volume_file.read(inputs["segment-lungs"] / "lungs.h5")
    region = read_search_region(inputs["segment-lungs"])
    check_fits(record, ct.spacing_mm)
    net = inference.load_to_predict(model, params.mixed_precision)
    precision = inference.precision_of(net)
    begin = time.perf_counter()
    how = HowToPredict.by(params, record)
    probability, slices = probability_of(ct, lungs.array, net, record, how, region=region.array)
    seconds = time.perf_counter() - begin
    write_json(net_told(model, record, precision), out / "net.json")
    volume_file.write(ct.like(to_stored(probability)), out / "probability.h5")
    return {
        "part": part,
        "slices": slices,
        "precision": precision,
        "ms_per_slice": round(1000 * seconds / slices, 1),
        "max_probability": round(float(probability.max()), 4),
    }


def net_told(model: Path, record: ModelRecord, precision: str) -> dict[str, Any]:
    """Which net this is and how it computed, for those who score what it predicts."""
    return {
        "sha256": identity_of_path(model, "model"),
        "split_hash": record.split_hash,
        "table_fingerprint": record.table_fingerprint,
        "best_epoch": record.best_epoch,
        "precision": precision,
        "calibration": record.calibration,
    }


def check_fits(record: ModelRecord, spacing_mm: tuple[float, float, float]) -> None:
    """See that the net knows such scans.

    Raises
    ------
    DataError
        If it looks for something else or was trained on pictures or another grid.
    """
    if record.target != "nodules" or record.kind != "ct":
        raise DataError(
            f"the net finds {record.target} in {record.kind}; predict needs one that finds "
            "nodules in ct: train again with train.target = nodules on tables of scans"
        )
    # z is no concern of a net that sees one slice, but it is of one that sees its neighbours.
    axes = slice(0 if record.context else 1, 3)
    if not np.allclose(record.spacing_mm[axes], spacing_mm[axes], rtol=0, atol=1e-3):
        raise DataError(
            f"the net was trained on voxels of {record.spacing_mm} mm (z, y, x) and the scan has "
            f"{list(spacing_mm)}; resample with the spacing_mm of its training, or train again"
        )


def probability_of(  # noqa: PLR0913 - a scan, a net, and how
    ct: Volume[HU],
    lungs: npt.NDArray[np.generic],
    net: Predictor,
    record: ModelRecord,
    how: HowToPredict,
    *,
    region: npt.NDArray[np.generic] | None = None,
) -> tuple[npt.NDArray[np.float32], int]:
    """Probability on the grid of `ct` and the number of its slices that went through the net.

    Where nodules are looked for is `region`, or, without one, the lungs.

    Raises
    ------
    ScanError
        If there is no lung, or it does not fit into the input of a net of one size.
    """
    seen = (lungs if region is None else region) != 0
    found, slices = _at_one_size(ct.array, lungs, seen, net, record, how)
    for halving in range(1, how.halvings + 1):
        n = 2**halving
        factors = (n, n, n)
        near = block_most(seen, factors)
        if not near.any():
            break
        small, _ = _at_one_size(
            block_mean(ct.array, factors), block_most(lungs != 0, factors), near, net, record, how
        )
        small[~near] = 0
        add_large(found, small, factors)
    return found, slices


def _at_one_size(  # noqa: PLR0913, PLR0917 - a scan, a net, and how
    ct: HuArray,
    lungs: npt.NDArray[np.generic],
    seen: MaskArray,
    net: Predictor,
    record: ModelRecord,
    how: HowToPredict,
) -> tuple[npt.NDArray[np.float32], int]:
    z_index = np.flatnonzero(seen.any(axis=(1, 2)))
    free = inference.of_any_size(net)
    windows = slab_windows(seen, z_index) if free else square_window(lungs, z_index, record)
    # A slab is not padded to a batch that is larger than any slab.
    n = min(how.batch_size, SLAB) if free else how.batch_size
    predict = inference.predict_mirrored if how.mirrors else inference.predict
    found = np.zeros(ct.shape, np.float32)
    for rows, corner, size in windows:
        for first in range(rows.start, rows.stop, n):
            wanted = np.arange(first, min(first + n, rows.stop))
            stack = z_index[neighbours(wanted, record.context, z_index)]
            hu = cut(ct[stack], corner, size, AIR_HU)
            x = scaled(hu, record.input_spec, cut(lungs[stack], corner, size, 0))
            answer = predict(free or net, x, n, how.slice_power)
            found[z_index[wanted]] = uncut(answer, corner, (ct.shape[1], ct.shape[2]), 0)
    return found, len(z_index)


def square_window(
    lungs: npt.NDArray[np.generic], z_index: IndexArray, record: ModelRecord
) -> list[SlabWindow]:
    """The window of all slices for a net that takes squares of one size.

    Raises
    ------
    ScanError
        If there is no lung, or it does not fit.
    """
    size = record.crop_px
    try:
        return [(range(len(z_index)), crop_corner(lungs, size), (size, size))]
    except ScanError as error:
        raise ScanError(f"{error}; the net was trained on such crops") from error


def slab_windows(region: npt.NDArray[np.generic], z_index: IndexArray) -> list[SlabWindow]:
    """A window around the search region for each slab of slices.

    Raises
    ------
    ScanError
        If there is no lung.
    """
    slabs = []
    # Without any slice there is one empty slab, which `window_around` refuses.
    for first in range(0, max(1, len(z_index)), SLAB):
        rows = range(first, min(first + SLAB, len(z_index)))
        seen = footprint(region[z_index[rows.start : rows.stop]])
        slabs.append((rows, *window_around(seen, SEEN_AROUND)))
    return slabs


STAGE = ScanStage(
    name="predict",
    version=2,
    help="probability of nodule in every voxel of the lungs' slices",
    params=Predict,
    needs=("resample", "segment-lungs"),
    run=run,
    in_parent=True,
)
"""The stage, for `lungseg.flow`."""
