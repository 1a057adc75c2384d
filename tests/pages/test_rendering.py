"""Pages as HTML, read back by a parser."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import pytest

from headstart.pages.page import (
    Card,
    Cards,
    Cell,
    Command,
    Facts,
    Figure,
    Matrix,
    Page,
    Section,
    Table,
)
from headstart.pages.rendering import is_page, render, write_page
from headstart.types import Interval

EVIL = '<script>alert("1")</script> onload="x" {{ page }} \u202e\udcff&'
TABLE = Table(
    name=EVIL,
    columns=["class", "recall", "images"],
    rows=[
        (EVIL, Cell.percent(0.25, Interval(0.1, 0.5)), Cell.of(1_200)),
        ("bee", Cell.percent(None), Cell.of(None)),
    ],
    sorted_by=(1, "ascending"),
)
PAGE = Page(
    title=EVIL,
    summary=[EVIL],
    sections=[
        Section(EVIL, [EVIL, TABLE, Facts([(EVIL, EVIL), ("hidden", None)]), Command(EVIL)]),
        Section("Images", [
            Matrix(["ant", EVIL], [[3, 1], [0, 4]]),
            Figure("data:image/png;base64,AAAA", 400, EVIL),
            Cards([Card(images=["data:image/png;base64,AAAA", None], title=EVIL, path=EVIL)]),
        ]),
    ],
)  # fmt: skip


class Elements(HTMLParser):
    """Start tags with their attributes, and the text inside each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "wbr":
            return
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        self.texts.setdefault(self._open, []).append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text() -> str:
    return render(PAGE)


@pytest.fixture(scope="module")
def elements(text: str) -> Elements:
    return Elements(text)


def test_names_stay_text(text: str, elements: Elements):
    assert len(elements.of("script")) == 1
    assert not any("onload" in attributes for _, attributes in elements.tags)
    shown = EVIL.replace("\u202e", "\\u202e").replace("\udcff", "\\udcff")
    for tag in ("title", "h1", "p", "h2", "th", "dt", "dd", "code", "strong", "span"):
        assert shown in "".join(elements.texts[tag]), tag
    assert elements.of("img")[0]["alt"] == shown
    assert "hidden" not in "".join(elements.texts["dt"])
    text.encode()


def test_nothing_comes_from_elsewhere(text: str, elements: Elements):
    sources = [one.get("src") or one.get("href") or "" for _, one in elements.tags]
    sources = [source for source in sources if source]
    assert len(sources) > 3
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert not re.search(r"@import|url\(|https?:|fetch\(|innerHTML", text)


def test_the_policy_allows_the_own_script_only(elements: Elements):
    (policy,) = [
        one["content"] for one in elements.of("meta")
        if one.get("http-equiv") == "Content-Security-Policy"
    ]  # fmt: skip
    digest = hashlib.sha256("".join(elements.texts["script"]).encode()).digest()
    assert f"script-src 'sha256-{b64encode(digest).decode()}'" in policy
    assert policy.startswith("default-src 'none'")


def test_numbers_carry_what_they_are_sorted_by(elements: Elements):
    orders = [one.get("data-order") for one in elements.of("td") if "data-order" in one]
    assert orders == ["0.25", "1200", "", ""]
    headings = [one for one in elements.of("th") if one.get("scope") == "col"][:3]
    assert [one.get("aria-sort") for one in headings] == [None, "ascending", None]
    assert elements.of("table")[0]["class"] == "sortable"


def test_links_lead_to_sections(elements: Elements):
    targets = [one["href"] for one in elements.of("a")]
    assert targets == [f"#{one['id']}" for one in elements.of("section")]


def test_a_bar_shows_the_share_and_its_interval(text: str):
    assert "width: 25.00%" in text
    assert "left: 10.00%; right: 50.00%" in text
    assert "25.0% <small>(10.0% to 50.0%)</small>" in text


def test_cells_of_a_matrix_are_shaded_by_their_share_of_the_row(elements: Elements):
    cells = [(one["class"], one["style"]) for one in elements.of("td") if "style" in one]
    assert cells == [
        ("right", "--share: 0.750"), ("wrong", "--share: 0.575"), ("right", "--share: 1.000")
    ]  # fmt: skip


def test_a_table_without_rows_is_only_its_heading():
    empty = Table(name="empty", columns=["a", "b"], rows=[])
    assert "<td" not in render(Page(title="t", summary=[], sections=[Section("s", [empty])]))


def test_a_page_is_known_by_its_first_bytes(tmp_path: Path):
    write_page(PAGE, tmp_path / "page.html")
    assert is_page(tmp_path / "page.html")
    (tmp_path / "other.html").write_text("<!doctype html><title>mine</title>")
    assert not is_page(tmp_path / "other.html")
    assert not is_page(tmp_path / "absent.html")
