from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with img/a.jpg to img/d.jpg, which are never opened."""
    (tmp_path / "img").mkdir()
    for name in "abcd":
        (tmp_path / "img" / f"{name}.jpg").write_bytes(b"x")
    return tmp_path


def table(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    """Write a table."""
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def contents(dataset):
    """Return the names and labels of the images."""
    return [
        (path.name, dataset.classes[label])
        for path, label in zip(dataset.paths, dataset.labels.tolist(), strict=True)
    ]


def reasons(dataset):
    """Return why files were skipped."""
    return [one.reason for one in dataset.skipped]
