"""The store: complete or absent, whatever happens."""

import fcntl
from pathlib import Path

import pytest

from lungseg.core.disk.digests import digest_of_bytes
from lungseg.core.disk.trust import Found
from lungseg.core.errors import ConfigError, DataError
from lungseg.core.fingerprint import digest_of, fingerprint, identity_of_path
from lungseg.core.json_file import write_text
from lungseg.core.record import Record, read_record
from lungseg.core.store import Store, folder_name
from tests.core.stages import READ, Read

NAME = "f" * 64


def put(store, text="x", scan="s1"):
    with store.scratch("read", NAME, scan) as scratch:
        (scratch / "a.txt").write_text(text)
        return store.keep(scratch, Record(stage="read", version=1, fingerprint=NAME, scan=scan))


def test_an_output_appears_whole_with_its_record(tmp_path):
    store = Store(tmp_path)
    with store.scratch("read", NAME, "s1") as scratch:
        (scratch / "a.txt").write_text("x")
        assert store.find("read", NAME, "s1") is None
        store.keep(scratch, Record(stage="read", version=1, fingerprint=NAME, scan="s1"))
    found = store.find("read", NAME, "s1")
    assert found.files == {"a.txt": (1, digest_of_bytes(b"x"))}
    assert [p.name for p in store.shelf("read", "s1").iterdir()] == [NAME[:16]]


def test_what_raises_leaves_nothing(tmp_path):
    store = Store(tmp_path)

    def fail_halfway():
        with store.scratch("read", NAME, "s1") as scratch:
            (scratch / "a.txt").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert list(store.shelf("read", "s1").iterdir()) == []


def test_the_first_of_two_equal_outputs_stands(tmp_path):
    store = Store(tmp_path)
    put(store, "first")
    put(store, "second")
    assert (store.folder("read", NAME, "s1") / "a.txt").read_text() == "first"


def test_a_torn_record_is_no_record_and_is_replaced(tmp_path):
    store = Store(tmp_path)
    put(store, "first")
    (store.folder("read", NAME, "s1") / "stage.json").write_text('{"stage": "re')
    assert store.find("read", NAME, "s1") is None
    put(store, "second")
    assert (store.folder("read", NAME, "s1") / "a.txt").read_text() == "second"


def test_a_record_of_another_output_does_not_count(tmp_path):
    store = Store(tmp_path)
    put(store)
    assert store.find("read", NAME[:16] + "0" * 48, "s1") is None


def test_a_failure_is_remembered_until_there_is_an_output(tmp_path):
    store = Store(tmp_path)
    failure = Record(
        stage="read", version=1, fingerprint=NAME, scan="s1", state="failed", error="e"
    )
    store.keep_failure(failure)
    assert store.find("read", NAME, "s1") == failure
    put(store)
    assert store.find("read", NAME, "s1").state == "done"
    store.drop("read", NAME, "s1")
    assert store.find("read", NAME, "s1") is None


def test_an_output_of_the_data_set_has_no_scan(tmp_path):
    store = Store(tmp_path)
    put(store, scan="")
    assert store.find("read", NAME).scan == ""
    assert store.folder("read", NAME) == tmp_path / "dataset" / "read" / NAME[:16]
    assert store.find("read", NAME, "s1") is None


@pytest.mark.parametrize("scan", ["s1", ""])
def test_sweeping_removes_what_is_abandoned_and_spares_what_is_held(tmp_path, scan):
    store = Store(tmp_path)
    shelf = store.shelf("read", scan)
    for name in ("dead", "held"):
        (shelf / f".{name}.partial").mkdir(parents=True)
        (shelf / f".{name}.lock").touch()
    with (shelf / ".held.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert store.sweep() == 1
    assert sorted(p.name for p in shelf.iterdir()) == [".held.lock", ".held.partial"]


def test_locks_and_temporary_files_that_killed_runs_left_are_swept_everywhere(tmp_path):
    store = Store(tmp_path)
    put(store)
    shelf = store.shelf("read", "s1")
    (tmp_path / "sources").mkdir()
    left = [shelf / ".dead.lock", shelf / ".x.tmp", tmp_path / ".y.tmp"]
    left += [tmp_path / "sources" / ".z.tmp"]
    for path in left:
        path.touch()
    with store.scratch("read", NAME, "s2") as scratch:
        assert store.sweep() == 0
        assert scratch.is_dir()
        assert len(list(scratch.parent.iterdir())) == 2
    assert not any(path.exists() for path in left)
    assert store.find("read", NAME, "s1") is not None


def test_what_differs_from_what_was_meant_is_not_kept(tmp_path):
    store = Store(tmp_path)

    def write_and_lose():
        with store.scratch("read", NAME, "s1") as scratch:
            write_text("meant", scratch / "a.txt")
            (scratch / "a.txt").write_text("other")
            store.keep(scratch, Record(stage="read", version=1, fingerprint=NAME, scan="s1"))

    with pytest.raises(OSError, match=r"is not what was written to it.*a\.txt"):
        write_and_lose()
    assert store.look("read", NAME, "s1") == Found(None)
    assert list(store.shelf("read", "s1").iterdir()) == []


def test_a_folder_that_cannot_be_renamed_into_is_an_error(tmp_path):
    store = Store(tmp_path)
    store.shelf("read", "s1").mkdir(parents=True)
    store.folder("read", NAME, "s1").write_text("in the way")
    with pytest.raises(DataError, match=r"could not be moved to .*writable"):
        put(store)


def test_a_file_that_is_no_record_is_named(tmp_path):
    (tmp_path / "stage.json").write_text("[]")
    with pytest.raises(DataError, match=r"stage\.json is not the record of an output"):
        read_record(tmp_path)


@pytest.mark.parametrize("scan", ["a/b", "..", "ü", "", "x" * 200, ".hidden", "a b"])
def test_any_scan_id_makes_a_safe_folder_of_its_own(scan):
    name = folder_name(scan)
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name) <= 80
    assert name != folder_name(scan + "_")


def test_a_uid_is_its_own_folder_name():
    assert folder_name("1.3.6.1.4.1.14519.5.2") == "1.3.6.1.4.1.14519.5.2"


def test_the_fingerprint_is_stable_across_machines_and_releases():
    # A golden value: were it to move, every user's cache would be recomputed.
    assert fingerprint(READ, Read(), {"source": "id"}) == (
        digest_of(
            {
                "stage": "read",
                "version": 1,
                "params": {"repeat": 1, "table": ""},
                "inputs": {"source": "id"},
            }
        )
    )
    assert digest_of({"b": 1, "a": [1.5, "ü", None, True]}) == (
        "34d765fa36e547c75bd90567bc0a4b284adba76f98609e3ed34644a2e4c188b1"
    )


def test_a_number_that_json_does_not_know_has_no_digest():
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of({"gain": float("nan")})


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"table names .*none, where there is no file"):
        identity_of_path(tmp_path / "none", "table")


def test_a_folder_counts_by_names_sizes_and_times(tmp_path):
    (tmp_path / "a.xml").write_text("1")
    before = identity_of_path(tmp_path)
    assert identity_of_path(tmp_path) == before
    (tmp_path / "b.xml").write_text("1")
    assert identity_of_path(tmp_path) != before


@pytest.mark.parametrize("there", [True, False])
def test_where_nothing_may_be_written_one_reads_and_does_not_remove(tmp_path, monkeypatch, there):
    store = Store(tmp_path)
    if there:
        (tmp_path / ".lock").touch()
    real = Path.open

    def refused(path, mode="r", **more):
        if mode != "r":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, mode, **more)

    monkeypatch.setattr(Path, "open", refused)
    with store.in_use("a report"):
        if there:  # who may write does not remove it meanwhile
            monkeypatch.undo()
            with pytest.raises(ConfigError, match="is at work in"), store.alone("prune"):
                pass
            monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(PermissionError, match="Permission denied"), store.alone("prune"):
        pass
