"""Scans of the folders and files that a benchmark names, as `preprocess` would see them."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from lungseg.io.sources.index import find_scans
from lungseg.stages.ingest import Ingest, ct_of_source
from lungseg.stages.resample import Resample, on_working_grid
from lungseg.volume import HU, MaskArray, Volume


def working_scans(paths: Sequence[Path]) -> Iterator[tuple[str, Volume[HU], MaskArray | None]]:
    """Name of its folder or file, HU at 1 mm, and field of view if it has padding, of each scan."""
    for path in paths:
        with tempfile.TemporaryDirectory() as cache:
            sources, _ = find_scans([path], Path(cache))
        for source in sources:
            ct, padding_hu, _ = ct_of_source(source, Ingest())
            padding = float("nan") if padding_hu is None else float(padding_hu)
            working, view = on_working_grid(ct, padding, Resample())
            yield path.name, working, None if view is None else view.array
