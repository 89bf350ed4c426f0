"""Peek: rows of the table as pictures, so that a person sees what the net will see."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import ConfigError
from lungseg.core.shown import many
from lungseg.io.pictures.png import write_sheet
from lungseg.io.tables.reader import Records, Tables
from lungseg.io.tables.schema import decoded
from lungseg.ops.overlay import LUNG_WINDOW_HU, Panel, outlined, outlines, windowed
from lungseg.steps.picture_table import KIND

COLUMNS = 4
PER_SHEET = 12
ROWS_SHOWN = 24
GREY_WINDOW = (0.0, 255.0)

Rows = npt.NDArray[np.int64]


def peek(
    tables: Path,
    scan: str | None,
    out: Path,
    *,
    every: int | None = None,
    window_hu: tuple[float, float] = LUNG_WINDOW_HU,
) -> list[Path]:
    """Write sheets of rows with the outlines of their masks, and return the names of the PNGs.

    Parameters
    ----------
    tables
        The file ``tables.h5``.
    scan
        A scan's id, the end of one, or a patient; None for rows from the whole file.
    out
        Folder for the PNGs; it is made if it is not there.
    every
        Show every n-th row, and all rows that hold a nodule; None shows about 24 rows, half of
        them with nodules if there are enough.
    window_hu
        HU shown as black and as white; pictures are shown with all their greys.

    Raises
    ------
    ConfigError
        If there is no such scan.
    DataError
        If the file is no table file.
    """
    with Tables(tables) as table:
        wanted = _wanted(table, scan)
        rows = _chosen(wanted, table.slices, every)
        window = GREY_WINDOW if table.attributes["kind"] == KIND else window_hu
        out.mkdir(parents=True, exist_ok=True)
        name = _file_name(scan or "rows")
        written = []
        for number, start in enumerate(range(0, len(rows), PER_SHEET), 1):
            panels = list(_panels(table, rows[start : start + PER_SHEET], window))
            lines = [panels[k : k + COLUMNS] for k in range(0, len(panels), COLUMNS)]
            path = out / f"{name}-{number:02}.png"
            write_sheet(lines, _title(table, scan, rows, wanted), path)
            written.append(path)
    return written


def _wanted(table: Tables, scan: str | None) -> Rows:
    if scan is None:
        return np.arange(len(table))
    scans, patients = decoded(table.scans["scan"]), decoded(table.scans["patient"])
    by_id = [k for k, name in enumerate(scans) if name == scan]
    by_end = [k for k, name in enumerate(scans) if name.endswith(scan) or patients[k] == scan]
    found = by_id or by_end
    if not found or not scan:
        raise ConfigError(
            f"no scan or patient {scan!r} in {table.path}; it holds {many(len(scans), 'scan')}, "
            f"the first is {scans[0]} of patient {patients[0]}"
        )
    return np.flatnonzero(np.isin(table.slices["scan_row"], found))


def _chosen(wanted: Rows, slices: Records, every: int | None) -> Rows:
    nodule = wanted[slices["nodule_mm2_1"][wanted] > 0]
    if every is not None:
        return np.union1d(nodule, wanted[:: max(1, every)])
    # Half of the sheets for nodules, so that the rest of the scan is seen too.
    others = np.setdiff1d(wanted, nodule)
    some = nodule[_spread(len(nodule), ROWS_SHOWN - min(len(others), ROWS_SHOWN // 2))]
    return np.union1d(some, others[_spread(len(others), ROWS_SHOWN - len(some))])


def _spread(n: int, most: int) -> Rows:
    """At most `most` indices below `n`, evenly spaced, each from the middle of its stretch."""
    count = min(n, most)
    return ((np.arange(count) + 0.5) * n / max(count, 1)).astype(np.int64)


def _panels(table: Tables, rows: Rows, window: tuple[float, float]) -> Iterator[Panel]:
    images = table.read("image", rows)
    lungs, votes = table.read("lungs", rows), table.read("votes", rows)
    for row, image, lung, vote in zip(rows, images, lungs, votes, strict=True):
        of_row = table.slices[row]
        words = f"row {row}  z {of_row['z_mm']:.1f} mm"
        if of_row["nodule_mm2_1"]:
            words += f"  nodule {of_row['nodule_mm2_1']:.0f}, target {of_row['target_mm2']:.0f} mm2"
        yield Panel(outlined(windowed(image, window), outlines(lung, vote)), words)


def _title(table: Tables, scan: str | None, rows: Rows, wanted: Rows) -> str:
    shown = f"{len(rows)} of {len(wanted)} rows, {table.size} x {table.size}"
    if scan is None:
        return f"{table.path.name}: {shown}, {many(len(table.scans), 'scan')}"
    first = table.slices[wanted[0]]
    patient, name = decoded([first["patient"], first["scan"]])
    truth, verdict = decoded([first["truth"], first["verdict"]])
    return f"{patient}  ...{name[-24:]}  truth {truth}  lungs {verdict}\n{shown}"


def _file_name(scan: str) -> str:
    # An id may hold a slash or a colon; a file's name may not.
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in scan) or "rows"
