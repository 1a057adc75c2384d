"""The references of commands and functions leave nothing out."""

import re

import pytest
import yaml
from website.api_reference import api_reference
from website.build import ROOT, collect_pages, linked_files
from website.command_reference import command_reference

import headstart
from headstart.cli.app import run

COMMANDS = command_reference()


@pytest.mark.parametrize("name", re.findall(r"^## (\w+)$", COMMANDS, flags=re.MULTILINE))
def test_every_option_that_help_shows_is_there(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "--help"]) == 0
    options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", capsys.readouterr().out, re.MULTILINE))
    section = COMMANDS.partition(f"## {name}\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^`(.+)`$", section, flags=re.MULTILINE)
    assert options <= set(re.findall(r"--[\w-]+", " ".join(listed)))


def test_every_command_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = re.findall(r"^  (\w+)  ", capsys.readouterr().out, re.MULTILINE)
    assert shown == re.findall(r"^## (\w+)$", COMMANDS, re.MULTILINE)


def test_every_public_name_is_there() -> None:
    named = set(re.findall(r"^::: headstart\.(\w+)$", api_reference(), re.MULTILINE))
    assert named == {*headstart.__all__} - {"__version__"}


def test_every_page_is_in_the_menu() -> None:
    def patterns(entry):
        if isinstance(entry, str):
            return [entry]
        children = entry.get("glob", list(entry.values())) if isinstance(entry, dict) else entry
        nested = [children] if isinstance(children, str) else children
        return [name for child in nested for name in patterns(child)]

    menu = yaml.safe_load((ROOT / "website" / "nav.yml").read_text(encoding="utf-8"))["nav"]
    found = {path for pattern in patterns(menu) for path in ROOT.glob(pattern)}
    assert {*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"} <= found


def test_images_of_pages_have_a_description() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"])", text), page


def test_files_outside_docs_come_along(tmp_path) -> None:
    page = ROOT / "docs" / "page.md"
    text = "[a](../deploy/Dockerfile) [b](../examples/browser) [c](usage.md) [d](https://x.org/a)"
    assert [*linked_files(page, text)] == [
        ROOT / "deploy" / "Dockerfile",
        ROOT / "examples" / "browser" / "README.md",
    ]
    collect_pages(tmp_path, executed=tmp_path / "lessons")
    assert "(../examples/browser/README.md)" in (tmp_path / "docs/export.md").read_text("utf-8")
    assert "`--backbone <str>`" in (tmp_path / "docs/commands.md").read_text("utf-8")
    assert (tmp_path / "deploy" / "Dockerfile").is_file()
