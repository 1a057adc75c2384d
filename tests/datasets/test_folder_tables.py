import hashlib
import io
import json
import shlex

import pytest
from PIL import Image

from headstart.datasets import folder_tables, open_dataset
from headstart.errors import DataError
from headstart.types import Split


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def table(path, column, *values):
    text = f"{column},label\n" + "".join(f"{v},{'ab'[n % 2]}\n" for n, v in enumerate(values))
    path.write_text(text, encoding="utf-8")
    return path


def run(command):
    """Open what a command in a message names, as the command line does."""
    words = shlex.split(command.partition("run: ")[2])
    assert words[:2] == ["headstart", "fit"]
    assert words[-2:] == ["--out", "MODEL"]
    options = dict(zip(words[3:-2:2], words[4:-2:2], strict=True))
    names = {name.removeprefix("--").replace("-", "_"): value for name, value in options.items()}
    return open_dataset(words[2], **names)


def refused(root):
    with pytest.raises(DataError) as caught:
        open_dataset(root)
    return str(caught.value)


def test_metadata_of_each_part_is_read(tmp_path):
    for part in ("train", "test"):
        make(tmp_path, f"{part}/1.png", f"{part}/2.png", f"{part}/3.png")
        rows = [{"file_name": f"{n}.png", "label": "ab"[n % 2]} for n in (1, 2)]
        text = "\n".join(map(json.dumps, rows))
        (tmp_path / part / "metadata.jsonl").write_text(text, encoding="utf-8")
    found = open_dataset(tmp_path)
    assert (found.name, found.classes) == (tmp_path.name, ("a", "b"))
    assert [found.splits.count(split) for split in Split] == [2, 0, 2]
    assert found.labels.tolist() == [0, 0, 1, 1]


def test_a_part_without_metadata_is_reported(tmp_path):
    make(tmp_path, "train/1.png", "train/2.png", "test/3.png")
    table(tmp_path / "train" / "metadata.csv", "file_name", "1.png", "2.png")
    found = open_dataset(tmp_path)
    assert (set(found.splits), len(found)) == ({Split.TRAIN}, 2)
    assert [(one.path, one.reason) for one in found.skipped] == [
        (str(tmp_path / "test"), "no labels: 1 image without class folders")
    ]


def test_metadata_above_the_parts_or_beside_the_images(tmp_path):
    make(tmp_path, "s/train/1.png", "s/train/2.png", "s/test/3.png", "f/1.png", "f/2.png")
    table(tmp_path / "s" / "metadata.csv", "file_name", "train/1.png", "train/2.png", "test/3.png")
    table(tmp_path / "f" / "metadata.csv", "file_name", "1.png", "2.png")
    assert open_dataset(tmp_path / "s").splits == (Split.TEST, Split.TRAIN, Split.TRAIN)
    assert open_dataset(tmp_path / "f").splits == ()


def test_metadata_of_one_class_or_none(tmp_path):
    make(tmp_path, "1.png", "2.png")
    table(tmp_path / "metadata.csv", "file_name", "1.png")
    assert "metadata.csv gives usable images of 1 class; give a table" in refused(tmp_path)


def test_columns_may_be_chosen_in_a_folder_with_metadata(tmp_path):
    make(tmp_path, "1.png", "2.png")
    (tmp_path / "metadata.csv").write_text("file_name,one,two\n1.png,a,x\n2.png,b,y\n")
    assert open_dataset(tmp_path, label_column="two").classes == ("x", "y")
    make(tmp_path / "other", "a/1.png", "b/2.png")
    with pytest.raises(DataError, match=r"apply to tables, and .* has none among its images"):
        open_dataset(tmp_path / "other", label_column="two")


@pytest.mark.parametrize(
    ("column", "values", "name"),
    [
        ("id", ("1", "2", "3"), "labels.csv"),
        ("image", ("1.png", "2.png", "3.png"), "train.csv"),
        ("path", ("train/1.png", "train/2.png", "train/3.png"), "train_labels.csv"),
    ],
)
def test_the_command_for_a_table_beside_the_parts_reads_it(tmp_path, column, values, name):
    make(tmp_path, "train/1.png", "train/2.png", "train/3.png", "test/7.png")
    table(tmp_path / name, column, *values)
    table(tmp_path / "sample_submission.csv", "id", "7")
    table(tmp_path / "test.csv", "id", "7")
    message = refused(tmp_path)
    assert "parts of a data set are not classes; if the table has their classes, run: " in message
    found = run(message)
    assert (found.classes, len(found)) == (("a", "b"), 3)


def test_the_command_for_a_table_beside_a_folder_or_above_it(tmp_path):
    make(tmp_path, "it's images/1.png", "it's images/2.png")
    table(tmp_path / "labels.csv", "image", "1.png", "2.png")
    assert len(run(refused(tmp_path / "it's images"))) == 2


def test_a_table_above_a_folder_that_is_about_other_images(tmp_path):
    make(tmp_path, "new/1.png", "new/2.png", "old/3.png", "old/4.png")
    table(tmp_path / "labels.csv", "image", "old/3.png", "old/4.png")
    (tmp_path / "prices.csv").write_text("who,what\n1,a\n", encoding="utf-8")
    assert ".csv" not in refused(tmp_path / "new")


def test_a_table_that_cannot_be_read_alone_is_named(tmp_path):
    make(tmp_path, "train/1.png", "train/2.png", "test/1.png")
    (tmp_path / "labels.csv").write_text("who,what\n1,a\n", encoding="utf-8")
    command = f"{tmp_path}/labels.csv --image-folder {tmp_path}/train --image-suffix .png"
    assert f"run: headstart fit {command} --out MODEL" in refused(tmp_path)


def test_tables_are_not_tried_with_every_class_folder(tmp_path, monkeypatch):
    names = [f"test/{kind}/{n}.png" for kind in map(str, range(40)) for n in (1, 2)]
    make(tmp_path, "train/1.png", "train/2.png", *names)
    (tmp_path / "labels.csv").write_text("who,what\n1,a\n", encoding="utf-8")
    tried = []
    known = folder_tables.open_table

    def counted(*args, **options):
        tried.append(args)
        return known(*args, **options)

    monkeypatch.setattr(folder_tables, "open_table", counted)
    assert "run: headstart fit" in refused(tmp_path)
    assert 0 < len(tried) <= 4


def test_a_table_that_does_not_fit_is_not_explained(tmp_path, monkeypatch):
    make(tmp_path, "train/1.png", "train/2.png", "test/1.png")
    table(tmp_path / "labels.csv", "file_name", "8.png", "9.png")
    monkeypatch.delattr("headstart.datasets.tables.labeled_table.too_few_classes")
    assert f"run: headstart fit {tmp_path}/labels.csv" in refused(tmp_path)


def test_a_link_beside_the_folder_that_cannot_be_followed(tmp_path):
    make(tmp_path, "images/1.png", "images/2.png")
    (tmp_path / "a.csv").symlink_to("x" * 300)  # a longer name than file systems allow
    table(tmp_path / "labels.csv", "image", "1.png", "2.png")
    assert len(run(refused(tmp_path / "images"))) == 2


def test_class_folders_come_before_tables(tmp_path):
    make(tmp_path, "a/1.png", "b/2.png")
    table(tmp_path / "metadata.csv", "file_name", "a/1.png", "b/2.png")
    assert open_dataset(tmp_path).classes == ("a", "b")


def test_parquet_files_with_the_images_inside(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    (tmp_path / "hub" / "data").mkdir(parents=True)
    for part, shard in (("train", 0), ("train", 1), ("test", 0)):
        images = [{"bytes": png(f"{part}{shard}{n}"), "path": f"{n}.png"} for n in (0, 1)]
        rows = pyarrow.table({"image": images, "label": ["a", "b"]})
        parquet.write_table(
            rows, tmp_path / "hub" / "data" / f"{part}-0000{shard}-of-00002.parquet"
        )
    found = open_dataset(tmp_path / "hub", cache=tmp_path / "cache")
    assert (found.name, found.classes) == ("hub", ("a", "b"))
    assert [found.splits.count(split) for split in Split] == [4, 0, 2]
    assert all(path.is_relative_to(tmp_path / "cache") for path in found.paths)


def png(seed):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), tuple(hashlib.sha256(seed.encode()).digest()[:3])).save(buffer, "PNG")
    return buffer.getvalue()


def test_predictions_beside_images_are_not_recommended(tmp_path):
    make(tmp_path, "x/1.png", "x/2.png")
    header = "image,label,probability,novelty,known,answer,error"
    rows = "x/1.png,a,0.9,,,a,\nx/2.png,b,0.9,,,b,\n"
    (tmp_path / "predictions.csv").write_text(f"{header}\n{rows}")
    assert "predictions.csv" not in refused(tmp_path)
