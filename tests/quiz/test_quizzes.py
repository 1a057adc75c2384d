"""The questions that are installed, and files that are wrong."""

import random
from pathlib import Path

import pytest

from headstart.errors import DataError
from headstart.quiz import Question, list_quizzes, read_quiz

QUESTION = 'text = "?"\nanswers = ["a", "b", "c"]\nright = 2\nwhy = "."\n'


@pytest.mark.parametrize("quiz", list_quizzes(), ids=lambda one: one.slug)
def test_a_quiz_can_be_asked(quiz):
    assert len(quiz.questions) == 8
    assert quiz.slug.startswith(f"{quiz.number:02}-")
    # Nobody passes by always giving the same number.
    rights = [question.right for question in quiz.questions]
    assert max(map(rights.count, rights)) <= 4
    for question in quiz.questions:
        assert question.why.endswith((".", "?", "`)."))
        assert "\n" not in question.why + question.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title", "03-x.toml: Expected '='"),
        ("[[question]]\n" + QUESTION, "03-x.toml: 'title' is missing"),
        ("title = 'x'\n[[question]]\nanswer = 3", "unexpected keyword argument 'answer'"),
        (
            "title = 'x'\n[[question]]\n" + QUESTION.replace("2", "4"),
            "is number 4, but there are 3",
        ),
        ("title = 'x'\n[[question]]\n" + QUESTION.replace('"b"', '"a"'), "two equal answers"),
        ("title = 'x'\n[[question]]\n" + QUESTION.replace(', "c"', ""), "has 2 answers; write 3"),
    ],
)
def test_what_cannot_be_asked_is_said(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "03-x.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=r"^03-x\.toml: ") as caught:
        read_quiz(path)
    assert message in str(caught.value)


def test_shuffled_answers_have_the_same_right_one() -> None:
    question = Question(text="?", answers=("a", "b", "c", "d"), right=3, why=".")
    order = random.Random(0)
    found = [question.shuffled(order) for _ in range(20)]
    assert len({one.answers for one in found}) > 5
    assert {one.answers[one.right - 1] for one in found} == {"c"}
    assert {tuple(sorted(one.answers)) for one in found} == {question.answers}
