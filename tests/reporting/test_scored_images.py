import numpy as np
import pytest

from headstart.reporting.scored_images import ScoredImages


@pytest.mark.parametrize(
    ("right", "images", "verdict"),
    [
        (27, 27, "27 images are too few to tell whether its probabilities can be trusted."),
        (48, 50, "50 images are too few to tell whether its probabilities can be trusted."),
        (50, 50, "50 images are too few to tell whether its probabilities can be trusted."),
        (900, 1000, "its probabilities can be trusted."),
        (700, 1000, "it is over-confident."),
    ],
)
def test_few_images_do_not_tell_whether_probabilities_can_be_trusted(
    right: int, images: int, verdict: str
):
    claimed = 0.977 if images == 50 else 0.903  # near the accuracy: one rule for 48 and 50 of 50
    scored = ScoredImages(
        classes=("a", "b"),
        confusion=np.array([[right, images - right], [0, 0]]),
        recalls=[None, None],
        confidence=np.full(images, claimed),
        correct=np.arange(images) < right,
    )
    assert list(scored.words())[-1].endswith(f" are right: {verdict}")


def test_classes_recognized_more_often_than_all_are_not_the_worst():
    confusion = np.array([[3, 7], [1, 26]])
    scored = ScoredImages(
        classes=["rust", "ok"],
        confusion=confusion,
        recalls=[],
        confidence=None,
        correct=np.zeros(0, bool),
    )
    assert next(scored.words()) == "It recognized least often: rust (3 of 10)."


def test_classes_recognized_equally_often_have_no_worst():
    scored = ScoredImages(
        classes=["cat", "dog"],
        confusion=np.array([[24, 1], [1, 24]]),
        recalls=[],
        confidence=None,
        correct=np.zeros(0, bool),
    )
    assert next(scored.words()).startswith("The most frequent confusion: 1 image of cat")
