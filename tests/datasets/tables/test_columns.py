import pytest

from headstart.datasets.tables import TableOptions, open_table
from headstart.errors import DataError
from tests.datasets.tables.conftest import contents, reasons, table

XY = [("a.jpg", "x"), ("b.jpg", "y")]


def rows(*cells):
    return "".join(f"{one}\n" for one in cells)


@pytest.mark.parametrize(
    "text",
    [
        rows("id,breed", "img/a,x", "img/b,y"),
        rows("what,name", "img/a.jpg,x", "img/b.jpg,y"),
        rows("Image,Id", "img/a.jpg,x", "img/b.jpg,y"),
        rows("name,whatever", "img/a.jpg,x", "img/b.jpg,y"),
        rows(",id,what", "0,img/a,x", "1,img/b,y"),
        rows("image,path,label", "7,img/a.jpg,x", "8,img/b.jpg,y"),
        rows("lesion_id,image_id,dx,age", "L1,img/a,x,3", "L1,img/b,y,3"),
        rows("image,class_id,class_name", "img/a.jpg,0,x", "img/b.jpg,1,y"),
        rows("image,coarse,fine_label", "img/a.jpg,u,x", "img/b.jpg,u,y"),
    ],
)
def test_common_and_only_columns(folder, text):
    assert contents(open_table(table(folder, text))) == XY


def test_columns_found_by_what_is_in_them_are_said(folder):
    found = open_table(table(folder, rows("what,where", "x,img/a.jpg", "y,img/b.jpg")))
    assert contents(found) == XY
    assert "images in column 'where', labels in column 'what'" in found.warnings[0]


def test_columns_without_names_are_numbered(folder):
    text = rows("img/a.jpg,x,3", "img/b.jpg,y,4")
    with pytest.raises(DataError, match=r"no recognizable label column.*'1', '2', '3'"):
        open_table(table(folder, text))
    found = open_table(table(folder, text), TableOptions(label_column="2"))
    assert contents(found) == XY
    assert "has no line of column names" in found.warnings[0]


@pytest.mark.parametrize(
    "header", ["image,cat,dog", "image,label_cat,label_dog", "image,class cat,class dog"]
)
@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("1.0", "0.0"), ("True", "False"), ("1", "")])
def test_a_column_for_each_class(folder, header, yes, no):
    marks = [f"img/a.jpg,{yes},{no},3", f"img/b.jpg,{no},{yes},4", f"img/c.jpg,{no},{no},5"]
    found = open_table(table(folder, rows(f"{header},age", *marks)))
    assert contents(found) == [("a.jpg", "cat"), ("b.jpg", "dog")]
    assert reasons(found) == ["no class is marked"]


def test_several_marked_classes(folder):
    text = rows("image,cat,dog,indoor", "img/a.jpg,1,0,1", "img/b.jpg,0,1,0", "img/c.jpg,0,1,1")
    message = r"2 of 3 rows of .* mark several labels, such as 'cat', 'indoor' \(line 2\)"
    with pytest.raises(DataError, match=message):
        open_table(table(folder, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rows("image,score", "img/a.jpg,0.25", "img/b.jpg,0.75"), "no recognizable label column"),
        (rows("image", "img/a.jpg"), "no recognizable label column among 'image'"),
        (rows("what,label", "p,x", "q,y"), "no recognizable image column among 'what', 'label'"),
        (rows("image,has_x,note", "img/a.jpg,1,", "img/b.jpg,0,"), "no recognizable label column"),
        (rows("image,label,Label", "img/a.jpg,x,1", "img/b.jpg,x,2"), "several possible label"),
        (rows("file,path,label", "img/a.jpg,img/b.jpg,x"), "several possible image columns"),
        (rows("image,label,label", "img/a.jpg,x,0"), "2 columns named 'label'"),
        (rows("image,image,label", "img/a.jpg,img/b.jpg,x"), "2 columns named 'image'"),
    ],
)
def test_ambiguous(folder, text, message):
    with pytest.raises(DataError, match=message):
        open_table(table(folder, text))


def test_numbers_of_rows_are_no_labels(folder):
    text = rows(*(f"{n} img/{name}.jpg" for n, name in enumerate("abcdabcd")))
    with pytest.raises(DataError, match="no recognizable label column"):
        open_table(table(folder, text, "images.txt"))


@pytest.mark.parametrize("before", ["image,label", "time,image,digest,label"])
def test_predictions_are_no_labels(folder, before):
    header = f"{before},probability,novelty,known,answer,error"
    cells = {"image": "img/a.jpg", "label": "cat", "probability": "0.5"}
    row = ",".join(cells.get(name, "") for name in header.split(","))
    path = table(folder, rows(header, row))
    with pytest.raises(DataError, match="has predictions of headstart, not labels"):
        open_table(path, require_classes=1)
    found = open_table(path, TableOptions(label_column="label"), require_classes=1)
    assert found.classes == ("cat",)
