from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from headstart import plots
from headstart.errors import DataError
from headstart.evaluation import metrics
from headstart.plots import canvas, style
from headstart.types import Interval
from tests.properties import examples

pytestmark = pytest.mark.slow

PNG = b"\x89PNG\r\n\x1a\n"
ODD = ["猫", "🐶 dog", "$x$ and $y$", "a" * 80, "تفاح", "e\u0301", "\udcff", "a\tb\x00", "", "नमस्ते"]


def scored(k: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(k)
    return rng.dirichlet(np.ones(k) / 3, n), rng.integers(0, k, n)


def matrix(k: int) -> np.ndarray:
    p, y = scored(k, 5 * k)
    return metrics.confusion(y, p.argmax(axis=1), k)


def title(figure: Figure) -> str:
    return figure.get_suptitle().replace("\n", " ")


def texts(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(Text) if isinstance(t, Text)]


def png(figure: Figure, path: Path) -> bytes:
    plots.save(figure, path)
    content = path.read_bytes()
    assert content.startswith(PNG)
    return content


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Upright, wide, one pixel, gray, unreadable, missing."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path, shape in zip(paths, [(90, 40, 3), (9, 400, 3), (1, 1, 3), (28, 28)], strict=False):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
    paths[4].write_bytes(b"no picture")
    return paths


def wrong(paths: list[Path]) -> Figure:
    n = len(paths)
    p = np.linspace(0.5, 1, n)
    probabilities = np.stack([np.zeros(n), p, 1 - p], axis=1)
    return plots.most_wrong(paths, np.zeros(n, np.int64), probabilities, ["cat", "dog", "owl"])


def reliability(p: np.ndarray, y: np.ndarray | list[int]) -> Figure:
    bins = metrics.calibration_bins(p, y)
    return plots.reliability(bins, ece=metrics.expected_calibration_error(p, y))


DRAWINGS: dict[str, Callable[[], Figure]] = {
    "matrix": lambda: plots.confusion_matrix(matrix(5), list("abcde")),
    "list": lambda: plots.confusion_matrix(matrix(41), [f"class {i}" for i in range(41)]),
    "stages": lambda: plots.accuracy_by_stage(
        {"stem": (0.5, Interval(0.4, 0.6)), "head": (0.8, Interval(0.7, 0.9))}, ["head"],
        largest=0.1,
    ),
    "reliability": lambda: reliability(*scored(4)),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_same_input_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    figure = DRAWINGS[name]()
    once = png(figure, tmp_path / "1.png")
    assert png(figure, tmp_path / "2.png") == once
    assert png(DRAWINGS[name](), tmp_path / "3.png") == once
    assert b"matplotlib" not in once.lower()
    with Image.open(tmp_path / "1.png") as image:
        assert image.info.get("Software") == "headstart"
        assert "Creation Time" not in image.info


def test_drawing_in_threads_gives_the_same_bytes_and_no_pyplot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    # captum, which other tests import, brings it.
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    expected = png(DRAWINGS["matrix"](), tmp_path / "x.png")
    found: dict[int, bytes] = {}

    def work(i: int) -> None:
        found[i] = png(DRAWINGS["matrix"](), tmp_path / f"{i}.png")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected] * 3
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 10, 102, 150])
def test_a_matrix_of_any_size_fits_its_figure(k: int, tmp_path: Path) -> None:
    figure = plots.confusion_matrix(matrix(k), [f"a rather long class name, {i}" for i in range(k)])
    png(figure, tmp_path / "m.png")
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box is not None
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1
    assert len(figure.axes) == (2 if k > 40 else 1)
    sizes = [t.get_fontsize() for t in figure.findobj(Text) if isinstance(t, Text) and t.get_text()]
    assert min(sizes) >= 4.9  # can be read
    assert figure.get_figwidth() <= style.WIDTH
    assert figure.get_figheight() <= 18


def test_all_text_has_one_size_but_in_a_large_matrix() -> None:
    for name, draw in DRAWINGS.items():
        sizes = {text.get_fontsize() for text in draw().findobj(Text) if text.get_text()}  # type: ignore[union-attr]
        assert max(sizes) == style.FONT_SIZE
        assert name == "list" or sizes == {style.FONT_SIZE}


def test_the_matrix_states_the_finding_and_counts_what_it_shows() -> None:
    figure = plots.confusion_matrix([[7, 3], [1, 9]], ["cat", "dog"])
    assert (
        title(figure)
        == "Accuracy 0.800 on 20 images; most confused: cat predicted as dog (3 images)"
    )
    assert {"7", "3", "1", "9"} <= set(texts(figure))
    assert title(plots.confusion_matrix([[7]], ["cat"])) == "Accuracy 1.000 on 7 images"
    assert (
        title(plots.confusion_matrix([[0, 0], [0, 0]], ["a", "b"])) == "Accuracy 0.000 on 0 images"
    )
    big = plots.confusion_matrix(matrix(50), [str(i) for i in range(50)])
    assert sum(" → " in text for text in texts(big)) == 16  # 15 pairs and the heading


def test_the_colors_of_the_matrix_are_shares_of_rows() -> None:
    figure = plots.confusion_matrix([[5, 5, 0], [0, 200, 0], [0, 0, 0]], ["a", "b", "c"])
    pixels = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(pixels[1, 1], to_rgb(style.BLUE))
    np.testing.assert_allclose(pixels[0, 0], (1 + np.array(to_rgb(style.BLUE))) / 2)
    np.testing.assert_allclose(pixels[0, 2], 1.0)
    np.testing.assert_allclose(pixels[2], np.tile(to_rgb(style.PALE), (3, 1)))
    assert pixels[0, 1, 0] > pixels[0, 1, 2]  # orange


def test_stage_titles() -> None:
    low, middle, high = (
        (0.5, Interval(0.4, 0.6)),
        (0.85, Interval(0.8, 0.9)),
        (0.8, Interval(0.7, 0.9)),
    )
    draw = plots.accuracy_by_stage

    def named(*chosen: str) -> str:
        return title(draw({"a": low, "b": middle, "c": high}, chosen, largest=0.1))

    begin = "Cross-validated accuracy of a head on each stage of the network; chosen:"
    # The intervals of b and c overlap, so no gain is claimed.
    assert named("b") == f"{begin} b, 0.850"
    assert named("a") == f"{begin} a, 0.500, 0.300 below c"
    assert named("c") == f"{begin} c, 0.800"
    assert named("a", "b") == f"{begin} a + b"
    assert named("a", "b", "c") == f"{begin} a to c"
    assert named() == "Cross-validated accuracy of a head on each stage of the network"
    apart = draw({"a": high, "b": low}, ["a"], largest=0.1)
    assert title(apart) == f"{begin} a, 0.800, 0.300 above b"
    assert apart.axes[0].get_xlabel() == "cross-validated accuracy (95% interval)"


def test_the_chosen_stages_together_are_a_row_of_their_own() -> None:
    stages = {"a": (0.5, Interval(0.4, 0.6)), "b": (0.8, Interval(0.7, 0.9))}
    together = (0.88, Interval(0.8, 0.94))
    figure = plots.accuracy_by_stage(stages, ["a", "b"], largest=0.1, together=together, images=60)
    assert title(figure).endswith("chosen: a + b, together 0.880")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "2 stages together"]
    assert "0.880" in texts(figure)
    assert "n = 60" in axes.get_xlabel()
    alone = plots.accuracy_by_stage(stages, ["b"], largest=0.1, together=together)
    assert len(alone.axes[0].get_yticklabels()) == 2  # one stage is a row already


def test_the_model_has_a_row_where_it_was_measured_on_other_images() -> None:
    stages = {"a": (0.5, Interval(0.4, 0.6)), "b": (0.8, Interval(0.7, 0.9))}
    model = ("on test images (n = 40)", 0.775, Interval(0.6, 0.88))
    figure = plots.accuracy_by_stage(stages, ["b"], largest=0.1, images=60, model=model)
    assert title(figure).endswith("b, 0.800. The model, on test images (n = 40): 0.775")
    (axes,) = figure.axes
    assert axes.get_yticklabels()[-1].get_text() == "the model,\non test images (n = 40)"
    assert axes.get_xlabel().endswith("of the stages: cross-validated, n = 60")
    assert "0.775" in texts(figure)


@pytest.mark.parametrize("s", [1, 30])
def test_few_and_many_stages(s: int, tmp_path: Path) -> None:
    stages = {f"stage {i}": (0.5, Interval(0, 1)) for i in range(s)}
    figure = plots.accuracy_by_stage(stages, list(stages), largest=0.5)
    png(figure, tmp_path / "s.png")


def test_most_wrong_shows_the_most_confident_and_keeps_proportions(
    pictures: list[Path], tmp_path: Path
) -> None:
    figure = wrong(pictures)
    assert png(figure, tmp_path / "w.png") == png(wrong(pictures), tmp_path / "v.png")
    assert title(figure) == (
        "6 of 6 predictions are wrong; most confident first. Below each: prediction and its "
        "probability, label, file"
    )
    assert {path.name for path in pictures} <= set(texts(figure))
    said = texts(figure)
    assert said.count("cannot be read") == 2
    assert said.index("dog 1.00") < said.index("dog 0.90") < said.index("dog 0.50")
    for axes in figure.axes:
        for image in axes.images:
            rows, columns = image.get_array().shape[:2]  # type: ignore[union-attr]
            box = axes.get_window_extent()
            assert box.width / box.height == pytest.approx(columns / rows, rel=0.01)


def test_most_wrong_with_one_picture_many_and_none(pictures: list[Path], tmp_path: Path) -> None:
    png(wrong(pictures[:1]), tmp_path / "1.png")
    many = wrong(pictures[:3] * 20)
    assert "60 of 60 predictions are wrong; most confident first, 24 shown" in title(many)
    assert len(many.axes) == 24
    png(many, tmp_path / "60.png")
    assert plots.most_wrong(pictures, np.zeros(6, np.int64), np.ones((6, 1)), ["a"]) is None


@pytest.mark.parametrize("n", [1, 500])
def test_reliability_states_the_error(n: int, tmp_path: Path) -> None:
    p, y = scored(3, n)
    figure = reliability(p, y)
    assert f"calibration error {metrics.expected_calibration_error(p, y):.3f}" in title(figure)
    png(figure, tmp_path / "r.png")


def test_reliability_verdicts() -> None:
    sure = np.tile([0.9, 0.1], (100, 1))
    assert "over-confident" in title(reliability(sure, [0] * 50 + [1] * 50))
    assert "under-confident" in title(reliability(sure, [0] * 100))
    assert "well calibrated" in title(reliability(sure, [0] * 90 + [1] * 10))
    few = title(reliability(sure[:10], [0] * 8 + [1] * 2))
    assert "no significant over- or under-confidence" in few  # 8 of 10 may well be 9 of 10


def test_odd_names_are_drawn_without_a_warning(pictures: list[Path], tmp_path: Path) -> None:
    k = len(ODD)
    png(plots.confusion_matrix(matrix(k), ODD), tmp_path / "1.png")
    guesses = np.eye(k)[1:5]
    png(plots.most_wrong(pictures[:4], np.arange(4), guesses, ODD), tmp_path / "3.png")
    stages = dict.fromkeys(ODD, (0.5, Interval(0, 1)))
    png(plots.accuracy_by_stage(stages, ODD, largest=0), tmp_path / "4.png")


@given(st.text(st.characters(), max_size=40))
@examples(25)
def test_any_name_is_drawn_without_a_warning(name: str) -> None:
    figure = canvas.finish(canvas.new_figure(3, 0.5, layout="none"), canvas.display_name(name))
    canvas.FigureCanvasAgg(figure).print_png(io.BytesIO())  # type: ignore[no-untyped-call]


@given(st.text(st.characters(), max_size=80), st.integers(8, 30))
@examples(60)
def test_labels_are_short_and_printable(name: str, limit: int) -> None:
    label = canvas.display_name(name, limit=limit).replace(r"\$", "$")
    assert canvas.text_width(label) <= limit
    assert label.isprintable()


@given(st.text(st.characters(), max_size=80), st.integers(8, 30), st.integers(1, 3))
@examples(60)
def test_names_fit_their_lines(name: str, width: int, lines: int) -> None:
    found = canvas.wrapped_name(name, width=width, lines=lines).replace(r"\$", "$").split("\n")
    assert len(found) <= lines
    assert max(map(canvas.text_width, found)) <= width


def test_names_are_broken_and_end_between_words() -> None:
    name = "american_pit_bull_terrier"
    assert canvas.wrapped_name(name, width=15) == "american_pit_\nbull_terrier"
    assert canvas.wrapped_name(name, width=30) == name
    assert canvas.wrapped_name("a b-c/d_e", width=4) == "a b-\nc/d_\ne"
    assert canvas.wrapped_name("a" * 20, width=9) == "a" * 9 + "\n" + "a" * 9 + "\n" + "aa"
    assert canvas.display_name(name, limit=15) == "american_pit…"
    assert canvas.display_name(name, limit=9) == "american…"
    assert canvas.display_name("e\u0301") == "é"
    assert canvas.display_name("a\u200bb\u3000c\x00") == "ab c\ufffd"


def test_a_missing_character_is_taken_from_another_font_or_shown_as_its_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    only_stix = sorted(canvas._characters("STIXGeneral") - canvas._characters("DejaVu Sans"))
    character = next(c for c in only_stix if c.isprintable() and ord(c) < 0xE000)
    monkeypatch.setattr(canvas, "_FALLBACKS", ("STIXGeneral",))
    canvas._fallbacks.cache_clear()
    try:
        assert canvas.display_name(character) == character
        figure = plots.confusion_matrix([[1, 1], [0, 1]], [f"a{character}", "b"])
        png(figure, tmp_path / "x.png")
        # On a machine with no such font:
        monkeypatch.setattr(font_manager.fontManager, "ttflist", [])
        canvas._fallbacks.cache_clear()
        assert canvas.display_name(f"a{character}") == f"a[{ord(character):X}]"
    finally:
        canvas._fallbacks.cache_clear()


def test_only_png_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.pdf"):
        plots.save(DRAWINGS["matrix"](), tmp_path / "x.pdf")


def test_a_matrix_must_fit_its_names() -> None:
    with pytest.raises(DataError, match=r"\(5, 5\) for 2 classes"):
        plots.confusion_matrix(matrix(5), ["a", "b"])


def test_a_name_of_a_megabyte_is_shortened_at_once():
    begin = time.process_time()
    assert canvas.display_name("a" * 1_000_000, limit=10) == "aaaaaaaaa…"
    assert len(canvas.wrap_title("a b " * 250_000, 5)) < 30
    assert time.process_time() - begin < 5
