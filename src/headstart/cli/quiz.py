"""headstart quiz."""

import random
from typing import TYPE_CHECKING, Annotated

from headstart.cli import options as shared
from headstart.cli.console import facts, paragraph, print_json, say, table
from headstart.errors import UserError
from headstart.system.option import Option

if TYPE_CHECKING:
    from headstart.quiz import Quiz


def quiz(
    lesson: Annotated[int | None, Option(help="Lesson number; omit it to list lessons.")] = None,
    *,
    seed: Annotated[int | None, Option(low=0, unset="not shuffled")] = None,
    as_json: shared.Json = False,
) -> int | None:
    """Ask the questions on a lesson, and explain the answers.

    Options:
        seed: Shuffle the answers; each number gives another order.
    """
    from headstart.quiz import list_quizzes

    found = {one.number: one for one in list_quizzes()}
    if lesson is None:
        rows = [[str(number), one.title] for number, one in found.items()]
        print_json(found.values()) if as_json else table(["lesson", "title"], rows)
        return None
    if lesson not in found:
        raise UserError(f"there is no lesson {lesson}; choose from {', '.join(map(str, found))}")
    asked = found[lesson] if seed is None else found[lesson].shuffled(random.Random(seed))
    print_json(asked) if as_json else _ask(asked)
    return lesson


def _ask(quiz: "Quiz") -> None:
    results: list[bool] = []
    say(f"{quiz.title}: {len(quiz.questions)} questions. Ctrl-D (Windows: Ctrl-Z, Enter) ends it.")
    for question in quiz.questions:
        say("")
        paragraph(f"{len(results) + 1}. {question.text}")
        facts([(f"   {row}", one) for row, one in enumerate(question.answers, 1)], width=6)
        try:
            results.append(_answer(len(question.answers)) == question.right)
        except EOFError:
            break
        paragraph(f"{'Right' if results[-1] else f'No, it is {question.right}'}. {question.why}")
    say(f"\n{sum(results)} of {len(results)} right." if results else "\nNo question was answered.")


def _answer(most: int) -> int:
    while (text := input("> ").strip()) not in map(str, range(1, most + 1)):
        say(f"Answer with a number from 1 to {most}.")
    return int(text)
