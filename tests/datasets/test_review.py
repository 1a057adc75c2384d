import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.datasets import ImageDataset
from headstart.datasets.review import COLUMNS, apply_review
from headstart.errors import DataError
from headstart.evaluation.report import write_csv
from tests.properties import examples

CLASSES = ("ant", "bee", "wasp")


def dataset(paths: list[str]) -> ImageDataset:
    return ImageDataset(
        name="photos",
        paths=tuple(map(Path, paths)),
        labels=np.arange(len(paths)) % 3,
        classes=CLASSES,
    )


def review(folder: Path, *rows: dict[str, str]) -> Path:
    table = folder / "reviewed.csv"
    write_csv([{**dict.fromkeys(COLUMNS, ""), **row} for row in rows], table, columns=COLUMNS)
    return table


@pytest.fixture
def photos() -> ImageDataset:
    return dataset([f"photos/{name}.jpg" for name in "abcdef"])


def names(found: ImageDataset) -> dict[str, str]:
    return {
        path.stem: found.classes[label]
        for path, label in zip(found.paths, found.labels, strict=True)
    }


def test_rows_without_an_action_change_nothing(photos: ImageDataset, tmp_path: Path):
    row = {"path": "photos/a.jpg", "label": "ant", "suggested_label": "bee"}
    found = apply_review(photos, review(tmp_path, row, {**row, "action": " Keep "}))
    assert names(found) == names(photos)
    assert found.skipped == ()
    (warning,) = found.warnings
    assert "reviewed.csv changes nothing; write drop or relabel in its column action" in warning
    dropped = review(tmp_path, {**row, "action": "drop"})
    assert apply_review(photos, dropped).warnings == ()


@pytest.mark.parametrize(
    ("content", "words"), [("", "is empty"), ("image,label\n", "has the columns image, label")]
)
def test_a_table_without_rows_must_be_a_review(
    photos: ImageDataset, tmp_path: Path, content: str, words: str
):
    table = tmp_path / "other.csv"
    table.write_text(content)
    with pytest.raises(DataError, match=f"{words}; a review needs path, label and action"):
        apply_review(photos, table)
    assert names(apply_review(photos, review(tmp_path))) == names(photos)


def test_images_are_dropped_and_relabeled(photos: ImageDataset, tmp_path: Path):
    table = review(
        tmp_path,
        {"path": "photos/a.jpg", "label": "ant", "suggested_label": "bee", "action": "relabel"},
        {"path": "photos/b.jpg", "label": "bee", "action": "drop"},
        {"path": "photos/c.jpg", "label": "ant"},  # was wasp
    )
    found = apply_review(photos, table)
    assert names(found) == {"a": "bee", "c": "ant", "d": "ant", "e": "bee", "f": "wasp"}
    assert [(one.path, one.reason) for one in found.skipped] == [
        ("photos/b.jpg", "dropped in reviewed.csv")
    ]
    assert found.relabeled == 2
    assert names(photos)["a"] == "ant"


def test_an_edited_label_wins_over_the_suggested_one(photos: ImageDataset, tmp_path: Path):
    row = {"path": "photos/a.jpg", "label": "wasp", "suggested_label": "bee", "action": "relabel"}
    assert names(apply_review(photos, review(tmp_path, row)))["a"] == "wasp"


def test_dropping_wins_over_other_decisions(photos: ImageDataset, tmp_path: Path):
    row = {"path": "photos/a.jpg", "label": "ant", "suggested_label": "bee"}
    actions = [{**row, "action": action} for action in ("relabel", "drop", "keep", "relabel")]
    assert "a" not in names(apply_review(photos, review(tmp_path, *actions)))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"path": "photos/a.jpg", "action": "delete"}, "unknown action 'delete'; use keep, drop"),
        ({"path": "photos/z.jpg", "action": "drop"}, "names 1 image that photos does not have"),
        ({"path": "", "action": "drop"}, "drop needs a path"),
        ({"path": "photos/a.jpg", "label": "ant", "action": "relabel"}, "needs a class"),
        ({"path": "photos/a.jpg", "label": "bea"}, "no class 'bea'; did you mean 'bee'"),
    ],
)
def test_what_cannot_be_applied_is_said(
    photos: ImageDataset, tmp_path: Path, row: dict[str, str], message: str
):
    with pytest.raises(DataError, match=message):
        apply_review(photos, review(tmp_path, row))


def test_contradictions_are_said(photos: ImageDataset, tmp_path: Path):
    row = {"path": "photos/a.jpg", "label": "ant", "action": "relabel"}
    table = review(tmp_path, {**row, "suggested_label": "bee"}, {**row, "suggested_label": "wasp"})
    with pytest.raises(DataError, match=r"relabeled bee \(line 2\) and wasp \(line 3\)"):
        apply_review(photos, table)


def test_another_table_is_refused(photos: ImageDataset, tmp_path: Path):
    (tmp_path / "t.csv").write_text("image,label\na,b\n")
    with pytest.raises(DataError, match="needs path, label and action"):
        apply_review(photos, tmp_path / "t.csv")


def test_unreadable_files_may_be_dropped(photos: ImageDataset, tmp_path: Path):
    row = {"path": "photos/broken.jpg", "kind": "unreadable", "action": "drop"}
    assert names(apply_review(photos, review(tmp_path, row))) == names(photos)


def test_absolute_and_relative_paths_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    row = {"path": str(tmp_path / "photos" / "a.jpg"), "action": "drop"}
    assert len(apply_review(dataset(["photos/a.jpg", "b.jpg"]), review(tmp_path, row))) == 1


def test_a_spreadsheet_may_have_saved_it(photos: ImageDataset, tmp_path: Path):
    with (tmp_path / "excel.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(COLUMNS)
        writer.writerow(["photos/a.jpg", "dark", "0,5", "ant", "", "", "DROP"])
    assert "a" not in names(apply_review(photos, tmp_path / "excel.csv"))


file_names = st.binary(min_size=1, max_size=12).filter(
    lambda name: b"\0" not in name and b"/" not in name and name not in (b".", b"..")
)


@examples(200)
@given(st.lists(file_names, min_size=1, max_size=4, unique=True), st.data())
def test_any_file_name_survives(
    tmp_path_factory: pytest.TempPathFactory, given_names: list[bytes], data: st.DataObject
):
    paths = [os.fsdecode(b"photos/" + name) for name in given_names]
    photos = dataset(paths)
    shown = {path.encode("utf-8", "backslashreplace") for path in paths}
    if len(shown) < len(paths):  # a name that spells another one's escape
        return
    chosen = data.draw(st.sampled_from(range(len(paths))))
    row = {"path": str(photos.paths[chosen]), "action": "drop"}
    found = apply_review(photos, review(tmp_path_factory.mktemp("review"), row))
    assert found.paths == tuple(path for place, path in enumerate(photos.paths) if place != chosen)
