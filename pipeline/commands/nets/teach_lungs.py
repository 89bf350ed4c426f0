"""Teach a lung net or a tumour net: on the sound lung masks of a work folder, and on phantoms."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from lungseg.commands.nets.run_scans import run_scans
from lungseg.core.fingerprint import digest_of
from lungseg.core.record import read_record
from lungseg.core.shown import many
from lungseg.io.annotations.fold_file import read_asked
from lungseg.io.volumes import volume_file
from lungseg.model.devices import packages, quiet_keras
from lungseg.model.lung_net.network import TUMOUR_WIDTHS, WIDTHS
from lungseg.model.lung_net.opinion import TARGET
from lungseg.model.lung_net.teaching import STEPS, HowToTeach, teach, teach_tumours
from lungseg.model.lung_net.tumours import TARGET as OF_TUMOURS
from lungseg.model.model_record import ModelRecord, save_with_record
from lungseg.ops.grid.blocks import block_factors, block_mean, block_spacing
from lungseg.ops.lungs.in_blocks import BLOCK_MM
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.ops.lungs.opinion.close_up import CLOSE_MM
from lungseg.ops.lungs.opinion.examples import BRIGHTEST_HU, DARKEST_HU, EDGES, Chest
from lungseg.ops.lungs.opinion.painted import EDGE
from lungseg.phantom.by_chance.chests import chest_by_chance
from lungseg.session.settings import CommandOptions
from lungseg.volume import HU, Volume

# A share as it is averaged over blocks, which are rounded down.
WHOLE = HU(255)


@dataclass(frozen=True)
class _Kind:
    """What a lung net and a tumour net differ in.

    Attributes
    ----------
    edge
        Blocks of an example along x, each of `block_mm`.
    phantoms
        How many it learns from, if nothing is said.
    """

    name: str
    target: str
    classes: tuple[str, ...]
    widths: tuple[int, ...]
    edge: int
    block_mm: float
    phantoms: int


_LUNGS = _Kind("lung", TARGET, ("right", "left"), WIDTHS, EDGES[-1], BLOCK_MM, 60)
_TUMOURS = _Kind("tumour", OF_TUMOURS, ("lung",), TUMOUR_WIDTHS, EDGE, CLOSE_MM, 3)


@dataclass(frozen=True, eq=False)
class TaughtScan:
    """A scan with a sound mask, and whose it is."""

    chest: Chest
    patient: str
    scan: str


def teach_lungs(  # noqa: PLR0913 - what it learns from, how, and where to
    work: Path,
    out: Path,
    *,
    tumours: bool = False,
    leave_out: Path | None = None,
    phantoms: int | None = None,
    epochs: int = 30,
    seed: int = 1,
    precision: str = "float32",
    jobs: int = 1,
) -> str:
    """Write a lung net as `out`; what was done, for a person.

    Parameters
    ----------
    work
        A work folder; scans whose lung mask is sound, by its verdict, are learnt from. Its own
        settings stay as they are.
    out
        File of the net.
    tumours
        A tumour net, not a lung net.
    leave_out
        CSV of patients or scans to leave out, so that the net may be judged by them.
    phantoms
        How many chests of chance are learnt from, too; by default 60, or 3 by a tumour net.
    epochs, seed, precision
        See `lungseg.model.lung_net.teaching.HowToTeach`.
    jobs
        Processes for the scans.

    Raises
    ------
    DataError
        If there is nothing to learn from.
    """
    quiet_keras()
    kind = _TUMOURS if tumours else _LUNGS
    unwanted = read_asked(leave_out) if leave_out else set()
    scans = [one for one in _sound_scans(work, jobs) if not unwanted & {one.patient, one.scan}]
    phantoms = kind.phantoms if phantoms is None else phantoms
    click.echo(f"teach    {many(len(scans), 'scan')} and {many(phantoms, 'phantom')}", err=True)
    chests, drawn = [one.chest for one in scans], [_of_phantom(k) for k in range(phantoms)]
    out.parent.mkdir(parents=True, exist_ok=True)
    how, kept = HowToTeach(epochs, seed, precision), out.with_name(f"{out.name}.unfinished")

    def tell(epoch: int, loss: float) -> None:
        click.echo(f"epoch {epoch}/{epochs}  loss {loss:.3f}", err=True)

    if tumours:
        net = teach_tumours([*chests, *drawn], how, kept, tell)
    else:
        net = teach(chests, drawn, how, kept, tell)
    params: dict[str, int | str] = {
        "epochs": epochs, "steps": STEPS, "seed": seed, "phantoms": phantoms,
        "precision": precision,
    }  # fmt: skip
    save_with_record(net, _record_of(scans, params, kind), out)
    patients = many(len({one.patient for one in scans}), "patient")
    return f"{out}  a {kind.name} net, taught on {many(len(scans), 'scan')} of {patients}"


def _record_of(
    scans: list[TaughtScan], params: Mapping[str, int | str], kind: _Kind
) -> ModelRecord:
    """What the net's file says of it."""
    patients = sorted({one.patient for one in scans})
    return ModelRecord(
        target=kind.target,
        classes=list(kind.classes),
        kind="ct",
        network={"network": "lung_net", "widths": list(kind.widths)},
        context=0,
        low=float(DARKEST_HU),
        high=float(BRIGHTEST_HU),
        inside_lungs=False,
        crop_px=kind.edge,
        spacing_mm=[kind.block_mm] * 3,
        table_fingerprint=digest_of([one.scan for one in scans]),
        split_hash=digest_of(patients),
        train_patients=patients,
        validation_patients=[],
        best_epoch=int(params["epochs"]),
        train_scans=sorted(one.scan for one in scans),
        scans_then=len(scans),
        params=dict(params),
        packages=packages(),
    )


def _sound_scans(work: Path, jobs: int) -> Iterator[TaughtScan]:
    session = run_scans(work, ("segment-lungs",), CommandOptions(), jobs)
    for scan, folders in sorted(session.folders().items()):
        if "segment-lungs" not in folders:
            continue
        record = read_record(folders["segment-lungs"])
        if record.facts.get("reasons"):
            click.echo(f"left out {scan}: its lung mask is suspect", err=True)
            continue
        ct = volume_file.read_hu(folders["resample"] / "ct.h5")
        lungs = volume_file.read(folders["segment-lungs"] / "lungs.h5")
        yield TaughtScan(_chest(ct, lungs), record.patient, scan)


def _of_phantom(number: int) -> Chest:
    phantom = chest_by_chance(number)
    return _chest(phantom.ct, phantom.lungs)


def _chest(ct: Volume[HU], lungs: Volume[np.uint8]) -> Chest:
    factors = block_factors(ct.spacing_mm, BLOCK_MM / 2)
    shares = [
        block_mean((lungs.array == side) * WHOLE, factors).astype(np.float32) / WHOLE
        for side in (RIGHT, LEFT)
    ]
    hu = block_mean(np.clip(ct.array, DARKEST_HU, BRIGHTEST_HU), factors)
    spacing_mm = block_spacing(ct.spacing_mm, factors)
    return Chest(hu.astype(np.float32), np.stack(shares).astype(np.float32), spacing_mm)
