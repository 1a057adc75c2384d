import os
from pathlib import Path

import pytest

from headstart.datasets.tables.image_folder import ImageFolder, UnusableRowError

HOME = "/home/alice/data"


@pytest.mark.parametrize(
    "name",
    [
        "img/a.jpg",
        " img/a.jpg ",
        "./img/a.jpg",
        r"img\a.jpg",
        r".\img\a.jpg",
        "'img/a.jpg'",
        '"img/a.jpg"',
        "file:///{root}/img/a.jpg",
        "file://localhost/{root}/img/a.jpg",
        "file:/{root}/img/%61.jpg",
        "FILE:///{root}/img/a.jpg",
        "file://img/a.jpg",
        "img/%61.jpg",
        "~/img/a.jpg",
        "img/a",
        "{last}/img/a.jpg",
    ],
)
def test_spellings(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    named = name.format(root=folder.as_posix().lstrip("/"), last=folder.name)
    found = ImageFolder(root=folder).find(named)
    assert os.path.samefile(found, folder / "img" / "a.jpg")  # noqa: PTH121


@pytest.mark.parametrize(
    "name",
    [
        "/home/alice/data/img/a.jpg",
        r"C:\Users\Alice\img\a.jpg",
        "C:/Users/Alice/img/a.jpg",
        r"\\server\share\img\a.jpg",
        "file:///C:/Users/Alice/img/a.jpg",
        "file://server/share/img/a.jpg",
        "../input/img/a.jpg",
    ],
)
def test_paths_of_another_machine_end_here(folder: Path, name: str):
    images = ImageFolder(root=folder)
    assert images.find(name) == folder / "img" / "a.jpg"
    (said,) = images.warnings()
    assert "1 path in the table not on this machine" in said
    assert repr(name) in said


def test_two_paths_do_not_end_in_one_file(folder: Path):
    images = ImageFolder(root=folder / "img")
    assert images.find(f"{HOME}/cats/a.jpg").name == "a.jpg"
    with pytest.raises(UnusableRowError, match=f"same file as another row .{HOME}/cats/a.jpg"):
        images.find(f"{HOME}/dogs/a.jpg")
    with pytest.raises(UnusableRowError, match="no such file"):
        images.find("dogs/a.jpg")  # which is not below this folder


def test_names_without_an_ending(folder: Path):
    images = ImageFolder(root=folder / "img")
    assert images.find("a") == folder / "img" / "a.jpg"
    (said,) = images.warnings()
    assert (
        f"1 name in the table without an ending, such as 'a' for {folder / 'img' / 'a.jpg'}" in said
    )
    (folder / "img" / "b.png").write_bytes(b"x")
    images = ImageFolder(root=folder / "img")
    with pytest.raises(UnusableRowError, match=r"several files.*--image-suffix \(b.jpg, b.png\)"):
        images.find("b")
    with pytest.raises(UnusableRowError, match="no such file"):
        images.find("e")


@pytest.mark.parametrize("suffix", [".jpg", "jpg"])
def test_a_suffix(folder: Path, suffix: str):
    (folder / "img" / "b.png").write_bytes(b"x")
    images = ImageFolder(root=folder / "img", suffix=suffix)
    assert [images.find(name).name for name in ("b", "b.png")] == ["b.jpg", "b.png"]
    assert not [*images.warnings()]


def test_accents_are_composed_or_not(folder: Path):
    (folder / "cafe\u0301.jpg").write_bytes(b"x")
    found = ImageFolder(root=folder).find("caf\u00e9.jpg")
    assert os.path.samefile(found, folder / "cafe\u0301.jpg")  # noqa: PTH121


def test_names_with_blanks_around_them(folder: Path):
    (folder / " a.jpg").write_bytes(b"x")
    assert ImageFolder(root=folder).find(" a.jpg").name == " a.jpg"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("img", "a folder"),
        ("img/e.jpg", "no such file"),
        ("/home/alice/e.jpg", "no such file"),
        ("https://example.org/img/a.jpg", "remote file; download it"),
        ("s3://bucket/img/a.jpg", "remote file; download it"),
        ("data:image/png;base64,iVBORw0KGgo=", "an image inside the cell"),
        ("/9j/" + "A" * 2000, "an image inside the cell"),
        ("a\0.jpg", "a zero byte in the name"),
    ],
)
def test_refused(folder: Path, name: str, reason: str):
    images = ImageFolder(root=folder)
    assert not images.has(name)
    with pytest.raises(UnusableRowError, match=reason):
        images.find(name)


@pytest.mark.parametrize("name", ["../o.jpg", "/{root}/o.jpg", "file:///{root}/o.jpg", "~/o.jpg"])
def test_nothing_outside(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv("HOME", str(folder))
    (folder / "o.jpg").write_bytes(b"x")
    images = ImageFolder(root=folder / "img", within=folder / "img")
    with pytest.raises(UnusableRowError, match="outside the archive"):
        images.find(name.format(root=folder.as_posix().lstrip("/")))
    assert images.find("a.jpg")
