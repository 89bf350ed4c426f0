"""DICOM series with mutated headers, lengths and pixels: what pydicom reads, or a refusal."""

import shutil

import numpy as np

from tests.io.dicom.mutations import base, differs, mutate, ours, read

TRIES = 1500


def test_mutated_series_are_what_pydicom_reads_or_refused(tally, seed, tmp_path):
    kind = tally("mutated DICOM series")
    for number in range(TRIES):
        rng = np.random.default_rng([seed, number])
        folder = tmp_path / str(number)
        told = f"seed {seed} number {number}: {mutate(base(folder, rng), rng)}"
        found = kind.call(told, ours, folder, tmp_path / f"{number}.cache")
        sources, left_out = found or ([], [])
        accounted = sum(len(source.files) for source in sources)
        if found and not sources:
            kind.refused() if left_out else kind.wrong(f"{told}: nothing is said of its files")
        for source in sources:
            given = kind.call(told, read, source, seconds=70)
            if given is None:
                continue
            wrong = differs(source, *given)
            if wrong:
                kind.wrong(f"{told}: {wrong}")
            else:
                kind.right()
        assert accounted <= len(list(folder.iterdir()))
        shutil.rmtree(folder)
