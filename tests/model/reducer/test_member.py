"""A reducer in a net's file."""

import dataclasses
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.core.fingerprint import digest_of_file, identity_of_path
from lungseg.model.inference import load_net
from lungseg.model.model_record import read_model_record
from lungseg.model.reducer.member import (
    MEMBERS,
    attach,
    calibrated,
    read_reducer,
    read_reducer_record,
    without,
)
from lungseg.model.reducer.member import (
    TOLD as TOLD_MEMBER,
)
from lungseg.model.reducer.network import opinion
from lungseg.ops.samples.stacks import EDGE, SLICES
from tests.commands.bright_net import write_bright_net
from tests.model.reducer.hand_made import TOLD, by_hand
from tests.model.test_model_record import with_size


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return write_bright_net(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def both(net, tmp_path_factory):
    out = tmp_path_factory.mktemp("both") / "both.keras"
    attach(net, by_hand(), TOLD, ("taught",), ("1.2.826.41",), out)
    return out


def test_it_says_what_it_said_before_and_how_it_was_taught(both):
    stacks = np.random.default_rng(0).integers(-1000, 400, (4, SLICES, EDGE, EDGE), np.int16)
    found = read_reducer(both)
    np.testing.assert_allclose(opinion(found.net, stacks), opinion(by_hand(), stacks), atol=1e-6)
    assert found.record == TOLD


def test_the_net_itself_is_as_it_was(net, both):
    for one, other in zip(load_net(net).get_weights(), load_net(both).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert read_model_record(both) == read_model_record(net)


def test_predictions_stand_whatever_reducer_there_is(net, both, tmp_path):
    other = tmp_path / "other.keras"
    attach(both, by_hand(), dataclasses.replace(TOLD, seed=2), ("taught",), ("1.2.826.41",), other)
    assert read_reducer_record(other).seed == 2
    known = {identity_of_path(file, "model", MEMBERS) for file in (net, both, other)}
    assert len(known) == 1
    assert len({identity_of_path(file, "model") for file in (net, both, other)}) == 3


def test_whom_the_reducer_has_seen_the_net_has_seen(net, tmp_path):
    out = tmp_path / "out.keras"
    attach(net, by_hand(), TOLD, ("taught", "chosen-on", "new"), ("9.9",), out)
    record = read_model_record(out)
    assert record.train_patients == ["chosen-on", "new", "taught"]
    assert record.validation_patients == []
    assert record.train_scans == ["1.2.826.41", "9.9"]
    assert record.part_of("new") == record.part_of("", "9.9") == "train"


def test_it_can_be_taken_out_and_a_net_without_has_none(net, both, tmp_path):
    alone = tmp_path / "alone.keras"
    without(both, alone)
    assert read_reducer(alone) is None
    assert read_reducer(net) is None
    assert identity_of_path(alone, "model", MEMBERS) == identity_of_path(net, "model", MEMBERS)


def test_its_curve_is_kept_with_it(both, net, tmp_path):
    out = tmp_path / "out.keras"
    calibrated(both, {"method": "platt"}, out)
    assert read_reducer_record(out).calibration == {"method": "platt"}
    assert read_reducer(out).net is not None
    assert read_model_record(out) == read_model_record(both)
    with pytest.raises(DataError, match="has no reducer to be calibrated"):
        calibrated(net, {}, out)


def changed(both, tmp_path, member, content):
    out = tmp_path / "changed.keras"
    with zipfile.ZipFile(both) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, content if name == member else source.read(name))
    return out


@pytest.mark.parametrize("content", [b"{", b'{"of": "tomorrow"}'])
def test_one_of_another_version_is_named(both, tmp_path, content):
    file = changed(both, tmp_path, TOLD_MEMBER, content)
    with pytest.raises(DataError, match="has a reducer that another version"):
        read_reducer(file)


def test_one_that_is_damaged_is_named(both, tmp_path):
    file = changed(both, tmp_path, MEMBERS[0], b"no net")
    with pytest.raises(DataError, match=r"the reducer in .* cannot be loaded"):
        read_reducer(file)


def test_one_of_any_size_is_refused_from_its_directory(both, tmp_path):
    """Of the file's own members, and of those of the archive in it."""
    with zipfile.ZipFile(both) as archive:
        inner = Path(archive.extract(MEMBERS[0], tmp_path))
    file = changed(
        both, tmp_path, MEMBERS[0], with_size(inner, "config.json", 5 << 30).read_bytes()
    )
    begin = time.monotonic()
    with pytest.raises(DataError, match=r"the reducer in .*changed\.keras unpacks to 5\.0 GiB"):
        read_reducer(file)
    for member in MEMBERS:
        shutil.copy(both, file)
        with_size(file, member, 5 << 30)
        for read in (read_reducer, read_reducer_record):
            with pytest.raises(DataError, match=r"changed\.keras unpacks to 5\.0 GiB, and no net"):
                read(file)
        # What is told apart by its members is told apart by its bytes where they have no end.
        assert identity_of_path(file, "model", ("none",)) == digest_of_file(file)
    assert time.monotonic() - begin < 5


def test_it_takes_few_bytes(net, both):
    assert both.stat().st_size - net.stat().st_size < 20_000
