"""Decoding goes on whatever a damaged stream does to the decoder."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from lungseg.core.errors import NotProvenError, ScanError
from lungseg.io.dicom.decoder import Decoder
from lungseg.io.dicom.pixels import slice_hu
from tests.io.dicom.dicom_files import dataset, save

STORED = np.arange(64, dtype=np.uint16).reshape(8, 8)


@pytest.fixture
def decoder():
    decoder = Decoder(slowest_s=20)
    yield decoder
    decoder.close()


@pytest.fixture
def path(tmp_path):
    ds = dataset(STORED)
    ds.compress(RLELossless)
    return save(ds, tmp_path / "a.dcm")


def test_a_process_that_died_between_slices_is_started_again(decoder, path):
    np.testing.assert_array_equal(decoder.decode(path, 0, "RLE"), STORED)
    os.kill(decoder._process.pid, signal.SIGKILL)
    decoder._process.wait()
    with pytest.raises(NotProvenError, match=r"undecodable: .*a.dcm .*it ended by itself"):
        decoder.decode(path, 0, "RLE")
    np.testing.assert_array_equal(decoder.decode(path, 0, "RLE"), STORED)


def test_a_decoder_that_crashes_or_hangs_costs_its_file_alone(decoder, path, monkeypatch):
    running = decoder._running

    def crashing(signal_sent):
        def run():
            process = running()
            os.kill(process.pid, signal_sent)
            return process

        return run

    np.testing.assert_array_equal(decoder.decode(path, 0, "RLE"), STORED)
    monkeypatch.setattr(decoder, "_running", crashing(signal.SIGSTOP))
    monkeypatch.setattr(decoder, "_slowest_s", 0.2)
    with pytest.raises(NotProvenError, match=r"undecodable: .*did not end in time"):
        decoder.decode(path, 0, "RLE")
    monkeypatch.undo()
    np.testing.assert_array_equal(decoder.decode(path, 0, "RLE"), STORED)


def test_threads_get_their_own_pixels(decoder, path, tmp_path):
    ds = dataset(STORED + np.uint16(1000))
    ds.compress(RLELossless)
    files = [path, save(ds, tmp_path / "b.dcm")]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda k: decoder.decode(files[k % 2], 0, "RLE"), range(60)))
    for k, pixels in enumerate(found):
        np.testing.assert_array_equal(pixels, STORED + np.uint16(1000 * (k % 2)))


def test_a_fork_neither_uses_nor_ends_the_process_of_its_parent(decoder, path):
    np.testing.assert_array_equal(decoder.decode(path, 0, "RLE"), STORED)
    parents = decoder._process
    decoder._owner += 1  # what a fork sees: the owner is another process
    decoder.close()
    assert parents.poll() is None
    decoder._process = parents
    np.testing.assert_array_equal(decoder.decode(path, 0, "RLE"), STORED)
    assert decoder._process is not parents
    parents.kill()
    parents.wait()
    parents.stdin.close()
    parents.stdout.close()


@pytest.mark.data
def test_a_damaged_jpeg_that_aborts_gdcm_is_refused(data, decoder, tmp_path, path):
    (whole,) = (data / "odd/cornerstone_ts").glob("*JPEGProcess10_12*")
    damaged = bytearray(whole.read_bytes())
    start = damaged.index(b"\xe0\x7f\x10\x00") + 40
    rng = np.random.default_rng(0)
    damaged[start + 60 :] = rng.integers(0, 255, len(damaged) - start - 60, np.uint8).tobytes()
    (tmp_path / "damaged.dcm").write_bytes(damaged)
    with pytest.raises(ScanError, match=r"undecodable: .*damaged.dcm .*the decoder crashed"):
        decoder.decode(tmp_path / "damaged.dcm", 0, "1.2.840.10008.1.2.4.51")
    np.testing.assert_array_equal(decoder.decode(path, 0, "RLE"), STORED)


def test_a_run_length_stream_that_was_cut_is_refused_and_not_filled_up(decoder, path, tmp_path):
    cut = pydicom.dcmread(path)
    cut.PixelData = cut.PixelData[:-2]
    cut.save_as(tmp_path / "cut.dcm")
    with pytest.raises(ScanError, match=r"undecodable: no decoder reads .*cut.dcm"):
        decoder.decode(tmp_path / "cut.dcm", 0, "1.2.840.10008.1.2.5")


@pytest.mark.parametrize("lost", [5, 8, 60])
def test_compressed_pixels_without_their_end_are_refused(path, lost):
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    with pytest.raises(ScanError, match=r"truncated: .* ends before the end of its compressed"):
        slice_hu(path)


def test_what_follows_compressed_pixels_does_no_harm(path):
    expected = slice_hu(path)
    # DataSetTrailingPadding (FFFC,FFFC) of six bytes.
    padding = b"\xfc\xff\xfc\xffOB\x00\x00\x06\x00\x00\x00" + bytes(6)
    path.write_bytes(path.read_bytes() + padding)
    np.testing.assert_array_equal(slice_hu(path), expected)
