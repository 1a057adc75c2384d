"""`python -m website.run_lessons FOLDER [NUMBER ...]` runs lessons, and keeps their notebooks.

FOLDER/lessons has a notebook for each lesson, with outputs, and one for each solution.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient.exceptions import CellControlSignal, DeadKernelError

from website.lessons import (
    LESSONS,
    Lesson,
    failed_cells,
    find_lessons,
    read_notebook,
    run_notebooks,
)


def main(folder: Path, numbers: Collection[int] = ()) -> int:
    """Run lessons, all unless there are numbers, until one fails; return the exit status."""
    lessons = [one for one in find_lessons() if not numbers or one.number in numbers]
    if missing := set(numbers) - {one.number for one in lessons}:
        print(f"error: there is no lesson {min(missing)}", file=sys.stderr)
        return 1
    start = time.monotonic()
    for count, lesson in enumerate(lessons, 1):
        print(f"{count:2}/{len(lessons)} {lesson.slug} ...", end=" ", flush=True)
        begun = time.monotonic()
        if failure := run_lesson(lesson, folder / "lessons"):
            print(f"\n{failure}", file=sys.stderr)
            return 1
        print(f"{time.monotonic() - begun:.0f} s", flush=True)
    print(f"{len(lessons)} lessons in {time.monotonic() - start:.0f} s: {folder / 'lessons'}")
    return 0


def run_lesson(lesson: Lesson, folder: Path) -> str | None:
    """Run a lesson and its solution, and write the notebooks; return what failed, if anything."""
    paths = [path for path in (lesson.path, lesson.solution) if path.exists()]
    notebooks = [read_notebook(path) for path in paths]
    failure = None
    try:
        with TemporaryDirectory() as work:
            run_notebooks(notebooks, Path(work))
    except (CellControlSignal, DeadKernelError) as error:
        failure = str(error)
    for path, notebook in zip(paths, notebooks, strict=True):
        target = folder / path.relative_to(LESSONS).with_suffix(".ipynb")
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
        for number, message in failed_cells(notebook):
            return f"error: {path.relative_to(LESSONS)}, code cell {number}: {message}"
    return failure and f"error: {lesson.slug}: {failure}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), {int(one) for one in sys.argv[2:]}))
