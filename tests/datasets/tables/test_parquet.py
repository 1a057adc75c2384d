import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from headstart.datasets import open_dataset
from headstart.datasets.tables import TableOptions, open_table
from headstart.errors import DataError, MissingExtraError
from headstart.types import Split
from tests.datasets.tables.conftest import contents, reasons

pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

LABELS = [0, 1, 1]
STRUCT = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
NAMES = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}


def encoded(level: int, kind: str = "PNG") -> bytes:
    """An image of one gray."""
    file = io.BytesIO()
    Image.new("L", (4, 4), level).save(file, kind)
    return file.getvalue()


IMAGES = [encoded(0), encoded(100, "JPEG"), encoded(200)]


def embedded(paths=("a.png", "some/where/b c.jpg", None), images=IMAGES):
    cells = [{"bytes": one, "path": path} for one, path in zip(images, paths, strict=True)]
    return pyarrow.array(cells, STRUCT)


def write(path, metadata=None, **columns):
    table = pyarrow.table(columns)
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    parquet.write_table(table, path)
    return path


def test_files_and_labels(folder):
    frame = pandas.DataFrame(
        {
            "file": ["img/a.jpg", "img/b.jpg", "img/c.jpg"],
            "label": [0, 1, None],
            "split": ["train"] * 3,
        }
    )
    frame.to_parquet(folder / "t.parquet")
    found = open_table(folder / "t.parquet")
    assert contents(found) == [("a.jpg", "0"), ("b.jpg", "1")]
    assert found.splits == (Split.TRAIN, Split.TRAIN)
    assert reasons(found) == ["no label"]
    (folder / "u.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        open_table(folder / "u.parquet")


def test_without_the_extra(folder, monkeypatch):
    path = write(folder / "t.parquet", file=["a"], label=["x"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"\.\[tables\]"):
        open_table(path)


@pytest.mark.parametrize("labels", [["x", "y"], [b"x", b"y"], [["x"], ["y"]]])
@pytest.mark.parametrize("encode", [False, True])
def test_types_of_labels(folder, labels, encode):
    cells = pyarrow.array(labels)
    if encode and not pyarrow.types.is_list(cells.type):
        cells = cells.dictionary_encode()
    path = write(folder / "t.parquet", file=["img/a.jpg", "img/b.jpg"], label=cells)
    assert contents(open_table(path)) == [("a.jpg", "x"), ("b.jpg", "y")]


@pytest.mark.parametrize(
    "images", [embedded(), pyarrow.array(IMAGES), pyarrow.array(IMAGES, pyarrow.large_binary())]
)
def test_images_inside(folder, images):
    path = write(folder / "t.parquet", image=images, label=["x", "y", "y"])
    found = open_dataset(path, cache=folder / "cache")
    assert [found.classes[label] for label in found.labels] == ["x", "y", "y"]
    assert sorted(one.read_bytes() for one in found.paths) == sorted(IMAGES)
    assert {one.parent.name for one in found.paths} == {"t.parquet"}
    levels = [np.asarray(Image.open(one)).mean().round() for one in found.paths]
    assert levels == [0, 100, 200]


def test_images_inside_are_named_after_their_row_and_path(folder):
    path = write(folder / "t.parquet", image=embedded(), label=LABELS)
    found = open_table(path, cache=folder / "cache")
    assert [one.name for one in found.paths] == ["1-a.png", "2-b_c.jpg", "3.png"]


def test_images_inside_are_written_once(folder, monkeypatch):
    path = write(folder / "t.parquet", image=embedded(), label=LABELS)
    first = open_table(path, cache=folder / "cache")
    monkeypatch.setattr("headstart.datasets.tables.embedded_images.embedded_images", None)
    assert open_table(path, cache=folder / "cache").paths == first.paths


@pytest.mark.parametrize("lost", [".paths", "t.parquet/*"])
def test_images_inside_that_were_deleted_are_written_again(folder, lost):
    path = write(folder / "t.parquet", image=embedded(), label=LABELS)
    first = open_table(path, cache=folder / "cache")
    for one in (folder / "cache" / "archives").rglob(lost):
        one.unlink()
    assert open_table(path, cache=folder / "cache").paths == first.paths
    assert [one.read_bytes() for one in first.paths] == IMAGES


def test_class_names_of_the_hub(folder):
    path = write(folder / "t.parquet", NAMES, image=embedded(), label=[0, 1, -1])
    found = open_table(path, cache=folder / "cache")
    assert found.classes == ("cat", "dog")
    assert [(one.path, one.reason) for one in found.skipped] == [
        (f"{path}, row 3", "no label")  # as the Hub marks rows of a secret test part
    ]


def test_paths_without_images(folder):
    paths = ["img/a.jpg", "/home/alice/img/b.jpg", None]
    path = write(folder / "t.parquet", image=embedded(paths, [None] * 3), label=["x", "y", "y"])
    found = open_table(path, cache=folder / "cache")
    assert contents(found) == [("a.jpg", "x"), ("b.jpg", "y")]
    assert reasons(found) == ["no image file"]


def test_the_first_images_may_be_missing(folder):
    images = pyarrow.array([None] * 100 + [IMAGES[0]])
    path = write(folder / "t.parquet", photo=images, label=["x"] * 101)
    found = open_table(path, cache=folder / "cache", require_classes=1)
    assert (len(found), len(found.skipped)) == (1, 100)


def test_what_is_no_image_is_left_to_the_decoder(folder):
    path = write(folder / "t.parquet", image=[b"\0unknown"] * 3, label=LABELS)
    assert len(open_table(path, cache=folder / "cache")) == 3


def test_several_columns_of_images(folder):
    path = write(folder / "t.parquet", left=embedded(), right=embedded(), label=LABELS)
    with pytest.raises(DataError, match=r"several possible image columns among 'left', 'right'"):
        open_table(path, cache=folder / "cache")
    assert len(open_table(path, TableOptions(image_column="left"), cache=folder / "cache")) == 3


def test_several_class_columns(folder):
    features = {"fine": NAMES["info"]["features"]["label"], "coarse": {"names": ["pet", "x"]}}
    features["coarse"]["_type"] = "ClassLabel"
    columns = {"image": embedded(), "fine": LABELS, "coarse": [0, 0, 1]}
    path = write(folder / "t.parquet", {"info": {"features": features}}, **columns)
    with pytest.raises(DataError, match=r"several possible label columns among 'fine', 'coarse'"):
        open_table(path, cache=folder / "cache")
    options = TableOptions(label_column="coarse")
    assert open_table(path, options, cache=folder / "cache").classes == ("pet", "x")


def test_the_first_cell_may_be_no_image(folder):
    cells = pyarrow.array([b"<html>", *IMAGES], pyarrow.binary())
    path = write(folder / "t.parquet", image=cells, label=[0, *LABELS])
    assert len(open_table(path, cache=folder / "cache").paths) == 4
