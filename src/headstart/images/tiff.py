"""Reading of TIFF files."""

import io

from PIL import Image

from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback


def read_tiff(content: bytes, on_note: NoteCallback) -> Image.Image:  # noqa: ARG001
    """Read a TIFF file."""
    from PIL import TiffImagePlugin

    image = TiffImagePlugin.TiffImageFile(io.BytesIO(content))
    check_size(*image.size)
    image.load()
    return image
