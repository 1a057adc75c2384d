import numpy as np
import pytest

from headstart.models.answers import AnswerRule, count_answers
from headstart.models.prediction import Predictions
from headstart.types import Skipped


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        (AnswerRule(unknown=0.05), "ant"),
        (AnswerRule(unknown=0.05, min_probability=0.7), "ant"),
        (AnswerRule(unknown=0.05, min_probability=0.71), "unsure"),
        (AnswerRule(unknown=0.2, min_probability=0.71), "unknown"),
        (AnswerRule(unknown=None), "ant"),
    ],
)
def test_an_answer_is_known_and_probable(rule, answer):
    assert rule.answer("ant", 0.7, 0.2) == answer


def test_without_novelty_nothing_is_unknown():
    assert AnswerRule(unknown=0.9).answer("ant", 0.7, None) == "ant"


def test_classes_are_counted_before_what_is_none():
    answers = ["unknown", "unknown", "unknown", "bee", "ant", "ant", "cat", "unsure"]
    found = count_answers(answers, unreadable=1)
    assert list(found.items()) == [
        ("ant", 2), ("bee", 1), ("cat", 1), ("unknown", 3), ("unsure", 1), ("unreadable", 1)
    ]  # fmt: skip
    assert count_answers([]) == {}
    assert count_answers(["unreadable"], unreadable=2) == {"unreadable": 3}  # a class of this name


def test_predictions_have_answers_and_counts():
    found = Predictions(
        classes=("ant", "bee"),
        rows=np.array([0, 1, 3]),
        probabilities=np.float32([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]),
        skipped=(Skipped("c.jpg", "empty file"),),
        novelty=np.array([0.5, 0.5, 0.01]),
    )
    assert found.answers() == ("ant", "bee", "unknown")
    assert found.answers(unknown=None, min_probability=0.7) == ("ant", "unsure", "bee")
    assert found.counts() == {"ant": 1, "bee": 1, "unknown": 1, "unreadable": 1}
