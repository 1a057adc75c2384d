import os

import pytest

from headstart.datasets.folders import open_folder
from headstart.datasets.image_tree import is_litter, read_tree
from headstart.datasets.unlabeled import find_images
from headstart.types import Skipped

PNG = b"\x89PNG\r\n\x1a\n"
SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55\n"


def make(root, *names, content=b"x"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def reasons(skipped, root):
    return {os.path.relpath(one.path, root): one.reason for one in skipped}


@pytest.fixture
def photos(tmp_path):
    """A folder with everything that is hard to see alike."""
    root = make(tmp_path / "photos", "a b/1.jpg", "a/c/2.jpg", "a/2.jpg", "a/10.jpg", "a/.h.jpg")
    make(root, "a/no-ending", "b/odd.dat", "a/\n.png", content=PNG)
    make(root, "a/notes.txt", "README.md", "a/.ipynb_checkpoints/1.jpg", "a/1_mask.png", "a/1.png")
    make(root, ".net/1.jpg", "model/curves.png", "b/Thumbs.db")
    make(root, "model/model.json", content=b'{"format": "headstart model"}')
    make(root, "cache/index/CACHEDIR.TAG", content=SIGNATURE)
    make(root, "cache/index/x/1.jpg")
    outside = make(tmp_path / "outside", "3.jpg", "deep/4.jpg")
    (root / "z").symlink_to(outside)
    (root / "again").symlink_to(outside)
    (root / "a" / "link.jpg").symlink_to(outside / "3.jpg")
    (root / "a" / "up").symlink_to(root)
    (root / "b" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    return root


def test_labeled_and_unlabeled_data_are_the_same_files_in_the_same_order(photos):
    labeled, unlabeled = open_folder(photos), find_images([photos])
    assert list(labeled.paths) == unlabeled.paths
    names = [path.relative_to(photos).as_posix() for path in unlabeled.paths]
    assert names == [
        *("a/\n.png", "a/1.png", "a/10.jpg", "a/2.jpg", "a/link.jpg", "a/no-ending", "a b/1.jpg"),
        *("a/c/2.jpg", "again/3.jpg", "again/deep/4.jpg", "b/odd.dat"),
    ]
    beside = Skipped(str(photos / "README.md"), "not an image")  # classes are folders
    assert {*labeled.skipped, beside} == set(unlabeled.skipped)
    assert reasons(unlabeled.skipped, photos) == {
        ".net": "hidden; to use it, rename it so that it does not begin with a dot",
        "README.md": "not an image",
        "a/.h.jpg": "hidden; to use it, rename it so that it does not begin with a dot",
        "a/1_mask.png": "a mask of another image (1)",
        "a/notes.txt": "not an image",
        "a/up": "link loop",
        "b/gone.jpg": "broken link",
        "cache/index": "a cache, not photos",
        "model": "a model, not photos",
        "z": "link to a folder that is read already",
    }


def test_a_link_beside_its_folder_does_not_count_it_twice(tmp_path):
    make(tmp_path, "m/1.jpg", "n/2.jpg")
    (tmp_path / "a").symlink_to(tmp_path / "m")
    found = open_folder(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found.paths] == ["m/1.jpg", "n/2.jpg"]
    assert reasons(found.skipped, tmp_path) == {"a": "link to a folder that is read already"}


def test_a_link_to_a_folder_above_is_a_loop(tmp_path):
    root = make(tmp_path / "in" / "photos", "a/1.jpg", "b/2.jpg")
    make(tmp_path, "other/3.jpg")
    (root / "up").symlink_to(tmp_path)
    assert reasons(read_tree(root).skipped, root) == {"up": "link loop"}


def test_masks_without_their_image_are_images(tmp_path):
    make(tmp_path, "with/1_mask.jpg", "with/2 mask.jpg", "without/1.jpg", "without/2.jpg")
    assert len(open_folder(tmp_path)) == 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[(".Trash-1000", True), ("._1.jpg", True), ("Thumbs.db", True), ("@eaDir", True)],
        *[(".thumbnails", True), ("__MACOSX", True), (".net", False), ("Icon", False)],
    ],
)
def test_litter(name, expected):
    assert is_litter(name) is expected
