"""The page about Python runs as a notebook, and shows what it says."""

from __future__ import annotations

import multiprocessing
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.desk import write_desk

ROOT = Path(__file__).parents[1]
SMALL = """
from tests.desk import use_small_network

use_small_network()
from headstart.system import progress

progress._DELAYED = 0
"""
MISTAKE = 'headstart.fit("absent")'
WHERE = """
import io, traceback

place = io.StringIO()
traceback.print_last(file=place)
place.getvalue()
"""
pytestmark = pytest.mark.slow


def blocks() -> list[str]:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The outputs of each cell, by its code."""
    import nbformat
    from nbclient import NotebookClient

    folder = write_desk(tmp_path_factory.mktemp("notebook"))
    cells = [nbformat.v4.new_code_cell(code) for code in (SMALL, *blocks(), MISTAKE, WHERE)]
    cells[-2].metadata["tags"] = ["raises-exception"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        patch.setenv("HEADSTART_CACHE", str(folder / "cache"))
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(folder / name))
        client = NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": str(folder)}}
        )
        client.execute()
    return {cell.source.strip(): cell.outputs for cell in notebook.cells}


def shown(outputs: list[Any], kind: str) -> list[str]:
    return [found for one in outputs if (found := one.get("data", {}).get(kind))]


@pytest.mark.filterwarnings("default")  # those of Jupyter
def test_a_notebook_shows_results_figures_and_no_remains_of_progress(
    executed: dict[str, list[Any]],
) -> None:
    by_code = {code.splitlines()[-1]: outputs for code, outputs in executed.items()}
    for code in ("found", "dataset", "comparison", "explanation", "headstart.audit(dataset)"):
        (html,) = shown(by_code[code], "text/html")
        assert "<table" in html
        assert "<script" not in html
    for code, outputs in by_code.items():
        if code.startswith("dataset.show_batch") or ".plot(" in code:
            assert len(shown(outputs, "image/png")) == 1, code
            assert [one.output_type for one in outputs] == ["execute_result"]
    fitting = by_code['classifier.predict(["new.jpg"])']
    bars = [one for one in fitting if one.output_type == "display_data"]
    assert bars
    assert {one["data"]["text/html"] for one in bars} == {""}
    assert [one for outputs in executed.values() for one in outputs if "text" in one] == []
    assert executed[blocks()[-1].strip()] == []
    assert "array(['cat']" in fitting[-1]["data"]["text/plain"]


@pytest.mark.filterwarnings("default")
def test_an_error_is_its_message_and_tells_how_to_see_the_traceback(
    executed: dict[str, list[Any]],
) -> None:
    (error,) = executed[MISTAKE]
    message, hint = error["traceback"]
    assert message.startswith("DataError: there is no file, folder or known data set 'absent'")
    assert "traceback.print_last()" in hint
    (where,) = shown(executed[WHERE.strip()], "text/plain")
    assert "in open_dataset" in where


def _predicted(classifier: Any, path: Path) -> list[str]:
    found: list[str] = classifier.predict([path]).tolist()
    return found


def test_classifiers_work_in_processes_that_are_spawned(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    import headstart

    path = photos / "checks" / "000.jpg"
    classifier = headstart.Classifier.load(model)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_predicted, (classifier, path)) == _predicted(classifier, path)
        found = pool.apply(classifier.predictions, ([path],))
    assert found._repr_html_() == classifier.predictions([path])._repr_html_()
