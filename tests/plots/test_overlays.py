import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from headstart import plots
from headstart.inspection.attribution import ATTRIBUTION_METHODS
from headstart.inspection.attribution.faithfulness import Faithfulness
from headstart.inspection.attribution.full_size import FullSizeMap
from headstart.inspection.explanation import ExplainedPrediction, Explanation, HeatMap
from tests.plots.test_pages import drawn

pytestmark = pytest.mark.slow

PICTURE = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_the_picture_glows_where_the_map_is_high():
    gray = np.full((1500, 40, 3), 128, np.uint8)
    heat = np.zeros((1500, 40), np.float32)
    heat[:, 20:] = np.linspace(0, 1, 1500, dtype=np.float32)[:, None]
    found = plots.overlay(gray, heat, np.ones((1500, 40), bool)).astype(int)
    assert found.shape == gray.shape
    calm, hottest = found[0, 0], found[-1, -1]
    assert (found[:, :20] == calm).all()
    assert np.ptp(calm) == 0
    assert calm[0] < 128
    assert hottest[0] > 200
    assert hottest[0] - hottest[2] > 60  # yellow
    red = found[:, -1, 0]
    assert (np.diff(red) >= -1).all()


def test_what_was_not_seen_is_dark_and_gray():
    seen = np.zeros((30, 40), bool)
    seen[:, :20] = True
    found = plots.overlay(PICTURE, np.zeros((30, 40), np.float32), seen)
    assert (np.ptp(found[:, 20:], axis=2) == 0).all()
    assert found[:, 20:].max() < 0.36 * 255
    assert np.ptp(found[:, :20], axis=2).max() > 20


def explanation(explained: str = "cat") -> Explanation:
    prediction = ExplainedPrediction(
        image=Path("a$b.jpg"), label="cat", probability=0.9, explained=explained,
        explained_probability=0.9 if explained == "cat" else 0.05,
    )  # fmt: skip
    scores = Faithfulness(deletion=0.1, insertion=0.8, random_deletion=0.4, random_insertion=0.5)
    zeros = np.zeros((30, 40), np.float32)
    maps = tuple(
        HeatMap(
            method=method,
            stage="s4" if method == "grad-cam" else None, relevance=zeros,
            full_size=FullSizeMap(zeros, zeros == 0), faithfulness=scores,
        )
        for method in ATTRIBUTION_METHODS
    )  # fmt: skip
    return Explanation(prediction=prediction, pixels=PICTURE, maps=maps)


def texts(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_the_sheet_shows_all_of_it_with_its_scores():
    figure = plots.explanation_figure(explanation(), [PICTURE] * 3)
    said = texts(figure)
    assert len(figure.axes) == 4
    assert "cat 0.900" in said
    assert "grad-cam at s4: faithful" in said
    assert "deletion 0.10 (0.40)  insertion 0.80 (0.50)" in said
    assert drawn(figure).std() > 0


def test_dark_edges_are_explained_where_there_are_any():
    whole = explanation()
    assert "dark gray" not in texts(plots.explanation_figure(whole, [PICTURE] * 3))
    cut = replace(whole.maps[0], full_size=FullSizeMap(np.zeros((30, 40)), np.eye(30, 40) > 0))
    figure = plots.explanation_figure(replace(whole, maps=(cut,)), [PICTURE])
    assert "does not see what is dark gray" in " ".join(texts(figure).split())


def test_a_notebook_shows_the_maps_not_the_photo_alone():
    found = explanation()
    hot = FullSizeMap(np.ones((30, 40), np.float32), np.ones((30, 40), bool))
    other = replace(found, maps=tuple(replace(one, full_size=hot) for one in found.maps))
    shown = [re.findall('src="([^"]+)"', one._repr_html_()) for one in (found, other)]
    assert [len(images) for images in shown] == [1 + len(found.maps)] * 2
    assert shown[0][0] == shown[1][0]  # the photo
    assert all(cold != hot for cold, hot in zip(shown[0][1:], shown[1][1:], strict=True))


def test_the_class_asked_for_is_named():
    assert "evidence for dog (0.050)" in texts(
        plots.explanation_figure(explanation("dog"), [PICTURE] * 3)
    )


def test_a_large_photo_is_reduced_for_the_sheet():
    large = np.zeros((40, 3000, 3), np.uint8)
    figure = plots.explanation_figure(explanation(), [large] * 3)
    assert figure.axes[1].images[0].get_array().shape == (8, 570, 3)
