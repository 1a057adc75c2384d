"""Where an image comes from: a file, or the content of one in memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ImageContent:
    """The content of an image file that a program has in memory.

    Attributes:
        name: What messages call it, such as "image 3".
        content: The bytes; none if it could not be had.
        fault: Why it could not be had, in a few words to show the user; None if it could.
    """

    name: str
    content: bytes = field(repr=False)
    fault: str | None = None

    def __str__(self) -> str:
        return self.name


ImageSource: TypeAlias = Path | ImageContent
"""What `headstart.images.decode.read_bytes` reads; `str` of it is what messages call it."""
