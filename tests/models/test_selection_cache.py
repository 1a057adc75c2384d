"""What was chosen before is found again, and nothing else is."""

import os
from pathlib import Path

import numpy as np
import pytest

from headstart.heads.candidates import Candidate
from headstart.heads.families import FAMILIES
from headstart.heads.selection import Selection
from headstart.models import selection_cache
from tests.heads.samples import blobs

PLACES = (Candidate(("a",), 0), Candidate(("b",), 1), Candidate(("a", "b"), 1))
X, Y = blobs(60, 8, 3, apart=0.5)


def question() -> dict:
    """Arguments of `select_cached`, after the folder."""
    return {
        "values": {"a": X[:, :4], "b": X},
        "y": Y,
        "folds": np.arange(60) % 3,
        "head": "logistic",
        "choices": PLACES,
        "classes": 3,
        "row_weights": np.ones(60, np.float32),
    }


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
    first, second = (
        selection_cache.select_cached(tmp_path, **{**question(), "head": head}) for _ in range(2)
    )
    assert len(asked) == 1
    assert same(first, second)
    assert same(first, asked[0])


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
    selection_cache.select_cached(tmp_path, **question())
    selection_cache.select_cached(tmp_path, **question() | change)
    assert len(asked) == 2


def flipped(content: bytes) -> bytes:
    """One bit of the last array is another."""
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda _: b"nonsense", lambda content: content[:-1], flipped]
)
def test_a_damaged_answer_is_asked_for_again(damage, asked: list, tmp_path: Path):
    selection_cache.select_cached(tmp_path, **question())
    (kept,) = (tmp_path / "choices").glob("*.choice")
    kept.write_bytes(damage(kept.read_bytes()))
    again = selection_cache.select_cached(tmp_path, **question())
    assert len(asked) == 2
    assert same(again, selection_cache.select_cached(tmp_path, **question()))
    assert len(asked) == 2


def test_without_a_cache_nothing_is_kept(asked: list, tmp_path: Path):
    for _ in range(2):
        selection_cache.select_cached(None, **question())
    assert len(asked) == 2
    (tmp_path / "file").touch()  # nor where the cache cannot be written
    assert same(selection_cache.select_cached(tmp_path / "file", **question()), asked[0])


@pytest.mark.parametrize("folds", [None, np.arange(60) % 2])
def test_what_was_not_chosen_is_not_kept_for_a_choice(folds, asked: list, tmp_path: Path):
    found = [
        selection_cache.select_cached(tmp_path, **question() | {"folds": folds}) for _ in range(2)
    ]
    assert found[0].candidate == found[1].candidate == PLACES[1]
    assert found[0].correct_by_stage == found[1].correct_by_stage == {}


def test_the_oldest_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(selection_cache, "_MAX_FILES", 2)
    for number, weight in enumerate((1, 2, 3), start=1):
        weights = np.full(60, weight, np.float32)
        selection_cache.select_cached(tmp_path, **question() | {"row_weights": weights})
        for kept in (tmp_path / "choices").glob("*.choice"):
            if kept.stat().st_mtime > 1e6:
                os.utime(kept, (number, number))
    ages = sorted(int(kept.stat().st_mtime) for kept in (tmp_path / "choices").glob("*.choice"))
    assert ages == [2, 3]


def test_large_answers_are_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(selection_cache, "_MAX_BYTES", 60 * 3 * 4 - 1)
    selection_cache.select_cached(tmp_path, **question())
    assert not (tmp_path / "choices").exists()
