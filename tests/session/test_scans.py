"""Which scans a word after --scan means."""

import pytest

from lungseg.core.errors import ConfigError
from lungseg.io.sources.index import Source
from lungseg.session.scans import selected

SCANS = {
    scan: Source(scan, patient, "dicom", (), "")
    for scan, patient in [
        ("1.2.10", "LIDC-IDRI-1011"), ("1.2.11", "LIDC-IDRI-0132"), ("1.3.12", "LIDC-IDRI-0132"),
        ("case7", "case7"), ("case71", "case71"), ("1.2.1011", "A"),
    ]
}  # fmt: skip


@pytest.mark.parametrize(
    ("word", "scans"),
    [
        ("1.2.10", ["1.2.10"]),
        ("3.12", ["1.3.12"]),
        ("1.3", ["1.3.12"]),
        ("LIDC-IDRI-0132", ["1.2.11", "1.3.12"]),
        ("0132", ["1.2.11", "1.3.12"]),
        ("case7", ["case7"]),
        ("IDRI-1011", ["1.2.10"]),
    ],
)
def test_an_id_an_end_of_one_a_patient_or_a_part_of_the_name(word, scans):
    assert list(selected(SCANS, [word])) == scans


def test_without_a_word_all_are_meant():
    assert selected(SCANS, []) == SCANS
    assert list(selected(SCANS, ["case71", "1.3.12"])) == ["case71", "1.3.12"]


def test_a_word_that_fits_several_patients_lists_them():
    with pytest.raises(ConfigError, match=r"1011 fits 2 scans; .*LIDC-IDRI-1011 1\.2\.10, A 1"):
        selected(SCANS, ["1011"])


def test_a_word_that_fits_nothing_says_where_scans_are_listed():
    with pytest.raises(ConfigError, match=r"--scan 99: .*`lungseg-cli status` lists them"):
        selected(SCANS, ["99"])
