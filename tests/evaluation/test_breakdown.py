import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import recall_score

from headstart.evaluation.breakdown import LargestClass, breakdown_warnings, recalls_by_class
from headstart.evaluation.metrics import wilson
from headstart.system.serialization import to_json

CLASSES = ["ant", "bee", "cat"]


@pytest.fixture
def answers():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 200, p=[0.2, 0.5, 0.3])
    return labels, np.where(rng.random(200) < 0.7, labels, rng.integers(0, 3, 200))


def test_the_largest_class_is_what_scikit_learn_always_answers(answers):
    labels, predicted = answers
    found = LargestClass.of(labels, predicted, CLASSES)
    dummy = DummyClassifier(strategy="most_frequent").fit(labels[:, None], labels)
    assert found.accuracy == dummy.score(labels[:, None], labels)
    assert found.label == CLASSES[dummy.predict([[0]])[0]]
    assert found.gain.difference == pytest.approx((predicted == labels).mean() - found.accuracy)
    assert found.gain.better
    assert found.warnings == []
    assert to_json(found).keys() == {
        "class", "accuracy", "images", "difference", "interval", "better"
    }  # fmt: skip


@pytest.mark.parametrize("images", [6, 12, 40, 200])
@pytest.mark.parametrize("right", [0.4, 0.5, 0.6, 0.75, 0.9, 1.0])
def test_better_agrees_with_the_exact_binomial_test(images, right):
    """Of two classes of the same size, a share `right` of each is recognized."""
    labels = np.arange(images) % 2
    predicted = np.where(np.arange(images) < right * images, labels, 1 - labels)
    found = LargestClass.of(labels, predicted, CLASSES)
    wins, losses = found.gain.wins, found.gain.losses
    p = binomtest(wins, wins + losses, alternative="greater").pvalue if wins + losses else 1.0
    assert not found.gain.better or p < 0.05
    assert found.gain.better or p > 0.01
    assert (found.warnings == []) is found.gain.better


def test_a_model_is_not_said_to_be_better_where_it_cannot_be_known():
    labels = np.array([0, 1, 1, 1, 1, 1])
    found = LargestClass.of(labels, labels, CLASSES)
    assert not found.gain.better
    assert "always answering bee, which is right for 0.833 of the images" in found.warnings[0]
    assert LargestClass.of(labels[1:], labels[1:], CLASSES) is None


def test_series_and_images_of_unknown_classes_count(answers):
    labels, predicted = answers
    alone = LargestClass.of(labels, predicted, CLASSES)
    series = LargestClass.of(labels, predicted, CLASSES, clusters=np.arange(200) // 20)
    assert series.gain.difference == alone.gain.difference
    assert series.gain.low != alone.gain.low
    copies = np.repeat(np.arange(200), 5)
    copied = LargestClass.of(labels[copies], predicted[copies], CLASSES, clusters=copies)
    assert copied.gain.low == pytest.approx(alone.gain.low, abs=0.01)
    others = LargestClass.of(labels, predicted, CLASSES, others=200)
    assert others.accuracy == alone.accuracy / 2
    assert others.gain.difference == pytest.approx(alone.gain.difference / 2)


def test_recalls_are_those_of_scikit_learn_the_lowest_first(answers):
    labels, predicted = answers
    found = recalls_by_class(labels, predicted, CLASSES)
    expected = dict(zip(CLASSES, recall_score(labels, predicted, average=None), strict=True))
    assert {one.label: one.value for one in found} == pytest.approx(expected)
    assert [one.value for one in found] == sorted(expected.values())
    for one in found:
        assert one.interval == wilson(one.correct, one.images)
    clustered = recalls_by_class(labels, predicted, CLASSES, clusters=np.zeros(200, np.int64))
    assert clustered[0].interval.low < found[0].interval.low


def test_a_class_without_images_has_no_recall():
    labels = np.array([0, 0, 2])
    found = recalls_by_class(labels, np.array([0, 0, 1]), CLASSES)
    first, second = to_json(found)
    interval = to_json(wilson(0, 1))
    assert first == {
        "class": "cat", "recall": 0.0, "interval": interval, "correct": 0, "images": 1
    }  # fmt: skip
    assert (second["class"], second["recall"], second["images"]) == ("ant", 1.0, 2)


def warnings_about(labels, predicted, *, balanced):
    largest = LargestClass.of(labels, predicted, CLASSES)
    recalls = recalls_by_class(labels, predicted, CLASSES)
    return breakdown_warnings(largest, recalls, balanced=balanced)


def test_a_model_that_is_worse_than_one_answer_is_said_to_be():
    labels, predicted = np.repeat([0, 1], [4, 40]), np.repeat([0, 1], [10, 34])
    worse, cause = warnings_about(labels, predicted, balanced=True)
    assert worse.startswith("the model is worse than always answering bee, which is right")
    assert cause.startswith("--balance gives all classes equal weight, which can lower")
    assert warnings_about(labels, predicted, balanced=False) == [worse]


@pytest.mark.parametrize("balanced", [True, False])
def test_classes_that_are_never_recognized_are_named(balanced):
    labels = np.repeat([0, 1, 2], [14, 400, 4])
    predicted = np.repeat([1, 1, 0], [14, 400, 4])  # four images of cat prove nothing
    *_, text = warnings_about(labels, predicted, balanced=balanced)
    remedy = "" if balanced else "--balance or "
    assert text == f"ant (0 of 14) is never recognized; try {remedy}--quality balanced"
    predicted[0] = 0
    assert not any("never" in one for one in warnings_about(labels, predicted, balanced=balanced))
