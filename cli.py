"""The command line: arguments in, one library call, output.

Nothing heavy is imported until a command runs, so that `--help` answers at once.
"""

import sys
from pathlib import Path
from typing import Any

import click

from lungseg.command_line.command_group import EXIT_STATUS, Command, CommandGroup
from lungseg.command_line.models import models
from lungseg.command_line.options import (
    detect_options,
    device_option,
    export_options,
    hand_out_options,
    json_option,
    pairs_option,
    peek_options,
    run_options,
    segment_options,
    sources_option,
    with_pairs,
    work_option,
)
from lungseg.command_line.report import report, report_option
from lungseg.command_line.scoring import compare, froc
from lungseg.core.errors import ConfigError
from lungseg.core.json_file import json_text


@click.group(
    cls=CommandGroup, epilog=EXIT_STATUS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="lungseg-cli", prog_name="lungseg-cli")
def main() -> None:
    """From a folder of raw chest CT to trained nodule segmentation and scored detections.

    The four commands run their stages and whatever is missing before them; every output is
    cached in the work folder under a key of everything that made it.
    """


@main.command()
@sources_option
@click.option("--pictures", is_flag=True, help="A PNG a scan into WORK/results/pictures.")
@run_options
def preprocess(roots: tuple[Path, ...], pictures: bool, **options: Any) -> None:
    """Read, resample, find lungs, mark nodules: scan by scan, in parallel."""
    from lungseg.commands.run_stages import how_to_run
    from lungseg.commands.run_stages import preprocess as run

    session = _session(options, roots, look=True)
    sys.exit(run(session, how_to_run(options), pictures=pictures))


@main.command("build-tables")
@pairs_option
@run_options
def build_tables(**options: Any) -> None:
    """Crop to the lungs, tabulate into one HDF5 file, split by patient."""
    sys.exit(_run(_session(with_pairs(options)), "build-tables", options))


@main.command()
@pairs_option
@device_option
@run_options
def train(**options: Any) -> None:
    """Train the net on the tables, on a GPU where there is one."""
    sys.exit(_run(_session(with_pairs(options)), "train", options))


@main.command()
@device_option
@report_option
@run_options
def postprocess(**options: Any) -> None:
    """Predict, find nodules, score them, in each scan's own coordinates."""
    sys.exit(_run(_session(options), "postprocess", options))


@main.command()
@hand_out_options
@click.option(
    "--pictures/--no-pictures",
    default=None,
    help="A picture of every scan, too.  [default: as in the run before into OUT; at first none]",
)
@report_option
def lungs(roots: tuple[Path, ...], **options: Any) -> None:
    """Find the lungs of any scans: a mask each, and one table, in the folder OUT.

    SRC are files and folders of chest CT, mixed: DICOM, NIfTI, MetaImage, NRRD.
    """
    from lungseg.commands.own_scans.lungs import lungs as run

    sys.exit(run(roots, options))


@main.command()
@hand_out_options
@detect_options
@report_option
def detect(roots: tuple[Path, ...], **options: Any) -> None:
    """Find nodules in any scans with a trained net: masks, lists, pictures, in the folder OUT.

    SRC are files and folders of chest CT, mixed: DICOM, NIfTI, MetaImage, NRRD.
    """
    from lungseg.commands.own_scans.detect import detect as run

    sys.exit(run(roots, options))


main.add_command(models)
main.add_command(froc)
main.add_command(compare)
main.add_command(report)


class _OneStage(Command):
    """A command whose help lists the stages."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from lungseg.flow import FLOW

        with formatter.section("Stages"):
            formatter.write_dl([(stage.name, stage.help) for stage in FLOW])


@main.command("run", cls=_OneStage)
@click.argument("stage")
@sources_option
@device_option
@run_options
def run_stage(stage: str, roots: tuple[Path, ...], **options: Any) -> None:
    """Run one STAGE, and what it needs and is not there yet."""
    sys.exit(_run(_session(options, roots), stage, options))


@main.command()
@json_option
def stages(as_json: bool) -> None:
    """List the stages: what each needs and does."""
    from lungseg.flow import FLOW

    rows = [
        {"name": s.name, "version": s.version, "needs": list(s.needs), "help": s.help} for s in FLOW
    ]
    if as_json:
        click.echo(json_text({"stages": rows}))
        return
    for stage in FLOW:
        click.echo(f"{stage.name:<17} version {stage.version}  {stage.help}")
        click.echo(f"{'':<17} needs {', '.join(stage.needs) or 'the source files'}")


@main.command()
@click.option(
    "--reset",
    is_flag=False,
    flag_value="",
    metavar="[STAGE[.NAME]]",
    help="Forget what was set: of a stage, one value, or without a name all.",
)
@click.option("--why", is_flag=True, help="Only what is not at its default, and who said so.")
@work_option
def params(reset: str | None, why: bool, **options: Any) -> None:
    """Print all parameters, as they now stand, as commented TOML; with --set, keep them so."""
    from lungseg.commands.own_scans.again import session_at, work_named
    from lungseg.commands.run_stages import bring_up_to_date
    from lungseg.core.config import to_toml
    from lungseg.core.stage import as_dict
    from lungseg.flow import FLOW
    from lungseg.session import messages
    from lungseg.session.kept import reset_kept

    told = options["assignments"] or options["preset"] or options["config"]
    work = options["work"] if told else work_named(options)
    if reset is not None:
        reset_kept(work, reset)
        click.echo(f"forgotten: {reset or 'everything that was set'}", err=True)
        bring_up_to_date(session_at(options))
        return
    session = session_at(options) if work.is_dir() else _session(options)
    session.keep()
    if told:
        bring_up_to_date(session)
    if why:
        click.echo(messages.differences_text(session.differences()))
    elif options["as_json"]:
        click.echo(json_text({name: as_dict(p) for name, p in session.settings.items()}))
    else:
        click.echo(to_toml(FLOW, session.settings))


@main.command()
@work_option
def status(**options: Any) -> None:
    """Say what is done, what is not and why, which settings and net hold, and where results lie.

    --work may also name a folder that `lungs` or `detect` wrote to.
    """
    from lungseg.commands.own_scans.again import session_at, stages_at
    from lungseg.commands.run_stages import status as told

    session, stages = session_at(options), stages_at(options)
    click.echo(told(session, as_json=options["as_json"], stages=stages))


@main.command()
@work_option
def verify(**options: Any) -> None:
    """Check every output: records against files, arrays readable, counts that add up."""
    from lungseg.commands.own_scans.again import work_named
    from lungseg.commands.verify import verify as check

    faults = check(work_named(options))
    if options["as_json"]:
        click.echo(json_text(faults.as_dict()))
    else:
        click.echo(faults.as_text())
    sys.exit(1 if faults.faults else 0)


@main.command()
@export_options
@work_option
def export(out: Path, every_scan: bool, ending: str, scan: str | None, **options: Any) -> None:
    """Write a volume of a scan, or of every scan: NIfTI, NRRD, MetaImage, or a DICOM object."""
    from lungseg.commands.own_scans.again import session_at
    from lungseg.commands.sharing.export import export as write
    from lungseg.commands.sharing.export import export_all
    from lungseg.commands.sharing.wanted import Wanted

    names = ("what", "grid", "force", "min_readers", "consensus_level")
    wanted = Wanted(**{name: options.pop(name) for name in names})
    if every_scan == (scan is not None):
        raise ConfigError("name one scan with --scan, or take --all")
    session = session_at({**options, "scans": (scan,) if scan else ()})
    if not every_scan:
        click.echo(write(session, wanted, out))
        return
    done = export_all(session, wanted, out, ending)
    click.echo("\n".join(done.lines))
    sys.exit(1 if done.failed else 0)


@main.command()
@peek_options
@work_option
def peek(scan: str | None, out: Path | None, every: int | None, **options: Any) -> None:
    """Write PNGs of the table's rows with their masks: what the net will see.

    SCAN is an id, the end of one, or a patient; without it, rows from all over the table.
    """
    from lungseg.commands.own_scans.again import session_at
    from lungseg.commands.peek import peek as write
    from lungseg.core.errors import DataError

    session = session_at(options)
    session.check_scans()
    folder = session.dataset_folder("build-tables")
    if folder is None:
        raise DataError(
            "there is no table with these settings; `lungseg-cli build-tables` makes it"
        )
    for path in write(folder / "tables.h5", scan, out or session.work / "peek", every=every):
        click.echo(path)


@main.command()
@segment_options
def segment(
    model: str | None,
    images: tuple[Path, ...],
    out: Path,
    masks: Path | None,
    mask_levels: str,
    **how: Any,
) -> None:
    """Segment IMAGES (pictures, DICOM X-rays or slices, or folders of them) with a trained net.

    Without --model it is the package's own net of lungs on X-rays. A net's file or a work folder
    may also stand before the images.
    """
    from lungseg.commands.segment_images import net_and_images, segment_images
    from lungseg.io.pictures.single_images import find_images
    from lungseg.ops.grid.mask_levels import levels_of

    levels_of(mask_levels)
    net, places = net_and_images(model, images)
    results = segment_images(net.file, find_images(places), out, **how)
    for one in results:
        told = one.error or f"{one.share:.1%} marked, {one.ms:.0f} ms, {one.files['mask']}"
        click.echo(f"{one.image}  {told}")
    if masks:
        from lungseg.commands.score_images import as_text, score_images

        click.echo(as_text(score_images(results, masks, net.file, out, mask_levels=mask_levels)))
    click.echo(f"net  {net.file} ({net.origin})")
    sys.exit(1 if any(one.error for one in results) else 0)


@main.command()
@click.argument("what", type=click.Choice(["lidc"]))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="data_manifests")
@click.option("--luna16", type=click.Path(exists=True, path_type=Path), help="LUNA16's CSV files.")
def manifest(what: str, out: Path, luna16: Path | None) -> None:
    """Write what is known of a public data set (WHAT: lidc) as small CSV files."""
    from lungseg.commands.manifest import write_manifest

    for name, rows in write_manifest(out, luna16=luna16).items():
        click.echo(f"{out / name}  {rows} rows of {what}")


@main.command()
@click.option("--yes", is_flag=True, help="Do it; otherwise only say what would go.")
@click.option("--models", is_flag=True, help="Nets and scores, too; never the current net.")
@work_option
def prune(yes: bool, models: bool, **options: Any) -> None:
    """Remove outputs that the present settings and scans do not use.

    --work may also name a folder that `lungs` or `detect` wrote to.
    """
    from lungseg.commands.own_scans.again import session_at, sessions_of_others
    from lungseg.commands.prune import prune as remove

    others = list(sessions_of_others(options))
    pruned = remove(session_at(options), really=yes, models=models, others=others)
    click.echo(json_text(pruned.as_dict()) if options["as_json"] else pruned.as_text())


@main.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("lungseg-demo"),
    show_default=True,
    help="Folder for the phantoms, the work folder and the pictures.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True)
@report_option
def demo(out: Path, jobs: int, with_report: bool, viewer: bool) -> None:
    """Make phantoms of real LIDC scans and take them through all four commands."""
    from lungseg.commands.demo import run_demo

    sys.exit(run_demo(out, jobs, click.echo, with_report=with_report or viewer, viewer=viewer))


def _session(options: dict[str, Any], roots: tuple[Path, ...] = (), *, look: bool = False) -> Any:
    from lungseg.commands.own_scans.again import check_no_hand_out
    from lungseg.commands.run_stages import session_of

    check_no_hand_out(options["work"])
    return session_of(options, roots, look=look)


def _run(session: Any, command: str, options: dict[str, Any]) -> int:
    from lungseg.commands.run_stages import how_to_run, run_stages

    return run_stages(session, command, how_to_run(options))


if __name__ == "__main__":
    main(prog_name="lungseg-cli")
