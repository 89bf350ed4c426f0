"""Text by its character set: one patient is one, two are two, in every transfer syntax."""

import numpy as np
import pytest

from lungseg.io.dicom import header as dh
from lungseg.io.dicom.characters import decoded
from tests.io.dicom.dicom_files import dataset, save

PIXELS = np.arange(12, dtype=np.int16).reshape(3, 4)
SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"),
    *("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"),
)
# The text, and what each set makes of it (PS3.5, annexes H, I and J have such names).
WRITTEN = {
    "Müller": (b"ISO_IR 100", b"M\xfcller"),
    "Müller ": (b"ISO_IR 192", "Müller ".encode()),
    "Mu\u0308ller": (b"ISO_IR 192", "Mu\u0308ller".encode()),
    "Wałęsa": (b"ISO_IR 101", "Wałęsa".encode("iso8859_2")),
    "Юлия": (b"ISO_IR 144", "Юлия".encode("iso8859_5")),
    "山田": (b"\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B"),
    "山本": (b"\\ISO 2022 IR 87", b"\x1b$B;3K\\\x1b(B"),
    "ﾔﾏﾀﾞ": (b"ISO_IR 13", "ﾔﾏﾀﾞ".encode("shift_jis")),
    "김희중": (b"\\ISO 2022 IR 149", b"\x1b$)C" + "김희중".encode("euc_kr")),
    "王小东": (b"GB18030", "王小东".encode("gb18030")),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_text_is_what_its_set_says(text):
    import unicodedata

    character_set, value = WRITTEN[text]
    assert decoded(value, character_set) == unicodedata.normalize("NFC", text.strip())


def test_one_patient_is_one_whatever_the_set():
    assert (
        len({decoded(*WRITTEN[text][::-1]) for text in ("Müller", "Müller ", "Mu\u0308ller")}) == 1
    )


def test_different_patients_stay_different():
    texts = {decoded(value, name) for name, value in WRITTEN.values()}
    assert len(texts) == len(WRITTEN) - 2
    assert decoded(b"A1") != decoded(b"a1")
    # Bytes that the set does not have, and sets that do not exist.
    for name in (b"ISO_IR 192", b"ISO_IR 6\\ISO 2022 IR 87", b"KLINGON", b""):
        assert decoded(b"\xfc1", name) != decoded(b"\xfd1", name)


@pytest.mark.parametrize("value", [b"P1", b"P1 ", b"P1\0", b" P1\0\0", b"P1  "])
def test_padding_is_no_part_of_an_id(value):
    assert decoded(value) == "P1"


def test_without_a_set_utf8_is_recognised_and_other_bytes_are_latin_1():
    assert decoded("é".encode()) == decoded(b"\xe9") == "é"


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("text", ["Müller", "山田", "山本", "김희중"])
def test_an_id_is_the_same_in_every_transfer_syntax(tmp_path, syntax, text):
    character_set, value = WRITTEN[text]
    ds = dataset(PIXELS, syntax=syntax)
    ds.SpecificCharacterSet = character_set.decode().split("\\")
    ds.PatientID = "?" * len(value)
    path = save(ds, tmp_path / "a")
    if syntax != SYNTAXES[3]:
        path.write_bytes(path.read_bytes().replace(b"?" * len(value), value))
    else:
        ds = dataset(PIXELS, syntax=syntax, PatientID=text)
        ds.SpecificCharacterSet = character_set.decode().split("\\")
        path = save(ds, tmp_path / "a")
    assert dh.read_header(path).words(dh.PATIENT_ID) == text
    assert dh._by_pydicom(path).words(dh.PATIENT_ID) == text
