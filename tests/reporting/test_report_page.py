"""What the page about a folder of results says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from headstart.errors import DataError, SavedModelError
from headstart.evaluation.breakdown import recalls_by_class
from headstart.evaluation.report import write_training
from headstart.models.saved_model import save_model
from headstart.models.trained_model import FineTuning
from headstart.pages.page import Cards, Cell, Command, Figure, Matrix, Page, Section, Table
from headstart.pages.rendering import render
from headstart.reporting.report_page import report_page
from headstart.types import Conflict, EstimateMethod, Interval
from tests.models.trained_models import calibration, estimate, make_model
from tests.reporting.made_up import (
    EVIL,
    FIGURES,
    write_comparison,
    write_evaluation,
    write_transfer,
)

WEAK = (
    "{}. The model is not clearly better than that: it may have learned nothing. Give it more "
    "images, and check the labels with 'headstart audit'."
)


def section(page: Page, title: str) -> Section:
    (found,) = [one for one in page.sections if one.title == title]
    return found


def part(page: Page, title: str, kind: type) -> Any:
    (found,) = [one for one in section(page, title).parts if isinstance(one, kind)]
    return found


def titles(page: Page) -> list[str]:
    return [one.title for one in page.sections]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_evaluation(tmp_path_factory.mktemp("evaluation"))


@pytest.fixture(scope="module")
def page(evaluation: Path) -> Page:
    return report_page(evaluation)


class TestEvaluation:
    def test_all_sections_are_there(self, page: Page):
        assert titles(page) == [
            "Accuracy", "Recall by class", "Confusion", "Reliability", "The most wrong images",
            "Accuracy by stage", "Files left out", "The command that made it",
        ]  # fmt: skip

    def test_the_summary_says_it_in_words(self, page: Page, evaluation: Path):
        metrics = json.loads((evaluation / "metrics.json").read_text())
        right = round(60 * metrics["accuracy"])
        low, high = metrics["interval"]
        assert page.summary[0] == (
            f"Right on {right} of 60 images that it was not trained on: {right / 60:.1%} "
            f"(95% interval {low:.1%} to {high:.1%})."
        )
        assert (
            page.summary[1] == "Always answering the largest class, ant, would be right on 33.3%."
        )
        assert page.summary[2].startswith("It recognized least often: ")
        assert page.summary[3].startswith("The most frequent confusion: ")

    def test_recalls_have_the_intervals_of_another_implementation(
        self, page: Page, evaluation: Path
    ):
        metrics = json.loads((evaluation / "metrics.json").read_text())
        names = [name.encode("utf-8", "backslashreplace").decode() for name in metrics["classes"]]
        counts = {
            name: (row[k], sum(row))
            for k, (name, row) in enumerate(zip(names, metrics["confusion"], strict=True))
        }
        table = part(page, "Recall by class", Table)
        shown = [row[1].share for row in table.rows]
        assert shown == sorted(shown)
        for name, recall, *_ in table.rows:
            right, images = counts[name]
            interval = binomtest(right, images).proportion_ci(method="wilson")
            assert recall.share == pytest.approx(right / images)
            assert recall.interval.low == pytest.approx(interval.low)
            assert recall.interval.high == pytest.approx(interval.high)

    def test_the_confidence_is_compared_with_the_accuracy(self, page: Page, evaluation: Path):
        table = part(page, "Reliability", Table)
        assert sum(row[1].order for row in table.rows) == 60
        lines = (evaluation / "predictions.csv").read_text().splitlines()[1:]
        rows = [line.rsplit(",", 5) for line in lines]
        for confidence, images, mean, right in table.rows:
            within = [
                (float(row[3]), row[1] == "True") for row in rows
                if confidence.order / 10 < float(row[3]) <= (confidence.order + 1) / 10
            ]  # fmt: skip
            assert images.order == len(within)
            assert mean.order == pytest.approx(np.mean([p for p, _ in within]))
            assert right.share == pytest.approx(np.mean([hit for _, hit in within]))

    def test_the_most_wrong_images_have_names_and_thumbnails(self, page: Page):
        cards = part(page, "The most wrong images", Cards).cards
        assert len(cards) > 3
        assert all(one.path.count("/") == 1 for one in cards)
        assert cards[0].note.startswith("true: ")
        kinds = [one.images[0] and one.images[0][:22] for one in cards]
        assert kinds.count("data:image/jpeg;base64") == len(cards) - 1
        assert kinds.count(None) == 1  # the file is gone

    def test_figures_are_as_wide_as_they_were_drawn(self, page: Page):
        assert part(page, "Reliability", Figure).width == 192  # 300 pixels at 150 per inch

    def test_few_classes_have_their_confusion_as_a_table(self, page: Page):
        assert np.sum(part(page, "Confusion", Matrix).counts) == 60

    def test_everything_is_escaped(self, page: Page):
        text = render(page)
        assert text.count("<script") == 1
        assert "<i>" not in text
        assert "&lt;script&gt;document.title" in text

    def test_missing_files_leave_out_a_section_each(self, tmp_path: Path):
        folder = write_evaluation(tmp_path, figures=False)
        for name in ("predictions.csv", "command.txt"):
            (folder / name).unlink()
        page = report_page(folder)
        assert {"Reliability", "The most wrong images", "Accuracy by stage"}.isdisjoint(
            titles(page)
        )
        assert section(page, "Not on this page").parts == [
            "reliability and the most wrong images: there is no predictions.csv",
            "the command that made it, which models do not keep",
        ]
        render(page)

    def test_copies_are_left_out_too(self, tmp_path: Path):
        folder = write_evaluation(tmp_path, figures=False)
        document = json.loads((folder / "metrics.json").read_text())
        (folder / "metrics.json").write_text(json.dumps(document | {"duplicates": 2}))
        parts = section(report_page(folder), "Files left out").parts
        assert parts[0] == "2 copies of other images, used once."
        assert "2 files of 1 image with conflicting labels:" in parts

    def test_a_model_that_always_answers_one_class_is_not_called_better(self, tmp_path: Path):
        folder = write_evaluation(tmp_path, figures=False)
        document = json.loads((folder / "metrics.json").read_text())
        document |= {"confusion": [[20, 0, 0]] * 3, "accuracy": 1 / 3, "interval": [0.23, 0.46]}
        document |= {"largest_class": None, "recalls": []}  # as in files of earlier versions
        (folder / "metrics.json").write_text(json.dumps(document))
        assert report_page(folder).summary[1].endswith(WEAK.format("33.3%"))

    def test_newer_files_say_what_the_largest_class_gets_and_how_sure_recalls_are(
        self, tmp_path: Path
    ):
        folder = write_evaluation(tmp_path, figures=False)
        document = json.loads((folder / "metrics.json").read_text())
        document["largest_class"] = {"class": "bee", "accuracy": 0.25, "better": False}
        document["recalls"] = [{"class": "ant", "recall": 0.8, "interval": [0.125, 0.875]}]
        (folder / "metrics.json").write_text(json.dumps(document))
        page = report_page(folder)
        assert page.summary[1].endswith(f"bee, would be right on {WEAK.format('25.0%')}")
        intervals = {row[0]: row[1].interval for row in part(page, "Recall by class", Table).rows}
        assert intervals["ant"] == Interval(0.125, 0.875)

    def test_one_class_has_no_largest(self, tmp_path: Path):
        folder = write_evaluation(tmp_path, figures=False)
        document = json.loads((folder / "metrics.json").read_text())
        one_class = [[50, 10, 0], [0, 0, 0], [0, 0, 0]]
        document |= {"confusion": one_class, "largest_class": None, "recalls": []}
        (folder / "metrics.json").write_text(json.dumps(document))
        page = report_page(folder)
        assert "largest class" not in " ".join(page.summary)
        assert len(part(page, "Accuracy", Table).rows) == 1
        render(page)

    @pytest.mark.parametrize(
        "content", [b"{", b'{"accuracy": 0.9, "loss": 1}', b"\xff\xfe", b'{"a": NaN}']
    )
    def test_a_file_of_another_program_is_named(self, tmp_path: Path, content: bytes):
        (tmp_path / "metrics.json").write_bytes(content)
        with pytest.raises(DataError, match=r"metrics\.json is damaged, or was not written by"):
            report_page(tmp_path)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("a,b\n1,2\n", "'probability'"),
            ("path,truth,correct,predicted,probability\nx,a,True,a,high\n", "'high'"),
            ("path,truth,correct,predicted,probability\nx,a,True,a,nan\n", "no probabilities"),
            ("", "no probabilities"),
        ],
    )
    def test_a_damaged_table_is_named(self, tmp_path: Path, text: str, reason: str):
        folder = write_evaluation(tmp_path, figures=False)
        (folder / "predictions.csv").write_text(text)
        with pytest.raises(DataError, match=rf"predictions\.csv is damaged \(.*{reason}"):
            report_page(folder)

    def test_a_damaged_figure_is_named(self, tmp_path: Path):
        folder = write_evaluation(tmp_path, figures=False)
        (folder / FIGURES[0]).write_bytes(b"no PNG")
        with pytest.raises(DataError, match=r"confusion\.png is not a PNG image"):
            report_page(folder)


class TestModel:
    @pytest.fixture(autouse=True)
    def _not_drawn(self, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
        """Drawing takes a second."""
        if "drawn" not in request.fixturenames:
            monkeypatch.setattr("headstart.reporting.model._drawn", lambda figure, text: None)
            for name in ("confusion_matrix", "reliability", "accuracy_by_stage"):
                monkeypatch.setattr(f"headstart.plots.{name}", lambda *_, **__: None)

    @pytest.fixture
    def drawn(self) -> None:
        """Figures are drawn."""

    @pytest.mark.usefixtures("drawn")
    def test_the_calibration_images_tell_recall_confusion_and_reliability(self, saved: Path):
        page = report_page(saved)
        assert page.title == "Model of insects"
        assert page.summary[0].startswith("Right on 27 of 30 images")
        assert titles(page) == [
            "Accuracy", "Recall by class", "Confusion", "Reliability", "Accuracy by stage",
            "Model", "Files left out", "Not on this page",
        ]  # fmt: skip
        found = calibration()
        table = part(page, "Recall by class", Table)
        for name, recall, *_ in table.rows:
            own = found.labels == ("ant", "bee", "wäsp").index(name)
            assert recall.share == pytest.approx((found.predicted[own] == found.labels[own]).mean())
        assert part(page, "Reliability", Figure).width > 300
        render(page)

    def test_cross_validation_is_said_where_the_accuracy_is_of_other_images(self, tmp_path: Path):
        save_model(make_model(accuracy=estimate(8, 9, EstimateMethod.HELD_OUT)), tmp_path / "m")
        page = report_page(tmp_path / "m")
        assert page.summary[3].startswith(
            "In cross-validation on its own training images it recognized least often: "
        )

    def test_validation_images_are_not_called_others(self, tmp_path: Path):
        found = estimate(27, 30, EstimateMethod.VALIDATION)
        tuning = FineTuning(
            depth=1, cut="fine", epochs=1, share=1, weights="0" * 32, probe=found, tuned=found
        )
        save_model(make_model(accuracy=found, tuning=tuning), tmp_path / "m")
        page = report_page(tmp_path / "m")
        assert page.summary[0].startswith(
            "Right on 27 of 30 images that also selected the model (slightly optimistic): 90.0%"
        )
        assert page.summary[3].startswith("On its validation images it recognized least often")

    def test_recalls_of_series_have_the_intervals_of_the_training_or_none(self, tmp_path: Path):
        found = calibration()
        halves = np.full(len(found.labels), 0.5, np.float16)
        save_model(make_model(calibration=replace(found, class_weights=halves)), tmp_path / "m")
        page = report_page(tmp_path / "m")
        rows = part(page, "Recall by class", Table).rows
        assert [row[1].interval for row in rows] == [None] * 3
        assert any("intervals" in one for one in section(page, "Not on this page").parts)
        render(page)

        clusters = np.arange(len(found.labels)) // 3
        names = ("ant", "bee", "wäsp")
        recalls = recalls_by_class(
            found.labels.astype(int), found.predicted.astype(int), names, clusters=clusters
        )
        conflict = Conflict(("a/1.jpg", "b/1.jpg"), ("ant", "bee"))
        write_training(tmp_path / "m", skipped=(), conflicts=[conflict], recalls=recalls)
        page = report_page(tmp_path / "m")
        shown = {row[0]: row[1].interval for row in part(page, "Recall by class", Table).rows}
        assert shown == {one.label: one.interval for one in recalls}
        assert part(page, "Files left out", Table).rows == [("a/1.jpg, b/1.jpg", "ant, bee")]
        assert "2 copies of other images, used once." in section(page, "Files left out").parts

    def test_without_test_images_nothing_is_claimed(self, tmp_path: Path):
        model = make_model(
            accuracy=make_model().accuracy.unknown(), accuracy_by_stage={}, calibration=None
        )
        save_model(model, tmp_path / "m")
        page = report_page(tmp_path / "m")
        assert page.summary[0].startswith("Its accuracy is unknown")
        assert titles(page) == ["Model", "Files left out", "Not on this page"]

    def test_epochs_and_skipped_files_are_listed(self, saved: Path):
        (saved / "history.csv").write_text(
            "phase,epoch,rate,loss,accuracy,validation_loss,validation_accuracy,seconds\n"
            "search,1,0.001,0.5,0.8,0.4,0.9,2.5\nclosing,2,0.001,0.4,0.85,,,2.5\n"
        )
        (saved / "skipped.csv").write_text("path,reason\nx.jpg,truncated\n")
        page = report_page(saved)
        (first, second) = part(page, "Fine-tuning", Table).rows
        assert first[4] == Cell.of(0.4, ".3f")
        assert second[4] == Cell.of(None)
        assert part(page, "Files left out", Table).rows == [("x.jpg", "truncated")]
        (saved / "history.csv").write_text("phase,epoch\nsearch,1\n")
        with pytest.raises(DataError, match=r"history\.csv is damaged"):
            report_page(saved)

    def test_a_damaged_model_is_refused(self, saved: Path):
        (saved / "model.json").write_text("{}")
        with pytest.raises(SavedModelError):
            report_page(saved)


def test_a_comparison(tmp_path: Path):
    page = report_page(write_comparison(tmp_path / "c"))
    assert page.title == "Backbones compared on photos"
    assert page.summary[0].startswith("Recommended: large. It is right on 90.0% (95% interval")
    names = [row[0] for row in part(page, "Accuracy and cost", Table).rows]
    assert names == ["small", "large (recommended)"]
    assert part(page, "Backbones left out", Table).rows == [("huge", "its weights are not here")]
    assert "the figure: there is no comparison.png" in section(page, "Not on this page").parts
    render(page)


def test_a_transfer(tmp_path: Path):
    page = report_page(write_transfer(tmp_path / "t"))
    assert page.summary[0] == "Fine-tune it."
    assert "+32.0 points against the same network with random weights" in page.summary[1]
    assert page.summary[2] == (
        "Negative transfer: raw pixels are better than the network's last stage."
    )
    assert part(page, "Next step", Command).text == "headstart finetune photos --out m"
    assert len(part(page, "Accuracy", Table).rows) == 6
    render(page)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text(""), "is a file"),
        (lambda path: path.mkdir(), "contains nothing that headstart fit, evaluate"),
        (
            lambda path: (path.mkdir(), (path / "audit.json").write_text("{}")),
            "the page of an audit is its index.html",
        ),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, make, reason: str):
    make(tmp_path / "x")
    with pytest.raises(DataError, match=reason):
        report_page(tmp_path / "x")


def test_the_command_is_as_it_was_given(page: Page):
    text = part(page, "The command that made it", Command).text
    assert text.startswith("headstart evaluate model '<script>")
    assert EVIL[:20] in text
