from __future__ import annotations

import os
from pathlib import Path

import pytest

from headstart.errors import HeadstartError, UserError
from headstart.system.files import atomic_write, check_not_input, check_writable, remove_stale_files


def test_a_failed_write_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.bin"
    atomic_write(path, b"old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(HeadstartError, match=r"t\.bin: No space left"):
        atomic_write(path, b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("t.bin", b"old")]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadstartError, match="cannot write"):
        atomic_write(tmp_path / "file" / "t.csv", b"")
    with pytest.raises(HeadstartError, match="cannot write"):
        atomic_write(tmp_path, b"")


def test_a_place_for_results_is_tried_without_a_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "newer")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "new", tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match=r"cannot write to .*; choose another folder"):
            check_writable(place)


def test_only_old_temporary_files_are_swept(tmp_path: Path) -> None:
    for name in ("old.tmp", ".hidden.tmp", "new.tmp", "old.txt"):
        (tmp_path / name).touch()
        if name != "new.tmp":
            os.utime(tmp_path / name, (1, 1))
    remove_stale_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.tmp", "old.txt"]
    remove_stale_files(tmp_path / "none")


def test_what_results_are_made_of_is_spared(tmp_path: Path) -> None:
    photo, link, other = tmp_path / "a.jpg", tmp_path / "link.png", tmp_path / "b.png"
    photo.write_bytes(b"")
    link.symlink_to(photo)
    other.write_bytes(b"")
    check_not_input(photo, [other, tmp_path / "none.png"])
    for result in (photo, link):
        with pytest.raises(UserError, match="is the input image"):
            check_not_input(photo, [other, result])
