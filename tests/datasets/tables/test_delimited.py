import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.datasets.tables.delimited import read_delimited
from headstart.datasets.tables.table import Table
from headstart.errors import DataError
from tests.properties import examples

FILES = ("a.jpg", "b.jpg", "#1.jpg")
ROWS = {"image": ["a.jpg", "b.jpg"], "label": ["x", "y"]}


def read(text: str, name: str = "t.csv") -> Table:
    return read_delimited(Path(name), text, FILES.__contains__)


def values(table: Table) -> dict[str, list[str]]:
    return {name: list(table.values(name)) for name in table.columns}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", "  "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt"])
def test_delimiters_and_line_ends(delimiter, end, name):
    lines = [delimiter.join(row) for row in (("image", "label"), ("a.jpg", "x"), ("b.jpg", "y"))]
    assert values(read(end.join(lines) + end + end, name)) == ROWS


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
def test_excel_states_the_delimiter(first):
    found = read(f"{first}\r\nimage;label, in words\r\na.jpg;x, y\r\n")
    assert values(found) == {"image": ["a.jpg"], "label, in words": ["x, y"]}
    assert [found.position(0)] == ["line 3"]


def test_the_delimiter_is_what_lines_agree_on():
    found = read("image;label, in words\na.jpg;x\nb.jpg;y, z\n")
    assert found.columns == ("image", "label, in words")


@pytest.mark.parametrize("comment", ["# made by hand", "#", "# a, b"])
def test_comments(comment):
    text = f"{comment}\nimage,label\n{comment}\na.jpg,x\n#b.jpg,y\n#1.jpg,z\nb.jpg,y\n"
    assert values(read(text)) == {
        "image": ["a.jpg", "#1.jpg", "b.jpg"],
        "label": ["x", "z", "y"],
    }


def test_a_header_may_look_like_a_comment():
    assert values(read("# image,label\na.jpg,x\nb.jpg,y\n")) == ROWS


@pytest.mark.parametrize("first", ["a.jpg", "missing.png"])
def test_no_header(first):
    found = read(f"{first},x\nb.jpg,y\n")
    assert not found.named
    assert values(found) == {"1": [first, "b.jpg"], "2": ["x", "y"]}


def test_paths_may_have_blanks_in_lists_with_blanks():
    assert values(read("my photo.jpg 3\na.jpg 4\n")) == {
        "1": ["my photo.jpg", "a.jpg"],
        "2": ["3", "4"],
    }


def test_blanks_before_quotation_marks():
    assert values(read('image, label\na.jpg, "x, y"\n')) == {"image": ["a.jpg"], "label": ["x, y"]}


def test_more_and_fewer_cells():
    found = read("image,label,note\na.jpg,x,1,,\nb.jpg,y, z,2\nc.jpg,x\n")
    assert found.problems == {
        1: "4 cells for 3 columns; put quotation marks around cells that contain ','"
    }
    assert found.values("note") == ["1", " z", ""]


def test_two_columns_of_one_name():
    found = read("image,label,label\na.jpg,x,0\n")
    assert found.values("image") == ["a.jpg"]
    with pytest.raises(DataError, match="2 columns named 'label'"):
        found.values("label")


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("emotion,pixels,Usage", "0,1 2 3,Training"),
        ("label," + ",".join(f"pixel{n}" for n in range(784)), "1" + ",0" * 784),
        ("label," + ",".join(f"{n}x{m}" for n in range(28) for m in range(28)), "1" + ",0" * 784),
        ("7" + ",0" * 784, "1" + ",0" * 784),
    ],
)
def test_pixels_are_refused(header, cells):
    with pytest.raises(DataError, match=r"holds the pixels of images \(.*save each row"):
        read(f"{header}\n{cells}\n")


def test_numbers_beside_images_are_no_pixels():
    header = "image,label," + ",".join(map(str, range(100)))
    assert len(read(f"{header}\na.jpg,x{',0.5' * 100}\n")) == 1


@examples(100)
@given(
    st.lists(
        st.tuples(
            *[st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))] * 2
        ),
        min_size=1,
    ),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from([",", ";", "\t"]),
)
def test_what_csv_writes_is_read_back(rows, quoting, delimiter):
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting, delimiter=delimiter)
    writer.writerow(["image", "label"])
    writer.writerows(rows)
    found = read_delimited(Path("t.csv"), text.getvalue())
    kept = [tuple(cell.strip() for cell in row) for row in rows if any(map(str.strip, row))]
    columns = [[cell.strip() for cell in found.values(name)] for name in ("image", "label")]
    assert list(zip(*columns, strict=True)) == kept
