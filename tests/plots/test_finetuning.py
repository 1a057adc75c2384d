from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binomtest

from headstart import plots
from headstart.finetuning.checkpoint import Epoch, Phase
from headstart.finetuning.depth import CutPoint
from headstart.finetuning.finetune import TuningAttempt
from headstart.finetuning.invariance import InvarianceTest
from headstart.finetuning.validation import ValidationResult
from headstart.images.augmentation import Augmentation

LOSSES, ACCURACIES = [1.0, 0.6, 0.4, 0.3], [0.5, 0.7, 0.8, 0.9]
VALIDATION: dict[str, Any] = {
    "validation_losses": [0.9, 0.7, 0.65, None],
    "validation_accuracies": [0.6, 0.65, 0.7, None],
}


def scores(loss: float, accuracy: float) -> ValidationResult:
    correct = np.arange(50) < round(50 * accuracy)
    return ValidationResult(losses=np.full(50, loss), temperature=1.0, correct=correct)


def drawn(*, views: int = 4, **changed: Any) -> Figure:
    given = {"losses": LOSSES, "accuracies": ACCURACIES, **VALIDATION, **changed}
    history = tuple(
        Epoch(
            phase=Phase.SEARCH, epoch=number, rate=0.1, loss=loss, accuracy=accuracy,
            validation_loss=validation_loss, validation_accuracy=validation_accuracy, seconds=1.0,
        )
        for number, (loss, accuracy, validation_loss, validation_accuracy) in enumerate(
            zip(*given.values(), strict=True), start=1
        )
    )  # fmt: skip
    attempt = TuningAttempt(
        cut=CutPoint(stages=("top",), last_frozen="", depth=1), parameters=9, views=views,
        history=history, interpolation=1.0,
        invariance=InvarianceTest(
            images=0, accuracy=0.5, accuracy_by_transform={}, augmentation=Augmentation()
        ),
        probe=scores(0.8, 0.62), tuned=scores(0.3, 0.9),
        weight=1.0, start=scores(0.8, 0.62), result=scores(0.3, 0.9),
    )  # fmt: skip
    return plots.training_curves(attempt, title="Fine-tuning paid.")


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
    assert [text.get_text() for text in drawn().legends[0].get_texts()] == [
        "before fine-tuning (probe), validation images",
        "training images, augmented",
        "validation images",
    ]


def test_only_more_views_are_augmented():
    assert "training images" in [one.get_text() for one in drawn(views=1).legends[0].get_texts()]


def test_accuracies_on_validation_images_have_their_intervals():
    left, right = drawn().get_axes()
    assert not left.collections
    spans = [line.get_segments()[0][:, 1] for line in right.collections]  # type: ignore[attr-defined]
    expected = [
        binomtest(round(50 * a), 50).proportion_ci(method="wilson") for a in (0.6, 0.65, 0.7)
    ]
    np.testing.assert_allclose(spans, [(one.low, one.high) for one in expected])
    assert "n = 50" in right.get_ylabel()


def test_the_closing_phase_is_marked_where_there_is_one():
    for axes in drawn().get_axes():
        assert [text.get_text() for text in axes.texts] == ["all images"]
        (span,) = axes.patches
        assert span.get_x() == 3.5  # type: ignore[attr-defined]
        assert span.get_width() == 1  # type: ignore[attr-defined]
    searched = {"validation_losses": LOSSES, "validation_accuracies": ACCURACIES}
    for axes in drawn(**searched).get_axes():
        assert not axes.texts
        assert not axes.patches


def test_one_epoch_is_drawn(tmp_path):
    one = {name: values[:1] for name, values in VALIDATION.items()}
    figure = drawn(losses=LOSSES[:1], accuracies=ACCURACIES[:1], **one)
    plots.save(figure, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for name in ("one.png", "two.png"):
        plots.save(drawn(), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_training_that_diverged_is_drawn_as_far_as_it_went(tmp_path):
    lost = [float("inf"), float("nan")]
    figure = drawn(losses=[1.0, 5.0, *lost], validation_losses=[0.9, 4.0, *lost])
    plots.save(figure, tmp_path / "curves.png")
    _, trained, judged = figure.get_axes()[0].lines
    assert np.isfinite(trained.get_ydata()).tolist() == [True, True, False, False]
    assert judged.get_ydata().tolist() == [0.9, 4.0]
