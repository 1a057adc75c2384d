from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from headstart import plots
from headstart.errors import DataError

LOSSES, ACCURACIES = [1.0, 0.6, 0.4, 0.3], [0.5, 0.7, 0.8, 0.9]
VALIDATION: dict[str, Any] = {
    "validation_losses": [0.9, 0.7, 0.65, None],
    "validation_accuracies": [0.6, 0.65, 0.7, None],
}


def drawn(*, closing: int = 1, **changed: Any) -> Figure:
    given = {"losses": LOSSES, "accuracies": ACCURACIES, **VALIDATION, **changed}
    return plots.training_curves(
        given["losses"],
        given["accuracies"],
        given["validation_losses"],
        given["validation_accuracies"],
        probe=(0.8, 0.62),
        closing=closing,
        title="Fine-tuning paid.",
    )


def test_the_title_is_the_finding():
    assert drawn().get_suptitle() == "Fine-tuning paid."


def test_both_plots_show_the_numbers():
    left, right = drawn().get_axes()
    for axes, training, validation, probe in (
        (left, LOSSES, VALIDATION["validation_losses"], 0.8),
        (right, ACCURACIES, VALIDATION["validation_accuracies"], 0.62),
    ):
        line, trained, judged = axes.lines
        np.testing.assert_allclose(line.get_ydata(), [probe] * 2)
        np.testing.assert_allclose(trained.get_xdata(), [1, 2, 3, 4])
        np.testing.assert_allclose(trained.get_ydata(), training)
        np.testing.assert_allclose(judged.get_xdata(), [1, 2, 3])
        np.testing.assert_allclose(judged.get_ydata(), validation[:3])
    assert [text.get_text() for text in right.get_legend().get_texts()] == [
        "probe, validation",
        "training, augmented",
        "validation",
    ]


def test_the_closing_phase_is_marked_where_there_is_one():
    for axes in drawn().get_axes():
        assert [text.get_text() for text in axes.texts] == ["all images"]
        (span,) = axes.patches
        assert span.get_x() == 3.5
        assert span.get_width() == 1
    for axes in drawn(closing=0).get_axes():
        assert not axes.texts
        assert not axes.patches


def test_one_epoch_is_drawn(tmp_path):
    one = {name: values[:1] for name, values in VALIDATION.items()}
    figure = drawn(losses=LOSSES[:1], accuracies=ACCURACIES[:1], closing=0, **one)
    plots.save(figure, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for name in ("one.png", "two.png"):
        plots.save(drawn(), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_nothing_to_draw_and_unequal_lengths_are_refused():
    with pytest.raises(DataError, match="no epochs to draw"):
        drawn(losses=[], accuracies=[], validation_losses=[], validation_accuracies=[])
    with pytest.raises(DataError):
        drawn(losses=LOSSES[:2])


def test_a_training_that_diverged_is_drawn_as_far_as_it_went(tmp_path):
    lost = [float("inf"), float("nan")]
    figure = drawn(losses=[1.0, 5.0, *lost], validation_losses=[0.9, 4.0, *lost])
    plots.save(figure, tmp_path / "curves.png")
    _, trained, judged = figure.get_axes()[0].lines
    assert np.isfinite(trained.get_ydata()).tolist() == [True, True, False, False]
    assert judged.get_ydata().tolist() == [0.9, 4.0]
