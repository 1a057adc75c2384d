"""What a prediction amounts to: a class, "unknown" or "unsure"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

UNKNOWN: Final = "unknown"
"""The answer for an image that shows none of the classes."""
UNSURE: Final = "unsure"
"""The answer for an image whose most probable class is not probable enough."""
UNREADABLE: Final = "unreadable"
"""What stands for the answer where there is none."""


def is_known(novelty: float | None, rate: float | None) -> bool | None:
    """Return whether an image looks like one of the known classes.

    Args:
        novelty: As in `Predictions`, of one image; None if the model cannot tell.
        rate: Rate at which images of known classes are called unknown; None for never.

    Returns:
        None if `novelty` or `rate` is.
    """
    return None if novelty is None or rate is None else novelty > rate


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRule:
    """When the most probable class of an image is the answer.

    Attributes:
        unknown: Novelty up to which an image is called unknown; None for never.
        min_probability: Probability below which an image is called unsure, in [0, 1].
    """

    unknown: float | None
    min_probability: float = 0.0

    def answer(self, label: str, probability: float, novelty: float | None) -> str:
        """Return the answer for an image: its label, `UNKNOWN` or else `UNSURE`.

        Args:
            label: The most probable class.
            probability: Its probability.
            novelty: As in `Predictions`; None if the model cannot tell.
        """
        if is_known(novelty, self.unknown) is False:
            return UNKNOWN
        return UNSURE if probability < self.min_probability else label


def count_answers(answers: Iterable[str], *, unreadable: int = 0) -> dict[str, int]:
    """Return how many images have each answer: classes, the most frequent first, then the others.

    Args:
        answers: The answer for each readable image.
        unreadable: Number of images that cannot be read.
    """
    counts = Counter(sorted(answers))
    counts[UNREADABLE] += unreadable  # which a class may be called, too
    last = {name: counts.pop(name, 0) for name in (UNKNOWN, UNSURE, UNREADABLE)}
    return dict(counts.most_common()) | {name: count for name, count in last.items() if count}
