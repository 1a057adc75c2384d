import numpy as np

from headstart.cli.breakdown import breakdown_facts
from headstart.evaluation.breakdown import LargestClass, recalls_by_class


def lines_of(correct, *, of=10, name="class {}"):
    """The lines of classes of which so many images are recognized."""
    labels = np.repeat(np.arange(len(correct)), of)
    right = np.tile(np.arange(of), len(correct)) < np.repeat(correct, of)
    predicted = np.where(right, labels, (labels + 1) % len(correct))
    names = [name.format(number) for number in range(len(correct))]
    recalls = recalls_by_class(labels, predicted, names)
    return dict(breakdown_facts(LargestClass.of(labels, predicted, names), recalls))


def test_few_classes_are_all_listed_the_worst_first():
    found = lines_of([9, 7])
    assert found["baseline"] == "0.500 (always answering class 0, 10 of 20 images)"
    assert found["recall"] == [
        "class 1  0.700 (0.397 to 0.892, 7 of 10)",
        "class 0  0.900 (0.596 to 0.982, 9 of 10)",
    ]


def test_of_many_classes_the_worst_are_listed():
    *listed, rest = lines_of([10, 9, 8, 7, 6, 5, 4, 3, 10, 10, 9, 9])["recall"]
    assert [line.split()[1] for line in listed] == ["7", "6", "5", "4", "3"]
    assert rest == "7 other classes: 0.800 to 1.000"


def test_of_many_classes_those_without_errors_are_not_listed():
    assert lines_of([10] * 8 + [4])["recall"] == [
        "class 8  0.400 (0.168 to 0.687, 4 of 10)",
        "8 other classes: 1.000",
    ]


def test_lines_fit_a_terminal(monkeypatch):
    name = "one that has a long name, number {}"
    monkeypatch.setattr("headstart.cli.breakdown.window_width", lambda: None)
    whole = lines_of([999, 998], of=1000, name=name)
    assert whole["recall"][0].startswith("one that has a long name, number 1  0.998 (")
    monkeypatch.setattr("headstart.cli.breakdown.window_width", lambda: 40)
    assert lines_of([9, 7], name=name)["recall"][0].startswith("one th...mber 1  0.700 (")
    monkeypatch.setattr("headstart.cli.breakdown.window_width", lambda: 80)
    long = lines_of([999, 998], of=1000, name=name)
    assert long["recall"][0].startswith("one that has a ...name, number 1  0.998 (")
    assert max(map(len, long["recall"])) == 80 - len("baseline  ")


def test_a_perfect_result_needs_one_line():
    assert lines_of([10] * 3)["recall"] == ["1.000 for each of 3 classes"]


def test_one_class_is_compared_with_nothing():
    labels = np.zeros(3, np.int64)
    recalls = recalls_by_class(labels, labels, ["ant"])
    assert dict(breakdown_facts(LargestClass.of(labels, labels, ["ant"]), recalls)) == {}
