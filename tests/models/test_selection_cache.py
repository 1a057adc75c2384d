"""What was chosen before is found again, and nothing else is."""

import os
from pathlib import Path

import numpy as np
import pytest

from headstart.heads.candidates import Candidate
from headstart.heads.families import FAMILIES
from headstart.heads.selection import Selection
from headstart.heads.selection_problem import SelectionProblem
from headstart.models import selection_cache
from tests.heads.samples import blobs

PLACES = (Candidate(("a",), 0), Candidate(("b",), 1), Candidate(("a", "b"), 1))
X, Y = blobs(60, 8, 3, apart=0.5)


def selected(root: Path | None, **change) -> Selection:
    """What `select_cached` answers to a question, in which something may be changed."""
    question = {
        "values": {"a": X[:, :4], "b": X},
        "y": Y,
        "folds": np.arange(60) % 3,
        "classes": 3,
        "row_weights": np.ones(60, np.float32),
    }
    head, choices = change.pop("head", "logistic"), change.pop("choices", PLACES)
    problem = SelectionProblem(**question | change, family=FAMILIES[head])
    return selection_cache.select_cached(root, problem, choices, head=head)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Selection]:
    """What `select` answered."""
    answers: list[Selection] = []
    select = selection_cache.select

    def spy(*arguments, **options):
        answers.append(select(*arguments, **options))
        return answers[-1]

    monkeypatch.setattr(selection_cache, "select", spy)
    return answers


def same(one: Selection, other: Selection) -> bool:
    """To the last bit."""
    fields = ("candidate", "setting", "temperature", "folds")
    return (
        all(getattr(one, name) == getattr(other, name) for name in fields)
        and one.probabilities.tobytes() == other.probabilities.tobytes()
        and one.probabilities.dtype == other.probabilities.dtype
        and list(one.correct_by_stage) == list(other.correct_by_stage)
        and all(
            np.array_equal(right, other.correct_by_stage[stage]) and right.dtype == bool
            for stage, right in one.correct_by_stage.items()
        )
    )


@pytest.mark.parametrize("head", list(FAMILIES))
def test_the_same_question_is_asked_once(head: str, asked: list, tmp_path: Path):
    first, second = (selected(tmp_path, head=head) for _ in range(2))
    assert len(asked) == 1
    assert same(first, second)
    assert same(first, asked[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"values": {"a": X[:, :4], "b": X + np.eye(60, 8, dtype=np.float32)}},
        {"values": {"b": X[:, :4], "a": X}},
        {"y": np.where(np.arange(60) == 7, (Y + 1) % 3, Y)},
        {"folds": np.arange(60) % 4},
        {"head": "knn"},
        {"choices": PLACES[:2]},
        {"classes": 4},
        {"row_weights": np.full(60, 2, np.float32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_question_is_another_answer(change: dict, asked: list, tmp_path: Path):
    selected(tmp_path)
    selected(tmp_path, **change)
    assert len(asked) == 2


def flipped(content: bytes) -> bytes:
    """One bit of the last array is another."""
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda _: b"nonsense", lambda content: content[:-1], flipped]
)
def test_a_damaged_answer_is_asked_for_again(damage, asked: list, tmp_path: Path):
    selected(tmp_path)
    (kept,) = (tmp_path / "choices").glob("*.choice")
    kept.write_bytes(damage(kept.read_bytes()))
    again = selected(tmp_path)
    assert len(asked) == 2
    assert same(again, selected(tmp_path))
    assert len(asked) == 2


def test_without_a_cache_nothing_is_kept(asked: list, tmp_path: Path):
    for _ in range(2):
        selected(None)
    assert len(asked) == 2
    (tmp_path / "file").touch()  # nor where the cache cannot be written
    assert same(selected(tmp_path / "file"), asked[0])


@pytest.mark.parametrize("folds", [None, np.arange(60) % 2])
def test_what_was_not_chosen_is_not_kept_for_a_choice(folds, asked: list, tmp_path: Path):
    found = [selected(tmp_path, folds=folds) for _ in range(2)]
    assert found[0].candidate == found[1].candidate == PLACES[1]
    assert found[0].correct_by_stage == found[1].correct_by_stage == {}


def test_the_oldest_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(selection_cache, "_MAX_FILES", 2)
    for number, weight in enumerate((1, 2, 3), start=1):
        weights = np.full(60, weight, np.float32)
        selected(tmp_path, row_weights=weights)
        for kept in (tmp_path / "choices").glob("*.choice"):
            if kept.stat().st_mtime > 1e6:
                os.utime(kept, (number, number))
    ages = sorted(int(kept.stat().st_mtime) for kept in (tmp_path / "choices").glob("*.choice"))
    assert ages == [2, 3]


def test_large_answers_are_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(selection_cache, "_MAX_BYTES", 60 * 3 * 4 - 1)
    selected(tmp_path)
    assert not (tmp_path / "choices").exists()
