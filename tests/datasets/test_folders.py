import os
import random
from pathlib import Path

import pytest

from headstart.datasets import open_dataset
from headstart.datasets.folders import open_folder
from headstart.errors import DataError
from headstart.types import Split

PNG = b"\x89PNG\r\n\x1a\n"


def make(root, *names, content=b"x"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def relative(dataset, root):
    return [path.relative_to(root).as_posix() for path in dataset.paths]


def reasons(dataset, root):
    return {
        os.path.relpath(one.path, root).replace(os.sep, "/"): one.reason for one in dataset.skipped
    }


def test_a_folder_per_class(tmp_path):
    names = ["dogs/b.jpg", "dogs/a.PNG", "cats/z.webp", "übung 2/猫.jpg"]
    random.Random(0).shuffle(names)
    make(tmp_path, *names)
    found = open_folder(tmp_path)
    assert found.classes == ("cats", "dogs", "übung 2")
    assert relative(found, tmp_path) == [
        "cats/z.webp",
        "dogs/a.PNG",
        "dogs/b.jpg",
        "übung 2/猫.jpg",
    ]
    assert found.labels.tolist() == [0, 1, 1, 2]
    assert found.labels.dtype == "int64"
    assert (found.splits, found.skipped, found.name) == ((), (), tmp_path.name)


def test_nested_folders_are_classes_of_their_own(tmp_path):
    make(tmp_path, "animals/cats/1.jpg", "animals/cats/wild/2.jpg", "animals/3.jpg", "cars/4.jpg")
    assert open_folder(tmp_path).classes == ("animals", "animals/cats", "animals/cats/wild", "cars")


@pytest.mark.parametrize("validation", ["val", "Valid", "VALIDATION"])
def test_splits(tmp_path, validation):
    make(tmp_path, "Train/a/1.jpg", "Train/b/c/2.jpg", f"{validation}/a/3.jpg", "test/a/4.jpg")
    make(tmp_path, "train.txt", "Train/loose.jpg", "extra/x/5.jpg")
    found = open_folder(tmp_path)
    assert found.classes == ("a", "b/c")
    assert sorted(zip(found.splits, relative(found, tmp_path), strict=True)) == [
        (Split.TEST, "test/a/4.jpg"),
        (Split.TRAIN, "Train/a/1.jpg"),
        (Split.TRAIN, "Train/b/c/2.jpg"),
        (Split.VALIDATION, f"{validation}/a/3.jpg"),
    ]
    assert reasons(found, tmp_path) == {
        "Train/loose.jpg": "no class: it is not in a class folder",
        "extra": "no split: it is not in a train, validation or test folder",
    }
    assert len(found.in_split(Split.TRAIN)) == 2


def test_a_train_is_also_a_vehicle(tmp_path):
    make(tmp_path, "train/1.jpg", "bus/2.jpg")
    found = open_folder(tmp_path)
    assert (found.classes, found.splits) == (("bus", "train"), ())


def test_a_single_split_folder(tmp_path):
    make(tmp_path, "train/cats/1.jpg", "train/dogs/2.jpg")
    found = open_folder(tmp_path)
    assert (found.classes, set(found.splits)) == (("cats", "dogs"), {Split.TRAIN})


def test_litter_is_passed_over_in_silence(tmp_path):
    make(tmp_path, "a/1.jpg", "b/2.jpg", ".DS_Store", "a/.DS_Store", "a/Thumbs.db", "b/desktop.ini")
    make(tmp_path, "__MACOSX/a/._1.jpg", ".git/x.jpg", "a/._1.jpg", "README.md", "labels.csv")
    found = open_folder(tmp_path)
    assert (len(found), found.classes, found.skipped) == (2, ("a", "b"), ())


def test_content_decides_where_the_ending_does_not(tmp_path):
    make(tmp_path, "a/1.jpg", "b/2.jpg", "a/notes.txt", "root.txt", "root.jpg")
    make(tmp_path, "a/no-ending", "b/odd.dat", content=PNG)
    make(tmp_path, "b/nothing", content=b"")
    make(tmp_path, "b/targa", content=bytes(30) + b"TRUEVISION-XFILE.\x00")
    brands = b"".join(b"%04d" % number for number in range(40)) + b"avif"
    make(tmp_path, "b/brands", content=bytes([0, 0, 0, 180]) + b"ftypmif1\0\0\0\0" + brands)
    found = open_folder(tmp_path)
    assert relative(found, tmp_path) == [
        "a/1.jpg",
        "a/no-ending",
        "b/2.jpg",
        *("b/brands", "b/odd.dat", "b/targa"),
    ]
    assert reasons(found, tmp_path) == {
        "a/notes.txt": "not an image",
        "b/nothing": "empty file",
        "root.jpg": "no class: it is not in a class folder",
    }


def test_links_are_followed_but_not_in_circles(tmp_path):
    root = make(tmp_path / "root", "a/1.jpg", "b/2.jpg")
    outside = make(tmp_path / "outside", "deep/3.jpg", "4.jpg")
    (root / "c").symlink_to(outside)
    (root / "d").symlink_to(outside / "deep" / "..")  # the same folder again
    (root / "a" / "file.jpg").symlink_to(outside / "4.jpg")
    (root / "a" / "up").symlink_to(root)
    (root / "b" / "self").symlink_to(root / "b")
    (root / "b" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "b" / "me.jpg").symlink_to(root / "b" / "me.jpg")
    os.mkfifo(root / "b" / "pipe.jpg")
    found = open_folder(root)
    assert relative(found, root) == ["a/1.jpg", "a/file.jpg", "b/2.jpg", "c/4.jpg", "c/deep/3.jpg"]
    assert reasons(found, root) == {
        "a/up": "link loop",
        "b/self": "link loop",
        "b/gone.jpg": "broken link",
        "b/me.jpg": "link loop",
        "b/pipe.jpg": "not a regular file",
        "d": "link to a folder that is read already",
    }


def test_folders_that_link_to_each_other_end(tmp_path):
    names = [f"f{number}" for number in range(12)]
    make(tmp_path, *(f"{name}/1.jpg" for name in names))
    for name in names:
        for other in names:
            if other != name:
                (tmp_path / name / other).symlink_to(tmp_path / other)
    assert len(open_folder(tmp_path)) >= 12


def test_an_unreadable_folder_does_not_stop_the_rest(tmp_path, monkeypatch):
    make(tmp_path, "a/1.jpg", "b/2.jpg", "locked/3.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):  # chmod does not keep root out
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = open_folder(tmp_path)
    assert found.classes == ("a", "b")
    assert reasons(found, tmp_path) == {"locked": "unreadable folder: permission denied"}


def test_an_unreadable_folder_may_be_what_is_missing(tmp_path, monkeypatch):
    make(tmp_path, "a/1.jpg", "locked/3.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"only one class .*cannot read .*locked"):
        open_folder(tmp_path)
    make(tmp_path, "s/train/a/1.jpg", "s/train/b/2.jpg", "s/test/locked/3.jpg")
    found = open_folder(tmp_path / "s")
    assert reasons(found, tmp_path / "s") == {"test/locked": "unreadable folder: permission denied"}


def test_an_empty_class_is_mentioned(tmp_path):
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "c").mkdir()
    assert reasons(open_folder(tmp_path), tmp_path) == {"c": "no images in this folder"}
    (tmp_path / "b/2.jpg").unlink()
    with pytest.raises(DataError, match=r"\('a'\); there are no images in \S+/b, \S+/c; it"):
        open_folder(tmp_path)


def test_an_empty_split_is_mentioned(tmp_path):
    make(tmp_path, "train/a/1.jpg", "train/b/2.jpg")
    (tmp_path / "test").mkdir()
    found = open_folder(tmp_path)
    assert reasons(found, tmp_path) == {"test": "no class folders in this folder"}


def test_names_that_are_not_utf_8(tmp_path):
    make(tmp_path, "a/1.jpg")
    try:
        make(tmp_path, os.fsdecode(b"b\xff/\xfe.jpg"))
    except OSError:
        pytest.skip("the file system refuses such names")
    found = open_folder(tmp_path)
    assert found.classes == ("a", r"b\udcff")
    assert all(path.exists() for path in found.paths)
    "".join(found.classes).encode()


def test_a_deep_tree(tmp_path):
    make(tmp_path, "b/2.jpg", "/".join(["d"] * 400) + "/1.jpg")
    assert len(open_folder(tmp_path)) == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "contains no images; make one folder per class, such as"),
        (["1.jpg", "2.jpg"], "contains 2 images but no class folders; make one folder per class"),
        (["cats/1.jpg"], r"only one class \('cats'\); it needs at least two folders"),
        (
            ["train/1.jpg", "test/2.jpg", "test/a/x.txt"],
            r"parts of a data set are not classes; make",
        ),
        (["cats/notes.txt", "dogs/a.txt"], r"no usable images \(2 not an image\), such as .*notes"),
        (
            ["images/1.jpg", "labels.csv"],
            r"fit \S*/labels.csv --image-folder \S*/images --image-suffix .jpg --out MODEL",
        ),
    ],
)
def test_too_few_classes(tmp_path, names, message):
    make(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        open_folder(tmp_path)


def test_a_folder_that_is_one_class_of_another(tmp_path):
    make(tmp_path, "good/1.jpg", "bad/2.jpg")
    with pytest.raises(DataError, match=f"; or, if it is one class, give {tmp_path}$"):
        open_folder(tmp_path / "good")


def test_fewer_classes_may_do(tmp_path):
    make(tmp_path, "cats/1.jpg")
    assert open_folder(tmp_path, require_classes=1).classes == ("cats",)
    with pytest.raises(DataError):
        open_folder(tmp_path, require_classes=3)


def test_a_folder_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot read the folder"):
        open_folder(tmp_path / "none")


def test_open_dataset(tmp_path, monkeypatch):
    make(tmp_path, "a/1.jpg", "b/2.jpg", "x.doc")
    assert len(open_dataset(str(tmp_path), cache=tmp_path / "cache")) == 2
    with pytest.raises(DataError, match="apply to tables"):
        open_dataset(tmp_path, cache=tmp_path, label_column="x")
    with pytest.raises(DataError, match="single image"):
        open_dataset(tmp_path / "a" / "1.jpg", cache=tmp_path)
    with pytest.raises(DataError, match="not a folder, a table or an archive"):
        open_dataset(tmp_path / "x.doc", cache=tmp_path)
    with pytest.raises(
        DataError, match=r"no file, folder or known data set .*did you mean 'digits'.*textiles"
    ):
        open_dataset("digts", cache=tmp_path)
    with pytest.raises(DataError, match="no file, folder or known data set"):
        open_dataset("", cache=tmp_path)

    (tmp_path / "lab" / "teacher").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match=f"folder 'lab/teachr' .looked in {tmp_path}.; did you mean 'lab/teacher'"
    ) as caught:
        open_dataset("lab/teachr", cache=tmp_path)
    assert "digits" not in str(caught.value)
    with pytest.raises(
        DataError, match=f"'laboratory/teacher' .looked in {tmp_path}.; check the path"
    ):
        open_dataset("laboratory/teacher", cache=tmp_path)
    with pytest.raises(DataError, match="'/laboratory/teacher'; check the path"):
        open_dataset("/laboratory/teacher", cache=tmp_path)


def test_a_missing_source_in_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def refuse(path):  # chmod does not keep root out
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match="no file or folder"):
        open_dataset(tmp_path / "none")


def test_a_path_comes_before_a_name(tmp_path, monkeypatch):
    make(tmp_path / "digits", "a/1.jpg", "b/2.jpg")
    monkeypatch.chdir(tmp_path)
    assert open_dataset("digits", cache=tmp_path / "cache").classes == ("a", "b")
