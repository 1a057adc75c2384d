import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.datasets.tables import TableOptions, open_table
from headstart.errors import DataError
from tests.properties import examples

PARTS = (
    *["image", "label", "id", "split", "is_test", "pixels", "1", "0.5", "nan", "x", "y", "x|y"],
    *["img/a.jpg", "img/b", "../img/a.jpg", "/img/a.jpg", "C:\\img\\a.jpg", "~", "~nobody/a"],
    *["file://", "file:///", "file:", "http://x/y", "%zz", "\\", "é", "e\u0301", "\ufeff", "\0"],
    *["'", '"', "[", "]", '["x"]', "('x', 'y')", "{", "}", "#", ":", " ", ",", ";", "\t", "|"],
    *["\n", "\r", "sep=;\n", "null", '{"image": "img/a.jpg", "label": "x"}\n', '{"label": [1]}\n'],
    *['{"image": "\\ud800.jpg", "label": "\\ud800"}\n', '{"columns": ["image"], "data": [["a"]]}'],
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    (folder / "img").mkdir()
    for name in "ab":
        (folder / "img" / f"{name}.jpg").write_bytes(b"x")
    return folder


@examples(60)
@given(
    text=st.lists(st.sampled_from(PARTS), max_size=40).map("".join),
    header=st.sampled_from(["", "image,label\n"]),
    name=st.sampled_from(["t.csv", "t.tsv", "t.txt", "t.json", "t.jsonl"]),
    suffix=st.sampled_from([None, ".jpg"]),
    inside=st.booleans(),
)
def test_is_read_or_refused(place, text, header, name, suffix, inside):
    (place / name).write_text(header + text, encoding="utf-8", newline="")
    options = TableOptions(image_suffix=suffix)
    within = place if inside else None
    with contextlib.suppress(DataError):
        found = open_table(place / name, options, within=within, require_classes=0)
        assert all(path.is_file() for path in found.paths)
        assert all(label and label == label.strip() for label in found.classes)
