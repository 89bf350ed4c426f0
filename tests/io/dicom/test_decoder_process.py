"""The process that decodes: GDCM where pydicom cannot, and answers that nothing gets into."""

import json
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from lungseg.io.dicom import decoder_process
from tests.io.dicom.dicom_files import dataset, save, write_enhanced

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("kind", [np.int16, np.uint16])
def test_gdcm_gives_the_values_of_each_file_as_they_are_signed(tmp_path, kind):
    limits = np.iinfo(kind)
    for name in "ab":
        stored = RNG.integers(limits.min, limits.max, (8, 9)).astype(kind)
        ds = dataset(stored)
        ds.compress(RLELossless)
        pixels = decoder_process._by_gdcm(str(save(ds, tmp_path / name)), 0)
        assert pixels.dtype == kind
        np.testing.assert_array_equal(pixels, stored)


def test_gdcm_gives_each_frame(tmp_path):
    stored = RNG.integers(0, 3000, (3, 8, 9)).astype(np.uint16)
    path = write_enhanced(tmp_path / "e", stored, [[0, 0, z] for z in range(3)])
    ds = pydicom.dcmread(path)
    ds.compress(RLELossless)
    save(ds, path)
    for k in (1, 0, 2):
        np.testing.assert_array_equal(decoder_process._by_gdcm(str(path), k), stored[k])


def test_what_a_decoder_prints_does_not_get_into_the_answer():
    noisy = """
import os
import numpy as np
from lungseg.io.dicom import decoder_process

def decode(path, frame):
    os.write(1, b"noise")
    os.write(2, b"noise")
    return np.arange(4, dtype=">u2").reshape(2, 2)

decoder_process._by_pydicom = decode
decoder_process.main()
"""
    told = subprocess.run(
        [sys.executable, "-c", noisy],
        input=b'{"path": "a.dcm", "frame": 0, "syntax": ""}\n',
        capture_output=True,
        check=True,
    )
    head, _, pixels = told.stdout.partition(b"\n")
    assert json.loads(head) == {"dtype": "<u2", "shape": [2, 2]}
    assert pixels == b"\0\0\1\0\2\0\3\0"
    assert told.stderr == b""
