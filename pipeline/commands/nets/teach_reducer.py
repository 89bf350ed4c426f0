"""Teach a net's reducer: on the candidates of the patients that the net was trained on."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from lungseg.commands.nets.run_scans import run_scans
from lungseg.core.errors import ConfigError
from lungseg.core.shown import many
from lungseg.io.annotations.nodule_slices import find_nodule_slices
from lungseg.io.sources.pseudonyms import key_above
from lungseg.model import inference
from lungseg.model.model_record import copy_with_halvings, read_model_record
from lungseg.model.nets import find_net
from lungseg.model.reducer.member import ReducerRecord, attach
from lungseg.model.reducer.network import WIDTH
from lungseg.model.reducer.teaching import Examples, teach, together
from lungseg.session.settings import CommandOptions
from lungseg.steps.reducer_examples import examples_of_scan, examples_of_slices

# What is run on the scans, with the net, for its candidates.
RUN = ("find-nodules", "annotate-nodules")


def teach_reducer(  # noqa: PLR0913 - a net, what it learns from, and how
    name: str,
    *,
    work: Path,
    slices: Path | None,
    out: Path,
    epochs: int = 20,
    seed: int = 1,
    halvings: int | None = None,
    jobs: int = 1,
) -> str:
    """Write the net with a reducer as `out`; what was done, for a person.

    Parameters
    ----------
    name
        The net: a name, a file, or a work folder.
    work
        A work folder; its scans of the net's training patients are predicted if they are not yet,
        and its own settings and net stay as they are.
    slices
        Slices around nodules; those of the net's training patients are taken.
    out
        File of the net with its reducer.
    epochs, seed
        Of the teaching.
    halvings
        How many times the net is also shown scans at half their size, from now on, see the stage
        `predict`; None: as its file says.
    jobs
        Processes for the scans.

    Raises
    ------
    ConfigError
        If there is no such net, or `out` is the net itself.
    DataError
        If there are too few candidates to learn from.
    """
    file = find_net(name)
    if out.exists() and out.resolve() == file.resolve():
        raise ConfigError(f"{out} is the net itself; name another file for the one with a reducer")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        if halvings is not None:
            copy_with_halvings(file, halvings, Path(folder) / file.name)
            file = Path(folder) / file.name
        return _taught(file, work, slices, out, epochs, seed, jobs)


def _taught(  # noqa: PLR0913, PLR0917 - a net, what it learns from, and how
    file: Path, work: Path, slices: Path | None, out: Path, epochs: int, seed: int, jobs: int
) -> str:
    parts = list(_of_scans(work, file, jobs))
    n_scans = len(parts)
    if slices is not None:
        parts += of_training_slices(slices, file)
    examples = together(parts)
    click.echo(
        f"teach    {many(examples.nodules, 'nodule')} and "
        f"{len(examples.target) - examples.nodules} others of "
        f"{many(len(examples.patients), 'patient')}, {many(n_scans, 'whole scan')}",
        err=True,
    )
    reducer = teach(
        examples, epochs, seed,
        tell=lambda epoch, loss: click.echo(f"epoch {epoch}/{epochs}  loss {loss:.3f}", err=True),
    )  # fmt: skip
    attach(file, reducer, told(examples, epochs, seed), examples.patients, examples.scans, out)
    return (
        f"{out}  has a reducer, taught on {many(examples.nodules, 'nodule')} and "
        f"{len(examples.target) - examples.nodules} other candidates of "
        f"{many(len(examples.patients), 'patient')}"
    )


def told(examples: Examples, epochs: int, seed: int, width: int = WIDTH) -> ReducerRecord:
    """What the net's file says of its reducer."""
    return ReducerRecord(
        nodules=examples.nodules,
        others=len(examples.target) - examples.nodules,
        patients=len(examples.patients),
        epochs=epochs,
        seed=seed,
        width=width,
    )


def _of_scans(work: Path, net: Path, jobs: int) -> Iterator[Examples]:
    # The same candidates on any machine, as a net is to be made by anyone.
    told = ("predict.part=train", "predict.mixed_precision=none")
    options = CommandOptions(model=str(net), assignments=told)
    for folders in run_scans(work, RUN, options, jobs).folders().values():
        if {"find-nodules", "annotate-nodules"} <= set(folders):
            examples = examples_of_scan(folders)
            if examples is not None:
                yield examples


def of_training_slices(folder: Path, net: Path) -> Iterator[Examples]:
    """Examples of the slices around nodules of a net's training patients."""
    record = read_model_record(net)
    listed = find_nodule_slices(folder)
    for reason in listed.left_out:
        click.echo(f"left out {reason}", err=True)
    key = key_above(net)
    taught = [
        one for one in listed.nodules if record.part_of(one.patient, one.series, key) == "train"
    ]
    yield from examples_of_slices(taught, inference.load_to_predict(net), record)
