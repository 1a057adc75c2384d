from dataclasses import replace

import numpy as np
import pytest

from headstart.evaluation.breakdown import recalls_by_class
from headstart.models.model_card import accuracy_text, model_card, novelty_text, scenes_text
from headstart.models.trained_model import FineTuning
from headstart.novelty.estimate import Detection
from headstart.series.series import SeriesSummary
from headstart.types import EstimateMethod
from tests.models.trained_models import UNKNOWN, estimate, make_model, make_novelty


def rows_of(text, heading):
    """Cells of the table under a heading, less its head."""
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_it_says_what_the_model_is_and_what_it_rests_on():
    text = model_card(make_model())
    for fact in (
        "# insects: an image classifier of 3 classes",
        "0.900 (95% interval 0.744 to 0.965, 30 images, cross-validated)",
        "| baseline | 0.333 (always answering ant, 10 of 30 training images) |",
        "30 images (insects, license: CC0-1.0)",
        "2 duplicates, 1 image with conflicting labels, 3 unusable files",
        "tiny, weights from PyPI: made-up, license: MIT",
        "`0123456789abcdef0123456789abcdef`",
        "| features | stages fine + coarse, computed with openvino, f32 |",
        "temperature 0.75",
        "| seed | 0 |",
    ):
        assert fact in text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("logistic", "multinomial logistic regression, C = 0.1, "),
        ("centroid", "nearest centroid, temperature"),
        ("knn", "k nearest neighbors, k = 1, "),
    ],
)
def test_it_names_the_head_with_its_setting(kind, words):
    assert words in model_card(make_model(kind))


def test_it_lists_classes_and_stages():
    text = model_card(make_model())
    assert rows_of(text, "Classes") == [["ant", "10"], ["bee", "10"], ["wäsp", "10"]]
    assert [row[0] for row in rows_of(text, "Accuracy by stage")] == ["fine", "coarse"]


def test_it_names_the_classes_that_are_recognized_least_often():
    recalls = recalls_by_class(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ["a|nt", "bee"])
    assert "recognizes least often" not in model_card(make_model())
    text = model_card(make_model(lowest_recalls=recalls))
    assert rows_of(text, "Classes that it recognizes least often") == [
        ["a\\|nt", "0.500", "0.095 to 0.905", "1 of 2"],
    ]
    assert "measured by cross-validation: each image by a head trained without it." in text
    y = np.repeat([0, 1, 2], 10)
    alike = recalls_by_class(y, np.where(np.arange(30) % 10, y, (y + 1) % 3), ["a", "b", "c"])
    assert "recognizes least often" not in model_card(make_model(lowest_recalls=alike))


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (EstimateMethod.CROSS_VALIDATION, "there, the stages were selected again for each fold."),
        (EstimateMethod.HELD_OUT, "it was measured on other images."),
        (EstimateMethod.VALIDATION, "it was measured on other images."),
    ],
)
def test_it_says_how_the_two_accuracies_differ(method, reason):
    text = model_card(make_model(accuracy=estimate(27, 30, method)))
    assert f"above may differ: {reason}" in text


def test_accuracies_on_other_images_are_not_compared():
    series = SeriesSummary(source="name", count=3, images=9, largest=3, examples=())
    model = make_model(series=series, accuracy_same_scenes=estimate(28, 30))
    assert "0.93 on more photos of these same scenes" in str(scenes_text(model))
    tested = replace(model, accuracy=estimate(27, 27, EstimateMethod.HELD_OUT))
    assert str(scenes_text(tested)).startswith("9 of 30 images belong to 3 series")


def test_one_is_singular():
    model = make_model(accuracy=estimate(1, 1))
    data = replace(model.data, duplicates=1, conflicts=2, skipped=1)
    text = model_card(replace(model, data=data))
    assert "1 duplicate, 2 images with conflicting labels, 1 unusable file |" in text
    assert "1 image, cross-validated" in text


def test_without_stages_there_is_no_table_of_them():
    assert "by stage" not in model_card(make_model(accuracy_by_stage={}))


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ((10, 10, 10), None),
        ((10, 9, 10), "has only 9 training images; predictions"),
        ((1, 9, 10), "has only 1 training image; predictions"),
    ],
)
def test_it_warns_of_small_classes(images, sentence):
    model = make_model()
    text = model_card(replace(model, data=replace(model.data, images=images)))
    assert ("smallest class" in text) is (sentence is not None)
    assert sentence is None or sentence in text


def test_names_break_no_table_and_are_not_escaped_as_html():
    model = make_model(classes=("a|b", "c\nd", "R&D <x>"))
    text = model_card(replace(model, data=replace(model.data, name="x|y\nz")))
    assert [row[0] for row in rows_of(text, "Classes")] == [r"a\|b", "c d", r"R&D \<x>"]
    assert r"(x\|y z, license" in text


def test_names_are_text_and_never_templates():
    text = model_card(make_model(classes=("{{ 7 + 7 }}", "{% raw %}", "b")))
    assert "{{ 7 + 7 }}" in text
    assert "{% raw %}" in text


def test_an_accuracy_is_never_without_its_interval_and_its_source():
    assert accuracy_text(UNKNOWN) == "unknown: too few images or scenes to hold any out"
    held_out = estimate(1_900, 2_000, EstimateMethod.HELD_OUT)
    assert accuracy_text(held_out) == (
        "0.950 (95% interval 0.940 to 0.959, 2,000 images, held out)"
    )
    assert "| accuracy | unknown" in model_card(make_model(accuracy=UNKNOWN))


def test_the_same_model_gives_the_same_card():
    assert model_card(make_model()) == model_card(make_model())


def test_images_that_chose_the_model_are_not_called_held_out():
    said = accuracy_text(estimate(18, 20, EstimateMethod.VALIDATION))
    assert said.startswith("0.900 (95% interval ")
    assert said.endswith("20 images, which also selected the model: slightly optimistic)")
    assert "held out" not in said
    assert accuracy_text(estimate(18, 20, EstimateMethod.HELD_OUT)).endswith("20 images, held out)")


@pytest.mark.parametrize(
    ("cut", "row"), [("stem", "2 stages after stem, 5 epochs"), ("", "the whole network, 5 epochs")]
)
def test_it_says_what_was_fine_tuned(cut, row):
    accuracy = estimate(20, 30)
    tuning = FineTuning(
        depth=2, cut=cut, epochs=5, share=1, weights="0" * 32, probe=accuracy, tuned=accuracy
    )
    assert f"| fine-tuned | {row} |" in model_card(make_model(tuning=tuning))
    assert "fine-tuned" not in model_card(make_model())


def test_it_says_what_it_recognizes_as_unknown():
    card = model_card(make_model(novelty=make_novelty()))
    assert "calls 5% of the images of its classes unknown by mistake" in card
    assert "calibrated on 60 held-out images" in card
    assert "Of ordinary photos of objects and places it catches" in card
    assert "measured by leaving out 3 classes in turn" in card
    novelty = make_novelty()
    alike = dict.fromkeys(novelty.estimate.by_class, Detection(auroc=1.0, caught=1.0, images=9))
    novelty = replace(novelty, estimate=replace(novelty.estimate, by_class=alike))
    assert "3 classes in turn." in model_card(make_model(novelty=novelty))
    without = model_card(make_model())
    assert "The model cannot tell: there were too few training images" in without


@pytest.mark.parametrize(("share", "words"), [(0.42, "42%"), (0.06, "6%"), (1.0, "100%")])
def test_shares_are_in_one_notation(share, words):
    one = Detection(auroc=0.9, caught=share, images=20)
    novelty = make_novelty()
    changed = replace(novelty, estimate=replace(novelty.estimate, left_out=one, others={}))
    assert novelty_text(make_model(novelty=changed)) == (
        f"recognizes {words} of images of a class it was never shown; takes 5% of your own "
        "classes for unknown by mistake"
    )


@pytest.mark.parametrize("left_out", [None, Detection(auroc=0.9, caught=0.5, images=19)])
def test_two_classes_or_too_few_images_do_not_say_how_a_further_class_is_told(left_out):
    novelty = make_novelty()
    estimate = replace(novelty.estimate, left_out=left_out, others={})
    model = make_model(novelty=replace(novelty, estimate=estimate))
    assert "How well it tells further classes is unknown." in model_card(model)
    assert novelty_text(model) == "takes 5% of your own classes for unknown by mistake"
