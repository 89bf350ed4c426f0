"""What a work folder remembers, torn: looked at again, or refused in a sentence that helps."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from lungseg.cli import main
from lungseg.core.errors import ConfigError, DamagedOutputError, DataError
from lungseg.io.sources.index import write_source
from lungseg.io.sources.series import SourceRules
from lungseg.io.volumes.formats import write_volume
from lungseg.session.kept import FILE, Kept, read_kept, reset_kept
from lungseg.session.scans import remembered, remembered_roots, source_path
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import open_session
from lungseg.volume import Geometry, Volume
from tests.session.looks import look_at

RULES = SourceRules()


@pytest.fixture
def tree(tmp_path):
    """Two scans."""
    folder = tmp_path / "src"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(-1000, 500, (4, 5, 6), np.int16)
    for name in ("one", "two"):
        write_volume(Volume(noise, Geometry((2.0, 1.0, 1.0))), folder / f"{name}.mha")
    return folder


def run(*words):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert "Traceback" not in done.output
    return done


def test_what_is_torn_of_one_scan_is_found_again(tree, tmp_path, caplog):
    work = tmp_path / "work"
    before, _ = look_at(work, [tree], RULES)
    path = source_path(work, "one")
    for content in (b"", b"{", path.read_bytes()[:-30], path.read_bytes().replace(b"one", b"uno")):
        path.write_bytes(content)
        with pytest.raises(DamagedOutputError, match="does not describe a scan"):
            remembered(work)
        session = open_session(work, CommandOptions())
        assert list(session.sources.values()) == before
        assert "one.json does not describe a scan" in caplog.text
        session.keep()
        assert remembered(work)[0] == before
        caplog.clear()
    path.unlink()
    assert list(open_session(work, CommandOptions()).sources.values()) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"roots": [1], "scans": [], "left_out": []}', b"\xff\xfe", b"\0" * 40],
)
def test_a_torn_list_of_scans_is_refused_and_its_advice_works(tree, tmp_path, content):
    work = tmp_path / "work"
    look_at(work, [tree], RULES)
    (work / "sources.json").write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged .*`lungseg-cli preprocess --src FOLDER`"):
        remembered_roots(work)
    told = run("status", "--work", work)
    assert told.exit_code == 1
    assert "name the scans again" in told.stderr
    open_session(work, CommandOptions(), [tree]).keep()
    assert [source.scan for source in remembered(work)[0]] == ["one", "two"]


def test_no_bit_of_the_list_of_scans_flips_without_notice(tree, tmp_path):
    work = tmp_path / "work"
    look_at(work, [tree], RULES)
    before = remembered(work), remembered_roots(work)
    path = work / "sources.json"
    data = path.read_bytes()
    for place in range(0, len(data) * 8, 3):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert (remembered(work), remembered_roots(work)) == before
        except DataError:
            continue


def test_lists_of_earlier_releases_are_read(tree, tmp_path):
    work = tmp_path / "work"
    before, _ = look_at(work, [tree], RULES)
    for path in (work / "sources.json", source_path(work, "one")):
        plain = json.loads(path.read_text())
        del plain["check"]
        plain.pop("rules", None)
        path.write_text(json.dumps(plain))
    assert remembered(work)[0] == before


def test_a_source_that_did_not_change_is_not_written_again(tree, tmp_path):
    work = tmp_path / "work"
    (one, two), _ = look_at(work, [tree], RULES)
    path = source_path(work, "one")
    before = path.stat()
    look_at(work, [tree], RULES)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    write_source(two, path)
    assert remembered(work)[0] != [one, two]
    look_at(work, [tree], RULES)
    assert remembered(work)[0] == [one, two]


def test_a_disk_that_is_away_makes_no_work_folder_forget_its_scans(tree, tmp_path):
    work = tmp_path / "work"
    look_at(work, [tree], RULES)
    tree.rename(tmp_path / "away")
    tree.mkdir()  # the place where it is mounted
    with pytest.raises(ConfigError, match=r"src is empty, and scans were found there before"):
        look_at(work, [tree], RULES)
    told = run("preprocess", "--work", work)
    assert (told.exit_code, "is its disk there?" in told.stderr) == (2, True)
    tree.rmdir()
    (tmp_path / "away").rename(tree)
    assert len(look_at(work, [tree], RULES)[0]) == 2


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", "chest CT (the 2 of before stay)\n"),
        ("notes.md", "(beside the scans, no images themselves: 1 file (1 .md))\n"),
        ("gone.nii", "gone.nii (unreadable: a link that leads nowhere, or to itself)\n"),
    ],
)
def test_a_folder_without_scans_that_is_named_by_mistake_changes_nothing(
    tree, tmp_path, name, found
):
    work, wrong = tmp_path / "work", tmp_path / "wrong"
    look_at(work, [tree], RULES)
    wrong.mkdir()
    if name == "gone.nii":
        (wrong / name).symlink_to(tmp_path / "nowhere")
    elif name:
        (wrong / name).write_text("no scan", encoding="utf-8")
    told = run("preprocess", "--src", wrong, "--work", work)
    assert (told.exit_code, "there are no scans in" in told.stderr) == (2, True)
    assert found in told.stderr
    assert len(remembered(work)[0]) == 2


def test_a_folder_that_holds_no_scan_is_no_run_and_one_that_may_hold_some_is(tmp_path):
    wrong, work = tmp_path / "wrong", tmp_path / "work"
    wrong.mkdir()
    (wrong / "notes.md").write_text("no scan", encoding="utf-8")
    assert run("preprocess", "--src", wrong, "--work", work).exit_code == 2
    assert run("lungs", wrong, "--out", tmp_path / "out").exit_code == 2
    assert not (tmp_path / "out").exists()
    (wrong / "gone.nii").symlink_to(tmp_path / "nowhere")
    told = run("preprocess", "--src", wrong, "--work", work)
    assert told.exit_code == 1
    assert "2 expected = 0 done + 1 failed + 1 skipped" in told.output


def test_settings_that_are_empty_are_not_forgotten_in_silence_and_a_reset_helps(tmp_path):
    (tmp_path / FILE).touch()
    with pytest.raises(ConfigError, match=r"settings\.toml is empty: what was set in it is lost"):
        read_kept(tmp_path)
    assert run("params", "--reset", "--work", tmp_path).exit_code == 0
    assert read_kept(tmp_path) == Kept()
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConfigError, match=r"is not valid TOML .*Is a directory"):
        read_kept(tmp_path)
    (tmp_path / FILE).rmdir()
    reset_kept(tmp_path, "")
