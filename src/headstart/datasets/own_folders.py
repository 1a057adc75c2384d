"""Recognition of folders that headstart or another program wrote, and that hold no photos to use.

A model, a report or a cache may be among the photos; the figures in it must not become a class.
"""

from pathlib import Path
from typing import Final

from headstart.system.cache_folder import SIGNATURE, TAG
from headstart.system.files import atomic_write, head_of

_MODEL, _MODEL_FORMAT = "model.json", b'"headstart model"'
RESULTS_MARK: Final = ".headstart-results"
"""A file that marks a folder of results whose other files have names of the user's choice."""
SORTED_MARK: Final = ".headstart-sorted"
"""A file that marks a folder of sorted images, which may be corrected and learned from."""
_REPORTS: Final = (
    ("metrics.json", "predictions.csv"),
    ("comparison.json", "comparison.csv"),
    ("robustness.json", "robustness.png"),
    ("transfer.json", "transfer.png"),
    ("audit.json", "audit.csv"),
)
"""The files of each command's report by which it is known."""


def own_folder(folder: str, names: set[str]) -> str | None:
    """Return why a folder is not one of photos; None if it may be.

    Args:
        folder: its path.
        names: the names of everything in it.
    """
    if TAG in names and head_of(Path(folder, TAG)).startswith(SIGNATURE.encode()):
        return "a cache, not photos"
    if _MODEL in names and _MODEL_FORMAT in head_of(Path(folder, _MODEL)):
        return "a model, not photos"
    if RESULTS_MARK in names or any(names.issuperset(report) for report in _REPORTS):
        return "results of headstart, not photos"
    return None


def mark_results(folder: Path) -> None:
    """Mark a folder for results, before they are written, so that it never becomes a class.

    A folder that already has files is left alone: they may be photos.

    Raises:
        HeadstartError: it cannot be written.
    """
    if not may_be_marked(folder):
        return
    atomic_write(folder / RESULTS_MARK, b"Written by headstart: not photos to learn from.\n")


def may_be_marked(folder: Path, mark: str = RESULTS_MARK) -> bool:
    """Whether a folder for results is new, empty, or marked already."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return not names or mark in names
