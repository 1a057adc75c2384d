import json
from contextlib import suppress
from pathlib import Path

import pytest

from headstart.datasets.tables.json_records import read_json, read_json_lines
from headstart.errors import DataError

ROWS = [{"file": "a.jpg", "label": "x"}, {"file": "b.jpg", "label": "y"}]


def rows(table):
    columns = [table.values(name) for name in table.columns]
    return [dict(zip(table.columns, cells, strict=True)) for cells in zip(*columns, strict=True)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines(end):
    text = end.join(["", *map(json.dumps, ROWS), "{broken", "[1]", "[" * 100_000, ""])
    found = read_json_lines(Path("t.jsonl"), text)
    assert rows(found)[:2] == ROWS
    assert found.problems == dict.fromkeys((2, 3, 4), "not a JSON object")
    assert found.position(2) == "line 4"
    assert rows(read_json(Path("t.json"), text))[:2] == ROWS


def test_a_line_separator_inside_a_text():
    (row,) = rows(read_json_lines(Path("t.jsonl"), '{"file": "a\u2028b.jpg"}'))
    assert row == {"file": "a\u2028b.jpg"}


def test_an_array_in_a_file_of_lines():
    assert rows(read_json_lines(Path("t.jsonl"), json.dumps(ROWS, indent=1))) == ROWS


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
def test_what_pandas_writes(orient):
    pandas = pytest.importorskip("pandas")
    text = pandas.DataFrame(ROWS).to_json(orient=orient)
    found = read_json(Path("t.json"), text)
    assert [{name: row[name] for name in ("file", "label")} for row in rows(found)] == ROWS


@pytest.mark.parametrize(
    "document",
    [
        {"version": 1, "data": ROWS},
        {"file": ["a.jpg", "b.jpg"], "label": ["x", "y"]},
        {"a.jpg": "x", "b.jpg": "y"},
        {"a.jpg": {"label": "x"}, "b.jpg": {"label": "y"}},
    ],
)
def test_other_orientations(document):
    assert rows(read_json(Path("t.json"), json.dumps(document))) == ROWS


def test_objects_in_objects():
    found = read_json_lines(Path("t.jsonl"), '{"image": {"file": "a.jpg"}, "of": {"label": "x"}}')
    assert rows(found) == [{"image.file": "a.jpg", "of.label": "x"}]


def test_a_key_that_occurs_twice():
    found = read_json_lines(Path("t.jsonl"), '{"file": "a.jpg", "label": "x", "label": "y"}')
    assert found.problems == {0: "the key 'label' occurs twice"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "cannot be read as JSON"),
        ('{"images": [], "annotations": []}', "COCO"),
        ('{"file": ["a.jpg"], "label": []}', "different lengths"),
    ],
)
def test_refused(text, message):
    with pytest.raises(DataError, match=message):
        read_json(Path("t.json"), text)


@pytest.mark.parametrize(
    "text", ['{"columns": 3, "data": [[1]]}', '{"columns": ["a"], "data": [1]}', "null", "[[[["]
)
def test_odd_documents_are_tables_or_refused_in_words(tmp_path, text):
    path = tmp_path / "t.json"
    path.write_text(text)
    with suppress(DataError):
        read_json(path, text)


def test_a_repeated_key_is_found_fast(tmp_path):
    text = "{" + ", ".join(f'"{number}": 1' for number in range(100_000)) + ', "7": 2}'
    with pytest.raises(DataError, match="the key '7' occurs twice"):
        read_json(tmp_path / "t.json", text)
