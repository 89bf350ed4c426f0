"""What the compression of the tables costs: bytes a row, CPU time to write and to read rows.

`python -m bench.compression [TABLES.h5]` writes the rows of a table file (default: one phantom at
1 mm) with every choice, and reads random batches of 16 rows by PyTables and by h5py, as training
does. Plain h5py reads zlib (which HDF5 calls gzip) and what is not compressed; for Blosc it needs
`import hdf5plugin`.
"""

import sys
import tempfile
import time
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - teaches h5py Blosc
import numpy as np
import tables

from bench.tables import BATCH, MS, build, phantom_folders
from lungseg.io.tables.reader import ARRAYS, Tables

ROWS = 160
BATCHES = 40
CHOICES = {
    "blosc-lz4 5, shuffle": tables.Filters(5, "blosc:lz4", shuffle=True, fletcher32=True),
    "blosc-zstd 5, shuffle": tables.Filters(5, "blosc:zstd", shuffle=True, fletcher32=True),
    "zlib 1, shuffle": tables.Filters(1, "zlib", shuffle=True, fletcher32=True),
    "zlib 4, shuffle": tables.Filters(4, "zlib", shuffle=True, fletcher32=True),
    "zlib 9, shuffle": tables.Filters(9, "zlib", shuffle=True, fletcher32=True),
    "zlib 1, no shuffle": tables.Filters(1, "zlib", shuffle=False, fletcher32=True),
    "not compressed": tables.Filters(0, fletcher32=True),
}


def rows_of(path):
    """Rows from all over a table file, by array."""
    with Tables(path) as table:
        rows = np.linspace(0, len(table) - 1, min(ROWS, len(table))).astype(int)
        return {name: table.read(name, rows) for name in ARRAYS}


def written(arrays, filters, path):
    """CPU milliseconds a row to write the arrays, one row a chunk."""
    start = time.process_time()
    with tables.open_file(str(path), "w") as file:
        for name, values in arrays.items():
            file.create_carray(
                "/", name, obj=values, filters=filters, chunkshape=(1, *values.shape[1:])
            )
    return (time.process_time() - start) * MS / len(arrays["image"])


def milliseconds_to_read(get, total):
    """CPU milliseconds for a random batch of all arrays, the median."""
    rng = np.random.default_rng(0)
    took = []
    for _ in range(BATCHES):
        rows = rng.integers(0, total, BATCH)
        start = time.process_time()
        for name in ARRAYS:
            for row in rows:
                get(name, row)
        took.append((time.process_time() - start) * MS)
    return float(np.median(took))


def main():
    with tempfile.TemporaryDirectory(prefix="bench-compression-") as name:
        folder = Path(name)
        source = Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "one" / "tables.h5"
        if len(sys.argv) == 1:
            build(phantom_folders(folder / "cache"), 1, folder / "one")
        arrays = rows_of(source)
        total, size = arrays["image"].shape[:2]
        print(f"{total} rows of {size} x {size}; a batch is {BATCH} rows of all four arrays")
        print(f"{'':<24}{'KiB a row':>10}{'ms to write':>13}{'PyTables ms':>13}{'h5py ms':>10}")
        for choice, filters in CHOICES.items():
            path = folder / "t.h5"
            writing = written(arrays, filters, path)
            # No chunk is found in a cache: a table has a thousand times as many rows.
            with tables.open_file(str(path), CHUNK_CACHE_SIZE=0, CHUNK_CACHE_NELMTS=1) as file:
                by_tables = milliseconds_to_read(
                    lambda name, row, file=file: file.get_node(f"/{name}").read(row, row + 1), total
                )
            with h5py.File(path, rdcc_nbytes=0) as file:
                by_h5py = milliseconds_to_read(lambda name, row, file=file: file[name][row], total)
            kib = path.stat().st_size / total / 1024
            print(f"{choice:<24}{kib:>10.0f}{writing:>13.2f}{by_tables:>13.1f}{by_h5py:>10.1f}")


if __name__ == "__main__":
    main()
