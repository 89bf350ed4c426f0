"""Files of a folder that is made of links, and what of it cannot be read."""

import os

import pytest

from lungseg.core.disk.folder_tree import files_in_tree
from lungseg.core.errors import ConfigError
from lungseg.core.fingerprint import identity_of_path


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_links_to_folders_are_followed_and_every_folder_once(tmp_path):
    store, named = tmp_path / "store", tmp_path / "named"
    write(store / "a" / "1.xml")
    write(store / "b" / "2.xml")
    write(named / "0.xml")
    for name in "ab":
        (named / name).symlink_to(store / name)
    (named / "again").symlink_to(store / "a")
    (store / "b" / "back").symlink_to(named)
    assert files_in_tree(named) == [named / "0.xml", named / "a" / "1.xml", named / "b" / "2.xml"]


def test_what_lies_behind_a_link_is_part_of_a_folder_s_identity(tmp_path):
    inner = write(tmp_path / "store" / "1.xml")
    named = tmp_path / "named"
    named.mkdir()
    (named / "a").symlink_to(tmp_path / "store")
    before = identity_of_path(named)
    write(inner, "longer")
    assert identity_of_path(named) != before


def test_a_link_to_nowhere_is_named(tmp_path):
    write(tmp_path / "1.xml")
    (tmp_path / "2.xml").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"2\.xml is a link that leads nowhere; mend it"):
        files_in_tree(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    closed = write(tmp_path / "closed" / "1.xml").parent
    closed.chmod(0)
    try:
        with pytest.raises(ConfigError, match=r"closed cannot be read \(Permission denied\)"):
            files_in_tree(tmp_path)
    finally:
        closed.chmod(0o700)
