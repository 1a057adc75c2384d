"""The website as it is built: links, headings, descriptions, and how it works without a server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote, urlsplit

import nbformat
import pytest
from website.build import build
from website.lessons import find_lessons, read_notebook

from tests.website.test_lesson_pages import outputs

pytest.importorskip("zensical")
pytestmark = pytest.mark.slow
VOID = frozenset(["img", "br", "hr", "input", "link", "meta", "source", "wbr"])
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
NOT_CHECKED = [
    "empty-table-header",  # Markdown has no tables without a header
    "landmark-unique",  # the theme's copy buttons
    "scrollable-region-focusable",  # Chromium and Firefox scroll these by keyboard
]

SEARCHED = {
    "burst": "#group-bursts-cameras-or-patients",
    "group bursts": "#group-bursts-cameras-or-patients",
    "export onnx": "#export-to-onnx-or-openvino",
    "tiles": "#find-small-things-in-large-images-tiles",
    "use a GPU": "usage.html?h=use+a+GPU#gpu-or-another-device",
    "CUDA": "usage.html?h=CUDA#gpu-or-another-device",
    "cite": "#cite-headstart",
    "read the JSON": "#read-the-json-output-in-a-program",
    "class weights": "#class-weights-for-imbalanced-classes",
    "imbalance": "#class-weights-for-imbalanced-classes",
    "unknown objects": "trust.html?h=unknown+objects#unknown-objects",
    "offline install": "offline.html?h=offline+install#install-without-a-connection",
    "add a backbone": "#add-a-backbone-or-use-your-own-network",
    "threshold": "#set-a-confidence-threshold",
    "confidence threshold": "#set-a-confidence-threshold",
    "confidence interval": "intervals.html",
    "error bars": "intervals.html",
    "REST API": "#run-a-server-or-watch-a-folder",
    "air-gapped": "#install-and-work-offline",
    "out of distribution": "#recognize-unknown-objects",
    "oversampling": "#class-weights-for-imbalanced-classes",
    "authentication": "#require-a-key-authentication",
    "token": "#require-a-key-authentication",
    "password": "#require-a-key-authentication",
    "login": "#require-a-key-authentication",
    "API key": "#security-api-keys-and-limits",
    "reproducibility": "#reproducibility",
    "deterministic": "#get-the-same-model-again-reproducibility-seeds",
    "k-fold": "#measure-the-accuracy-holdout-or-k-fold-cross-validation",
    "custom model": "#add-a-backbone-or-use-your-own-network",
    "DOI": "#cite-headstart",
    "calibration": "#check-the-calibration-of-probabilities",
    "wrong labels": "audit.html",
    "duplicate photos": "#find-duplicate-photos",
}
"""What users search for, and what the first three results must contain."""


class Page(HTMLParser):
    """What there is to check about a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.headings: list[int] = []
        self.undescribed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if source := values.get(LOADED.get(tag, "")):
            self.loaded.append(source)
        if tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self.headings.append(int(tag[1]))
        if tag == "img" and not values.get("alt", "").strip():
            self.undescribed.append(values.get("src", ""))


def write_executed_lesson(folder: Path) -> None:
    """Let the first lesson be one that was run, as all are after `make lessons`."""
    notebook = read_notebook(find_lessons()[0].path)
    code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code.outputs = outputs()
    (folder / "lessons").mkdir()
    nbformat.write(notebook, folder / "lessons" / f"{find_lessons()[0].slug}.ipynb")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("website")
    write_executed_lesson(folder)
    assert build(folder) == 0
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = [path for path in site.rglob("*.html") if path.name != "404.html"]
    return {path: Page(path.read_text(encoding="utf-8")) for path in found}


def test_no_link_is_dead(pages: dict[Path, Page], site: Path) -> None:
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_relative_to(site.resolve()), f"{path}: {link}"
            assert target.is_file(), f"{path}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids, f"{path}: {link}"


def test_nothing_comes_from_elsewhere(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert not [one for one in page.loaded if urlsplit(one).netloc], path


def test_headings_and_descriptions(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert page.headings.count(1) == 1, path
        steps = zip(page.headings, page.headings[1:], strict=False)
        assert all(below <= above + 1 for above, below in steps), path
        assert not page.undescribed, path


@contextlib.contextmanager
def opened(chromium: Any, **options: Any) -> Iterator[Any]:
    """A page of the browser that fails the test if it asks for anything but files."""
    context = chromium.new_context(reduced_motion="reduce", **options)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    yield context.new_page()
    context.close()
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]


def test_search_works_without_a_server(chromium: Any, site: Path) -> None:
    with opened(chromium) as page:
        page.goto((site / "docs" / "start.html").as_uri())
        page.keyboard.press("Control+k")
        field = page.get_by_role("combobox").or_(page.locator("input[type=text]")).last
        for words, wanted in SEARCHED.items():
            field.fill(words)
            results = page.locator(f"a[href*='?h={quote_plus(words)}']").filter(visible=True)
            results.first.wait_for()
            first = results.evaluate_all("all => all.slice(0, 3).map(one => one.href)")
            assert any(wanted in link for link in first), f"{words}: {first}"
        results.first.click()
        page.wait_for_url(f"**{wanted}")
        assert page.locator("h1").inner_text().startswith("Guides")


@pytest.mark.parametrize(
    ("width", "scheme", "names"),
    [
        (1280, "light", ("index", "docs/results", "docs/lessons/quizzes")),
        (360, "dark", ("docs/guides/index", "docs/glossary", "docs/decisions/0030-export")),
    ],
)
def test_contrast_names_and_width(
    chromium: Any, site: Path, width: int, scheme: str, names: tuple[str, ...]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    rules = {name: {"enabled": False} for name in NOT_CHECKED}
    viewport = {"width": width, "height": 800}
    with opened(chromium, viewport=viewport, color_scheme=scheme) as page:
        lessons = [f"docs/lessons/{one.slug}" for one in find_lessons()[:2]]  # one was run
        for name in (*names, *lessons):
            page.goto((site / f"{name}.html").as_uri())
            scheme_of_page = page.locator("body").get_attribute("data-md-color-scheme")
            assert scheme_of_page == {"light": "default", "dark": "slate"}[scheme]
            found = axe.run(page, options={"rules": rules, "resultTypes": ["violations"]})
            assert found.violations_count == 0, found.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        for name in ("commands", "api", "files"):  # generated or with long words
            page.goto((site / "docs" / f"{name}.html").as_uri(), wait_until="domcontentloaded")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
