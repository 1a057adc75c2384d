"""Every lesson runs, with its solution, and what its text says is so."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from website.lessons import SECONDS, Lesson, find_lessons, read_notebook, run_notebooks

from headstart.quiz import list_quizzes

CLAIMS = Path(__file__).parent / "claims"
HEADER = """---
jupyter:
  jupytext:
    text_representation:
      extension: .md
      format_name: markdown
  kernelspec:
    display_name: Python 3
    language: python
    name: python3
---

# """
CHECK = """
def _check(claims):
    import json, time

    failed = []
    for sentence, holds in claims:
        try:
            if not eval(holds, globals()):
                failed.append(f"{sentence}: {holds}")
        except Exception as error:
            failed.append(f"{sentence}: {holds}: {error!r}")
    print(json.dumps({"failed": failed, "seconds": time.process_time()}))
"""
"""Defines what evaluates claims in the kernel of a lesson."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Jupyter's
    pytest.mark.parametrize("lesson", find_lessons(), ids=lambda one: one.slug),
]


def claims(lesson: Lesson, *, solution: bool) -> list[dict[str, Any]]:
    table = tomllib.loads((CLAIMS / f"{lesson.slug}.toml").read_text(encoding="utf-8"))
    assert table.keys() == {"claim"}
    for one in table["claim"]:
        assert one.keys() <= {"sentence", "holds", "solution"}, one
    return [one for one in table["claim"] if one.get("solution", False) is solution]


def plain(text: str) -> str:
    """A text without line breaks, also those of quotations."""
    return " ".join(text.replace("\n>", "\n").split())


def test_it_has_all_its_files(lesson: Lesson) -> None:
    for path in (lesson.path, lesson.solution):
        assert path.read_text(encoding="utf-8").startswith(HEADER), path
    title = lesson.path.read_text(encoding="utf-8").removeprefix(HEADER).partition("\n")[0]
    number, _, title = title.partition(". ")
    (quiz,) = (one for one in list_quizzes() if one.slug == lesson.slug)
    assert (int(number), title) == (lesson.number, quiz.title)


def test_what_it_claims_is_in_its_text(lesson: Lesson) -> None:
    for path, solution in ((lesson.path, False), (lesson.solution, True)):
        text = plain(path.read_text(encoding="utf-8"))
        missing = [one["sentence"] for one in claims(lesson, solution=solution)]
        assert [one for one in missing if plain(one) not in text] == []


def test_its_code_is_clean(lesson: Lesson, tmp_path: Path) -> None:
    import nbformat

    notebook = read_notebook(lesson.path)
    notebook.cells += read_notebook(lesson.solution).cells
    nbformat.write(notebook, tmp_path / "lesson.ipynb")
    config = ["--config", str(Path(__file__).parents[2] / "pyproject.toml")]
    for command in (["check", "--ignore", "D,T20"], ["format", "--diff"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *config, str(tmp_path / "lesson.ipynb")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_runs_and_what_it_claims_holds(
    lesson: Lesson,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import nbformat

    cache = tmp_path_factory.getbasetemp() / "lessons"  # later lessons take features from there
    monkeypatch.setenv("HEADSTART_CACHE", str(cache))
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    checks = [
        f"_check({[(one['sentence'], one['holds']) for one in claims(lesson, solution=after)]})"
        for after in (False, True)
    ]
    text, solution = (read_notebook(path) for path in (lesson.path, lesson.solution))
    text.cells.append(nbformat.v4.new_code_cell(CHECK + checks[0]))
    solution.cells.append(nbformat.v4.new_code_cell(checks[1]))
    (work := tmp_path / "work").mkdir()
    run_notebooks([text, solution], work)
    found = [json.loads(one.cells[-1].outputs[-1].text) for one in (text, solution)]
    assert [failed for one in found for failed in one["failed"]] == []
    assert found[-1]["seconds"] < SECONDS
