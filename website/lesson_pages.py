"""The lessons and quizzes as pages of the website."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from headstart.quiz import list_quizzes
from website.lessons import LESSONS, digest

_TEMPLATES: Final = Path(__file__).parent / "templates"
_HEADER: Final = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
_TITLE: Final = re.compile(r"^# .+\n", re.MULTILINE)
_NOT_RUN: Final = (
    "!!! note\n\n    This website was built without running the lessons, so their cells are shown "
    "without what they print. `make lessons` runs them.\n"
)
_REDUCED: Final = (
    (re.compile(r"<style.*?</style>", re.DOTALL), ""),  # pandas' own; the page has one
    (re.compile(r'<table border="1" class="dataframe">'), "<table>"),
    (re.compile(r"\n\s*"), "\n"),  # would be code in Markdown
)


def lesson_page(path: Path, text: str, *, executed: Path, target: Path) -> str:
    """Return the page of a lesson or a solution, with outputs if it was run.

    Args:
        path: The text in docs/lessons.
        text: What it contains.
        executed: The folder of the executed notebooks; those of older texts do not count.
        target: The page to write; figures are written to a folder beside it.

    Returns:
        Markdown.
    """
    notebook = _executed(executed / path.relative_to(LESSONS).with_suffix(".ipynb"), text)
    if notebook is None:
        return _TITLE.sub(lambda title: f"{title[0]}\n{_NOT_RUN}", _HEADER.sub("", text), count=1)
    return _with_outputs(notebook, target)


def is_notebook(path: Path) -> bool:
    """Whether a page is a lesson or a solution."""
    return path.is_relative_to(LESSONS) and path.name[0].isdigit()


def _executed(path: Path, text: str) -> Any:
    if not path.is_file():
        return None
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    return notebook if notebook.metadata.get("text_sha256") == digest(text) else None


def _with_outputs(notebook: Any, target: Path) -> str:
    from nbconvert import MarkdownExporter

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [one for one in map(_reduced, cell.outputs) if one is not None]
    exporter = MarkdownExporter(template_name="lesson", extra_template_basedirs=[str(_TEMPLATES)])
    names = {"unique_key": target.stem, "output_files_dir": f"{target.stem}-files"}
    text, resources = exporter.from_notebook_node(notebook, resources=names)
    for name, content in resources["outputs"].items():
        file = target.parent / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    return str(text)


def _reduced(output: Any) -> Any:
    """Return an output as a page can show it; None for what is left of a bar of progress."""
    html = output.get("data", {}).get("text/html")
    if html == "":
        return None
    if html and "<script" in html:  # scikit-learn's view of an estimator
        del output.data["text/html"]
    elif html:
        for pattern, instead in _REDUCED:
            html = pattern.sub(instead, html)
        output.data["text/html"] = html.strip()
    return output


def quizzes() -> str:
    """Return all quizzes as Markdown, with the answers folded."""
    parts = []
    for quiz in list_quizzes():
        parts.append(f"## {quiz.number}. {quiz.title} {{ #quiz-{quiz.number} }}\n")
        for number, question in enumerate(quiz.questions, 1):
            answers = "\n".join(f"    {row}. {one}" for row, one in enumerate(question.answers, 1))
            right = question.answers[question.right - 1]
            parts.append(f"{number}. {question.text}\n\n{answers}\n")
            parts.append('    ??? success "Answer"\n')
            parts.append(f"        **{question.right}. {right}**\n\n        {question.why}\n")
    return "\n".join(parts)
