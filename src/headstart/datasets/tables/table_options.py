"""What users can say about a table of images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """How the rows of a table are read.

    Attributes:
        image_column: The column of image files; None to find it.
        label_column: The column of labels; None to find it.
        group_column: The column whose equal values mark images that are not independent.
        image_folder: The folder that file names are relative to; None for the table's own folder.
        image_suffix: What to add to the names to get file names, such as ".jpg"; None to find it.
    """

    image_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    image_folder: Path | None = None
    image_suffix: str | None = None

    @property
    def given(self) -> bool:
        """Whether any of them was given."""
        return self != NO_OPTIONS


NO_OPTIONS: Final = TableOptions()
"""Nothing is said about the table."""
