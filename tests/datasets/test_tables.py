import json
import sys

import pytest

from headstart.datasets.tables import TableOptions, open_table
from headstart.errors import DataError, MissingExtraError
from headstart.types import Split


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "img").mkdir()
    for name in "abcd":
        (tmp_path / "img" / f"{name}.jpg").write_bytes(b"x")
    return tmp_path


def table(folder, text, name="t.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def contents(dataset):
    return [
        (path.name, dataset.classes[label])
        for path, label in zip(dataset.paths, dataset.labels.tolist(), strict=True)
    ]


def reasons(dataset):
    return [one.reason for one in dataset.skipped]


@pytest.mark.parametrize("header", ["image,label", "File_Name,Class", " IMG path , Species "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_columns_are_found_by_name(folder, header, encoding):
    path = table(folder, f"{header}\nimg/b.jpg,Müll\nimg/a.jpg, 7 \n\n", encoding=encoding)
    found = open_table(path)
    assert contents(found) == [("a.jpg", "7"), ("b.jpg", "Müll")]
    assert (found.splits, found.skipped, found.name) == ((), (), "t.csv")


@pytest.mark.parametrize(("delimiter", "name"), [(";", "t.csv"), ("\t", "t.csv"), ("\t", "t.TSV")])
def test_delimiters(folder, delimiter, name):
    rows = ["id,image,label", '1,"img/a.jpg",x', "2,img/b.jpg,y"]
    found = open_table(table(folder, "\r\n".join(rows).replace(",", delimiter), name))
    assert contents(found) == [("a.jpg", "x"), ("b.jpg", "y")]


def test_columns_can_be_chosen(folder):
    path = table(folder, "a,b,label,class\nimg/a.jpg,u,1,x\nimg/b.jpg,v,1,y\n")
    with pytest.raises(DataError, match=r"several possible label columns.*--label-column"):
        open_table(path, TableOptions(image_column="a"))
    assert open_table(path, TableOptions(image_column="A", label_column="b")).classes == ("u", "v")
    with pytest.raises(DataError, match="no column 'z'"):
        open_table(path, TableOptions(image_column="a", label_column="z"))


def test_splits(folder):
    rows = "image,label,Subset\nimg/a.jpg,x,Train\nimg/b.jpg,y,valid\nimg/c.jpg,y,TEST\n"
    found = open_table(table(folder, rows + "img/d.jpg,y,fourth\nimg/d.jpg,x,\n"))
    assert found.splits == (Split.TRAIN, Split.VALIDATION, Split.TEST)
    assert reasons(found) == ["no split", "unknown split 'fourth'"]


def test_a_set_may_be_anything_else(folder):
    found = open_table(table(folder, "image,label,set\nimg/a.jpg,x,red\nimg/b.jpg,y,blue\n"))
    assert (len(found), found.splits) == (2, ())


def test_rows_that_cannot_be_used(folder):
    rows = [
        "image,label",
        "img/a.jpg,x",
        "img/b.jpg,y",
        "img/b.jpg,y",
        "img/c.jpg,",
        "img/none.jpg,x",
        "https://example.org/a.jpg,x",
        "img,x",
        ",x",
        "img/d.jpg",
        f"img/{'n' * 300}.jpg,x",
    ]
    found = open_table(table(folder, "\n".join(rows)))
    assert contents(found) == [("a.jpg", "x"), ("b.jpg", "y")]
    by_path = {one.path: one.reason for one in found.skipped}
    assert by_path.pop(f"img/{'n' * 300}.jpg") in ("file name too long", "no such file")
    assert by_path == {
        str(folder / "img/b.jpg"): "listed twice (t.csv, line 4)",
        "img/c.jpg": "no label",
        "img/none.jpg": "no such file",
        "https://example.org/a.jpg": "remote file; download it and list the local copy instead",
        "img": "a folder",
        f"{folder / 't.csv'}, line 9": "no image file",
        "img/d.jpg": "no label",
    }


def test_paths(folder, tmp_path):
    absolute = folder / "img" / "a.jpg"
    found = open_table(table(folder, f"image,label\n{absolute},x\nimg\\b.jpg,y\n./img/c.jpg,y\n"))
    assert contents(found) == [("a.jpg", "x"), ("b.jpg", "y"), ("c.jpg", "y")]
    assert all(path.exists() for path in found.paths)


def test_tables_from_strangers_stay_inside(folder):
    inside = folder / "img"
    (folder / "o.txt").write_bytes(b"")
    rows = f"image,label\na.jpg,x\nb.jpg,y\n../o.txt,x\n{folder / 'o.txt'},x\n"
    found = open_table(table(inside, rows), within=inside)
    assert len(found) == 2
    assert reasons(found) == ["outside the archive"] * 2


def test_json_lines(folder):
    rows = [
        json.dumps({"path": "img/a.jpg", "target": 3, "extra": [1]}),
        "",
        json.dumps({"path": "img/b.jpg", "target": 4.0}),
        json.dumps({"path": "img/c.jpg", "target": True}),
        json.dumps({"path": "img/d.jpg", "target": None}),
        json.dumps({"path": {"bytes": ""}, "target": 3}),
        "{broken",
        "[1]",
        "[" * 100_000,
    ]
    found = open_table(table(folder, "\n".join(rows), "t.jsonl"))
    assert contents(found) == [("a.jpg", "3"), ("b.jpg", "4"), ("c.jpg", "true")]
    expected = ["no image file", "no label", *["not a JSON object"] * 3]
    assert sorted(reasons(found)) == sorted(expected)


def test_parquet(folder):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
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


def test_parquet_without_the_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"\.\[tables\]"):
        open_table(table(folder, "", "t.parquet"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("image,label\n", "has no rows"),
        ("image,label\nimg/a.jpg,x\n", r"only one class \('x'\)"),
        ("image,label\nno.jpg,x\n", "none of the 1 rows.*no such file.*relative to"),
        ("image,label\nimg/a.jpg,\n", "none of the 1 rows.*no label.*fix the table"),
    ],
)
def test_tables_without_use(folder, text, message):
    with pytest.raises(DataError, match=message):
        open_table(table(folder, text))


def test_one_column_cannot_be_both(folder):
    path = table(folder, "image,label\nimg/a.jpg,x\n")
    with pytest.raises(DataError, match=r"both be in the column 'image'.*--label-column"):
        open_table(path, TableOptions(label_column="image"))


@pytest.mark.parametrize(
    ("text", "wrong"), [("", ""), ("{broken\n", r" \(.*line 1: not a JSON object\)")]
)
def test_json_lines_without_rows(folder, text, wrong):
    with pytest.raises(DataError, match=f"has no rows{wrong}; write one JSON object per line"):
        open_table(table(folder, text, "t.jsonl"))


@pytest.mark.parametrize("row", ['"img/c.jpg,x,train', 'img/c.jpg,"x,train', 'img/c.jpg,x,"train'])
def test_a_quotation_mark_left_open(folder, row):
    rows = ["image,label,split", "img/a.jpg,x,train", "img/b.jpg,y,train", row, "img/d.jpg,x,train"]
    found = open_table(table(folder, "\n".join(rows)))
    assert len(found) == 2
    (lost,) = found.skipped
    assert lost.path == f"{folder / 't.csv'}, line 4"
    assert lost.reason == "line break in a cell; check for an unclosed quotation mark"


def test_one_class_may_do(folder):
    path = table(folder, "image,label\nimg/a.jpg,x\n")
    assert open_table(path, require_classes=1).classes == ("x",)


def test_damaged_tables(folder):
    with pytest.raises(DataError, match="not UTF-8"):
        open_table(table(folder, "image,label\nimg/a.jpg,Müll\n", encoding="latin-1"))
    with pytest.raises(DataError, match=r"cannot be read as a table.* line 3; fix that row"):
        open_table(table(folder, 'image,label\nimg/a.jpg,x\n"' + "x\n" * 100_000))
    with pytest.raises(DataError, match="cannot read"):
        open_table(folder / "none.csv")
