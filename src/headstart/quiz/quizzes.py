"""Quizzes are TOML files, one a lesson, named after it, such as 09-trust.toml."""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING, Final

from headstart.errors import DataError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_ANSWERS: Final = (3, 4)
"""How many answers a question may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with answers to choose from.

    Attributes:
        text: The question, in Markdown.
        answers: 3 or 4 different answers, of which one is right.
        right: The number of the right answer, counted from 1.
        why: Why it is right, and the others are not.
    """

    text: str
    answers: tuple[str, ...]
    right: int
    why: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", tuple(self.answers))  # TOML has lists
        if len(self.answers) not in _ANSWERS:
            raise DataError(f"{self.text!r} has {len(self.answers)} answers; write 3 or 4")
        if len(set(self.answers)) < len(self.answers):
            raise DataError(f"{self.text!r} has two equal answers")
        if self.right not in range(1, len(self.answers) + 1):
            raise DataError(
                f"the right answer to {self.text!r} is number {self.right}, but there are "
                f"{len(self.answers)}"
            )

    def shuffled(self, order: random.Random) -> Question:
        """Return the same question with its answers in random order."""
        answers = order.sample(self.answers, len(self.answers))
        right = answers.index(self.answers[self.right - 1]) + 1
        return replace(self, answers=tuple(answers), right=right)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiz:
    """The questions on a lesson.

    Attributes:
        number: The number of the lesson, from 1.
        slug: The name of the lesson's files, such as "03-a-classifier-in-seconds".
        title: The title of the lesson, without its number.
        questions: The questions in the order in which to ask them.
    """

    number: int
    slug: str
    title: str
    questions: tuple[Question, ...]

    def shuffled(self, order: random.Random) -> Quiz:
        """Return the same questions with their answers in random order."""
        return replace(self, questions=tuple(one.shuffled(order) for one in self.questions))


def list_quizzes() -> tuple[Quiz, ...]:
    """Return the quizzes of all lessons, in their order."""
    folder = resources.files("headstart.quiz") / "questions"
    files = [one for one in folder.iterdir() if one.name.endswith(".toml")]
    return tuple(map(read_quiz, sorted(files, key=lambda one: one.name)))


def read_quiz(file: Traversable) -> Quiz:
    """Read a quiz.

    Args:
        file: A TOML file with `title` and tables `question`, whose keys are those of `Question`.

    Raises:
        DataError: The file is not such a file, or a question cannot be asked; the message names the
            file.
    """
    slug = file.name.removesuffix(".toml")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return Quiz(
            number=int(slug.partition("-")[0]),
            slug=slug,
            title=table["title"],
            questions=tuple(Question(**one) for one in table["question"]),
        )
    except KeyError as error:
        raise DataError(f"{file.name}: {error} is missing") from error
    except (DataError, TypeError, ValueError) as error:  # keys; numbers, TOML
        raise DataError(f"{file.name}: {error}") from error
