"""The lessons: texts that are notebooks, run together with their solutions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
LESSONS: Final = ROOT / "docs" / "lessons"
SECONDS: Final = 180
"""How long a lesson may compute, its solution included."""
_PATIENCE: Final = 4
"""A cell that takes this many times as long hangs; on a busy machine, shorter ones may not."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson, by its text.

    Attributes:
        path: The text, a notebook in jupytext's Markdown.
    """

    path: Path

    @property
    def slug(self) -> str:
        """The name of all its files, such as "03-a-classifier-in-seconds"."""
        return self.path.stem

    @property
    def number(self) -> int:
        """Its number, from 1."""
        return int(self.slug.partition("-")[0])

    @property
    def solution(self) -> Path:
        """The solution of its exercise, whose cells run after those of the lesson."""
        return self.path.parent / "solutions" / self.path.name


def find_lessons() -> tuple[Lesson, ...]:
    """Return all lessons, in their order."""
    return tuple(map(Lesson, sorted(LESSONS.glob("[0-9]*.md"))))


def read_notebook(path: Path) -> Any:
    """Read a text as a notebook without outputs, which knows the text that it was read from."""
    import jupytext

    text = path.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="md")
    notebook.metadata["text_sha256"] = digest(text)
    return notebook


def digest(text: str) -> str:
    """Return what tells a text from an older one."""
    return hashlib.sha256(text.encode()).hexdigest()


def run_notebooks(notebooks: Sequence[Any], folder: Path) -> None:
    """Run the cells of notebooks in one kernel of this interpreter; their outputs are added.

    Args:
        notebooks: Notebooks, whose cells run one after the other.
        folder: The working directory of the kernel.

    Raises:
        CellExecutionError: A cell failed; its outputs tell how.
        TimeoutError: A cell did not end in time.
    """
    import nbformat
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    cells = [cell for one in notebooks for cell in one.cells]
    whole = nbformat.v4.new_notebook(cells=cells, metadata=notebooks[0].metadata)
    # Kernels of the same name may be installed for other interpreters.
    kernels = KernelSpecManager(kernel_dirs=[])
    client = NotebookClient(
        whole,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=kernels),
        timeout=_PATIENCE * SECONDS,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
    )
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    client.execute(cleanup_kc=True, env={**os.environ, "PYTHONPATH": path})


def failed_cells(notebook: Any) -> Iterator[tuple[int, str]]:
    """Yield the number of each code cell with an error, from 1, and the error."""
    codes = (cell for cell in notebook.cells if cell.cell_type == "code")
    for number, cell in enumerate(codes, 1):
        for output in cell.outputs:
            if output.output_type == "error":
                yield number, f"{output.ename}: {output.evalue}"
