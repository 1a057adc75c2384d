from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from headstart import plots
from headstart.types import ClassProbability

PHOTO = np.full((30, 40, 3), 100, np.uint8)


def drawn(changed: np.ndarray, linf: float = 4 / 255) -> str:
    found: Any = SimpleNamespace(
        original=PHOTO, pixels=changed, linf=linf,
        before=ClassProbability("cat", 0.9), after=ClassProbability("dog", 0.8),
    )  # fmt: skip
    figure: Figure = plots.attack_figure(found)
    texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    return " ".join(" ".join(texts).split())


def test_a_border_without_changes_is_explained_where_there_is_one():
    inner = PHOTO.copy()
    inner[5:-5, 5:-5] += 4
    assert "gray: no change, as at the edges, which the network does not see" in drawn(inner)
    assert "edges" not in drawn(PHOTO + 4)
    assert "edges" not in drawn(PHOTO)


def test_the_title_says_how_large_changes_are_and_whether_they_are_limited():
    assert "changes of at most 4/255 of a pixel's range" in drawn(PHOTO + 4)
    assert "changes of up to a pixel's range" in drawn(PHOTO + 4, linf=1.0)
