"""Teach and judge a reducer, cross-validated over whole scans; then give it to a net.

    python -m bench.reducer SCANS... --net fold0.keras --net fold1.keras --slices NODULES \
        --work scans-work --of nodules.keras --out nodules-with-reducer.keras --json scores.json \
        --halvings 1

Each scan's candidates are those of the first net named that has not seen its patient. For each net
a reducer is taught on the candidates of the other nets' scans and on the slices around nodules of
the training patients of `--of`, and judges this net's scans, of whose patients it has seen nothing:
the curves before and after are printed. The reducer that is given to `--of` learns from all of
them. With `--halvings` all nets are shown the scans at half their size, too, and the net that is
written is so from then on. The JSON is one that `lungseg-cli models calibrate` takes. Minutes on
two cores once the scans are predicted.
"""

import argparse
from pathlib import Path

import numpy as np

from bench import lungseg
from bench.whole_scans import assigned, folders_of, scores, told, write_all
from lungseg.commands.nets.teach_reducer import of_training_slices
from lungseg.commands.nets.teach_reducer import told as told_of_reducer
from lungseg.model.model_record import copy_with_halvings
from lungseg.model.reducer.member import attach
from lungseg.model.reducer.teaching import Examples, teach, together
from lungseg.ops.scores.counts import Tally
from lungseg.ops.scores.detection import ScoredCandidates
from lungseg.stages.evaluate import Evaluate, score_scan, score_settings
from lungseg.steps.reducer_examples import examples_of_scan


def main() -> None:
    options = _options()
    if options.halvings is not None:
        options.net = [_with_halvings(net, options) for net in options.net]
        options.of = _with_halvings(options.of, options)
    how = [f"--work={options.work}", f"--jobs={options.jobs}", "--quiet"]
    lungseg("preprocess", *(f"--src={path}" for path in options.scans), *how)
    nets = assigned(options.work, options.net)
    of_scans: dict[Path, list[Examples]] = {}
    for net, scans in nets.items():
        chosen = [f"--scan={scan}" for scan in scans]
        lungseg("run", "reduce-false-positives", f"--model={net}", *chosen, *how)
        done = folders_of(options.work, net, (), scans)
        of_scans[net] = [part for scan in scans if (part := examples_of_scan(done[scan]))]
    of_slices = list(of_training_slices(options.slices, options.of))
    by_net, tally, params, settings = [], Tally(), Evaluate(), {}
    for net, scans in nets.items():
        others = [part for other, parts in of_scans.items() if other != net for part in parts]
        file = options.out.with_name(f"{net.stem}-with-reducer.keras")
        _taught([*of_slices, *others], net, options, file)
        chosen = [f"--scan={scan}" for scan in scans]
        lungseg("run", "reduce-false-positives", f"--model={file}", *chosen, *how)
        done = folders_of(options.work, file, (), scans)
        by_net.append([score_scan(params, scan, "test", done[scan], tally) for scan in scans])
        settings = score_settings(done[scans[-1]])
    earlier = [scan.hits_before for group in by_net for scan in group]
    before = ScoredCandidates(earlier).froc()
    cpm = np.mean(before.at())
    print(f"before: CPM {cpm:.3f}", *(f"{value:.3f}" for value in before.at()))
    document, curve = scores(params, by_net, tally, settings)
    print("\n".join(told(document)))
    if options.json:
        write_all(document, curve, options.json, before)
    everything = [*of_slices, *(part for parts in of_scans.values() for part in parts)]
    file = _taught(everything, options.of, options, options.out)
    print(f"{file}  {file.stat().st_size} bytes")


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("scans", nargs="+", type=Path)
    arguments.add_argument("--net", action="append", required=True, type=Path)
    arguments.add_argument("--slices", required=True, type=Path)
    arguments.add_argument("--of", required=True, type=Path, help="the net that gets the reducer")
    arguments.add_argument("--out", required=True, type=Path)
    arguments.add_argument("--work", type=Path, default=Path("whole-scans-work"))
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--epochs", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--halvings", type=int, help="default: as the nets' files say")
    arguments.add_argument("--jobs", type=int, default=1)
    return arguments.parse_args()


def _with_halvings(net: Path, options: argparse.Namespace) -> Path:
    """A copy of a net beside the new one, shown scans at half their size as often as asked."""
    copy: Path = options.out.with_name(f"{net.stem}-halved.keras")
    copy_with_halvings(net, options.halvings, copy)
    return copy


def _taught(parts: list[Examples], net: Path, options: argparse.Namespace, file: Path) -> Path:
    """`net` with a reducer taught on `parts`, as `file`."""
    examples = together(parts)
    reducer = teach(
        examples, options.epochs, options.seed,
        tell=lambda epoch, loss: print(f"  {net.name} epoch {epoch} loss {loss:.3f}", flush=True),
    )  # fmt: skip
    record = told_of_reducer(examples, options.epochs, options.seed)
    attach(net, reducer, record, examples.patients, examples.scans, file)
    return file


if __name__ == "__main__":
    main()
