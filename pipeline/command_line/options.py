"""Options that several commands take, as decorators for click's commands."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lungseg.core.errors import ConfigError

Command = Callable[..., Any]
_AS_BEFORE = "as in the run before into OUT"

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
"""What comes of a command, for machines."""


def bootstraps_option(of: str, name: str = "bootstraps") -> Callable[[Command], Command]:
    """How many draws the intervals come from; `of` says what is drawn."""
    return click.option(
        "--bootstraps",
        name,
        type=click.IntRange(min=0),
        default=1000,
        show_default=True,
        help=f"Draws of {of}.",
    )


def work_option(command: Command) -> Command:
    """The work folder and the settings: what every command takes."""
    work = click.option(
        "--work",
        type=click.Path(file_okay=False, path_type=Path),
        default=lambda: os.environ.get("LUNGSEG_WORK", "lungseg-work"),
        help="Work folder with all state.  [default: $LUNGSEG_WORK or lungseg-work]",
    )
    return work(_settings_options(command))


def _settings_options(command: Command) -> Command:
    options = [
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="TOML file of settings.  [default: lungseg.toml here or in the work folder]",
        ),
        click.option(
            "--preset",
            default="",
            help="Named settings: small (minutes), lidc-cpu and lidc-gpu (nodules in windows; then "
            "on with -scans), lidc (the whole of LIDC, a GPU), xray (films). Kept, as --set is, "
            "once stages have run with it.",
        ),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="STAGE.NAME=VALUE",
            help="One setting; may be given often; kept as --preset is. `lungseg-cli params` lists "
            "them.",
        ),
        json_option,
        click.option("-v", "--verbose", is_flag=True, help="Log what happens inside."),
    ]
    return with_options(command, options)


def device_option(command: Command) -> Command:
    """What nets run on; it is decided here, before anything imports Keras."""

    def use(_ctx: click.Context, _param: click.Parameter, device: str) -> None:
        if device != "auto":
            from lungseg.model import devices

            devices.use(device)

    return click.option(
        "--device",
        default="auto",
        metavar="auto|cpu|gpu|gpu:N",
        help="What the net runs on.  [default: auto, a GPU where there is one]",
        expose_value=False,
        callback=use,
    )(command)


def run_options(command: Command) -> Command:
    """How to run: what every command that runs stages takes."""
    options = [
        click.option(
            "--scan",
            "scans",
            multiple=True,
            help="Only this scan: its id or an end of it, or a patient or a part of the name.",
        ),
        click.option(
            "--model",
            default="",
            metavar="NAME|FILE|WORK",
            help="Net to predict with, from now on.  [default: the one trained last here]",
        ),
    ]
    return work_option(_engine_options(with_options(command, options)))


def _engine_options(command: Command) -> Command:
    options = [
        click.option(
            "--jobs",
            type=click.IntRange(min=0),
            default=0,
            help="Processes; 1 runs inline.  [default: one a core]",
        ),
        click.option(
            "--scheduler",
            default="",
            metavar="tcp|tls://HOST:PORT",
            help="A running Dask scheduler, whose workers share scans and work folder.",
        ),
        *_tls_options(),
        click.option(
            "--memory-limit",
            default="auto",
            metavar="SIZE",
            help="Memory of one process, e.g. 4GB; it is ended above it.  [default: auto]",
        ),
        click.option(
            "--time-limit",
            type=click.FloatRange(min=0, max=1e7),
            default=0,
            metavar="SECONDS",
            help="A scan that takes longer is ended, as its failure; stages over all scans "
            "(tables, training, scores) take the time they take.  [default: none]",
        ),
        click.option("--force", multiple=True, metavar="STAGE", help="Run this stage again."),
        click.option("--retry", is_flag=True, help="Try again what failed or was skipped before."),
        click.option("--dry-run", is_flag=True, help="Say what would run, and why; run nothing."),
        click.option("--quiet", is_flag=True, help="No progress on stderr."),
    ]
    return with_options(command, options)


def _tls_options() -> list[Command]:
    """Certificates of a cluster; without them, those of Dask's own configuration count."""
    files = {
        "--tls-ca-file": "PEM file of the authority that signed the cluster's certificates.",
        "--tls-cert": "PEM file of our certificate, for --scheduler tls://...",
        "--tls-key": "PEM file of its key.  [default: in --tls-cert]",
    }
    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    return [click.option(name, type=kind, help=text) for name, text in files.items()]


def with_options(command: Command, options: list[Command]) -> Command:
    """The command with these options, in their order."""
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


def sources_option(command: Command) -> Command:
    """Where the scans are."""
    return click.option(
        "--src",
        "roots",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Folder (or file) of scans; may be given often. Remembered; replaces those of before.",
    )(command)


def pairs_option(command: Command) -> Command:
    """Where the pictures and their masks are, for tables of pictures; see `with_pairs`."""
    options = [
        click.option(
            "--images",
            type=click.Path(path_type=Path),
            help="Folder of 2-D pictures to learn lungs from, instead of scans. Remembered.",
        ),
        click.option(
            "--masks",
            type=click.Path(path_type=Path),
            help="Folder of their masks: that of a.png is called a or a_mask.",
        ),
    ]
    return with_options(command, options)


def with_pairs(options: dict[str, Any]) -> dict[str, Any]:
    """`options` with the folders of `pairs_option` as the settings that they stand for.

    Raises
    ------
    ConfigError
        If only one of the two is given.
    """
    pairs = {name: options.pop(name) for name in ("images", "masks")}
    if sum(path is not None for path in pairs.values()) == 1:
        raise ConfigError("--images and --masks go together; for one folder of both name it twice")
    extra = {
        f"build-tables.{name}={path}": f"--{name} {path}" for name, path in pairs.items() if path
    }
    options["assignments"] = (*options["assignments"], *extra)
    options["typed"] = extra
    return options


def hand_out_options(command: Command) -> Command:
    """Scans from anywhere, and a folder for what is made of them: `lungs` and `detect`."""
    options = [
        click.argument(
            "roots", nargs=-1, required=True, metavar="SRC...", type=click.Path(path_type=Path)
        ),
        click.option(
            "--out",
            required=True,
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder for what is written; made if need be.",
        ),
        click.option(
            "--format",
            metavar="nii.gz|nrrd|mha",
            help=f"Format of the masks.  [default: {_AS_BEFORE}; at first nii.gz]",
        ),
        click.option(
            "--dicom/--no-dicom",
            default=None,
            help="DICOM segmentations, and of nodules reports, too, of scans that are DICOM.  "
            f"[default: {_AS_BEFORE}; at first none]",
        ),
        click.option(
            "--work",
            type=click.Path(file_okay=False, path_type=Path),
            help="Work folder for the cache; its own scans and settings stay as they are.  "
            "[default: lungseg-work in OUT]",
        ),
        click.option(
            "--no-cache", is_flag=True, help="Remove lungseg-work in OUT when all is done."
        ),
    ]
    return with_options(_engine_options(_settings_options(command)), options)


def detect_options(command: Command) -> Command:
    """The net and what counts as a nodule: what `detect` takes beside its scans."""
    options = [
        click.option(
            "--model",
            default="",
            metavar="NAME|FILE|WORK",
            help="The net: one of `lungseg-cli models`, a .keras file, or a work folder in which "
            "one was trained.  [default: the one used here before]",
        ),
        click.option(
            "--threshold",
            type=float,
            help="Voxels at least this probable make a mask; candidates without such voxels are "
            "listed, too, if they have voxels down to find-nodules.candidate_threshold.  "
            f"[default: {_AS_BEFORE}; at first 0.5]",
        ),
        click.option(
            "--max-candidates",
            type=int,
            help=f"Of a scan, the likeliest.  [default: {_AS_BEFORE}; at first 100]",
        ),
    ]
    return device_option(with_options(command, options))


def segment_options(command: Command) -> Command:
    """A net, images and how to show them to it: what `segment` takes."""
    options = [
        click.argument(
            "images",
            nargs=-1,
            required=True,
            type=click.Path(path_type=Path),
            metavar="[NET] IMAGES...",
        ),
        click.option("--model", metavar="NAME|FILE|WORK", help="The net.  [default: xray-lungs]"),
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            default="segmented",
            show_default=True,
            help="Folder for masks, probabilities and overlays.",
        ),
        click.option(
            "--fit",
            type=click.Choice(["auto", "resize", "tiles"]),
            default="auto",
            help="Show the net whole images or overlapping tiles.  [default: as it was trained]",
        ),
        click.option(
            "--threshold", type=float, default=0.5, show_default=True, help="Of probability."
        ),
        click.option(
            "--masks",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder of masks drawn by hand: score against them, into scores.json.",
        ),
        click.option(
            "--mask-levels",
            default="auto",
            show_default=True,
            help="Values of these masks that are lung: auto, nonzero, or e.g. 127,255.",
        ),
    ]
    return device_option(with_options(command, options))


def peek_options(command: Command) -> Command:
    """Which rows of the table, and where to: what `peek` takes."""
    options = [
        click.argument("scan", required=False),
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder for the PNGs.  [default: peek in the work folder]",
        ),
        click.option(
            "--every",
            type=click.IntRange(min=1),
            help="One row in so many, and all with a nodule.  [default: about 24 rows]",
        ),
    ]
    return with_options(command, options)


class _NamesEndings(click.Option):
    """An option whose help names the endings of volumes' files that are written."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Its line in the help; what knows the endings is imported when they are asked for."""
        from lungseg.io.volumes.headers import SUFFIXES

        self.help = (self.help or "").format(endings=", ".join(SUFFIXES))
        return super().get_help_record(ctx)


def export_options(command: Command) -> Command:
    """Which volume of which scans, on which grid, and where to: what `export` takes."""
    options = [
        click.option("--scan", help="A scan's id or an end of it, or a patient or a part of one."),
        click.option("--all", "every_scan", is_flag=True, help="Every scan, into the folder OUT."),
        click.option(
            "--what",
            required=True,
            type=click.Choice(
                [
                    *("ct", "lungs", "votes", "nodules", "target", "readings", "probability"),
                    "detections",
                ]
            ),
            help="HU; lungs; readers per voxel; nodules' labels on every voxel any reader drew; "
            "the truth by which detections are scored; what each reader drew (.seg.dcm alone); the "
            "net's answer; nodules it found.",
        ),
        click.option(
            "--grid",
            type=click.Choice(["source", "working"]),
            default="source",
            show_default=True,
            help="The scan's own grid, or the resampled one.",
        ),
        click.option(
            "--out",
            required=True,
            type=click.Path(path_type=Path),
            cls=_NamesEndings,
            help="The file; its ending is its format: {endings}; .seg.dcm (DICOM segmentation); of "
            "detections .sr.dcm (report) and .mrk.json (3D Slicer). With --all a folder.",
        ),
        click.option(
            "--format",
            "ending",
            default="nii.gz",
            show_default=True,
            metavar="ENDING",
            help="With --all, the format: one of those endings, without its first dot.",
        ),
        click.option(
            "--min-readers",
            type=click.IntRange(1, 255),
            help="Of the target: readers of a nodule.  [default: evaluate.min_readers]",
        ),
        click.option(
            "--consensus-level",
            type=click.FloatRange(0, 1, min_open=True),
            help="Of the target: share of them at a voxel.  [default: evaluate.consensus_level]",
        ),
        click.option("--force", is_flag=True, help="Overwrite files that are there already."),
    ]
    return with_options(command, options)
