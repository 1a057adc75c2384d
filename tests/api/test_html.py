from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart import Audit, ImageDataset, Model, Predictions, build_report
from headstart.api import html
from headstart.auditing.issue import Issue, IssueKind
from headstart.datasets import open_dataset
from headstart.images.source import ImageContent
from headstart.models.prediction import SHOWN
from headstart.types import Skipped, Split
from tests.conftest import files
from tests.models.trained_models import make_model

EVIL = '<script>alert("1")</script>\u202e\udcff&'


def thumbnails(text: str) -> list[str]:
    return re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', text)


def predictions(images: tuple[Path | ImageContent, ...], count: int, **changed) -> Predictions:
    return Predictions(
        **{
            "classes": ("ant", EVIL),
            "rows": np.arange(count),
            "probabilities": np.tile(np.float32([0.25, 0.75]), (count, 1)),
            "skipped": (),
            "images": images,
            **changed,
        }
    )


def test_a_data_set_shows_counts_by_class_and_part_and_some_thumbnails(photos: Path):
    dataset = open_dataset(photos)
    text = dataset._repr_html_()
    assert len(thumbnails(text)) == 12  # four of each class
    assert max(map(len, thumbnails(text))) < 12_000
    assert re.findall(r">([a-z]+)</td><td[^>]*>(\d+)<", text) == [
        ("checks", "8"), ("noise", "8"), ("stripes", "8"),
    ]  # fmt: skip
    parts = (Split.TRAIN, Split.TEST) * 12
    assert ">test</th>" in replace(dataset, splits=parts)._repr_html_()
    assert repr(dataset) == "<ImageDataset photos: 24 images, 3 classes>"


def test_many_classes_show_two_dozen_thumbnails_at_most_and_say_what_is_missing(photos: Path):
    some = open_dataset(photos)
    names = tuple(f"class {number:02}" for number in range(30))
    many = ImageDataset(name="many", paths=some.paths[:1] * 30, labels=np.arange(30), classes=names)
    text = many._repr_html_()
    assert len(thumbnails(text)) == 24
    assert "and 6 more" in text


def test_names_are_escaped_and_scripts_are_none(photos: Path, tmp_path: Path):
    image = files(photos)[0]
    model = make_model(classes=("ant", "bee", EVIL))
    shown = [
        model._repr_html_(),
        predictions((image,), 1, skipped=(Skipped(EVIL, EVIL),))._repr_html_(),
        ImageDataset(
            name=EVIL, paths=(tmp_path / "absent.jpg",), labels=np.array([0]), classes=(EVIL,)
        )._repr_html_(),
        audited(Issue(path=EVIL, kind=IssueKind.COPY, score=1, label=EVIL))._repr_html_(),
    ]
    for text in shown:
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert "\u202e" not in text
        text.encode()  # no lone surrogates
        assert "color" not in text.replace("border-collapse", "")


def test_predictions_have_thumbnails_also_of_images_in_memory(photos: Path):
    paths = files(photos)
    memory = ImageContent("image 1", paths[1].read_bytes())
    gone = ImageContent("image 2", b"", fault="no image")
    found = predictions((paths[0], memory, gone), 3, novelty=np.array([0.5, 0.01, 1]))
    assert found.known.tolist() == [True, False, True]
    assert predictions((), 0).known is None
    assert repr(found) == "<Predictions: 3 images, 1 unknown, 2 classes>"
    text = found._repr_html_()
    assert ">novelty</th>" in text
    assert text.count(">yes</td>") == 2
    assert len(thumbnails(text)) == 2
    assert "cannot be read" in text
    assert ">0.010</td>" in text


def test_predictions_show_the_first_and_count_the_others(photos: Path):
    path = files(photos)[0]
    text = predictions((path,) * SHOWN, 1_000)._repr_html_()
    assert len(thumbnails(text)) == 24
    assert "and 976 more" in text
    later = predictions((path,) * SHOWN, 1, rows=np.array([SHOWN + 1]))  # the first were unreadable
    assert thumbnails(later._repr_html_()) == []


def test_a_model_shows_its_accuracy_with_interval():
    text = make_model()._repr_html_()
    assert "0.900 (0.744 to 0.965, 30 images), cross-validation" in text
    assert repr(make_model()) == "<Model of insects: 3 classes, tiny, accuracy 0.900>"


def audited(*issues: Issue) -> Audit:
    return Audit(
        data="photos", images=3, classes=1, issues=issues, label_check=None, surroundings=None,
        seconds=1.0,
    )  # fmt: skip


def test_an_audit_counts_its_issues(photos: Path):
    issue = Issue(path=str(files(photos)[0]), kind=IssueKind.DARK, score=1, label="checks")
    text = audited(issue)._repr_html_()
    assert len(thumbnails(text)) == 1
    assert "no issues found" in audited()._repr_html_()


def test_metrics_are_a_table():
    text = build_report([[0.9, 0.1], [0.2, 0.8]], [0, 1], ["ant", "bee"])._repr_html_()
    assert "1.000 (0.342 to 1.000, 2 images)" in text
    assert "0.500: always answering ant" in text
    assert "ant: 1.000 (0.207 to 1.000)" in text


def test_what_has_no_view_shows_its_repr():
    assert html.html("<a>") == "<pre>&#x27;&lt;a&gt;&#x27;</pre>"


def test_a_subclass_is_shown_like_its_base():
    class Tuned(Model):
        pass

    fields = {name: getattr(make_model(), name) for name in Model.__slots__}
    assert "0.900" in html.html(Tuned(**fields))


@pytest.mark.parametrize("kind", sorted(html._VIEWS))
def test_every_view_is_of_a_type_that_there_is(kind: str):
    assert kind in headstart.__all__
