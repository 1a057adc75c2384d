from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.datasets import open_dataset
from headstart.datasets.dataset import ImageDataset
from headstart.datasets.grouping import GroupBy, GroupKind
from headstart.errors import DataError


def dataset(*paths):
    return ImageDataset(
        name="photos",
        paths=tuple(map(Path, paths)),
        labels=np.zeros(len(paths), np.int64),
        classes=("a",),
    )


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("column:site", GroupKind.COLUMN, "site"),
        ("folder:2", GroupKind.FOLDER, "2"),
        (r"name:^(\d+):", GroupKind.NAME, r"^(\d+):"),
        ("time:0.5", GroupKind.TIME, "0.5"),
    ],
)
def test_parses_what_it_prints(text, kind, value):
    found = GroupBy.parse(text)
    assert (found.kind, found.value, str(found)) == (kind, value, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "site",
        "column:",
        "folder:0",
        "folder:-1",
        "folder:x",
        "name:(",
        "time:0",
        "time:-3",
        "time:nan",
        "time:inf",
        "time:soon",
        "places:3",
    ],
)
def test_refuses_what_means_nothing(text):
    with pytest.raises(DataError, match="cannot group by"):
        GroupBy.parse(text)


def test_groups_by_folder():
    photos = dataset("d/a/site 1/1.jpg", "d/a/site 2/2.jpg", "d/b/site 1/3.jpg", "4.jpg")
    assert GroupBy.parse("folder:1").apply(photos).groups == ("site 1", "site 2", "site 1", "")
    assert GroupBy.parse("folder:2").apply(photos).groups == ("a", "a", "b", "")


def test_groups_by_name():
    photos = dataset("d/cat3_1.jpg", "d/cat3_2.jpg", "e/cat4_1.jpg", "e/other.jpg")
    assert GroupBy.parse(r"name:^cat\d+").apply(photos).groups == ("cat3", "cat3", "cat4", "")
    parts = GroupBy.parse(r"name:^(cat)\d_(\d)").apply(photos).groups
    assert parts[0] == parts[2] != parts[1]
    with pytest.raises(DataError, match="every image is a group of its own"):
        GroupBy.parse("name:.*").apply(photos)
    with pytest.raises(DataError, match="every image is in the same group"):
        GroupBy.parse("folder:2").apply(dataset("a/b/1.jpg", "a/c/2.jpg"))
    with pytest.raises(DataError, match="no file name matches"):
        GroupBy.parse("name:dog").apply(photos)


def test_groups_by_time(tmp_path):
    times = ["10:00:00", "10:00:20", "10:00:45", "12:00:00", None]
    paths = []
    for number, time in enumerate(times):
        exif = Image.Exif()
        if time:
            exif[0x0132] = f"2024:01:01 {time}"
        paths.append(tmp_path / f"{number}.jpg")
        Image.new("RGB", (5, 5)).save(paths[-1], exif=exif)
    groups = GroupBy.parse("time:30").apply(dataset(*paths)).groups
    assert groups[0] == groups[1] == groups[2] != groups[3]
    assert groups[3]
    assert groups[4] == ""
    apart = GroupBy.parse("time:21").apply(dataset(*paths)).groups
    assert apart[0] == apart[1] != apart[2]
    with pytest.raises(DataError, match="no image has a capture time"):
        GroupBy.parse("time:30").apply(dataset(paths[4]))


def test_groups_by_a_column(tmp_path):
    for name in ("1.png", "2.png", "3.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    table = tmp_path / "labels.csv"
    table.write_text("image,label,Site\n1.png,a,x\n2.png,b,x\n3.png,b,\n")
    found = open_dataset(table, group_by=GroupBy.parse("column:site"))
    assert dict(zip([p.name for p in found.paths], found.groups, strict=True)) == {
        "1.png": "x",
        "2.png": "x",
        "3.png": "",
    }
    assert found.grouped_by == "column:site"
    with pytest.raises(DataError, match="no column 'place'"):
        open_dataset(table, group_by=GroupBy.parse("column:place"))


def test_a_folder_has_no_columns(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="is not a table"):
        open_dataset(tmp_path, group_by=GroupBy.parse("column:site"))


def test_as_many_groups_as_images():
    with pytest.raises(DataError, match="1 images and 2 groups"):
        dataset("a.jpg").with_groups(["x", "y"], source="groups")
