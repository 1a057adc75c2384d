"""The folder of an audit: audit.csv, audit.json and the page of images."""

from pathlib import Path
from typing import Final

from headstart.auditing.audit import Audit
from headstart.auditing.page import write_page
from headstart.datasets.review import COLUMNS
from headstart.evaluation.report import write_csv
from headstart.system.serialization import write_json

TABLE: Final = "audit.csv"
SUMMARY: Final = "audit.json"
PAGE: Final = "index.html"


def write_audit(audit: Audit, folder: Path, *, command: str | None = None) -> None:
    """Write the findings of an audit.

    Args:
        audit: What was found.
        folder: Created if it does not exist; files of the same names are replaced.
        command: The command that trains on the reviewed images, for the page; None without one.

    Raises:
        HeadstartError: The folder cannot be written.
    """
    write_csv(
        [
            {
                "path": one.path,
                "kind": one.kind.value,
                "score": round(one.score, 6),
                "label": one.label,
                "suggested_label": one.suggested_label,
                "evidence": one.evidence,
                "action": "",
            }
            for one in audit.issues
        ],
        folder / TABLE,
        columns=COLUMNS,
    )
    write_json(folder / SUMMARY, audit)
    write_page(audit, folder / PAGE, command=command)
