"""Every command that the README shows is run, on photos laid out as it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.cli.app import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(program: str) -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.split()[:1] == [program]]


def photo(color: tuple[int, int, int], seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 40, (96, 120, 3))
    return Image.fromarray(np.clip(noise + color, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README takes for granted: photos/, test-photos/ and new.jpg."""
    folder = tmp_path_factory.mktemp("desk")
    for part, first in (("photos", 0), ("test-photos", 100)):
        for name, color in (("cat", (180, 90, 60)), ("dog", (60, 90, 180))):
            (folder / part / name).mkdir(parents=True)
            for seed in range(first, first + (24 if part == "photos" else 8)):
                photo(color, seed).save(folder / part / name / f"{seed}.jpg")
    photo((180, 90, 60), 7_000).save(folder / "new.jpg")
    return folder


@pytest.fixture(autouse=True)
def at_the_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("HEADSTART_CACHE", str(desk / "cache"))


def test_every_command_works_in_the_order_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = commands("headstart")
    assert len(shown) >= 12
    for command in shown:
        arguments = shlex.split(command)[1:]
        code = run(arguments)
        captured = capsys.readouterr()
        assert code == 0, f"{command}: {captured.err}"
        assert captured.out.strip(), command


def test_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    assert "cat" in capsys.readouterr().out


def test_every_target_of_make_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {line.split()[1] for line in commands("make")} | set(re.findall(r"`make (\w+)", README))
    assert {"test", "demo"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_extra_named_exists() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in re.findall(r"headstart\[(\w+)\]", README):
        assert re.search(rf"^{extra} = \[", project, flags=re.MULTILINE), extra


def test_every_linked_page_exists() -> None:
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (ROOT / target).exists(), target
