"""NIfTI, NRRD and MetaImage with faults in their headers: right by another reader, or refused."""

import shutil

import pytest

from tests.io.volumes.mutated import SUFFIXES, judge, with_fault, written

TRIES = 350


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_header_with_a_fault_is_read_right_or_refused(tally, rng, tmp_path, suffix):
    kind = tally("headers of NIfTI, NRRD, MetaImage")
    sound = tmp_path / "sound"
    sound.mkdir()
    written(sound, suffix)
    for number in range(TRIES):
        folder = tmp_path / "try"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sound, folder)
        path = folder / f"scan{suffix}"
        with_fault(path, rng)
        verdict = kind.call(f"{suffix} {number}", judge, path, seconds=20)
        if verdict == "right":
            kind.right()
        elif verdict == "refused":
            kind.refused()
        elif verdict is not None:
            kind.wrong(f"{suffix} {number}: {verdict}")
            shutil.copytree(folder, tmp_path / f"wrong{number}", dirs_exist_ok=True)
