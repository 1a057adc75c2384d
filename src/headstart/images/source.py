"""Where an image comes from: a file, or the content of one in memory."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

_URL: Final = re.compile(r"(?i)(https?|ftps?|s3|gs|file):/|[a-z][a-z0-9+.-]+://|data:image/")
"""With one slash, too, as `Path` leaves it."""


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


def is_url(path: str) -> bool:
    """Whether a path is the address of something that is not a local file."""
    return _URL.match(path) is not None
