"""Layouts of folders that people have; files are empty, because layouts are told by names."""

import pytest

from headstart.datasets import open_dataset
from headstart.datasets.folders import open_folder
from headstart.errors import DataError
from headstart.types import ClassLevel, Split

TRAIN, VALIDATION, TEST = Split.TRAIN, Split.VALIDATION, Split.TEST
BOX = b"0 0.5 0.5 0.1 0.1\n"
VOC = b"<annotation><filename>1.jpg</filename><object></object></annotation>"
COCO = b'{"images": [], "annotations": []}'
PARTS = "parts of a data set are not classes"


def make(root, *names):
    for name in names:
        name, content = name if isinstance(name, tuple) else (name, b"x")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def classes(prefix, *names):
    return [f"{prefix}{name}/{number}.jpg" for name in names or ("cat", "dog") for number in (1, 2)]


def flat(folder, *words):
    return [f"{folder}{word}{number}.jpg" for word in words or ("",) for number in (1, 2, 3)]


def found_in(root, **options):
    """Number of images of each class and split, and the reasons for the rest."""
    found = open_folder(root, **options)
    splits = found.splits or (None,) * len(found)
    pairs = [(found.classes[label], split) for label, split in zip(found.labels, splits)]  # noqa: B905
    reasons = {one.path.removeprefix(f"{root}/"): one.reason for one in found.skipped}
    return {pair: pairs.count(pair) for pair in pairs}, reasons


def both(*splits):
    return {(name, split): 2 for name in ("cat", "dog") for split in splits}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (classes("data/"), both(None)),
        (classes("data/v2/"), both(None)),
        ([*classes("data/"), "README.md", "docs/a.txt"], both(None)),
        (classes("d/train/") + classes("d/test/"), both(TRAIN, TEST)),
        (classes("train/") + classes("eval/"), both(TRAIN, VALIDATION)),
        (classes("train/") + classes("holdout/"), both(TRAIN, TEST)),
        (classes("Training/") + classes("Hold-Out/"), both(TRAIN, TEST)),
        (classes("train/") + classes("dev/"), both(TRAIN, VALIDATION)),
        (classes("training/") + classes("testing/"), both(TRAIN, TEST)),
        (classes("train2017/") + classes("val2017/"), both(TRAIN, VALIDATION)),
        (classes("training_set/training_set/") + classes("test_set/test_set/"), both(TRAIN, TEST)),
        (classes("seg_train/seg_train/") + classes("seg_test/seg_test/"), both(TRAIN, TEST)),
        (classes("x-Train/") + classes("x-Test/"), both(TRAIN, TEST)),
        (classes("train/images/") + classes("test/images/"), both(TRAIN, TEST)),
        ([f"{c}/{s}/{n}.jpg" for c in ("cat", "dog") for s in ("train", "test") for n in (1, 2)],
         both(TRAIN, TEST)),
        ([f"{c}/images/{n}.jpg" for c in ("cat", "dog") for n in (1, 2)], both(None)),
        ([*classes("Images/"), ("Annotation/cat/1", VOC)], both(None)),
        ([*classes("set/images/"), "set/attributes/a.txt", "set/images.txt"], both(None)),
        (classes("", "bus", "train"), {("bus", None): 2, ("train", None): 2}),
        (classes("", "invalid", "valid"), {("invalid", None): 2, ("valid", None): 2}),
        (classes("", "control", "test"), {("control", None): 2, ("test", None): 2}),
        ([*classes("a/"), *classes("", "car")],
         {("a/cat", None): 2, ("a/dog", None): 2, ("car", None): 2}),
    ],
)  # fmt: skip
def test_layouts_that_are_used(tmp_path, files, expected):
    counts, reasons = found_in(make(tmp_path, *files))
    assert counts == expected
    assert set(reasons) <= {"docs/a.txt"}


@pytest.mark.parametrize(
    ("files", "reasons"),
    [
        (
            [*classes("train/"), *flat("test/")],
            {"test": "no labels: 3 images without class folders"},
        ),
        (
            [*classes("train/"), *flat("test/all/")],
            {"test": "no labels: 'all' is not a class of the training part"},
        ),
        (
            [*classes("s_train/"), *flat("s_test/s_test/"), *flat("s_pred/s_pred/")],
            {
                "s_test/s_test": "no labels: 3 images without class folders",
                "s_pred": "no split: it is not in a train, validation or test folder",
            },
        ),
        (
            [
                *(f"train/{name}/images/{name}_{n}.jpg" for name in ("cat", "dog") for n in (1, 2)),
                *flat("val/images/"),
            ],
            {"val": "no labels: 'images' is not a class of the training part"},
        ),
        (
            [*classes("train/"), ("train/cat.0.txt", BOX), "train/1.jpg"],
            {"train/1.jpg": "no class: it is not in a class folder"},
        ),
    ],
)
def test_images_without_labels_beside_training_images_are_reported(tmp_path, files, reasons):
    counts, found = found_in(make(tmp_path, *files))
    assert (counts, found) == (both(TRAIN), reasons)


def test_masks_in_each_class_folder_are_no_classes(tmp_path):
    files = [
        x for name in ("cat", "dog") for x in flat(f"d/{name}/images/") + flat(f"d/{name}/masks/")
    ]
    counts, reasons = found_in(make(tmp_path, *files))
    assert counts == {("cat", None): 3, ("dog", None): 3}
    assert reasons == dict.fromkeys(["d/cat/masks", "d/dog/masks"], "masks, not photos")


def test_classes_may_be_called_masks(tmp_path):
    counts, _ = found_in(make(tmp_path, *classes("", "with mask", "without mask", "mask")))
    assert len(counts) == 3


@pytest.mark.parametrize("name", ["test", "validation", "unlabeled", "holdout"])
def test_a_part_beside_class_folders_is_no_class(tmp_path, name):
    counts, reasons = found_in(make(tmp_path, *classes(""), *flat(f"{name}/")))
    assert counts == both(None)
    assert reasons == {name: "no labels: 3 images without class folders"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *[("train", "test"), ("Train", "Eval"), ("training", "validation"), ("train", "test1")],
        *[("seg_train", "seg_test"), ("train images", "test images"), ("d/train", "d/holdout")],
        *[("train/train", "test/test"), ("trainset", "valset"), ("images/train", "images/val")],
    ],
)
def test_train_against_test_is_never_a_classifier(tmp_path, first, second):
    make(tmp_path, *flat(f"{first}/"), *flat(f"{second}/"))
    with pytest.raises(DataError, match=rf"\(3 images\).* have no class folders: {PARTS}; make"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (flat("train/"), f"has no class folders: {PARTS}"),
        (flat("train/") + classes("test/"), rf"/train \(3 images\) has no class folders: {PARTS}"),
        (
            [x for name in ("trainA", "trainB", "testA", "testB") for x in flat(f"{name}/")],
            "testA, trainA, testB, trainB: classes and splits in one name",
        ),
        (
            [x for name in ("a_train", "a_test", "b_train", "b_test") for x in flat(f"{name}/")],
            "a_test, a_train, b_test, b_train: classes and splits in one name",
        ),
        (
            [*flat("cat/train/"), *flat("cat/test/"), *flat("dog/")],
            r"cat/test, cat/train are parts of a data set, not classes; .* such as \S+/cat,",
        ),
        (
            [x for kind in ("nut", "cable") for part in ("train/good", "test/good", "test/bad")
             for x in flat(f"{kind}/{part}/")],
            r"cable/test/bad.* are parts of a data set, not classes; .* such as \S+/cable",
        ),
        (classes("train/") + flat("extra/"), "'train', which contains class folders, beside extra"),
        (classes("test/") + classes(""), "'test', which contains class folders, beside cat, dog"),
    ],
)  # fmt: skip
def test_layouts_that_could_mean_two_things_are_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        open_folder(make(tmp_path, *files))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (flat("images/") + flat("masks/"), "images beside masks: images and their masks"),
        (flat("photos/") + flat("color_masks/"), "photos beside color_masks: images and their"),
        (flat("train/img/") + flat("train/GT/") + flat("test/img/"), "img beside GT: images and"),
        (flat("images/train/") + flat("ground_truth/train/"), "images beside ground_truth"),
        (flat("V/JPEGImages/") + flat("V/SegmentationClass/"), "JPEGImages beside SegmentationC"),
        ([*flat("images/"), ("labels/1.txt", BOX)], r"YOLO, \S+labels/1.txt\)"),
        ([*flat("images/train/"), *flat("images/val/"), ("labels/val/1.txt", BOX)], "YOLO"),
        ([*flat("train/images/"), *flat("test/images/"), ("train/labels/1.txt", BOX)], "YOLO"),
        ([*flat("V/JPEGImages/"), ("V/Annotations/1.xml", VOC)], "Pascal VOC"),
        ([*flat("train/"), *flat("test/"), ("train/1.xml", VOC)], "Pascal VOC"),
        ([*flat("train/"), *flat("valid/"), ("train/_annotations.coco.json", COCO)], "COCO"),
        ([*flat(""), ("annotations.json", COCO)], "COCO"),
        (
            [*flat("train2017/"), *flat("val2017/"),
             ("annotations/instances_val2017.json", b'{"info": {}, "images": [' + b" " * 5000)],
            "COCO",
        ),
        ([*flat(""), ("1.json", b'{"shapes": []}')], "LabelMe"),
    ],
)  # fmt: skip
def test_data_sets_for_detection_and_segmentation_are_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=rf"(?s){message}.*headstart classifies whole images"):
        open_folder(make(tmp_path, *files))


def test_a_chosen_level_says_that_train_is_a_class(tmp_path):
    make(tmp_path, *classes("train/", "steam", "diesel"), *flat("bus/"))
    found = open_dataset(tmp_path, cache=tmp_path / "cache", classes_from=ClassLevel.FIRST)
    assert (found.classes, found.splits) == (("bus", "train"), ())


def test_one_part_may_be_tested_alone(tmp_path):
    make(tmp_path, *classes("test/", "cat"))
    assert open_folder(tmp_path, require_classes=1).classes == ("cat",)


def test_classes_of_the_parts_are_one_whatever_their_accents(tmp_path):
    make(tmp_path, *flat("train/caf\u00e9/"), *flat("train/dog/"), *flat("test/cafe\u0301/"))
    counts, reasons = found_in(tmp_path)
    assert (set(counts), reasons) == (
        {("caf\u00e9", TRAIN), ("dog", TRAIN), ("caf\u00e9", TEST)},
        {},
    )
