"""Pages of results in a real Chromium: narrow, dark, by keyboard, in print and without scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headstart.pages.rendering import write_page
from headstart.reporting.report_page import report_page
from tests.reporting.made_up import write_comparison, write_evaluation, write_transfer

pytestmark = pytest.mark.slow

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pages")
    for name, write in (
        ("evaluation", write_evaluation), ("comparison", write_comparison),
        ("transfer", write_transfer),
    ):  # fmt: skip
        write_page(report_page(write(root / name)), root / f"{name}.html")
    return root


@pytest.fixture
def show(chromium: Any, pages: Path) -> Iterator[Open]:
    """Opens a page, in which nothing may go wrong and nothing may be asked of a network."""
    contexts: list[Any] = []
    troubles: list[str] = []
    asked: list[str] = []

    def opened(**options: Any) -> Any:
        context = chromium.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text))
        page.on("request", lambda one: asked.append(one.url))
        page.goto((pages / "evaluation.html").as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []
    assert [one for one in asked if not one.startswith(("file:", "data:"))] == []


def test_they_fit_a_telephone_and_their_text_stands_out(show: Open, pages: Path):
    page = show(viewport={"width": 360, "height": 740})
    for name in ("evaluation", "comparison", "transfer"):
        page.goto((pages / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(CONTRASTS) >= 4.5, (name, scheme)  # WCAG 2.2, level AA


def test_figures_are_whole_on_a_telephone_and_enlarged_by_a_tap(show: Open):
    page = show(viewport={"width": 360, "height": 740})
    figure = page.locator(".figure").first
    image = figure.locator("img")
    image.evaluate("one => one.style.setProperty('--width', 768)")
    assert image.bounding_box()["width"] < figure.bounding_box()["width"] <= 360
    figure.click()
    assert image.bounding_box()["width"] == 768
    assert page.evaluate("document.documentElement.scrollWidth") <= 360  # it scrolls in its box


CONTRASTS = """() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (colors) => {
    context.clearRect(0, 0, 1, 1);
    for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let least = 21;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.tagName === "SCRIPT") continue;
    const behind = [];
    for (let one = element; one; one = one.parentElement) {
      behind.unshift(getComputedStyle(one).backgroundColor);
    }
    const text = light(paint([...behind, getComputedStyle(element).color]));
    const back = light(paint(behind));
    least = Math.min(least, (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05));
  }
  return least;
}"""


def column(page: Any, number: int) -> list[str]:
    cells = page.locator(f"section:has-text('Recall:') tbody tr > :nth-child({number})")
    return [text.split("\n")[0] for text in cells.all_inner_texts()]


def test_images_are_seen_and_a_table_is_sorted_by_keyboard(show: Open):
    page = show()
    widths = page.evaluate("[...document.images].map((one) => one.naturalWidth)")
    assert len(widths) > 3
    assert min(widths) > 0
    assert page.title() == "Test on 60 images"  # no name of a class has run
    heading = page.get_by_role("columnheader", name="class", exact=True)
    before = column(page, 1)
    assert heading.get_attribute("aria-sort") is None
    heading.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column(page, 1)[-1] == "bee"
    page.keyboard.press("Space")
    assert heading.get_attribute("aria-sort") == "descending"
    assert column(page, 1)[0] == "bee"
    recall = page.get_by_role("columnheader", name="recall (95% interval)", exact=True)
    recall.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") is None
    assert column(page, 1) == before  # the least recognized first


def test_without_scripts_only_the_sorting_is_missing(show: Open):
    page = show(java_script_enabled=False)
    assert page.locator("th button").count() == 0
    assert page.locator("tbody tr").count() > 8


def test_in_print_no_part_of_a_table_is_cut_off(show: Open, tmp_path: Path):
    page = show(viewport={"width": 800, "height": 600}, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    heights = "[...document.querySelectorAll('.scroll')].map((o) => getComputedStyle(o).maxHeight)"
    assert set(page.evaluate(heights)) == {"none"}
    page.pdf(path=tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
