"""How much of lung without air the lung net adds to masks, and how much fluid and tissue.

    python -m bench.lung_net [--net FILE] [SCAN ...] [--scores scores.json]

Masks of the stage on phantoms (named cases, of a seed that no net is taught on) and on the scans
named, sound ones, with a lobe turned solid or collapsed, or fluid put behind a lung, each side by
itself. Every scan is shown with `second_opinion` never and always. `--scores` writes what
`models pack` takes.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from bench.airless_lung import KINDS, SOLID_HU, without_air
from bench.on_working_grid import working_scans
from lungseg.model.shipping.card import Score, Scores
from lungseg.ops.lungs.left_right import LEFT, RIGHT, Sides
from lungseg.phantom.cases import CASES, case, organ
from lungseg.stages.segment_lungs import SegmentLungs, segment
from lungseg.volume import HU, MaskArray, Volume

SEED = 5
FLUID_HU = 10.0
SHOWN = {"sound", "consolidation", "collapse", "effusion", "tumour"}


@dataclass(frozen=True)
class Row:
    """Shares of a part in the mask without and with the net, and what the net added elsewhere.

    Attributes
    ----------
    wrong_ml
        Volume that the net added and that is no lung.
    """

    scan: str
    kind: str
    before: float
    after: float
    wrong_ml: float


def main() -> None:
    options = _options()
    rows = []
    for row in chain(_of_phantoms(options.net), _of_scans(options.scans, options.net)):
        rows.append(row)
        print(f"{row.scan:30} {row.kind:34} {row.before:.2f} -> {row.after:.2f}"
              f"  wrong {row.wrong_ml:4.0f} ml", flush=True)  # fmt: skip
    by_kind: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        of = "phantoms" if row.scan == "phantom" else "scans"
        by_kind[of, _group(row.kind)].append(row)
    print()
    measured = []
    for (of, kind), group in by_kind.items():
        after = [row.after for row in group]
        print(f"{of:9} {kind:24} {len(group):3}: {np.mean([r.before for r in group]):.2f} -> "
              f"{np.mean(after):.2f} (least {min(after):.2f}), wrong "
              f"{np.mean([r.wrong_ml for r in group]):.0f} ml, at most "
              f"{max(r.wrong_ml for r in group):.0f}")  # fmt: skip
        # Of few cases, the range is told where others have an interval.
        low, high = (float(np.round(end(after), 3)) for end in (min, max))
        measured.append(
            Score(name=f"share inside: {kind}", of=f"{len(group)} {of}",
                  value=float(np.round(np.mean(after), 3)), cases=len(group), low=low, high=high)
        )  # fmt: skip
    if options.scores:
        scores = Scores(
            net="Scored was this net, on scans of patients that it did not learn from, each as it "
            "is and made ill on a computer in sixteen ways, and on phantoms of another seed; a "
            "chest made ill is no ill chest.",
            intervals="Bounds: the least and the largest of the cases.",
            measured=measured,
        )
        options.scores.write_text(json.dumps(asdict(scores), indent=1) + "\n")


def _options() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("scans", nargs="*", type=Path)
    arguments.add_argument("--net", default="", help="default: the one that comes with the package")
    arguments.add_argument("--scores", type=Path)
    return arguments.parse_args()


def _group(kind: str) -> str:
    for word, group in (
        ("effusion", "fluid"), ("collapse", "collapsed lobes"), ("lung on", "sound lungs"),
        ("tumour", "tumours"),
    ):  # fmt: skip
        if word in kind:
            return group
    return "solid lobes"


def _labels(ct: Volume[HU], view: MaskArray | None, net: str, when: str) -> Sides:
    """The mask with the net asked `when`."""
    return segment(ct, view, SegmentLungs(second_opinion=when, lung_net=net))[0].array


def _masks(ct: Volume[HU], view: MaskArray | None, net: str) -> tuple[MaskArray, MaskArray]:
    """The mask without and with the net."""
    return _labels(ct, view, net, "never") > 0, _labels(ct, view, net, "always") > 0


def _of_phantoms(net: str) -> Iterator[Row]:
    for name in CASES:
        if name.partition("-")[0] not in SHOWN:
            continue
        phantom = case(name, seed=SEED)
        before, after = _masks(phantom.ct, None, net)
        lung = phantom.lungs.array > 0
        added = after & ~before
        wrong_ml = np.count_nonzero(added & ~lung) * phantom.ct.voxel_ml
        if "effusion" in name:
            parts = {name: organ(phantom, "effusion")}
        elif "tumour" in name:
            words = name.split("-")
            kinds = (f"tumour {words[1]} {words[2]}", f"tumour {words[3]} {words[4]}")
            parts = {kind: phantom.nodules.array == k for k, kind in enumerate(kinds, 1)}
        elif name.startswith("sound"):
            parts = {f"lung on {name.partition('-')[2] or '2'} mm": lung}
        else:
            parts = {name.replace("-", " "): phantom.airless.array > 0}
        for kind, part in parts.items():
            yield Row("phantom", kind, before[part].mean(), after[part].mean(), wrong_ml)


def _of_scans(paths: list[Path], net: str) -> Iterator[Row]:
    for name, working, view in working_scans(paths):
        yield from _made_ill(name, working, view, net)


def _made_ill(name: str, ct: Volume[HU], view: MaskArray | None, net: str) -> Iterator[Row]:
    labels = _labels(ct, view, net, "never")
    lung, after = labels > 0, _labels(ct, view, net, "always") > 0
    wrong_ml = np.count_nonzero(after & ~lung) * ct.voxel_ml
    yield Row(name, "lung on its own", 1.0, after[lung].mean(), wrong_ml)
    for kind in KINDS:
        fluid = "effusion" in kind
        for side, word in ((RIGHT, "right"), (LEFT, "left")):
            made = without_air(ct, labels, kind, (side,), FLUID_HU if fluid else SOLID_HU)
            if made is None:
                continue
            ill, left = made
            part = lung & (left == 0)
            before, after = _masks(ill, view, net)
            added = after & ~before
            wrong = added & (~lung | part if fluid else ~lung)
            yield Row(
                name, f"{kind}, {word}", before[part].mean(), after[part].mean(),
                np.count_nonzero(wrong) * ct.voxel_ml,
            )  # fmt: skip


if __name__ == "__main__":
    main()
