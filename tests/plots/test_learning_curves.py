"""Accuracy by number of training images."""

import numpy as np

from headstart import build_report
from headstart.plots import learning_curves


def test_each_way_of_training_is_a_curve() -> None:
    labels = np.repeat([0, 1], 20)

    def tested(wrong: int):
        predicted = np.where(np.arange(40) < wrong, 1 - labels, labels)
        return build_report(np.eye(2)[predicted] * 0.8 + 0.1, labels, ["a", "b"])

    curves = {"pre-trained": [tested(4), tested(1)], "from scratch": [tested(20), tested(8)]}
    figure = learning_curves([10, 100], curves)
    title = " ".join(figure.get_suptitle().split())
    assert title == "Accuracy with 100 training images: pre-trained 0.97, from scratch 0.80"
    (axes,) = figure.axes
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert list(drawn["from scratch"]) == [0.5, 0.8]
    assert set(drawn["chance"]) == {0.5}
    assert [one.get_text() for one in figure.legends[0].get_texts()] == [*curves, "chance"]
