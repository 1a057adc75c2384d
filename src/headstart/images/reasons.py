"""Why a file could not be decoded: it is damaged, ends early, or is of an unsupported kind."""

import re
from typing import Final

from PIL import Image

from headstart.images.jpeg import frame
from headstart.images.plugins import TITLES

_UNSUPPORTED: Final = re.compile(
    r"(?i)unsupported|unimplemented|not (supported|implemented)|cannot handle|unable to determine"
    r"|unknown pcx mode|no 32bit icon"
)
"""What plugins say of a file that they do not take for damaged."""
_TRUNCATED: Final = re.compile(
    r"(?i)truncated|not enough (image )?data|unpack_from requires|unpack requires|expected to read"
    r"|incomplete|reached eof|end of file|less than expected|no more images"
)
"""What they say of a file that ends early."""

_PIXELS: Final = re.compile(r"(\d+) pixels")
_NO_MEMORY: Final = re.compile(r"(?i)out of memory|cannot allocate|allocation failed|bad_alloc")


def reason_of(error: Exception, name: str, content: bytes = b"") -> str:
    """Return a short reason to show the user.

    Args:
        error: what a plugin raised.
        name: Pillow's name of the format.
        content: the file, as far as it is known.
    """
    detail = " ".join(str(error).split())
    title = TITLES.get(name, name)
    if _NO_MEMORY.search(detail):
        return "too large: out of memory"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        pixels, limit = (int(number) / 1e6 for number in _PIXELS.findall(detail)[:2])
        return f"too large: {pixels:.0f} million pixels (limit {limit:.0f} million for {title})"
    if name == "JPEG" and (found := frame(content)) is not None and found.unsupported:
        return f"not supported: {found.unsupported}"
    is_short = name == "WEBP" and 0 < len(content) < 8 + int.from_bytes(content[4:8], "little")
    if is_short or isinstance(error, EOFError) or _TRUNCATED.search(detail):
        return "truncated"
    if "not identified" in detail:  # adds nothing: only the signature was right
        detail = ""
    if len(detail) > 100:
        detail = detail[:97] + "..."
    says_so = not isinstance(error, TypeError) and _UNSUPPORTED.search(detail)
    if says_so or isinstance(error, NotImplementedError):
        return f"not supported: {title} ({detail})" if detail else f"not supported: {title}"
    return f"damaged {title}: {detail}" if detail else f"damaged {title}"
