"""Lessons and quizzes as pages: with what their cells print, or with how to get it."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import nbformat
import pytest
import website.lesson_pages
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from website.lesson_pages import lesson_page, quizzes
from website.lessons import digest

from headstart.quiz import list_quizzes

FRAME = """<div>
<style scoped>
    .a {}

    .b {}
</style>
<table border="1" class="dataframe">

  <tr>
    <td>7</td></tr></table></div>"""
"""A table of pandas."""
TEXT = "---\njupyter: {}\n---\n\n# 1. Sums\n\nText.\n\n```python\n1 + 1\n```\n"


def outputs() -> list[nbformat.NotebookNode]:
    Image.new("RGB", (4, 4), "red").save(buffer := io.BytesIO(), "PNG")
    png = base64.b64encode(buffer.getvalue()).decode()
    shown = {"image/png": {"alt": "Red [1]", "width": 4, "height": 4}}
    return [
        new_output("stream", text="\x1b[31mone\x1b[0m\n"),
        new_output("display_data", {"text/html": ""}),
        new_output("execute_result", {"text/html": "<script></script>", "text/plain": "sklearn"}),
        new_output("execute_result", {"text/html": FRAME, "text/plain": "7"}),
        new_output("execute_result", {"image/png": png, "text/plain": "<F>"}, metadata=shown),
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "pages").mkdir()
    monkeypatch.setattr(website.lesson_pages, "LESSONS", tmp_path / "docs")
    return tmp_path


def page(folder: Path, text: str = TEXT) -> str:
    return lesson_page(
        folder / "docs" / "01-sums.md",
        text,
        executed=folder / "lessons",
        target=folder / "pages" / "01-sums.md",
    )


def test_a_lesson_that_was_not_run_says_how(folder: Path) -> None:
    found = page(folder)
    assert found.startswith("# 1. Sums\n\n!!! note\n")
    assert "`make lessons` runs them" in found
    assert found.endswith(TEXT.partition("Text.")[2])


def test_outputs_are_below_their_cells(folder: Path) -> None:
    cells = [new_markdown_cell("# 1. Sums\n\nText."), new_code_cell("1 + 1", outputs=outputs())]
    notebook = new_notebook(cells=cells, metadata={"text_sha256": digest(TEXT)})
    notebook.metadata["language_info"] = {"name": "python"}
    (folder / "lessons").mkdir()
    nbformat.write(notebook, folder / "lessons" / "01-sums.ipynb")
    found = page(folder)
    assert found.startswith("# 1. Sums\n\nText.\n")
    assert "```python\n1 + 1\n```" in found
    assert "```{ .text .output }\none\n```" in found
    assert "```{ .text .output }\nsklearn\n```" in found
    assert "<div>\n<table>\n<tr>\n<td>7</td></tr></table></div>" in found
    figure = "01-sums-files/01-sums_1_3.png"
    assert f"![Red (1)]({figure}){{ width=4 }}" in found
    assert (folder / "pages" / figure).read_bytes().startswith(b"\x89PNG")
    assert found.count("```") == 6
    older = page(folder, TEXT + "A new sentence.\n")
    assert "`make lessons` runs them" in older


def test_answers_are_folded() -> None:
    found = quizzes()
    assert "## 3. A classifier in seconds { #quiz-3 }" in found
    assert found.count('    ??? success "Answer"') == found.count("\n        **")
    question = list_quizzes()[2].questions[0]
    for number, answer in enumerate(question.answers, 1):
        assert f"\n    {number}. {answer}\n" in found
    assert f"**{question.right}. {question.answers[question.right - 1]}**" in found
