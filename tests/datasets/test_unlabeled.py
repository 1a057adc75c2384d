import os
import zipfile
from pathlib import Path

import pytest

import headstart
from headstart.datasets.unlabeled import find_images
from headstart.errors import DataError, UnreadableImageError, UserError
from headstart.images.decode import read_bytes


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def test_files_are_taken_unchecked_and_in_the_order_given(tmp_path):
    make(tmp_path, "b/2.jpg", "b/1.jpg", "note.txt")
    sources = [tmp_path / "note.txt", tmp_path / "b", tmp_path / "gone.jpg"]
    assert find_images(sources).paths == [
        tmp_path / "note.txt",
        *(tmp_path / "b" / "1.jpg", tmp_path / "b" / "2.jpg", tmp_path / "gone.jpg"),
    ]


@pytest.mark.parametrize("image", ["1.jpg", "a/1.jpg"])
def test_other_files_are_reported(tmp_path, image):
    make(tmp_path, image, "notes.txt")
    found = find_images([tmp_path])
    assert [(one.path, one.reason) for one in found.skipped] == [
        (str(tmp_path / "notes.txt"), "not an image")
    ]


def test_an_archive_is_a_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("b/2.jpg", "b/1.jpg", "/x.jpg"):
            archive.writestr(name, b"x")
    found = find_images([tmp_path / "a.zip"], cache=tmp_path / "cache")
    assert [path.name for path in found.paths] == ["1.jpg", "2.jpg"]
    assert [one.path for one in found.skipped] == ["a.zip//x.jpg"]


def test_nothing_says_why(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        find_images([tmp_path / "none"])
    make(tmp_path, "a/.1.jpg", "a/x.txt", "a/y.txt")
    with pytest.raises(DataError, match=r"no images in .* \(2 not an image, 1 hidden; to use it"):
        find_images([tmp_path])


def test_folders_that_cannot_be_read_are_reported_as_images(tmp_path, monkeypatch):
    make(tmp_path, "a/1.jpg", "locked/2.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):  # chmod does not keep root out
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find_images([tmp_path, tmp_path / "locked"])
    names = [path.relative_to(tmp_path).as_posix() for path in found.paths]
    assert (names, found.skipped) == (["a/1.jpg", "locked", "locked"], ())


def test_urls_are_not_opened(tmp_path):
    address = Path("https://example.org/a.jpg")
    with pytest.raises(DataError, match=r"no such file or folder: .*does not open URLs; download"):
        find_images([address])
    assert find_images([tmp_path, *make(tmp_path, "1.jpg").iterdir(), address]).paths[-1] == address
    with pytest.raises(UnreadableImageError, match="which headstart does not open; download"):
        read_bytes(address)


@pytest.mark.parametrize("source", [None, ["photos"], 3, b"photos"])
def test_data_sets_are_paths_or_names(source):
    for open_it in (headstart.open_dataset, headstart.fit):
        with pytest.raises(UserError, match=f"not by a value of type {type(source).__name__}"):
            open_it(source)
    with pytest.raises(DataError, match="is a URL, which headstart does not open"):
        headstart.open_dataset("https://example.org/photos.zip")
