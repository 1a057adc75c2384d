"""headstart quiz, with answers from a pipe as from a keyboard."""

import io

import pytest

from headstart.quiz import list_quizzes
from tests.cli.conftest import Cli, one_sentence

QUIZ = next(one for one in list_quizzes() if one.number == 3)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch):
    return lambda *lines: monkeypatch.setattr("sys.stdin", io.StringIO("".join(lines)))


def test_right_and_wrong_answers_are_explained_and_counted(cli: Cli, typed) -> None:
    first, *others = QUIZ.questions
    wrong = first.right % len(first.answers) + 1
    typed("9\n", "b\n", f" {wrong}\n", *(f"{one.right}\n" for one in others))
    outcome = cli("quiz", 3)
    assert outcome.code == 0
    assert outcome.next.endswith("headstart quiz 4")
    assert outcome.out.count(f"Answer with a number from 1 to {len(first.answers)}.") == 2
    assert f"No, it is {first.right}. {first.why}" in outcome.out
    assert f"Right. {others[-1].why}" in outcome.out
    assert outcome.out.endswith("\n7 of 8 right.\n")
    for number, answer in enumerate(first.answers, 1):
        assert f"   {number}  {answer}\n" in outcome.out


def test_it_ends_when_nobody_answers(cli: Cli, typed) -> None:
    typed(f"{QUIZ.questions[0].right}\n")
    outcome = cli("quiz", 3)
    assert outcome.code == 0
    assert outcome.out.endswith("> \n1 of 1 right.\n")
    assert "Windows: Ctrl-Z, Enter) ends it" in outcome.out
    typed()
    assert cli("quiz", 3).out.endswith("> \nNo question was answered.\n")


def test_a_seed_shuffles_the_answers(cli: Cli) -> None:
    plain, one, same = (
        cli("quiz", 3, "--json", *more).document for more in ([], ["--seed", 1], ["--seed", 1])
    )
    assert one == same != plain
    for left, right in zip(plain["questions"], one["questions"], strict=True):
        assert left["answers"][left["right"] - 1] == right["answers"][right["right"] - 1]


def test_lessons_are_listed(cli: Cli) -> None:
    outcome = cli("quiz")
    assert f"3       {QUIZ.title}" in outcome.out
    assert "headstart quiz LESSON" in outcome.next
    assert [one["number"] for one in cli("quiz", "--json").document] == [
        one.number for one in list_quizzes()
    ]
    unknown = cli("quiz", 99)
    assert unknown.code == 2
    assert one_sentence(unknown)
    assert "there is no lesson 99" in unknown.err
