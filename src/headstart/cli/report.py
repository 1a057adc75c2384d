"""headstart report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from headstart.cli import options as shared
from headstart.cli.console import facts, note, print_json
from headstart.cli.results_page import PAGE
from headstart.errors import UserError
from headstart.system.option import Option


def report(
    folder: Annotated[
        Path,
        Option(
            metavar="MODEL|FOLDER",
            help="A model, or a folder that fit, evaluate, compare, transfer or finetune wrote.",
        ),
    ],
    *,
    out: Annotated[Path | None, Option(unset=f"{PAGE} in FOLDER")] = None,
    show: Annotated[bool, Option(flag="--open")] = False,
    force: bool = False,
    as_json: shared.Json = False,
) -> None:
    """Write one page about results: a single HTML file that works offline.

    Options:
        out: File to write, such as report.html.
        show: Open the page in the browser.
        force: Replace a file that is not a page of headstart.
    """
    from headstart.pages.rendering import write_page
    from headstart.reporting.report_page import check_is_folder, report_page

    out = out or folder / PAGE
    check_is_folder(folder)
    _check_target(out, force=force)
    page = report_page(folder)
    write_page(page, out)
    if show and not _open(out):
        note(f"no browser was found here; open {out} in one")
    if as_json:
        sections = [section.title for section in page.sections]
        print_json(
            {"page": out, "title": page.title, "summary": page.summary, "sections": sections}
        )
    else:
        size = f"{out.stat().st_size / 1000:,.0f} KB"
        facts(
            [
                ("results", page.title),
                ("summary", list(page.summary)),
                ("written", f"{out}, one file of {size} that works offline"),
            ]
        )


def _check_target(out: Path, *, force: bool) -> None:
    """Refuse a file that is no page, before any work is done."""
    from headstart.pages.rendering import is_page
    from headstart.system.files import check_writable

    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {out} does not end in .html, as pages do; add it")
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; give a file, such as {out / PAGE}")
    if out.exists() and not force and not is_page(out):
        raise UserError(
            f"{out} exists and is not a page of headstart; choose another file for --out, or "
            "replace it with --force"
        )
    check_writable(out.parent, out)


def _open(page: Path) -> bool:
    import webbrowser

    return webbrowser.open(page.resolve().as_uri())
