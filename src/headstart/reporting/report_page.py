"""The page about a folder that `fit`, `evaluate`, `compare`, `transfer` or `finetune` wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from headstart.errors import DataError
from headstart.evaluation.report import METRICS
from headstart.models.model_folder import MANIFEST
from headstart.pages.page import Command, Page, Section
from headstart.reporting.comparison import COMPARISON, comparison_contents
from headstart.reporting.contents import Contents
from headstart.reporting.evaluation import evaluation_contents
from headstart.reporting.model import model_contents
from headstart.reporting.results_folder import ResultsFolder
from headstart.reporting.transfer import TRANSFER, transfer_contents

_CONTENTS: Final[Mapping[str, Callable[[ResultsFolder], Contents]]] = {
    METRICS: evaluation_contents,
    MANIFEST: model_contents,
    COMPARISON: comparison_contents,
    TRANSFER: transfer_contents,
}
_VERBS: Final = "fit, evaluate, compare, transfer or finetune"


def check_is_folder(folder: Path) -> None:
    """Refuse results that are in no folder.

    Args:
        folder: Where the results should be.

    Raises:
        DataError: It is a file, or does not exist.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {what}; give the folder that headstart {_VERBS} wrote")


def report_page(folder: Path) -> Page:
    """Return the page about a folder of results.

    Args:
        folder: The folder of a model, or one that a command wrote a report to.

    Raises:
        DataError: It has no results, or some that cannot be read.
        SavedModelError: Its model is damaged.
    """
    check_is_folder(folder)
    results = ResultsFolder(folder)
    found = [contents(results) for name, contents in _CONTENTS.items() if results.has(name)]
    if not found:
        raise DataError(
            f"{folder} contains nothing that headstart {_VERBS} wrote (no "
            f"{', '.join(_CONTENTS)}){_audit_text(results)}; give a folder with one of these files"
        )
    sections = [section for one in found for section in one.sections]
    missing = [text for one in found for text in one.missing]
    if command := results.command:
        sections.append(Section("The command that made it", [Command(command)]))
    else:
        missing.append("the command that made it, which models do not keep")
    if missing:
        sections.append(Section("Not on this page", missing))
    return Page(
        title="; ".join(one.title for one in found),
        summary=[sentence for one in found for sentence in one.summary],
        sections=sections,
    )


def _audit_text(results: ResultsFolder) -> str:
    return "; the page of an audit is its index.html" if results.has("audit.json") else ""
