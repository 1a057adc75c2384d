"""Reading of PSD files."""

import io

from PIL import Image

from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback


def read_psd(content: bytes, on_note: NoteCallback) -> Image.Image:  # noqa: ARG001
    """Read a PSD file."""
    from PIL import PsdImagePlugin

    image = PsdImagePlugin.PsdImageFile(io.BytesIO(content))
    check_size(*image.size)
    image.load()
    return image
