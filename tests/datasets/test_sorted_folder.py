"""Images are sorted by label, none is lost and none is there twice."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.datasets.sorted_folder import SortedFolder, folder_name, numbered
from headstart.errors import DataError
from headstart.types import Placement


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(b"one")
    return path


@pytest.mark.parametrize("placement", Placement)
def test_an_image_is_placed_once(tmp_path: Path, image: Path, placement: Placement):
    folder = SortedFolder(tmp_path / "out", placement)
    target = folder.place(image, "cat")
    assert target == tmp_path / "out" / "cat" / "a.jpg"
    assert target.read_bytes() == b"one"
    assert image.exists() == (placement is not Placement.MOVE)
    assert target.is_symlink() == (placement is Placement.LINK)
    image.write_bytes(b"one")  # arrives once more
    again = folder.place(image, "cat")
    assert image.exists() == (placement is not Placement.MOVE)
    moved = [target, target.with_name("a (2).jpg")]  # nothing is deleted
    expected = moved if placement is Placement.MOVE else [target]
    assert again == expected[-1]
    assert sorted(target.parent.iterdir()) == sorted(expected)


def test_a_folder_of_other_files_is_not_marked(tmp_path: Path, image: Path):
    own, other = (SortedFolder(tmp_path / name, Placement.LINK) for name in ("out", "in"))
    for _ in range(2):
        assert own.is_own()
        own.mark()
    own.place(image, "cat")
    assert own.is_own()
    other.mark()
    assert not other.is_own()
    assert [path.name for path in other.root.iterdir()] == ["a.jpg"]


def test_another_image_of_that_name_gets_a_number(tmp_path: Path, image: Path):
    folder = SortedFolder(tmp_path / "out", Placement.COPY)
    folder.place(image, "cat")
    image.write_bytes(b"two")
    assert folder.place(image, "cat").name == "a (2).jpg"
    assert folder.place(image, "cat").name == "a (2).jpg"
    assert (tmp_path / "out" / "cat" / "a.jpg").read_bytes() == b"one"


def test_links_are_removed_from_the_folder_of_a_label_that_is_wrong(tmp_path: Path, image: Path):
    folder = SortedFolder(tmp_path / "out", Placement.LINK)
    first = folder.place(image, "unreadable")
    other = tmp_path / "other" / "a.jpg"
    other.parent.mkdir()
    other.write_bytes(b"other")
    second = folder.place(other, "unreadable")
    folder.unlink(image, "unreadable")
    folder.unlink(image, "cat")
    assert not first.is_symlink()
    assert second.readlink() == other.resolve()
    folder.unlink(other, "unreadable")  # under a number, although there is no first one
    assert not second.is_symlink()


def test_where_links_are_impossible_images_are_copied(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(1314, "a privilege is missing")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    target = SortedFolder(tmp_path / "out", Placement.LINK).place(image, "cat")
    assert target.read_bytes() == b"one"


@pytest.mark.parametrize("placement", Placement)
def test_an_image_that_is_gone_is_left_out(tmp_path: Path, image: Path, placement: Placement):
    image.unlink()
    assert SortedFolder(tmp_path / "out", placement).place(image, "cat") is None
    assert not [path for path in (tmp_path / "out").rglob("*") if not path.is_dir()]


def test_the_folders_are_apart(tmp_path: Path, image: Path):
    for root in (image.parent, image.parent / "sorted", tmp_path):
        with pytest.raises(DataError, match="inside one another"):
            SortedFolder(root, Placement.LINK).check_outside(image.parent)
    SortedFolder(tmp_path / "out", Placement.LINK).check_outside(image.parent)


@pytest.mark.slow
@given(label=st.text())
def test_every_label_is_a_folder_in_the_root(label: str):
    name = folder_name(label)
    assert name
    assert not name.startswith(".")
    assert not set(name) & set('/\\:*?"<>|\0')
    assert len(os.fsencode(name)) <= 255


def test_numbers_are_before_the_extension():
    assert [numbered("a.tar.gz", 1), numbered("a.jpg", 3)] == ["a.tar.gz", "a (3).jpg"]
