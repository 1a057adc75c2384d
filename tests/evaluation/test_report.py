from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import DataError
from headstart.evaluation import metrics
from headstart.evaluation.report import (
    Report,
    build_report,
    predictions_table,
    write_csv,
    write_skipped,
)
from headstart.system.serialization import to_json
from headstart.types import Conflict, Skipped
from tests.properties import examples

KEYS = [
    "accuracy", "interval", "top5", "balanced_accuracy", "nll", "ece", "per_class", "confusion",
    "classes", "images", "skipped", "conflicts", "seen", "duplicates", "seconds",
    "shared_scenes", "accuracy_new_scenes", "interval_new_scenes", "unknown", "unknown_caught",
    "coverage", "drift",
    "unknown_classes", "accuracy_known_classes", "missing_classes",
    "largest_class", "recalls",
]  # fmt: skip

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.2, 0.7, 0.1]])
Y = np.array([0, 1, 1, 1])
ABC = ("a", "b", "c")


def build(k: int, n: int = 40) -> Report:
    rng = np.random.default_rng(k)
    return build_report(
        rng.dirichlet(np.ones(k), n), rng.integers(0, k, n), [f"class {i}" for i in range(k)]
    )


def test_a_report_by_hand() -> None:
    report = build_report(
        P, Y, ABC,
        skipped=[Skipped("x.jpg", "empty file")],
        conflicts=[Conflict(("1.jpg", "2.jpg"), ("a", "b"))],
        seen=2, seconds=1.5,
    )  # fmt: skip
    found = to_json(report)
    assert list(found) == KEYS
    assert found["accuracy"] == 0.75
    assert found["interval"] == pytest.approx([0.3006, 0.9544], abs=1e-4)
    assert found["top5"] is None
    assert found["balanced_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["nll"] == pytest.approx(-np.log([0.7, 0.8, 0.3, 0.7]).mean())
    assert found["ece"] == metrics.expected_calibration_error(P, Y)
    assert found["confusion"] == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert found["per_class"]["a"] == {
        "precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1,
    }  # fmt: skip
    assert found["per_class"]["c"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert found["classes"] == ["a", "b", "c"]
    assert found["images"] == 4
    assert found["skipped"] == [{"path": "x.jpg", "reason": "empty file"}]
    assert found["conflicts"] == [{"paths": ["1.jpg", "2.jpg"], "labels": ["a", "b"]}]
    assert (found["seen"], found["seconds"]) == (2, 1.5)
    assert (found["unknown_classes"], found["accuracy_known_classes"]) == ({}, 0.75)
    assert found["missing_classes"] == ["c"]


@pytest.mark.parametrize("clusters", [None, np.array([0, 0, 1, 2])])
def test_images_of_unknown_classes_count_as_wrong(clusters: np.ndarray | None) -> None:
    plain = build_report(P, Y, ABC, clusters=clusters)
    found = build_report(P, Y, ABC, clusters=clusters, unknown_classes={"d": 4, "e": 2})
    assert (found.accuracy, found.images) == (0.3, 10)
    assert found.interval.low < 0.3 < found.interval.high < plain.interval.high
    assert found.accuracy_known_classes == plain.accuracy == 0.75
    assert found.unknown_classes == {"d": 4, "e": 2}
    assert found.balanced_accuracy == plain.balanced_accuracy
    assert found.confusion.tolist() == plain.confusion.tolist()


@pytest.mark.parametrize("k", [1, 2, 5, 6, 60])
def test_reports_are_strict_json_with_the_same_keys(k: int) -> None:
    report = build(k)
    text = json.dumps(to_json(report), allow_nan=False)
    assert json.loads(text) == to_json(report)
    assert list(to_json(report)) == KEYS
    assert (report.top5 is not None) == (k > 5)
    assert list(report.per_class) == list(report.classes)


def test_a_report_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        build(3).confusion[0, 0] = 1


def test_no_image_left_says_where_they_went() -> None:
    with pytest.raises(
        DataError, match=r"1 could not be read \(1 y\), 7 were in the training data, 0 had"
    ):
        build_report(np.zeros((0, 2)), [], ["a", "b"], skipped=[Skipped("x", "y")], seen=7)


@pytest.mark.parametrize(
    ("classes", "said"),
    [(("a", "b"), "2 class names for 3 columns"), (("a", "a", "c"), r"\['a'\]")],
)
def test_class_names_must_fit(classes: tuple[str, ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        build_report(P, Y, classes)


def test_predictions() -> None:
    paths = [Path("x") / f"{i}.jpg" for i in range(4)]
    rows = predictions_table(paths, Y, P.astype(np.float32), ABC)
    assert rows[2] == {
        "path": str(paths[2]), "truth": "b", "correct": False, "predicted": "a",
        "probability": 0.5, "second": "b", "second_probability": 0.3,
    }  # fmt: skip
    assert [row["correct"] for row in rows] == [True, True, False, True]
    assert list(predictions_table(["x"], [1], [[0.5, 0.5]], ["a", "b"])[0].values()) == [
        "x", "b", False, "a", 0.5,
    ]  # fmt: skip
    assert predictions_table([], [], np.zeros((0, 3)), ABC) == []


def test_predictions_need_one_path_each() -> None:
    with pytest.raises(DataError, match="3"):
        predictions_table(["x"] * 3, Y, P, ABC)


@given(st.lists(st.text(st.characters(codec="utf-8"))))
@examples(40)
def test_any_text_survives_the_table(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    write_skipped([Skipped(name, 'why, "oh"') for name in names], path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["path", "reason"], *([name, 'why, "oh"'] for name in names)]


def test_the_table_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "t.csv"
    rows = [
        {"path": "=1+1.jpg", "p": 0.5, "correct": True, "truth": None},
        {"path": "a,b\rc.jpg", "p": 1, "correct": False, "truth": "é"},
        {"path": "\udcff.jpg", "p": 0.0, "correct": False, "truth": "x"},
    ]
    write_csv(rows, path)
    assert path.read_bytes().decode() == (
        "path,p,correct,truth\n=1+1.jpg,0.5,True,\n"
        '"a,b\rc.jpg","1","False","é"\n\\udcff.jpg,0.0,False,x\n'
    )


def test_rows_must_have_the_same_columns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\['b'\].*\['a'\]"):
        write_csv([{"a": 1}, {"b": 1}], tmp_path / "t.csv")
    assert not list(tmp_path.iterdir())


def test_empty_tables(tmp_path: Path) -> None:
    write_csv([], tmp_path / "bare.csv")
    write_csv([], tmp_path / "headed.csv", columns=["a", "b"])
    assert (tmp_path / "bare.csv").read_bytes() == b""
    assert (tmp_path / "headed.csv").read_bytes() == b"a,b\n"
