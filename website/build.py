"""Collect the pages, and let Zensical render them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from website.api_reference import api_reference
from website.command_reference import command_reference
from website.json_schemas import FILES, OUTPUTS, list_of_schemas, schema_text
from website.lesson_pages import is_notebook, lesson_page, quizzes

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
"""Pages outside docs/ that are part of the website; the first is where it starts."""
GENERATED: Final[dict[str, Callable[[], str]]] = {
    "api": api_reference,
    "commands": command_reference,
    "decisions": lambda: list_of_pages(ROOT / "docs" / "decisions"),
    "schemas": list_of_schemas,
    "quizzes": quizzes,
}
"""What replaces a line such as `<!-- generated: commands -->` in a page."""
_MARK: Final = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
_LINK: Final = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)")


def build(folder: Path) -> int:
    """Build the website in `folder`/site from nothing.

    Args:
        folder: where to build; the folders `pages` and `site` in it are replaced. If it has the
            folder `lessons`, these executed notebooks are shown with their outputs.

    Returns:
        The exit status of Zensical: not 0 if a page, a link or the configuration is wrong.
    """
    for name in ("pages", "site"):
        shutil.rmtree(folder / name, ignore_errors=True)
    collect_pages(folder / "pages", executed=folder / "lessons")
    shutil.copy(ROOT / "website" / "zensical.toml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=folder, check=False).returncode


def collect_pages(folder: Path, *, executed: Path) -> None:
    """Write the pages, and the files that they link to, as they lie in the repository.

    Args:
        folder: the folder to write to; relative links stay as they are.
        executed: the folder of executed lessons, which need not exist.
    """
    sources = [ROOT / name for name in PAGES]
    sources += sorted(path for path in (ROOT / "docs").rglob("*") if path.is_file())
    for source in sources:  # grows by the files that the pages link to
        target = folder / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix != ".md":
            shutil.copy(source, target)
            continue
        text = source.read_text(encoding="utf-8")
        sources += [one for one in linked_files(source, text) if one not in sources]
        if is_notebook(source):
            text = lesson_page(source, text, executed=executed, target=target)
        target.write_text(_with_generated(_to_readmes(source, text)), encoding="utf-8")
    shutil.copy(ROOT / "website" / "nav.yml", folder / ".nav.yml")
    (folder / "docs" / "schemas").mkdir()
    for name in (*OUTPUTS, *FILES):
        file = folder / "docs" / "schemas" / f"{name}.schema.json"
        file.write_text(schema_text(name), encoding="utf-8")
    for name in ("site.css", "iframe-worker.js"):
        shutil.copy(ROOT / "website" / name, folder)


def linked_files(page: Path, text: str) -> Iterator[Path]:
    """Yield the files outside docs/ that a page links to, which come with the website."""
    for match in _LINK.finditer(text):
        target = (page.parent / match[1]).resolve()
        if (target / "README.md").is_file():
            target /= "README.md"
        inside = target.is_relative_to(ROOT) and not target.is_relative_to(ROOT / "docs")
        if inside and target.is_file() and target.relative_to(ROOT).as_posix() not in PAGES:
            yield target


def list_of_pages(folder: Path) -> str:
    """Return links to the pages of a folder, in the order of their names, as Markdown."""
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    titles = (path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for path in pages)
    return "\n".join(f"- [{title}]({page.name})" for title, page in zip(titles, pages, strict=True))


def _to_readmes(page: Path, text: str) -> str:
    """Let links to a folder lead to its README.md, as they do where the repository is hosted."""

    def link(match: re.Match[str]) -> str:
        folder = page.parent / match[1]
        if not (folder / "README.md").is_file():
            return match[0]
        return f"]({match[1].rstrip('/')}/README.md{match[2] or ''})"

    return _LINK.sub(link, text)


def _with_generated(text: str) -> str:
    return _MARK.sub(lambda match: GENERATED[match[1]](), text)
