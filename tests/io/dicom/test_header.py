"""Headers read here and by pydicom are the same; damaged ones are refused."""

import contextlib
import shutil
import warnings
import zlib

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from lungseg.core.errors import ScanError
from lungseg.io.dicom import header as dh
from tests.io.dicom.dicom_files import CT_CLASS, dataset, save, write_slice

PIXELS = np.arange(12, dtype=np.int16).reshape(3, 4)
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"


def same(ours, theirs):
    assert ours.values.keys() == theirs.values.keys()
    for tag in ours.values:
        if tag in dh._BINARY:
            assert ours.whole(tag) == theirs.whole(tag)
        else:
            one, other = (
                [part.strip() for part in header.text(tag).split("\\")] for header in (ours, theirs)
            )
            assert one == other
    assert (ours.syntax, ours.has_pixels, ours.overlay_bits) == (
        theirs.syntax,
        theirs.has_pixels,
        theirs.overlay_bits,
    )


def nested():
    """Sequences within sequences, of defined and undefined length, and a private element."""
    inner, middle, outer = Dataset(), Dataset(), Dataset()
    inner.CodeValue = "T-1"
    middle.AnatomicRegionSequence = Sequence([inner, inner])
    middle["AnatomicRegionSequence"].is_undefined_length = True
    middle.is_undefined_length_sequence_item = True
    outer.AnatomicRegionSequence = Sequence([middle])
    ds = dataset(PIXELS)
    ds.ReferencedStudySequence = Sequence([outer, middle])
    ds["ReferencedStudySequence"].is_undefined_length = True
    ds.RequestAttributesSequence = Sequence([inner])
    ds.add_new(0x00090010, "LO", "SOMEBODY")
    ds.add_new(0x00091001, "UN", b"\1\2\3\4")
    return ds


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
def test_a_header_is_as_pydicom_has_it(tmp_path, syntax):
    ds = nested()
    ds.file_meta.TransferSyntaxUID = syntax
    path = save(ds, tmp_path / "a")
    header = dh.read_header(path)
    same(header, dh._by_pydicom(path))
    assert header.numbers(dh.ORIENTATION, 6) == (1, 0, 0, 0, 1, 0)
    assert (header.whole(dh.ROWS), header.whole(dh.COLUMNS), header.frames) == (3, 4, 1)
    if syntax in {IMPLICIT, EXPLICIT}:
        stored = path.read_bytes()[header.pixels_at :]
        assert (stored, header.pixel_bytes) == (PIXELS.tobytes(), PIXELS.nbytes)


def test_a_header_longer_than_the_first_read_is_read_on(tmp_path):
    path = write_slice(
        tmp_path / "a.dcm", PIXELS, ImageComments="x" * 9000, StudyComments="y" * 9999
    )
    assert dh.read_header(path).pixels_at > dh._FIRST_READ


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_a_file_without_preamble_is_dicom(tmp_path, syntax):
    whole = save(nested(), tmp_path / "whole")
    if syntax == EXPLICIT:
        (tmp_path / "bare").write_bytes(whole.read_bytes()[132:])
    else:
        ds = nested()
        ds.file_meta.TransferSyntaxUID = IMPLICIT
        data = save(ds, tmp_path / "implicit").read_bytes()
        (tmp_path / "bare").write_bytes(data[data.index(b"\x08\x00\x08\x00") :])
    assert dh.read_header(tmp_path / "bare").text(dh.SERIES_UID) == "1.2.3.4"


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_without_a_transfer_syntax_the_first_element_tells_it(tmp_path, syntax):
    ds = nested()
    ds.file_meta.TransferSyntaxUID = syntax
    data = save(ds, tmp_path / "whole").read_bytes()
    # The mark, then the data set at once: its file meta group is gone.
    (tmp_path / "bare").write_bytes(data[:132] + data[data.index(b"\x08\x00\x08\x00") :])
    header = dh.read_header(tmp_path / "bare")
    assert (header.syntax, header.text(dh.SERIES_UID)) == (syntax, "1.2.3.4")


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"hello, I am text", b"\0" * 500, b"P5 4 4 255\n" + b"\7" * 40),
        b"\x08\0\x60\0\x02\0\0\0CT" + bytes(50),  # no file begins with Modality
        b"\x08\0\x08\0\0\x10\0\0" + b"AXIAL " * 700,  # nor with 4096 bytes of ImageType
    ],
)
def test_a_file_that_is_not_dicom_is_refused(tmp_path, content):
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(dh.NotDicomError):
        dh.read_header(tmp_path / "a.dcm")


def test_a_file_without_pixels_ends_where_it_ends(tmp_path):
    ds = dataset(PIXELS)
    del ds.PixelData
    header = dh.read_header(save(ds, tmp_path / "a"))
    assert not header.has_pixels
    assert header.text(dh.MODALITY) == "CT"


def test_numbers_that_are_none_or_too_many_are_refused(tmp_path):
    path = write_slice(tmp_path / "a.dcm", PIXELS)
    path.write_bytes(path.read_bytes().replace(b"1.0\\0.0\\0.0\\", b"1.0\\0.x\\0.0\\"))
    with pytest.raises(ScanError, match=r"\(0020,0037\) is .*x.*, not 6 numbers"):
        dh.read_header(path).numbers(dh.ORIENTATION, 6)
    with pytest.raises(ScanError, match=r"\(0020,0032\) is '0.0.*, not 2 numbers"):
        dh.read_header(path).numbers(dh.POSITION, 2)


@pytest.mark.parametrize(("stated", "frames"), [(b"12", 12), (b"x ", 1), (b"  ", 1)])
def test_a_number_of_frames_that_is_none_is_one(tmp_path, stated, frames):
    path = write_slice(tmp_path / "a.dcm", PIXELS, NumberOfFrames=12)
    element = b"\x28\0\x08\0IS\x02\0"
    path.write_bytes(path.read_bytes().replace(element + b"12", element + stated))
    assert dh.read_header(path).frames == frames


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG])
def test_the_class_in_the_file_meta_group_stands_in_for_a_missing_one(tmp_path, syntax):
    path = write_slice(tmp_path / "a.dcm", PIXELS, syntax=syntax, SOPClassUID=None)
    assert dh.read_header(path).text(dh.SOP_CLASS) == CT_CLASS


@pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
def test_pixels_that_are_not_whole_numbers_are_not_plain(tmp_path, keyword):
    ds = dataset(PIXELS)
    del ds.PixelData
    setattr(ds, keyword, bytes(96))
    header = dh.read_header(save(ds, tmp_path / "a"))
    assert header.has_pixels
    assert (header.pixels_at, header.pixel_bytes) == (-1, -1)


@pytest.mark.parametrize("group", [0x6000, 0x6002, 0x601E])
@pytest.mark.parametrize("bit", [0, 12])
def test_an_overlay_of_any_group_is_seen_where_it_has_a_bit(tmp_path, group, bit):
    ds = dataset(PIXELS)
    ds.add_new(group << 16 | 0x0102, "US", bit)
    header = dh.read_header(save(ds, tmp_path / "a"))
    same(header, dh._by_pydicom(tmp_path / "a"))
    assert header.overlay_bits == (bit != 0)


def test_a_header_of_sequences_in_sequences_without_end_is_refused(tmp_path):
    undefined = b"\xff" * 4
    sequence = b"\x08\0\x10\x11SQ\0\0" + undefined + b"\xfe\xff\0\xe0" + undefined
    head = save(dataset(PIXELS), tmp_path / "a").read_bytes()
    head = head[: head.index(b"\x08\0\x08\0CS")]
    (tmp_path / "a").write_bytes(head + sequence * 3000)
    with pytest.raises(ScanError, match=r"the DICOM header cannot be read"):
        dh.read_header(tmp_path / "a")


def test_a_disk_that_fails_is_not_a_damaged_file(tmp_path, monkeypatch):
    path = write_slice(tmp_path / "a.dcm", PIXELS, syntax=BIG)

    def fail(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pydicom.dcmread", fail)
    with pytest.raises(OSError, match="Input/output error"):
        dh.read_header(path)


def test_a_number_that_is_missing_is_refused(tmp_path):
    path = write_slice(tmp_path / "a.dcm", PIXELS, Rows=None)
    with pytest.raises(ScanError, match=r"element \(0028,0010\) is missing"):
        dh.read_header(path).whole(dh.ROWS)


def test_wherever_a_file_is_cut_or_bent_it_is_read_or_refused(tmp_path):
    whole = save(nested(), tmp_path / "whole").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "bent"
    for trial in range(300):
        data = bytearray(whole)
        if trial % 2:
            del data[int(rng.integers(len(data))) :]
        else:
            for at in rng.integers(132, len(data), 3):
                data[at] = rng.integers(256)
        path.write_bytes(data)
        with contextlib.suppress(ScanError, dh.NotDicomError):
            header = dh.read_header(path)
            assert header.pixels_at <= len(data)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [(b"\x28\0\x10\0US", b"\x28\0\x10\0LO"), (b"\x28\0\x52\x10DS", b"\x28\0\x52\x10US")],
)
@pytest.mark.parametrize("kind", [None, b"ZQ"])
def test_an_element_of_another_kind_than_its_own_is_refused(tmp_path, was, becomes, kind):
    path = write_slice(tmp_path / "a.dcm", PIXELS)
    becomes = becomes[:4] + kind if kind else becomes
    path.write_bytes(path.read_bytes().replace(was, becomes))
    with pytest.raises(ScanError, match=r"a.dcm: the DICOM header cannot be read \(.*\(0028,"):
        dh.read_header(path)


@pytest.mark.parametrize("inner", [b"\x08\0\x60\0CS\x10\0CT", b"\x08\0\x60\0ZZ\x02\0CT" * 2])
def test_a_deflated_header_that_has_no_end_is_refused(tmp_path, inner):
    path = save(dataset(PIXELS, syntax=DEFLATED), tmp_path / "a.dcm")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = squeeze.compress(inner) + squeeze.flush()
    path.write_bytes(path.read_bytes()[: dh.deflated_at(path)] + packed)
    with pytest.raises(ScanError, match=r"a.dcm: the DICOM header cannot be read \(it"):
        dh.read_header(path)


def test_what_should_be_deflated_and_is_not_is_refused(tmp_path):
    path = save(dataset(PIXELS, syntax=DEFLATED), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[: dh.deflated_at(path)] + b"\xff" * 99)
    with pytest.raises(ScanError, match=r"a.dcm: what should be deflated is not"):
        dh.read_header(path)


def test_a_header_of_rubbish_after_its_mark_is_refused(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(
        b"\0" * 128 + b"DICM" + b"\x02\0\x10\0UI\x16\x00" + b"1.2.840.10008.1.2.1.99" + b"junk" * 9
    )
    with pytest.raises(ScanError, match=r"a.dcm: the DICOM header cannot be read"):
        dh.read_header(path)


@pytest.mark.data
def test_real_headers_are_as_pydicom_has_them(data, tmp_path):
    compared = 0
    files = sorted((data / "odd").rglob("*")) + sorted((data / "lungs/cip64_dicom").glob("*9.dcm"))
    for path in files + sorted((data / "LIDC-IDRI").rglob("*5.*dcm"))[:20]:
        if not path.is_file() or "dicom_4d" in str(path):
            continue
        with contextlib.suppress(dh.NotDicomError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            same(dh.read_header(path), dh._by_pydicom(path))
            compared += 1
    assert compared > 100


@pytest.mark.data
def test_plain_headers_never_need_pydicom(data, tmp_path, monkeypatch):
    def never(path):
        raise AssertionError(path)

    monkeypatch.setattr(dh, "_by_pydicom", never)
    for path in sorted((data / "odd/tcga_header_variants").iterdir()):
        shutil.copy(path, tmp_path / path.name)
        assert dh.read_header(tmp_path / path.name).pixels_at > 0
