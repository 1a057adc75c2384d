"""The page of an audit: all findings with their images, in one file that works offline."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from headstart.auditing.audit import Audit
from headstart.auditing.issue import Issue, IssueKind
from headstart.auditing.series_issues import ADVICE
from headstart.images.thumbnails import thumbnail
from headstart.pages.page import CARD_SIDE, Card, Cards, Page, Part, Section
from headstart.pages.rendering import write_page as write
from headstart.system.prefetch import prefetch
from headstart.system.text import pluralize

_SHOWN: Final = 100
"""Issues of each kind on the page, which has about 6 KB per image; audit.csv has all of them."""
_FIX: Final = (
    "Nothing was moved or deleted. To fix the data, write drop or relabel in the column action "
    "of audit.csv"
)
_TITLES: Final = {
    IssueKind.LABEL_CONFLICT: "Identical images with different labels",
    IssueKind.WRONG_LABEL: "Labels that are probably wrong",
    IssueKind.COPY: "Copies of other images",
    IssueKind.OUTLIER: "Images unlike all others of their class",
    IssueKind.UNREADABLE: "Files that cannot be read",
    IssueKind.BLANK: "Blank images",
    IssueKind.DARK: "Dark images",
    IssueKind.BRIGHT: "Overexposed images",
    IssueKind.BLURRED: "Blurred images",
    IssueKind.TINY: "Tiny images",
    IssueKind.SERIES: "Series: several photos of one scene",
    IssueKind.CONFUSED_CLASSES: "Classes that cannot be told apart",
    IssueKind.BACKGROUND: "Classes that the background or the camera gives away",
}


def write_page(audit: Audit, path: Path, *, command: str | None = None) -> None:
    """Write the page of an audit.

    Args:
        audit: What was found.
        path: The file.
        command: The command that trains on the reviewed images, if it is known.

    Raises:
        HeadstartError: The file cannot be written.
    """
    shown = {kind: audit.of_kind(kind)[:_SHOWN] for kind in IssueKind if audit.of_kind(kind)}
    files = sorted({file for issues in shown.values() for one in issues for file in _files(one)})
    small = partial(thumbnail, side=CARD_SIDE)
    images = {str(file): image for file, image in prefetch(small, map(Path, files))}
    size = f"{pluralize(audit.images, 'image')} of {pluralize(audit.classes, 'class', 'classes')}"
    page = Page(
        title=f"Audit of {audit.data}",
        summary=[
            f"{pluralize(len(audit.issues), 'possible problem')} in {size}.",
            f"{_FIX}, and train with: {command}" if command else f"{_FIX}.",
        ],
        sections=[
            _section(kind, issues, len(audit.of_kind(kind)), images)
            for kind, issues in shown.items()
        ],
    )
    write(page, path)


def _section(
    kind: IssueKind, issues: Sequence[Issue], count: int, images: Mapping[str, str | None]
) -> Section:
    cards = Cards([_card(one, images) for one in issues])
    more = f"The first {len(issues)} of {count:,}; audit.csv lists all."
    parts: list[Part] = [more, cards] if count > len(issues) else [cards]
    if kind is IssueKind.SERIES:
        parts.insert(0, f"{ADVICE}.")
    return Section(f"{_TITLES[kind]} ({count:,})", parts)


def _card(issue: Issue, images: Mapping[str, str | None]) -> Card:
    suggested = f" → {issue.suggested_label}?" if issue.suggested_label else ""
    return Card(
        images=[images[file] for file in _files(issue)],
        title=f"{issue.label}{suggested} {issue.score:.3f}",
        note=issue.evidence,
        path=issue.path,
    )


def _files(issue: Issue) -> list[str]:
    """Return the images of an issue."""
    readable = issue.kind is not IssueKind.UNREADABLE
    return [file for file in (issue.path, issue.other_path) if file and readable]
