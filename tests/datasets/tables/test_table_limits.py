"""Tables that are too large are refused before they take much memory."""

import io
import tracemalloc
from pathlib import Path

import pytest

from headstart.datasets.tables import (
    cell_store,
    delimited,
    json_records,
    label_column,
    open_table,
    table_limits,
)
from headstart.datasets.tables.cell_store import CellStore
from headstart.datasets.tables.delimited import read_delimited
from headstart.datasets.tables.json_records import read_json, read_json_lines
from headstart.datasets.tables.text_file import read_text
from headstart.errors import DataError

CSV = "file,label\na.jpg,x\nb.jpg,y\nc.jpg,z\n"
JSON = '[{"file": "a.jpg", "label": "x"}, {"file": "b.jpg", "label": "y"}]'


@pytest.mark.parametrize(
    ("module", "name", "limit", "said"),
    [
        (delimited, "MOST_COLUMNS", 1, "more than 1 columns; divide it"),
        (cell_store, "MOST_ROWS", 2, "more than 2 rows; divide it"),
        (cell_store, "MOST_CELLS", 5, "more than 5 cells; divide it"),
        (table_limits, "_MOST_LINES", 3, "more than 3 lines; divide it"),
        (table_limits, "_LONGEST_LINE", 9, "more than 9 characters in line 1; write each row"),
    ],
)
def test_text(monkeypatch, module, name, limit, said):
    monkeypatch.setattr(module, name, limit)
    with pytest.raises(DataError, match=f"t.csv has {said}"):
        read_delimited(Path("t.csv"), CSV)


@pytest.mark.parametrize(
    ("name", "limit", "said"),
    [
        ("MOST_JSON_OBJECTS", 2, "more than 2 objects and lists; write it as CSV"),
        ("MOST_JSON_COMMAS", 2, "more than 2 commas; write it as CSV"),
        ("MOST_ROWS", 1, "more than 1 rows"),
    ],
)
def test_json(monkeypatch, name, limit, said):
    monkeypatch.setattr(json_records, name, limit)
    with pytest.raises(DataError, match=said):
        read_json(Path("t.json"), JSON)


def test_deep_json_ends():
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_json(Path("t.json"), "[" * 100_000)


@pytest.mark.parametrize("text", ["", "a", "\n", "a\n\nb\r\r\nc", "\r\n\ra\x85b\u2028c\n"])
def test_lines(text):
    assert list(table_limits.text_lines(Path("t.csv"), text)) == list(io.StringIO(text, newline=""))


@pytest.mark.parametrize("limit", ["_MOST_LINES", "_LONGEST_LINE"])
def test_the_last_line_is_not_the_first(monkeypatch, limit):
    monkeypatch.setattr(table_limits, limit, 2)
    with pytest.raises(DataError, match=r"more than 2 (lines|characters in line 3)"):
        list(table_limits.text_lines(Path("t.csv"), "a\nb\nccc"))


def test_blank_lines_are_not_kept():
    tracemalloc.start()
    read_json_lines(Path("t.jsonl"), "\n" * 100_000)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 300_000  # a third is the text


def test_bytes(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text(CSV.replace("x", "\U0001f600"), encoding="utf-8")
    read_text(path)
    monkeypatch.setattr(table_limits, "_MOST_TEXT", 100)
    with pytest.raises(
        DataError, match="more than 25 bytes of text with emoji or the like; remove"
    ):
        read_text(path)
    monkeypatch.setattr(table_limits, "MOST_BYTES", 30)
    with pytest.raises(DataError, match="more than 30 bytes of text"):
        read_text(path)


def test_labels_that_are_all_different(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text(CSV)
    monkeypatch.setattr(label_column, "_MOST_LABELS", 2)
    with pytest.raises(DataError, match="3 different labels in column 'label'"):
        open_table(tmp_path / "t.csv")


ROWS = [["a", "", "ü"], ["b"], [], ["\U0001f600", "cc", "d", "e"], ["\ud800x", "y"]]


def test_cells_are_as_they_were():
    store = CellStore(Path("t.csv"), enumerate(ROWS, start=7))
    assert [store.width(row) for row in range(len(store))] == [3, 1, 0, 4, 2]
    for column in range(5):
        expected = [row[column] if column < len(row) else "" for row in ROWS]
        assert store.column(column) == expected
    assert list(store.lines) == [7, 8, 9, 10, 11]


def test_cells_take_little_more_memory_than_their_characters():
    tracemalloc.start()
    store = CellStore(
        Path("t.csv"), ((1, [f"{row}{column}" for column in range(20)]) for row in range(5000))
    )
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    characters = sum(len(cell) for column in range(20) for cell in store.column(column))
    assert used < characters + 8 * 20 * 5000
