"""A hundred headers with faults: read right by another reader, or refused; thousands in hard."""

import numpy as np
import pytest

from tests.io.volumes.mutated import SUFFIXES, judge, with_fault, written


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_header_with_a_fault_is_read_right_or_refused(tmp_path, suffix):
    rng = np.random.default_rng(2)
    path = written(tmp_path, suffix)
    whole = {file: file.read_bytes() for file in tmp_path.iterdir()}
    verdicts = []
    for number in range(17):
        for file, content in whole.items():
            file.write_bytes(content)
        with_fault(path, rng)
        verdicts.append(judge(path))
        assert verdicts[-1] in {"right", "refused"}, f"{suffix} {number}: {verdicts[-1]}"
    assert {"right", "refused"} == set(verdicts)
