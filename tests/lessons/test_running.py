"""How lessons are run, on a lesson of three cells."""

from __future__ import annotations

from pathlib import Path

import pytest
import website.run_lessons
from website.lessons import Lesson, digest
from website.run_lessons import main

TEXT = "# 1. Sums\n\n```python\nx = 1\n```\n\nWe see:\n\n```python\nx + {}\n```\n"
SOLUTION = "# Solution\n\n```python\nx + 10\n```\n"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # Jupyter warns


@pytest.fixture
def lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lesson:
    folder = tmp_path / "lessons"
    (folder / "solutions").mkdir(parents=True)
    (folder / "solutions" / "01-sums.md").write_text(SOLUTION)
    (folder / "01-sums.md").write_text(TEXT.format(1))
    found = Lesson(folder / "01-sums.md")
    monkeypatch.setattr(website.run_lessons, "LESSONS", folder)
    monkeypatch.setattr(website.run_lessons, "find_lessons", lambda: [found])
    return found


def test_a_lesson_and_its_solution_share_a_kernel(
    lesson: Lesson, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import nbformat

    assert main(tmp_path / "build") == 0
    assert "1/1 01-sums ... " in capsys.readouterr().out
    outputs = {}
    for name in ("01-sums", "solutions/01-sums"):
        path = tmp_path / "build" / "lessons" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        outputs[name] = notebook.cells[-1].outputs[0].data["text/plain"]
    assert outputs == {"01-sums": "2", "solutions/01-sums": "11"}
    assert notebook.metadata.text_sha256 == digest(SOLUTION)


def test_the_first_error_names_the_lesson_and_the_cell(
    lesson: Lesson, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson.path.write_text(TEXT.format("y"))
    assert main(tmp_path / "build") == 1
    error = "error: 01-sums.md, code cell 2: NameError: name 'y' is not defined"
    assert capsys.readouterr().err.strip() == error


def test_numbers_choose_lessons(
    lesson: Lesson, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tmp_path / "build", {7}) == 1
    assert "there is no lesson 7" in capsys.readouterr().err
