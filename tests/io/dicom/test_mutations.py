"""Forty mutated series: each is what pydicom reads, or refused; `make test-hard` does 1,500."""

import numpy as np

from lungseg.core.errors import LungsegError
from tests.io.dicom.mutations import base, differs, mutate, ours, read


def test_a_mutated_series_is_what_pydicom_reads_or_refused(tmp_path):
    equal = refused = 0
    for number in range(40):
        rng = np.random.default_rng([14, number])
        folder = tmp_path / str(number)
        told = mutate(base(folder, rng), rng)
        sources, left_out = ours(folder, tmp_path / f"{number}.cache")
        used = {file for source in sources for file in source.files}
        assert used or left_out, told
        refused += not sources
        for source in sources:
            try:
                ct, facts = read(source)
            except LungsegError:
                refused += 1
            else:
                assert differs(source, ct, facts) == "", f"{number}: {told}"
                equal += 1
    assert equal > 10
    assert refused > 10
