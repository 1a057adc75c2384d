"""Every command and Python block of the README and the pages in docs/ is run, or says why not."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from headstart.backbones.vision_ops import import_timm
from headstart.cli.app import run
from headstart.features import extractor
from tests.desk import write_desk
from tests.finetuning.networks import EAGER

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
    if not path.is_relative_to(ROOT / "docs" / "lessons")  # tests of their own run these
}
FROM_NOTHING = ("README.md", "docs/usage.md")
"""Pages that train the model that they use; the others take it for granted."""
RUNS_ITSELF = "docs/gallery.md"
"""`make gallery` runs the commands of this page to write it; they take minutes."""
NOT_RUN = {
    ".": "it enters an environment",
    ".venv/bin/pip": "it installs packages",
    ".venv/bin/python": "benchmarks and campaigns take minutes to hours",
    "cd": "it only changes the folder",
    "curl": "it needs a server; tests/serving sends such requests",
    "docker": "it needs a service; tests/test_deploy.py checks the files",
    "headstart serve": "it runs until it is stopped; tests/serving starts it",
    "make": "it takes minutes; that its targets exist is tested here",
    "mv": "it only moves a folder",
    "npm": "it installs packages",
    "pip": "it installs packages",
    "python": "benchmarks take minutes to hours",
    "python3": "it makes an environment",
}
"""Programs of shell blocks that no test of this module runs."""
PYTHON_ELSEWHERE = {
    "CONTRIBUTING.md": "tests/test_contributing.py runs it",
    "docs/python.md": "tests/test_notebook.py runs it as a notebook",
    "docs/serving.md": "it needs a server; tests/serving/test_inference_routes.py sends the same",
}
_BLOCK = re.compile(
    r"(?:<!-- not run: (.*?) -->\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Why a block is not run ("" if it is), its language and its text."""
    return _BLOCK.findall(PAGES[page].read_text(encoding="utf-8"))


def shell_lines(language: str, block: str) -> list[str]:
    """Lines of shell commands; in transcripts, those after a prompt."""
    prompt = "$ " if language == "console" else ""
    return [one.removeprefix(prompt) for one in block.splitlines() if one.startswith(prompt)]


def commands(page: str, program: str) -> list[str]:
    """Calls of a program in blocks of shell commands, and after a prompt in transcripts."""
    lines = [
        line
        for reason, language, block in blocks(page)
        if language in ("sh", "console") and not reason
        for line in shell_lines(language, block)
    ]
    return [line for line in lines if line.split()[:1] == [program]]


WITH_COMMANDS = {page for page in PAGES if commands(page, "headstart")}


def shows_something_new(page: str) -> bool:
    """Whether a page has a command that no page before it has; all start from the same desk."""
    order = [*FROM_NOTHING, *sorted(WITH_COMMANDS - {*FROM_NOTHING, RUNS_ITSELF})]
    shown = {line for one in order[: order.index(page)] for line in commands(one, "headstart")}
    return not shown.issuperset(commands(page, "headstart"))


WITH_NEW_COMMANDS = sorted(filter(shows_something_new, WITH_COMMANDS - {RUNS_ITSELF}))


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
@pytest.mark.usefixtures("at_the_desk", "shared_networks")
@pytest.mark.parametrize("page", WITH_NEW_COMMANDS)
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


def python_of(page: str) -> str:
    return "\n".join(block for _, language, block in blocks(page) if language == "python")


WITH_PYTHON = sorted({page for page in PAGES if python_of(page)} - {*PYTHON_ELSEWHERE})


@pytest.mark.slow
@pytest.mark.usefixtures("at_the_desk", "shared_networks")
@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_runs(
    page: str, desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == "docs/guides/own-network.md":
        import torch

        import_timm("this page")
        torch.manual_seed(0)
        monkeypatch.setattr(extractor, "make_plan", lambda *_, **__: EAGER)  # converting takes long
    elif page != "README.md" and not (desk / "model").exists():
        assert run(["fit", "photos/", "--out", "model"]) == 0
    exec(compile(python_of(page), page, "exec"), {})
    assert "cat" in capsys.readouterr().out


def test_no_block_is_overlooked() -> None:
    for page, path in PAGES.items():
        fences = re.findall(r"^ *(?:```|~~~) *\w", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == len(blocks(page)), page


def test_what_is_not_run_says_why() -> None:
    for page in PAGES:
        for reason, language, block in blocks(page):
            if language not in ("sh", "bash", "console", "shell") or len(reason.split()) > 1:
                continue
            for line in re.sub(r"\\\n", "", "\n".join(shell_lines(language, block))).splitlines():
                words = line.split()
                is_run = words[:1] == ["headstart"] and language != "bash"
                known = {" ".join(words[:1]), " ".join(words[:2])} & {*NOT_RUN}
                assert is_run or known or not words or words[0] == "#", f"{page}: {line}"


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
