import json
import re

import pytest

from headstart.datasets.tables import TableOptions, open_table
from headstart.errors import DataError
from headstart.types import Split
from tests.datasets.tables.conftest import contents, reasons, table


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
        str(folder / "img/b.jpg"): "listed twice in t.csv",
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


def test_why_one_class_is_left(folder):
    rows = "image,label\nmissing/a.jpg,x\nmissing/b.jpg,x\nimg/c.jpg,y\nimg/d.jpg,\n"
    message = (
        r"only one class \('y'\); 3 rows were skipped: 2 no such file, 1 no label, such as "
        r"missing/a\.jpg; file names are relative to .*--image-folder"
    )
    with pytest.raises(DataError, match=message):
        open_table(table(folder, rows))


def test_where_the_files_are(folder):
    (folder / "tables").mkdir()
    path = table(folder / "tables", "image,label\na.jpg,x\nb.jpg,y\n")
    where = folder / "img"
    with pytest.raises(DataError, match=re.escape(f"they are in {where}: add --image-folder")):
        open_table(path)
    assert len(open_table(path, TableOptions(image_folder=where))) == 2
    with pytest.raises(DataError, match=r"--image-folder .*none is not a folder"):
        open_table(path, TableOptions(image_folder=folder / "none"))


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("x|indoor", "'x|indoor'"),
        ("x;indoor", "'x;indoor'"),
        ('"x, indoor"', "'x, indoor'"),
        ("x indoor", "'x indoor'"),
        ("\"['x', 'indoor']\"", re.escape("\"['x', 'indoor']\"")),
    ],
)
def test_several_labels_in_a_cell(folder, cell, shown):
    rows = f"image,labels\nimg/a.jpg,x\nimg/b.jpg,{cell}\nimg/c.jpg,y\nimg/d.jpg,y\n"
    if " " in cell and "," not in cell:
        rows += f"img/d.jpg,{cell.replace('x', 'y')}\n"
    shown = shown.replace("|", r"\|")
    with pytest.raises(
        DataError, match=rf"[12] of [45] rows of .* give several labels, such as {shown} \(line 3"
    ):
        open_table(table(folder, rows))


def test_what_may_be_several_labels_is_said(folder):
    rows = "image,label\nimg/a.jpg,x\nimg/b.jpg,x indoor\nimg/c.jpg,y/n\n"
    found = open_table(table(folder, rows))
    assert found.classes == ("x", "x indoor", "y/n")
    assert "1 label of" in found.warnings[0]
    assert "'x indoor' beside 'x'" in found.warnings[0]


def test_lists_of_labels(folder):
    rows = [{"file_name": f"img/{name}.jpg", "label": [name]} for name in "abcd"]
    text = "\n".join(map(json.dumps, rows))
    assert open_table(table(folder, text, "t.jsonl")).classes == ("a", "b", "c", "d")
    rows[1]["label"] = ["b", "e"]
    text = "\n".join(map(json.dumps, rows))
    with pytest.raises(DataError, match=r"1 of 4 rows .*such as \['b', 'e'\] \(line 2\)"):
        open_table(table(folder, text, "t.jsonl"))


@pytest.mark.parametrize(
    ("labels", "classes", "said"),
    [
        ("0 0.0 00 1", ("0", "0.0", "00", "1"), "'0' and '0.0' and '00'"),
        ("NA None null x", ("NA", "None", "null", "x"), None),
        ("NaN x y y", ("NaN", "x", "y"), "'NaN' is a class"),
        ("x/y N/A x/y N/A", ("N/A", "x/y"), None),
        ("0 NaN 1 1", ("0", "1"), None),
    ],
)
def test_spellings_of_labels(folder, labels, classes, said):
    rows = [f"img/{name}.jpg,{label}" for name, label in zip("abcd", labels.split(), strict=True)]
    found = open_table(table(folder, "\n".join(["image,label", *rows])))
    assert found.classes == classes
    assert said in found.warnings[0] if said else not found.warnings
    lost = "no label but 'NaN' among numbers"
    assert reasons(found) == ([lost] if "NaN" not in classes and "NaN" in labels else [])


def test_blanks_around_labels_are_removed_and_said(folder):
    rows = ["image,label", "img/a.jpg,x", "img/b.jpg, x", "img/c.jpg,y ", "img/d.jpg,y "]
    found = open_table(table(folder, "\n".join(rows)))
    assert found.classes == ("x", "y")
    assert found.warnings == (f"blanks around labels of {folder / 't.csv'} are removed: ' x'",)


def test_texts_with_blanks_beside_lists(folder):
    labels = {"a": " x", "b": ["x"], "c": "x", "d": "y"}
    lines = [json.dumps({"file": f"img/{one}.jpg", "label": labels[one]}) for one in "abcd"]
    assert open_table(table(folder, "\n".join(lines), "t.jsonl")).classes == ("x", "y")


def test_an_image_with_two_labels_is_left_to_the_search_for_copies(folder):
    rows = "image,label\nimg/a.jpg,x\n./img/a.jpg,y\nimg/b.jpg,y\n"
    assert contents(open_table(table(folder, rows))) == [
        *[("a.jpg", "x"), ("a.jpg", "y"), ("b.jpg", "y")]
    ]


def test_rows_with_too_many_cells_are_skipped(folder):
    rows = "image,label\nimg/a.jpg,x\nimg/b.jpg,y, black\nimg/c.jpg,y,\n"
    found = open_table(table(folder, rows))
    assert contents(found) == [("a.jpg", "x"), ("c.jpg", "y")]
    assert found.skipped[0].path == f"{folder / 't.csv'}, line 3"
    assert found.skipped[0].reason.startswith("3 cells for 2 columns")


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


def test_boxes_of_objects_are_said_not_to_be_used(folder):
    table = folder / "t.csv"
    lines = ["filename,class,xmin,ymin,xmax,ymax", "img/a.jpg,x,0,0,1,1", "img/b.jpg,y,0,0,1,1"]
    table.write_text("\n".join([*lines, "img/b.jpg,y,1,1,2,2"]))
    found = open_table(table)
    assert "boxes of objects (xmax, xmin, ymax, ymin), which are not used" in found.warnings[0]
    assert [one.reason for one in found.skipped] == ["listed twice in t.csv"]
