"""Parquet with values that Python has no object for, and with more of them than fit in memory."""

import os
import sys
from pathlib import Path

import pytest

from headstart.datasets.tables import open_table
from headstart.datasets.tables import parquet as parquet_tables
from headstart.datasets.tables.parquet import embedded_images, read_parquet
from headstart.datasets.tables.table_file import read_table
from headstart.errors import DataError
from tests.datasets.tables.test_parquet import IMAGES

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def raw_text(values):
    """A column of text whose bytes need not be UTF-8."""
    array = pyarrow.array(values, pyarrow.binary())
    valid, offsets, data = array.buffers()
    return pyarrow.StringArray.from_buffers(len(values), offsets, data, valid)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text")
def test_text_that_is_not_utf_8_names_files_and_classes(folder):
    names = [b"img/a.jpg", b"img/b.jpg", b"img/caf\xe9.jpg"]
    (folder / "img" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"")
    table = pyarrow.table({"file": raw_text(names), "label": raw_text([b"x", b"y", b"\xff"])})
    parquet.write_table(table, folder / "t.parquet")
    found = open_table(folder / "t.parquet")
    assert found.classes == ("\\udcff", "x", "y")
    assert os.fsencode(found.paths[0].name) == b"caf\xe9.jpg"


def test_stored_paths_that_are_not_utf_8(folder):
    path = raw_text([b"a\xe9.jpg", b"b.jpg"])
    image = pyarrow.StructArray.from_arrays([pyarrow.array(IMAGES[:2]), path], ["bytes", "path"])
    table = pyarrow.table({"image": image, "label": ["x", "y"]})
    parquet.write_table(table, folder / "t.parquet")
    found = open_table(folder / "t.parquet", cache=folder / "cache")
    assert [one.name for one in found.paths] == ["1-a_.png", "2-b.jpg"]


def test_times_that_python_cannot_express_are_numbers(folder):
    times = pyarrow.array([0, 0, 2**60], pyarrow.timestamp("us"))
    table = pyarrow.table({"file": ["img/a.jpg", "img/b.jpg", "img/c.jpg"], "label": times})
    parquet.write_table(table, folder / "t.parquet")
    assert open_table(folder / "t.parquet").classes == (
        "1152921504606846976",
        "1970-01-01 00:00:00",
    )


def test_values_that_occur_often_are_kept_once(folder):
    table = pyarrow.table({"file": ["a" * 1000] * 20_000, "label": ["x", "y"] * 10_000})
    parquet.write_table(table, folder / "t.parquet")
    values = read_table(folder / "t.parquet").values("file")
    assert len(values) == 20_000
    assert len({id(one) for one in values}) <= 4


@pytest.mark.parametrize(
    ("name", "limit", "said"),
    [
        ("MOST_ROWS", 2, "more than 2 rows"),
        ("MOST_COLUMNS", 1, "more than 1 columns"),
        ("MOST_CELLS", 2, "more than 2 values in '"),
        ("MOST_BYTES", 10, "more than 10 bytes in 'file'"),
        (
            "_LARGEST_GROUP",
            10,
            "more than 10 bytes of '(file|label)' in one row group; write it with",
        ),
        ("_LARGEST_FOOTER", 10, "describes its columns in 0 MB"),
    ],
)
def test_limits(folder, monkeypatch, name, limit, said):
    table = pyarrow.table(
        {"file": ["img/a.jpg", "img/b.jpg", "img/c.jpg"], "label": ["x", "y", "x"]}
    )
    parquet.write_table(table, folder / "t.parquet")
    monkeypatch.setattr(parquet_tables, name, limit)
    with pytest.raises(DataError, match=said):
        open_table(folder / "t.parquet")


def test_a_limit_on_a_column_whose_name_has_braces(folder, monkeypatch):
    table = pyarrow.table({"file": ["img/a.jpg"] * 3, "label{x}": ["x", "y", "x"]})
    parquet.write_table(table, folder / "t.parquet")
    monkeypatch.setattr(parquet_tables, "MOST_CELLS", 2)
    with pytest.raises(DataError, match=r"more than 2 values in 'label\{x\}'; divide it"):
        read_parquet(folder / "t.parquet").values("label{x}")


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("once", [True, False])
def test_images_in_groups_of_many_rows(folder, once, nested):
    contents = [IMAGES[0] + bytes([row % 256, row // 256]) for row in range(1000)]
    cells = [{"bytes": one, "path": f"{row}.png"} for row, one in enumerate(contents)]
    table = pyarrow.table({"image": cells if nested else contents, "label": ["x", "y"] * 500})
    parquet.write_table(table, folder / "t.parquet", row_group_size=300, use_dictionary=once)
    found = list(embedded_images(folder / "t.parquet", "image"))
    assert found == [(one["bytes"], one["path"] if nested else None) for one in cells]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
def test_files_are_closed(folder):
    path = folder / "t.parquet"
    parquet.write_table(pyarrow.table({"image": [IMAGES[0]] * 2, "label": ["x", "y"]}), path)
    table = read_parquet(path)
    assert table.values("label") == ["x", "y"]
    assert len(list(embedded_images(path, "image"))) == 2
    opened = [os.path.realpath(one) for one in Path("/proc/self/fd").iterdir()]
    assert str(path.resolve()) not in opened


def test_nested_texts_are_read_few_at_a_time(folder, monkeypatch):
    image = pyarrow.array([{"bytes": b"1" * 1000}] * 100)
    parquet.write_table(pyarrow.table({"image": image}), folder / "t.parquet")
    monkeypatch.setattr(parquet_tables, "_LARGEST_GROUP", 5000)
    path, metadata = folder / "t.parquet", parquet.read_metadata(folder / "t.parquet")
    sizes = [len(one) for one in parquet_tables._batches(path, metadata, "image", 64)]
    assert max(sizes) <= 5
