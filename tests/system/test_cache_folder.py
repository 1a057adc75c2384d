"""Only what headstart created, and only the user and root can have written, is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headstart.errors import StoreError
from headstart.system.cache_folder import TAG, cache_folder, is_tagged


def test_a_folder_is_created_with_its_tag_once(tmp_path: Path) -> None:
    folder = cache_folder(tmp_path / "new", "features")
    (folder / "mine").touch()
    assert is_tagged(folder)
    assert cache_folder(tmp_path / "new", "features") == folder
    assert {path.name for path in folder.iterdir()} == {TAG, "mine"}


def test_a_folder_of_another_version_is_used(tmp_path: Path) -> None:
    folder = cache_folder(tmp_path, "features")
    tag = "Signature: 8a477f597d28d172789f06886806bc55\n# headstart made this folder.\n"
    (folder / TAG).write_text(tag)
    assert cache_folder(tmp_path, "features") == folder
    (folder / TAG).write_text(tag.replace("headstart", "pip"))
    with pytest.raises(StoreError):
        cache_folder(tmp_path, "features")


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    with pytest.raises(StoreError, match=r"has no CACHEDIR.TAG of headstart's"):
        cache_folder(tmp_path, "features")
    assert not list((tmp_path / "features").iterdir())


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index").symlink_to(cache_folder(tmp_path / "elsewhere", "index"))
    with pytest.raises(StoreError, match="is a link"):
        cache_folder(tmp_path, "index")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    cache_folder(tmp_path, "archives").chmod(mode)
    with pytest.raises(StoreError, match="other users can write"):
        cache_folder(tmp_path, "archives")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_a_new_folder_is_ours_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cache_folder(tmp_path, "features")
    finally:
        os.umask(before)
    assert cache_folder(tmp_path, "features").stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users")
def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cache_folder(tmp_path, "features")
    if os.geteuid() == 0:
        os.chown(folder, 4_242, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4_242)
    with pytest.raises(StoreError, match="other users can write"):
        cache_folder(tmp_path, "features")
