"""Every command that the README and the pages in docs/ show is run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from headstart.cli.app import run
from tests.desk import write_desk

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
}
FROM_NOTHING = ("README.md", "docs/usage.md")
"""Pages that train the model that they use; the others take it for granted."""
RUNS_ITSELF = "docs/gallery.md"
"""`make gallery` runs the commands of this page to write it; they take minutes."""


def commands(page: str, program: str) -> list[str]:
    """Calls of a program in blocks of shell commands, and after a prompt in transcripts."""
    text = PAGES[page].read_text(encoding="utf-8")
    lines = []
    for language, block in re.findall(r"```(sh|console)\n(.*?)```", text, flags=re.DOTALL):
        prompt = "$ " if language == "console" else ""
        lines += [one.removeprefix(prompt) for one in block.splitlines() if one.startswith(prompt)]
    return [line for line in lines if line.split()[:1] == [program]]


WITH_COMMANDS = {page for page in PAGES if commands(page, "headstart")}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted."""
    folder = write_desk(tmp_path_factory.mktemp("desk"))
    (folder / "inbox").mkdir()
    shutil.copy(folder / "new.jpg", folder / "inbox")
    return folder


@pytest.fixture
def at_the_desk(desk: Path, cat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("HEADSTART_CACHE", str(desk / "cache"))
    shutil.copy(cat, desk / "cat.png")
    shutil.copy(cat, desk / "cat.jpg")


@pytest.mark.slow
@pytest.mark.usefixtures("at_the_desk")
@pytest.mark.parametrize("page", sorted(WITH_COMMANDS - {RUNS_ITSELF}))
def test_every_command_works_in_the_order_shown(
    page: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(desk / "model", ignore_errors=True)
    if page not in FROM_NOTHING:
        assert run(["fit", "photos/", "--out", "model"]) == 0
    for command in commands(page, "headstart"):
        capsys.readouterr()
        code = run(shlex.split(command)[1:])
        captured = capsys.readouterr()
        assert code == 0, f"{page}: {command}: {captured.err}"
        assert captured.out.strip(), command


def test_the_pages_that_show_commands_are_found() -> None:
    assert {"docs/fine-tuning.md", "docs/transfer.md", RUNS_ITSELF} < WITH_COMMANDS
    assert len(commands("README.md", "headstart")) >= 10
    assert len(commands("docs/usage.md", "headstart")) >= 12
    assert len(commands("docs/inspection.md", "headstart")) == 5


@pytest.mark.slow
@pytest.mark.usefixtures("at_the_desk")
@pytest.mark.parametrize("page", FROM_NOTHING)
def test_python_runs(page: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if page != "README.md" and not (desk / "model").exists():
        assert run(["fit", "photos/", "--out", "model"]) == 0
    text = PAGES[page].read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(code, page, "exec"), {})
    assert "cat" in capsys.readouterr().out


def test_every_target_of_make_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page, path in PAGES.items():
        text = path.read_text(encoding="utf-8")
        named = {line.split()[1] for line in commands(page, "make")}
        for target in named | set(re.findall(r"`make ([\w-]+)", text)):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"{page}: {target}"


def test_every_extra_named_exists() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for path in PAGES.values():
        text = path.read_text(encoding="utf-8")
        for extra in re.findall(r"(?:headstart|\.)\[(\w+)\]|extra `(\w+)`", text):
            name = "".join(extra)
            assert re.search(rf"^{name} = \[", project, flags=re.MULTILINE), f"{path}: {name}"


def test_every_linked_page_exists() -> None:
    for page, path in PAGES.items():
        for target in re.findall(r"\]\(((?!http)[^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{page}: {target}"


def test_every_page_is_linked() -> None:
    texts = [path.read_text(encoding="utf-8") for path in PAGES.values()]
    for page, path in PAGES.items():
        if page.startswith("docs/") and not page.startswith("docs/decisions/"):
            assert any(f"{path.name})" in text for text in texts), page


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].read_text(encoding="utf-8").splitlines()) < 150
