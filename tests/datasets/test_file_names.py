from pathlib import Path

import pytest

from headstart.datasets import open_dataset
from headstart.datasets.file_names import likely_classes, word_of
from headstart.errors import DataError
from headstart.types import ClassLevel, Split


@pytest.mark.parametrize(
    ("name", "word"),
    [
        *[
            ("cat.0.jpg", "cat"),
            ("dog_12.png", "dog"),
            ("great_dane_100.jpg", "great_dane"),
        ],
        *[("n02085620_7.JPEG", "n02085620"), ("cat (1).jpg", "cat"), ("cat1.jpg", "cat")],
        *[("cat-001", "cat"), ("猫_3.jpg", "猫"), ("cat.5", "cat")],
        *[("1.jpg", None), ("001_2.jpg", None), ("cat.jpg", None), ("cat.jpg.jpg", None)],
    ],
)
def test_the_word_before_the_number(name, word):
    assert word_of(Path("folder", name)) == word


def paths(*words, count=3):
    return [Path(f"{word}{number}.jpg") for word in words for number in range(count)]


def test_words_that_look_like_classes():
    assert likely_classes(paths("cat.", "dog.")) == ("cat", "dog")
    assert likely_classes([*paths("cat.", "dog.", count=30), Path("readme.jpg")]) == ("cat", "dog")


@pytest.mark.parametrize(
    "words",
    [
        *[
            ("IMG_", "DSC_"),
            ("frame_", "cat_"),
            ("P", "Q"),
            ("IMG_", "cat."),
            ("cat.",),
            ("", "1_"),
        ],
        *[
            ("WhatsApp Image ", "cat"),
            ("PXL_", "cat_"),
            ("screenshot-", "photo-"),
            ("DJI_", "cat_"),
        ],
    ],
)
def test_names_by_cameras_and_programs_are_none(words):
    assert likely_classes(paths(*words)) == ()


def test_every_word_occurs_twice():
    assert likely_classes([*paths("cat.", "dog."), Path("bird.1.jpg")]) == ()
    assert likely_classes([*paths("cat.", "dog."), Path("no-number.jpg")]) == ()


def fill(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_the_command_that_is_named_reads_them(tmp_path):
    fill(
        tmp_path,
        *(f"train/{path}" for path in paths("cat.", "dog.")),
        "test1/1.jpg",
        "test1/x2.jpg",
    )
    with pytest.raises(DataError, match=r"\(cat, dog: .*headstart fit \S*train --classes-from na"):
        open_dataset(tmp_path, cache=tmp_path)
    found = open_dataset(tmp_path / "train", cache=tmp_path, classes_from=ClassLevel.NAME)
    assert (found.classes, found.splits, found.skipped) == (("cat", "dog"), (), ())
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_parts_keep_the_classes_of_the_training_part(tmp_path):
    fill(tmp_path, *(f"train/{path}" for path in paths("cat.", "dog.")), "train/x.jpg", "1.jpg")
    fill(tmp_path, "test1/1.jpg", "test1/x2.jpg", "val/cat.7.jpg", "cat.9.jpg")
    found = open_dataset(tmp_path, cache=tmp_path, classes_from=ClassLevel.NAME)
    assert found.classes == ("cat", "dog")
    assert [found.splits.count(split) for split in Split] == [6, 1, 0]
    assert {one.path.removeprefix(f"{tmp_path}/"): one.reason for one in found.skipped} == {
        "train/x.jpg": "no class: its name is not a word and a number",
        "test1/1.jpg": "no class: its name is not a word and a number",
        "1.jpg": "no class: its name is not a word and a number",
        "test1/x2.jpg": "no class: 'x' is not one of the training part",
        "cat.9.jpg": "no split: it is in none of the splits' folders",
    }


def test_a_single_word_and_a_table_are_refused(tmp_path):
    fill(tmp_path, *map(str, paths("cat.")), "labels.csv")
    with pytest.raises(DataError, match="at least two different words"):
        open_dataset(tmp_path, cache=tmp_path, classes_from=ClassLevel.NAME)
    with pytest.raises(DataError, match="--classes-from name takes the classes from the names"):
        open_dataset(tmp_path / "labels.csv", cache=tmp_path, classes_from=ClassLevel.NAME)
