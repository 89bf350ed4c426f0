"""The record of a net: in its own file, and nowhere else."""

import shutil
import zipfile
from dataclasses import replace

import pytest

from lungseg.core.errors import DataError, LimitError
from lungseg.core.limits import memory_limit
from lungseg.io.sources.pseudonyms import pseudonym
from lungseg.model.inference import load_net
from lungseg.model.model_record import check_archive, read_model_record, write_model_record
from lungseg.model.networks.encoders import load_weights
from tests.stages.test_predict import RECORD


@pytest.fixture
def net(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}" * 500)
    write_model_record(RECORD, folder)
    return folder / "model.keras"


def test_a_record_comes_from_the_file_or_from_the_folder(net, tmp_path):
    assert read_model_record(net) == read_model_record(net.parent) == RECORD
    assert read_model_record(shutil.copy(net, tmp_path / "moved.keras")) == RECORD


def test_what_lies_beside_a_net_is_not_taken_for_its_record(net):
    other = net.with_name("other.keras")
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(DataError, match=r"other\.keras .*it was not trained by this program"):
        read_model_record(other)
    other.write_text("hello")
    with pytest.raises(DataError, match=r"it is no \.keras file"):
        read_model_record(other)
    with pytest.raises(DataError, match="there is no such file"):
        read_model_record(net.with_name("none.keras"))


def test_a_damaged_net_is_refused_in_a_sentence(net):
    data = bytearray(net.read_bytes())
    at = data.index(b"validation_patients")
    data[at : at + 4] = b"XXXX"
    net.write_bytes(data)
    with pytest.raises(DataError, match=r"no record of a trained net \(Bad CRC"):
        read_model_record(net)


def with_size(net, member, size):
    """The net's file, whose directory says of one member that it unpacks to `size` bytes."""
    with zipfile.ZipFile(net, "a") as archive:
        archive.getinfo(member).file_size = size
        archive._didModify = True
    return net


def test_a_net_of_any_size_is_refused_from_its_directory(net):
    small = shutil.copy(net, net.with_name("small.keras"))
    told = r"model\.keras unpacks to 5\.0 GiB, and no net has more than 4\.0 GiB"
    with_size(net, "config.json", 5 << 30)
    for read in (check_archive, read_model_record, load_net):
        with pytest.raises(DataError, match=told):
            read(net)
    with pytest.raises(DataError, match=r"unpacks to 5\.0 GiB"):
        load_weights(None, str(net))
    with (
        memory_limit(300_000_000),
        pytest.raises(LimitError, match=r"the net .*small\.keras needs"),
    ):
        check_archive(with_size(small, "config.json", 1 << 30))
    with pytest.raises(DataError, match=r"unpacks to 1\.0 GiB.*its record 256\.0 MiB"):
        check_archive(with_size(small, "lungseg-cli.json", 1 << 30))


KEYS = bytes(32), bytes([1] * 32)
HASHED = [pseudonym(name, KEYS[0]) for name in ("Smith", "Jones")]


@pytest.mark.parametrize(
    ("known", "patient", "key", "part"),
    [
        # Pseudonyms in the net: with its key each patient can be told, without it none.
        (HASHED, "Smith", KEYS[0], "train"),
        (HASHED, "Miller", KEYS[0], "test"),
        (HASHED, HASHED[1], None, "train"),
        (HASHED, pseudonym("Miller", KEYS[0]), None, "test"),
        (HASHED, "Smith", None, "unknown"),
        (HASHED, "Miller", None, "unknown"),
        (HASHED, "Smith", KEYS[1], "unknown"),
        (HASHED, pseudonym("Smith", KEYS[1]), KEYS[1], "unknown"),
        # Names in the net, pseudonyms in the scans.
        (["Smith"], HASHED[0], KEYS[0], "train"),
        (["Smith"], HASHED[1], KEYS[0], "test"),
        (["Smith"], HASHED[0], None, "unknown"),
        (["Smith"], HASHED[0], KEYS[1], "unknown"),
        # Both in one net: one that cannot be compared is enough.
        (["Smith", HASHED[1]], "Miller", None, "unknown"),
        (["Smith", HASHED[1]], "Smith", None, "train"),
        (["Smith", HASHED[1]], "Miller", KEYS[0], "test"),
        (["Smith"], "Jones", None, "test"),
        ([], "Jones", None, "test"),
    ],
)
def test_who_cannot_be_compared_is_unknown_and_never_unseen(known, patient, key, part):
    for field in ("train_patients", "validation_patients"):
        parts = {"train_patients": [], "validation_patients": []} | {field: known}
        told = replace(RECORD, **parts).part_of(patient, "9.9", key)
        expected = "validation" if (field, part) == ("validation_patients", "train") else part
        assert told == expected
    seen = replace(RECORD, train_patients=known, train_scans=["9.9"])
    assert seen.part_of(patient, "9.9", key) == "train", "a scan is known by its own id"


@pytest.mark.parametrize(
    ("known", "scan", "part"),
    [
        ("9.9#1", "9.9", "train"),
        ("9.9#1", "9.9_a2", "train"),
        ("9.9_a2", "9.9", "train"),
        ("9.9#1", "9.91", "test"),
        ("case#1", "case", "test"),
    ],
)
def test_a_scan_of_which_the_net_has_seen_a_part_is_seen(known, scan, part):
    """Slices around a nodule, or one acquisition of a series."""
    nobody = replace(RECORD, train_patients=[], validation_patients=[])
    assert replace(nobody, train_scans=[known]).part_of("", scan) == part
    other = {"train": "validation"}.get(part, part)
    assert replace(nobody, validation_scans=[known]).part_of("", scan) == other
