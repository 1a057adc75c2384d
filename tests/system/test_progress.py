from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from headstart.system import progress
from headstart.types import no_progress


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What a notebook displays in its one output, state by state."""
    shown: list[dict[str, str]] = []
    handle = SimpleNamespace(update=lambda content, raw: shown.append(content))

    def display(content: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        assert not shown
        shown.append(content)
        return handle

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setattr(progress, "_REDRAWN", 0)
    monkeypatch.setattr(progress, "_DELAYED", 0)
    return shown


def test_a_notebook_has_bars_that_are_gone_in_the_end(notebook: list[dict[str, str]]):
    with progress.progress() as bars:
        images, steps = bars.bar("images", "images"), bars.bar("<steps>", "steps")
        assert not notebook
        images(1, 4)
        steps(2, 2)
    assert '<progress value="1" max="4"></progress> 1 of 4' in notebook[0]["text/html"]
    assert "&lt;steps&gt;" in notebook[1]["text/html"]
    assert "images" in notebook[1]["text/html"]
    assert notebook[-1] == {"text/html": "", "text/plain": ""}


def test_a_notebook_shows_nothing_of_work_that_takes_no_time(
    notebook: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "_DELAYED", 100)
    with progress.progress() as bars:
        bars.bar("images", "images")(4, 4)
    assert not notebook


def test_verbose_decides(
    notebook: list[dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    assert progress.ProgressBars(verbose=False).bar("images", "images") is no_progress
    monkeypatch.delitem(sys.modules, "IPython")
    monkeypatch.setattr(progress, "_LOG_INTERVAL", 0)
    quiet = progress.ProgressBars()  # neither a terminal nor a notebook
    quiet.bar("images", "images")(1, 2)
    quiet.note("will download much")
    assert capsys.readouterr().err == ""
    told = progress.ProgressBars(verbose=True)
    told.bar("images", "images")(1, 2)
    told.note("will download much")
    expected = "headstart: images: 1 of 2\nheadstart: will download much\n"
    assert capsys.readouterr().err == expected
    assert not notebook


def test_ipython_in_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch):
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", shell)
    assert not progress._in_notebook()


def test_notes_stand_above_the_bars_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(progress, "_place", lambda verbose: progress._Place.TERMINAL)
    monkeypatch.setenv("COLUMNS", "40")
    told = "epoch 2 of 3: " + "loss 0.1 [bold], " * 5
    with progress.progress() as bars:
        bars.bar("training", "steps")(1, 4)
        monkeypatch.setattr(progress, "write_note", None)  # would break the bars
        bars.note(told)
    assert f"headstart: {told}" in capsys.readouterr().err.splitlines()[0]


@pytest.mark.parametrize("columns", [80, 200])
def test_rounds_are_named_and_have_an_estimate_from_the_first_step_on(
    columns: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "_place", lambda verbose: progress._Place.TERMINAL)
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    console = Console(file=io.StringIO(), width=columns)
    with progress.progress() as bars:
        bars.bar("augmented images", "images")(120_000, 120_000)
        show = bars.rounds("epoch", "steps")
        for epoch in (1, 2):
            for done, said in enumerate(
                ["0/4", "1/4 40.0 s/step 2 min left", "2/4 40.0 s/step 80 s left"]
            ):
                show(epoch, 2, done, 4)
                now += 40  # longer than what the rate is measured over
                with console.capture() as drawn:
                    console.print(bars._display)
                line = " ".join(drawn.get().splitlines()[-1].split())
                assert line.startswith(f"epoch {epoch} of 2 ")
                assert line.endswith(said)


@pytest.mark.parametrize(
    ("speed", "text"),
    [(1234.5, "1,234 steps/s"), (3.14, "3.1 steps/s"), (1, "1.0 steps/s"), (0.4, "2.5 s/step")],
)
def test_slow_steps_have_seconds(speed: float, text: str):
    assert progress.rate_text(speed, "steps") == text
